//! Short words for requests and responses.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use larder::cache::CacheBody;
use tower::{Service, ServiceExt as _};

use super::{Body, empty, full};

/// What comes out of a cache over a scripted origin.
pub(crate) type Reply = Response<CacheBody<Body>>;

pub(crate) fn get(uri: &str, fields: &[(&str, &str)]) -> Request<Body> {
    request("GET", uri, fields)
}

/// A request without a body.
pub(crate) fn request(method: &str, uri: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(empty()).expect("a request")
}

pub(crate) fn post(uri: &str, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Body> {
    let mut request = Request::post(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(full(body)).expect("a request")
}

/// A response of an origin.
pub(crate) fn reply(status: u16, fields: &[(&str, &str)], body: Body) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(body).expect("a response")
}

/// Sends a request through a clone of the service, as servers do.
pub(crate) async fn ask<S, B>(service: &S, request: Request<B>) -> S::Response
where
    S: Service<Request<B>> + Clone,
    S::Error: std::fmt::Debug,
{
    service.clone().oneshot(request).await.expect("a response")
}

/// The value of a field, if it is there.
pub(crate) fn field<'a, B>(response: &'a Response<B>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().expect("printable"))
}

/// What the cache says it did.
pub(crate) fn said<B>(response: &Response<B>) -> &str {
    let mut values = response.headers().get_all("cache-status").iter();
    let value = values.next_back().expect("a Cache-Status field");
    value.to_str().expect("printable")
}

/// What the cache says it did, and the whole body: to be compared with a pair of texts.
#[derive(Debug)]
pub(crate) struct Heard {
    said: String,
    text: String,
}

impl PartialEq<(&str, &str)> for Heard {
    fn eq(&self, (said, text): &(&str, &str)) -> bool {
        self.said == *said && self.text == *text
    }
}

pub(crate) async fn heard<B>(response: Response<B>) -> Heard
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    Heard { said: said(&response).to_owned(), text: text(response).await }
}

/// The next frame of data.
pub(crate) async fn data<B>(response: &mut Response<B>) -> Bytes
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    frame(response.body_mut()).await.expect("a frame").expect("no error")
}

/// The next frame, which is one of data; `None` at the end.
pub(crate) async fn frame<B>(body: &mut B) -> Option<Result<Bytes, B::Error>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Debug,
{
    Some(body.frame().await?.map(|frame| frame.into_data().expect("data")))
}

/// The whole body, or how it broke.
pub(crate) async fn read<B>(response: Response<B>) -> Result<Bytes, B::Error>
where
    B: http_body::Body<Data = Bytes>,
{
    Ok(response.into_body().collect().await?.to_bytes())
}

/// The whole body, which is text.
pub(crate) async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let bytes = read(response).await.expect("a whole body");
    String::from_utf8(bytes.to_vec()).expect("text")
}
