//! Sentinels, and the servers they watch.

use std::{collections::BTreeMap, mem, time::Duration};

use futures_util::future::join_all;

use super::{Patience, Server, directory::Directory};

/// How long a failover may take.
const FAILOVER: Duration = Duration::from_secs(20);

/// A master with one replica, watched by three Sentinels under the name `mymaster`.
#[derive(Debug)]
pub(crate) struct Sentinels {
    master: Server,
    replica: Server,
    sentinels: Vec<Server>,
}

impl Sentinels {
    /// Waits until each Sentinel knows the replica and the two others.
    pub(crate) async fn start() -> Self {
        let (master, replica) = tokio::join!(Server::start(), Server::start());
        replica.replicaof(Some(&master)).await;
        let port = master.port();
        let sentinels = join_all((0..3).map(|_| sentinel(port))).await;
        let patience = Patience::new("Sentinels to know each other", FAILOVER);
        for server in &sentinels {
            while !knows_all(server).await {
                patience.pause().await;
            }
        }
        Self { master, replica, sentinels }
    }

    /// All three Sentinels, and the master's name.
    pub(crate) fn url(&self) -> String {
        let [a, b, c] = [0, 1, 2].map(|index: usize| format!("127.0.0.1:{}", self.sentinels[index].port()));
        format!("redis://{a},{b},{c}?sentinel=mymaster")
    }

    /// The master; after a failover it is the one that was the replica, once that has been waited for.
    pub(crate) fn master(&self) -> &Server {
        &self.master
    }

    pub(crate) fn replica(&mut self) -> &mut Server {
        &mut self.replica
    }

    /// One of the three, in the URL's order.
    pub(crate) fn sentinel(&mut self, index: usize) -> &mut Server {
        &mut self.sentinels[index]
    }

    pub(crate) fn master_port(&self) -> u16 {
        self.master.port()
    }

    pub(crate) fn kill_master(&mut self) {
        self.master.kill();
    }

    /// Waits until the replica is the master, and all Sentinels that run say so; then the two have changed places.
    pub(crate) async fn await_failover(&mut self) {
        let patience = Patience::new("a failover", FAILOVER);
        // A Sentinel that promotes a replica closes its connections, be they the harness's.
        let role = async |server: &Server| server.try_query::<String>(&["INFO", "replication"]).await;
        while !role(&self.replica).await.is_ok_and(|role| role.contains("role:master")) {
            patience.pause().await;
        }
        for server in self.sentinels.iter().filter(|server| server.answers()) {
            while named(server).await != self.replica.port() {
                patience.pause().await;
            }
        }
        mem::swap(&mut self.master, &mut self.replica);
    }
}

async fn sentinel(master: u16) -> Server {
    let monitor = format!("sentinel monitor mymaster 127.0.0.1 {master} 2");
    let config = [
        "port {port}",
        &monitor,
        "sentinel down-after-milliseconds mymaster 300",
        "sentinel failover-timeout mymaster 2000",
        "sentinel parallel-syncs mymaster 1",
    ];
    let server = Server::launch(Directory::new(), &["--sentinel"], &config).await;
    // They find each other sooner so; by default each says where it is once in 2 s, and asks for replicas once in 10 s.
    // Not so `ping-period`: a replica is promoted only if its last INFO is at most five of those old, and it is asked once in 1 s.
    let hurry = ["SENTINEL", "DEBUG", "info-period", "200", "publish-period", "100"];
    server.command(&hurry).await;
    server
}

/// Whether a Sentinel knows one replica and two other Sentinels.
async fn knows_all(sentinel: &Server) -> bool {
    let state: BTreeMap<String, String> = sentinel.query(&["SENTINEL", "MASTER", "mymaster"]).await;
    state["num-slaves"] == "1" && state["num-other-sentinels"] == "2" && state["flags"] == "master"
}

/// The port that a Sentinel says is the master's.
async fn named(sentinel: &Server) -> u16 {
    let (_, port): (String, u16) = sentinel.query(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]).await;
    port
}
