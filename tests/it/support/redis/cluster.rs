//! A cluster of six nodes.

use std::time::Duration;

use futures_util::future::join_all;

use super::{
    PATIENCE, Patience, Relay, Server,
    view::{SLOTS, View},
};

const CONFIG: &[&str] = &["cluster-enabled yes", "cluster-node-timeout 1000", "cluster-replica-validity-factor 0"];

const MASTERS: usize = 3;

/// How long a cluster may take to be whole again.
const RECOVERY: Duration = Duration::from_secs(30);

/// A cluster: three masters (nodes 0, 1, 2), and a replica of each (nodes 3, 4, 5).
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// Waits until every node knows all nodes, and each replica has its master's entries.
    pub(crate) async fn start() -> Self {
        let nodes = join_all((0..2 * MASTERS).map(|_| Server::with(CONFIG))).await;
        let cluster = Self { nodes };
        // A node takes its epoch only while it knows no other.
        join_all((0..2 * MASTERS).map(|node| cluster.equip(node))).await;
        join_all((0..2 * MASTERS).map(|node| cluster.introduce(node))).await;
        cluster.await_views("nodes to meet", |view| view.known() == 2 * MASTERS).await;
        join_all((MASTERS..2 * MASTERS).map(|node| cluster.replicate(node, node - MASTERS))).await;
        cluster.await_views("replicas to be known", |view| view.replicas() == MASTERS).await;
        cluster.await_ok().await;
        cluster
    }

    /// All nodes.
    pub(crate) fn url(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis://{}?cluster_enabled=true", nodes.join(","))
    }

    /// All nodes, in the order they were started in; what each of them is now may have changed since.
    pub(crate) fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The node that a key belongs to.
    pub(crate) async fn master_of(&self, key: &str) -> usize {
        self.owner(self.slot_of(key).await).await
    }

    pub(crate) async fn slot_of(&self, key: &str) -> u16 {
        self.any().query(&["CLUSTER", "KEYSLOT", key]).await
    }

    pub(crate) fn kill_master(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Starts a node that was killed. It finds the cluster by itself, and is a replica if another took its place.
    pub(crate) async fn restart(&mut self, node: usize) {
        self.nodes[node].restart().await;
    }

    /// Has clients that begin now come to a master by a relay. Its replica is killed, for that would come by it, too. Whoever wants
    /// the node of a key has to ask before.
    pub(crate) async fn relayed(&mut self, master: usize) -> Relay {
        self.nodes[master + MASTERS].kill();
        let relay = Relay::to(self.nodes[master].port()).await;
        let port = relay.port().to_string();
        self.nodes[master].command(&["CONFIG", "SET", "cluster-announce-port", &port]).await;
        self.await_views("the relay to be known", |view| view.at(relay.port()).is_some()).await;
        relay
    }

    /// Waits until all nodes that can be asked agree on who serves each slot, and that is a node that can be asked.
    pub(crate) async fn await_ok(&self) {
        let patience = Patience::new("a whole cluster", RECOVERY);
        while !self.is_ok().await {
            patience.pause().await;
        }
    }

    /// The node that a slot belongs to.
    pub(super) async fn owner(&self, slot: u16) -> usize {
        let view = View::of(self.any()).await;
        let port = view.owner(slot).expect("every slot has an owner").port;
        self.nodes.iter().position(|node| node.port() == port).expect("one of this cluster's nodes")
    }

    /// A node's name among nodes.
    pub(super) async fn id(&self, node: usize) -> String {
        self.nodes[node].query(&["CLUSTER", "MYID"]).await
    }

    /// The masters that can be asked.
    pub(super) async fn masters(&self) -> Vec<&Server> {
        let view = View::of(self.any()).await;
        self.live().filter(|node| view.at(node.port()).is_some_and(|peer| peer.is("master"))).collect()
    }

    async fn is_ok(&self) -> bool {
        let live: Vec<_> = self.live().map(Server::port).collect();
        let mut agreed = None;
        for node in self.live() {
            let state: String = node.query(&["CLUSTER", "INFO"]).await;
            let view = View::of(node).await;
            let served = view.served(&live);
            let all = served.values().flatten().map(|range| range.len()).sum::<usize>() == usize::from(SLOTS);
            if !state.contains("cluster_state:ok") || !all || *agreed.get_or_insert_with(|| served.clone()) != served {
                return false;
            }
        }
        true
    }

    fn live(&self) -> impl Iterator<Item = &Server> {
        self.nodes.iter().filter(|node| node.answers())
    }

    fn any(&self) -> &Server {
        self.live().next().expect("a node that can be asked")
    }

    /// Gives a node what it has from the start.
    async fn equip(&self, node: usize) {
        let server = &self.nodes[node];
        if node < MASTERS {
            let bound = |node: usize| usize::from(SLOTS) * node / MASTERS;
            let (first, last) = (bound(node).to_string(), (bound(node + 1) - 1).to_string());
            server.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]).await;
        }
        server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(node + 1).to_string()]).await;
    }

    /// Tells a node of those before it.
    async fn introduce(&self, node: usize) {
        let server = &self.nodes[node];
        for other in &self.nodes[..node] {
            server.command(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string()]).await;
        }
    }

    async fn replicate(&self, node: usize, master: usize) {
        let id = self.id(master).await;
        self.nodes[node].command(&["CLUSTER", "REPLICATE", &id]).await;
        self.nodes[node].follows().await;
    }

    async fn await_views(&self, what: &str, wanted: impl Fn(&View) -> bool) {
        let patience = Patience::new(what, PATIENCE);
        for node in self.live() {
            while !wanted(&View::of(node).await) {
                patience.pause().await;
            }
        }
    }
}
