//! An upstream that does as a test says, bytes and all.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use super::{connection::Connection, message::Message};

/// A listening upstream; dropping it closes it and its connections.
#[derive(Debug)]
pub(super) struct Origin {
    address: SocketAddr,
    received: Received,
    accepting: JoinHandle<()>,
}

type Received = Arc<Mutex<Vec<Message>>>;

/// A connection from the proxy, whose requests are noted.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) wire: Connection,
    received: Received,
}

impl Origin {
    /// Hands each connection to `serve`.
    pub(super) async fn serving<F, Fut>(serve: F) -> Self
    where
        F: Fn(Conversation) -> Fut + Send + 'static,
        Fut: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let received = Received::default();
        let noted = received.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let conversation = Conversation { wire: Connection::new(stream), received: noted.clone() };
                connections.spawn(serve(conversation));
            }
        });
        Self { address, received, accepting }
    }

    /// Answers each request with the bytes that `answer` makes of it and its number, counted from 1. Connections stay open.
    pub(super) async fn answering<F>(answer: F) -> Self
    where
        F: Fn(&Message, usize) -> Vec<u8> + Send + Sync + 'static,
    {
        let answer = Arc::new(answer);
        Self::serving(move |mut conversation| {
            let answer = answer.clone();
            async move {
                while let Some((request, number)) = conversation.request().await? {
                    conversation.wire.send(answer(&request, number)).await?;
                }
                Ok(())
            }
        })
        .await
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, in the order of their heads.
    pub(super) fn requests(&self) -> Vec<Message> {
        lock(&self.received).clone()
    }

    pub(super) fn calls(&self) -> usize {
        lock(&self.received).len()
    }

    /// The only request so far.
    pub(super) fn request(&self) -> Message {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Conversation {
    /// The next request and its number, counted from 1; `None` when there are no more.
    pub(super) async fn request(&mut self) -> io::Result<Option<(Message, usize)>> {
        let Some((mut request, number)) = self.head().await? else { return Ok(None) };
        request.body = self.wire.body().await?;
        lock(&self.received)[number - 1].body.clone_from(&request.body);
        Ok(Some((request, number)))
    }

    /// The same without its body.
    pub(super) async fn head(&mut self) -> io::Result<Option<(Message, usize)>> {
        let Some(head) = self.wire.request_head().await? else { return Ok(None) };
        let mut received = lock(&self.received);
        received.push(head.clone());
        Ok(Some((head, received.len())))
    }
}

/// An address that refuses connections, for as long as the socket lives.
pub(super) fn nowhere() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    let address = socket.local_addr().expect("a bound socket").as_socket().expect("an IP address");
    (socket, address)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
