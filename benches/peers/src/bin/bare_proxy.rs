//! A hyper server and a pooled hyper client with nothing between them: what no caching proxy's miss can be faster
//! than.

use http::{Response, StatusCode, Uri, uri::Authority};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use peers::server;

fn main() -> Result<(), server::BoxError> {
    let (address, upstream) = server::arguments("bare_proxy ADDRESS UPSTREAM_AUTHORITY")?;
    let upstream: Authority = upstream.parse()?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    server::run(address, move |mut request| {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(http::uri::Scheme::HTTP);
        uri.authority = Some(upstream.clone());
        *request.uri_mut() = Uri::from_parts(uri).expect("a scheme, an authority and the path that came");
        let response = client.request(request);
        async {
            response.await.map_or_else(
                |error| {
                    let mut response = Response::new(Either::Right(format!("{error}\n")));
                    *response.status_mut() = StatusCode::BAD_GATEWAY;
                    response
                },
                |response| response.map(Either::Left),
            )
        }
    })
}
