//! A cluster as one of its nodes sees it.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::Server;

/// How many slots the keys of a cluster fall into.
pub(super) const SLOTS: u16 = 16_384;

/// What `CLUSTER NODES` says.
#[derive(Debug)]
pub(super) struct View(Vec<Peer>);

/// A node in it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) port: u16,
    flags: Vec<String>,
    slots: Vec<RangeInclusive<u16>>,
}

impl View {
    pub(super) async fn of(node: &Server) -> Self {
        let text: String = node.query(&["CLUSTER", "NODES"]).await;
        Self(text.lines().map(Peer::parse).collect())
    }

    /// The node on a port.
    pub(super) fn at(&self, port: u16) -> Option<&Peer> {
        self.0.iter().find(|peer| peer.port == port)
    }

    /// The master that a slot belongs to.
    pub(super) fn owner(&self, slot: u16) -> Option<&Peer> {
        self.0.iter().find(|peer| peer.slots.iter().any(|range| range.contains(&slot)))
    }

    /// How many nodes are known, not counting those that are still being met.
    pub(super) fn known(&self) -> usize {
        self.0.iter().filter(|peer| !peer.is("handshake")).count()
    }

    pub(super) fn replicas(&self) -> usize {
        self.0.iter().filter(|peer| peer.is("slave")).count()
    }

    /// The slots of the masters on these ports that do not seem to have failed, by port.
    pub(super) fn served(&self, ports: &[u16]) -> BTreeMap<u16, Vec<RangeInclusive<u16>>> {
        let served = self.0.iter().filter(|peer| ports.contains(&peer.port) && !peer.is("fail") && !peer.is("fail?"));
        served.filter(|peer| !peer.slots.is_empty()).map(|peer| (peer.port, peer.slots.clone())).collect()
    }
}

impl Peer {
    /// `id address:port@bus,host flags master ping pong epoch link slot slot …`
    fn parse(line: &str) -> Self {
        let words: Vec<_> = line.split(' ').collect();
        let port = words[1].split('@').next().and_then(|address| address.rsplit(':').next());
        Self {
            port: port.and_then(|port| port.parse().ok()).expect("an address with a port"),
            flags: words[2].split(',').map(str::to_owned).collect(),
            // In brackets are those under way from or to this node.
            slots: words[8..].iter().filter(|word| !word.starts_with('[')).map(|word| range(word)).collect(),
        }
    }

    pub(super) fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|has| has == flag)
    }
}

/// `5` or `0-5460`.
fn range(text: &str) -> RangeInclusive<u16> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    first.parse().expect("a slot")..=last.parse().expect("a slot")
}
