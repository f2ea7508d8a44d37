//! An origin on a real socket that writes the bytes it is told to, right or wrong, and a hyper client for it.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use larder::body::ReplayBody;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use super::Body;

/// What happens on a connection, once a request has been read.
#[derive(Clone)]
pub(crate) enum Step {
    /// These bytes are written.
    Write(&'static [u8]),
    /// Nothing, until the test says so.
    Wait(Arc<Notify>),
    /// The connection is reset.
    Reset,
}

/// A listening socket; each connection takes the next script and is closed after its last step.
pub(crate) struct Wire {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<String>,
    task: JoinHandle<()>,
}

impl Wire {
    pub(crate) async fn serve(scripts: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut scripts: VecDeque<_> = scripts.into_iter().collect();
        let (sender, requests) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Some(script) = scripts.pop_front() else { return };
                tokio::spawn(play(stream, script, sender.clone()));
            }
        });
        Self { address, requests, task }
    }

    /// A URI at this origin.
    pub(crate) fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The head of the next request, as it came over the wire.
    pub(crate) async fn request(&mut self) -> String {
        self.requests.recv().await.expect("a request")
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(mut stream: TcpStream, script: Vec<Step>, seen: mpsc::UnboundedSender<String>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let _ = seen.send(String::from_utf8_lossy(&head).into_owned());
    for step in script {
        match step {
            Step::Write(bytes) => {
                if stream.write_all(bytes).await.is_err() {
                    return;
                }
            }
            Step::Wait(notify) => notify.notified().await,
            Step::Reset => {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
                return;
            }
        }
    }
}

/// A client without a pool, so that each request is a connection and takes a script.
pub(crate) fn client() -> Client<HttpConnector, ReplayBody<Body>> {
    Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http()
}
