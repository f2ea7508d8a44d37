//! Ports for servers that have to be told theirs.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::TcpListener,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Below the ports that Linux gives out by itself (32768 and up), so that no connection and no listener on port 0 ever takes one.
const FIRST: u16 = 11_000;

const COUNT: u16 = 10_000;

/// How far a cluster node's bus is from its port.
const BUS: u16 = 10_000;

/// A port that nothing listens on; nor on that of the cluster bus which belongs to it.
///
/// No two calls give the same one, as long as there are others. Another program may still come first.
pub(super) fn free() -> u16 {
    // Programs that run at the same time start in different places.
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(RandomState::new().hash_one(()) >> 1));
    (0..COUNT)
        .map(|_| FIRST + (NEXT.fetch_add(1, Ordering::Relaxed) % u64::from(COUNT)) as u16)
        .find(|port| is_free(*port) && is_free(port + BUS))
        .expect("a free port")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
