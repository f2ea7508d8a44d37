//! The suite that every store passes, over Redis as it comes.

use std::sync::atomic::{AtomicUsize, Ordering};

use larder::{
    clock::ManualClock,
    entry::codec::{Compression, KeyRing},
    redis::Client,
    store::{Memory, Redis, RedisBuilder, Tiered, conformance},
};

use crate::support::redis::{Cluster, Server, Tls};

/// A store in a space that nobody has used.
fn fresh(client: &Client, clock: ManualClock) -> RedisBuilder {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let space = format!("space-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    Redis::builder(client.clone()).space(&space).clock(clock)
}

fn memory(clock: ManualClock) -> Memory {
    Memory::builder(64 << 20).clock(clock).build().expect("a sensible capacity")
}

#[tokio::test]
async fn one_server() {
    let server = Server::start().await;
    let client = Client::builder(&server.url()).response_timeout(super::PATIENT).build().expect("a URL");
    conformance::check(|clock| fresh(&client, clock).build().expect("a store")).await;
}

#[tokio::test]
async fn several_connections_to_a_socket() {
    let server = Server::start().await;
    let client = Client::builder(&server.unix_url()).response_timeout(super::PATIENT).connections(3).build();
    let client = client.expect("a URL");
    conformance::check(|clock| fresh(&client, clock).build().expect("a store")).await;
}

#[tokio::test]
async fn tls() {
    let server = Tls::start().await;
    let client = Client::builder(&server.url()).response_timeout(super::PATIENT);
    let client = client.root_certificates(server.ca_pem()).build().expect("a URL");
    conformance::check(|clock| fresh(&client, clock).build().expect("a store")).await;
}

#[tokio::test]
async fn a_cluster_and_tiers_in_front_of_it() {
    let cluster = Cluster::start().await;
    let client = Client::builder(&cluster.url()).response_timeout(super::PATIENT).build().expect("a URL");
    conformance::check(|clock| fresh(&client, clock).build().expect("a store")).await;
    conformance::check(|clock| Tiered::new(memory(clock.clone()), fresh(&client, clock).build().expect("a store")))
        .await;
}

#[tokio::test]
async fn compressed_and_encrypted() {
    let server = Server::start().await;
    let client = Client::builder(&server.url()).response_timeout(super::PATIENT).build().expect("a URL");
    for compression in [Compression::Off, Compression::Lz4, Compression::Zstd(1)] {
        conformance::check(|clock| {
            let store = fresh(&client, clock).compression(compression).compress_above(0);
            store.encryption(KeyRing::new([7; 32])).build().expect("a store")
        })
        .await;
    }
}

#[tokio::test]
async fn tiers() {
    let server = Server::start().await;
    let client = Client::builder(&server.url()).response_timeout(super::PATIENT).build().expect("a URL");
    conformance::check(|clock| Tiered::new(memory(clock.clone()), fresh(&client, clock).build().expect("a store")))
        .await;
    conformance::check(|clock| {
        let far = fresh(&client, clock.clone()).build().expect("a store");
        Tiered::new(memory(clock.clone()), Tiered::new(memory(clock), far))
    })
    .await;
    conformance::check(|clock| Tiered::new(memory(clock.clone()), memory(clock))).await;
}
