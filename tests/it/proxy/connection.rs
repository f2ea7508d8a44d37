//! One end of a connection that speaks HTTP/1 in bytes.

use std::{io, net::SocketAddr, time::Duration};

use socket2::SockRef;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{
    message::{Framing, Message},
    within,
};

#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
    framing: Framing,
}

/// Both ends.
impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream: BufReader::with_capacity(64 << 10, stream), framing: Framing::Over }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within(self.stream.write_all(bytes.as_ref())).await
    }

    /// The next part of the body: a chunk, or what has come of a body of another kind. `None`: it is over.
    pub(super) async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.framing {
            Framing::Over => Ok(None),
            Framing::Length(0) => {
                self.framing = Framing::Over;
                Ok(None)
            }
            Framing::Length(rest) => {
                let part = self.part(rest).await?;
                if part.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.framing = Framing::Length(rest - part.len() as u64);
                Ok(Some(part))
            }
            Framing::Close => {
                let part = self.part(u64::MAX).await?;
                Ok((!part.is_empty()).then_some(part))
            }
            Framing::Chunked => {
                let line = self.line().await?;
                let size = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
                let mut data = vec![0; size];
                within(self.stream.read_exact(&mut data)).await?;
                self.line().await?;
                if size == 0 {
                    self.framing = Framing::Over;
                    return Ok(None);
                }
                Ok(Some(data))
            }
        }
    }

    /// All that is left of the body.
    pub(super) async fn body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// How much is left of the body, which isn't kept.
    pub(super) async fn drain(&mut self) -> io::Result<usize> {
        let mut length = 0;
        while let Some(chunk) = self.chunk().await? {
            length += chunk.len();
        }
        Ok(length)
    }

    /// Breaks the connection with a reset.
    pub(super) fn reset(self) {
        let stream = self.stream.into_inner();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a TCP socket");
    }

    /// Whether the other end has closed the connection, when it has said all.
    pub(super) async fn is_closed(&mut self) -> bool {
        matches!(within(self.stream.fill_buf()).await, Ok([]) | Err(_))
    }

    async fn part(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let part = within(self.stream.fill_buf()).await?;
        let length = part.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        let part = part[..length].to_vec();
        self.stream.consume(length);
        Ok(part)
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        within(self.stream.read_until(b'\n', &mut line)).await?;
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        Ok(String::from_utf8_lossy(line).into_owned())
    }

    async fn head(&mut self) -> io::Result<Option<Message>> {
        if within(self.stream.fill_buf()).await?.is_empty() {
            return Ok(None);
        }
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(Some(Message::new(&lines)));
            }
            lines.push(line);
        }
    }
}

/// The origin's end.
impl Connection {
    /// The next request's head; `None` when there are no more.
    pub(super) async fn request_head(&mut self) -> io::Result<Option<Message>> {
        let head = self.head().await?;
        self.framing = head.as_ref().map_or(Framing::Over, Message::request_framing);
        Ok(head)
    }
}

/// The client's end.
impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Self {
        Self::new(within(TcpStream::connect(address)).await.expect("the proxy accepts connections"))
    }

    /// The head of the response to a GET or a POST.
    pub(super) async fn response_head(&mut self) -> io::Result<Message> {
        self.response_head_to("GET").await
    }

    async fn response_head_to(&mut self, method: &str) -> io::Result<Message> {
        let head = self.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.framing = head.response_framing(method);
        Ok(head)
    }

    /// A whole response, or how it broke.
    pub(super) async fn response(&mut self) -> io::Result<Message> {
        self.response_to("GET").await
    }

    async fn response_to(&mut self, method: &str) -> io::Result<Message> {
        let mut message = self.response_head_to(method).await?;
        message.body = self.body().await?;
        Ok(message)
    }

    /// Sends a request, and takes its response.
    pub(super) async fn try_ask(&mut self, request: impl AsRef<[u8]>) -> io::Result<Message> {
        let request = request.as_ref();
        self.send(request).await?;
        self.response_to(if request.starts_with(b"HEAD ") { "HEAD" } else { "GET" }).await
    }

    /// The same, where it must not break.
    pub(super) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.try_ask(request).await.expect("a whole response")
    }
}
