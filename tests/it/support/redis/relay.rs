//! A TCP relay that does what networks do.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// What happens to bytes on their way, on connections that are open and on those to come.
///
/// Requests always pass, but for `Hold` and `Refuse`: the faults are those of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    Pass,
    /// Each chunk of a reply comes this much later.
    Delay(Duration),
    /// Replies come at this many bytes each 100 ms.
    Throttle(usize),
    /// The connection closes after this many bytes of replies, counted on each connection from when the fault was set.
    ///
    /// A connection made later counts the replies to its handshake.
    CutAfter(usize),
    /// Bytes that no reply can start with come in place of replies, as many.
    Garbage,
    /// Connections are accepted and stay open; nothing passes either way until another fault is set.
    Hold,
    /// Connections close at once, open ones too.
    Refuse,
}

/// A relay on a free port; it closes all connections when this is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    fault: watch::Sender<Setting>,
    cut: watch::Sender<()>,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

/// A fault, and how many were set before it.
#[derive(Clone, Copy, Debug)]
struct Setting {
    fault: Fault,
    number: u64,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicU64,
    replies: AtomicU64,
    delayed: AtomicU64,
}

impl Relay {
    /// In front of a port of 127.0.0.1.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let fault = watch::Sender::new(Setting { fault: Fault::Pass, number: 0 });
        let cut = watch::Sender::new(());
        let counts = Arc::<Counts>::default();
        let target = SocketAddr::from(([127, 0, 0, 1], port));
        let task = tokio::spawn(serve(listener, target, fault.clone(), cut.clone(), counts.clone()));
        Self { port: address.port(), fault, cut, counts, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on, for open connections as well.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_modify(|setting| *setting = Setting { fault, number: setting.number + 1 });
        if fault == Fault::Refuse {
            self.cut_all();
        }
    }

    /// Closes the connections that are open.
    pub(crate) fn cut_all(&self) {
        self.cut.send_replace(());
    }

    /// How many connections it accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// How many bytes it passed from clients to the server so far.
    pub(crate) fn request_bytes(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// How many bytes it passed from the server to clients so far, garbage included.
    pub(crate) fn reply_bytes(&self) -> u64 {
        self.counts.replies.load(Ordering::Relaxed)
    }

    /// How many bytes of replies it held back so far by `Delay`, those included that it still holds.
    pub(crate) fn delayed_bytes(&self) -> u64 {
        self.counts.delayed.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The connections' tasks are this task's.
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    target: SocketAddr,
    fault: watch::Sender<Setting>,
    cut: watch::Sender<()>,
    counts: Arc<Counts>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("a connection");
        counts.connections.fetch_add(1, Ordering::Relaxed);
        let (fault, mut cut) = (fault.subscribe(), cut.subscribe());
        if fault.borrow().fault == Fault::Refuse {
            continue;
        }
        let counts = counts.clone();
        connections.spawn(async move {
            tokio::select! {
                // An error closes both sides, as an end does.
                _ = relay(client, target, fault, &counts) => {}
                _ = cut.changed() => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn relay(
    client: TcpStream,
    target: SocketAddr,
    fault: watch::Receiver<Setting>,
    counts: &Counts,
) -> io::Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        end = requests(from_client, to_server, fault.clone(), &counts.requests) => end,
        end = replies(from_server, to_client, fault, counts) => end,
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fault: watch::Receiver<Setting>,
    passed: &AtomicU64,
) -> io::Result<()> {
    let mut chunk = vec![0; 1 << 14];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        released(&mut fault).await;
        to.write_all(&chunk[..count]).await?;
        passed.fetch_add(count as u64, Ordering::Relaxed);
    }
}

async fn replies(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fault: watch::Receiver<Setting>,
    counts: &Counts,
) -> io::Result<()> {
    let mut chunk = vec![0; 1 << 14];
    // How many bytes passed since which setting.
    let (mut since, mut number) = (0, 0);
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &mut chunk[..count];
        while !rest.is_empty() {
            let setting = released(&mut fault).await;
            if setting.number != number {
                (since, number) = (0, setting.number);
            }
            let most = match setting.fault {
                Fault::Throttle(bytes) => bytes.max(1),
                Fault::CutAfter(bytes) => bytes - since,
                Fault::Pass | Fault::Delay(_) | Fault::Garbage | Fault::Hold | Fault::Refuse => rest.len(),
            };
            let (piece, later) = rest.split_at_mut(most.min(rest.len()));
            match setting.fault {
                Fault::Delay(time) => {
                    counts.delayed.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    sleep(time).await;
                }
                Fault::Throttle(_) => sleep(Duration::from_millis(100)).await,
                Fault::Garbage => piece.fill(0xA5),
                Fault::Pass | Fault::CutAfter(_) | Fault::Hold | Fault::Refuse => {}
            }
            to.write_all(piece).await?;
            since += piece.len();
            counts.replies.fetch_add(piece.len() as u64, Ordering::Relaxed);
            rest = later;
            if matches!(setting.fault, Fault::CutAfter(bytes) if since >= bytes) {
                return to.shutdown().await;
            }
        }
    }
}

/// Waits while the fault is `Hold`; what it is then.
async fn released(fault: &mut watch::Receiver<Setting>) -> Setting {
    // The relay's end ends this task, too.
    *fault.wait_for(|setting| setting.fault != Fault::Hold).await.expect("the relay is there")
}
