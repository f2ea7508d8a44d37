//! An HTTP/1.1 server on one thread, and nothing else in it.

use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, env, error::Error, net::SocketAddr};
use tokio::{net::TcpListener, runtime};

pub type BoxError = Box<dyn Error + Send + Sync>;

/// Answers requests until the process is killed; says on stderr when it is ready.
pub fn run<H, F, B>(address: SocketAddr, handler: H) -> Result<(), BoxError>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(address).await?;
        eprintln!("listening on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let handler = handler.clone();
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    let response = handler(request);
                    async { Ok::<_, Infallible>(response.await) }
                });
                // A client that goes away is the end of its connection, not an error of ours.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    })
}

/// The command line of every server here: `ADDRESS` and one more argument.
pub fn arguments(usage: &str) -> Result<(SocketAddr, String), BoxError> {
    let mut arguments = env::args().skip(1);
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(address), Some(rest), None) => Ok((address.parse()?, rest)),
        _ => Err(format!("usage: {usage}").into()),
    }
}
