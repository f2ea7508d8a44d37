//! The harness for Redis itself: its servers come, fail and go as they are told to.

use std::time::{Duration, Instant};

use redis::{
    AsyncConnectionConfig, Client, RedisError, RedisResult, TlsCertificates, Value, aio::MultiplexedConnection,
    cluster::ClusterClient,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::redis::{Cluster, Fault, Relay, Sentinels, Server, Tls};

const PONG: &[u8] = b"+PONG\r\n";

#[tokio::test]
async fn a_killed_server_comes_back_on_its_port_with_nothing() {
    let mut server = Server::start().await;
    let (port, url) = (server.port(), server.url());
    server.set("b", b"two").await;
    server.set("a", b"one").await;
    assert_eq!(server.get("a").await.as_deref(), Some(b"one".as_slice()));
    assert_eq!(server.keys("*").await, ["a", "b"]);
    assert_eq!((server.pttl("a").await, server.pttl("c").await), (-1, -2));
    server.command(&["PEXPIRE", "a", "100000"]).await;
    assert!((1..=100_000).contains(&server.pttl("a").await));
    ping(&url).await.expect("it runs");

    server.kill();
    assert!(ping(&url).await.expect_err("it was killed").is_connection_refusal());

    server.restart().await;
    ping(&url).await.expect("it runs again");
    assert_eq!(server.port(), port);
    assert!(server.keys("*").await.is_empty());
}

#[tokio::test]
async fn commandstats_count_what_was_called() {
    let server = Server::start().await;
    server.set("a", b"one").await;
    server.get("a").await;
    server.get("b").await;
    let stats = server.commandstats().await;
    assert_eq!((stats["get"], stats["set"], stats.get("keys")), (2, 1, None));
    // Readiness is a PING, and the harness says nothing else of itself.
    let names: Vec<_> = stats.keys().map(String::as_str).filter(|name| !matches!(*name, "ping" | "info")).collect();
    assert_eq!(names, ["get", "set"]);
}

#[tokio::test]
async fn a_stopped_server_answers_once_it_goes_on() {
    let server = Server::start().await;
    let mut connection = connect(&server.url()).await.expect("it runs");
    server.stop();
    let mut other = connection.clone();
    let asked = tokio::spawn(async move { redis::cmd("PING").query_async::<String>(&mut other).await });
    let silence = timeout(Duration::from_millis(100), redis::cmd("PING").query_async::<String>(&mut connection)).await;
    assert!(silence.is_err(), "it is stopped");
    server.cont();
    assert_eq!(asked.await.expect("no panic"), Ok("PONG".to_owned()));
}

#[tokio::test]
async fn a_stopped_server_can_be_killed_and_restarted() {
    let mut server = Server::start().await;
    server.stop();
    server.kill();
    server.restart().await;
    ping(&server.url()).await.expect("it runs again");
}

#[tokio::test]
#[should_panic(expected = "Bad directive")]
async fn a_server_that_cannot_start_says_why() {
    Server::with(&["nonsense yes"]).await;
}

#[tokio::test]
async fn a_password_is_needed_where_there_is_one() {
    let server = Server::with(&["requirepass secret"]).await;
    assert_eq!(ping(&server.url()).await.expect_err("no password").code(), Some("NOAUTH"));
    ping(&format!("redis://:secret@127.0.0.1:{}", server.port())).await.expect("the password");
    assert!(ping(&format!("redis://:wrong@127.0.0.1:{}", server.port())).await.is_err());
    assert_eq!(server.get("a").await, None);
}

#[tokio::test]
async fn a_unix_socket_answers() {
    ping(&Server::start().await.unix_url()).await.expect("it listens there, too");
}

#[tokio::test]
async fn a_full_server_says_so() {
    let server = Server::with(&["maxmemory 3mb", "maxmemory-policy noeviction"]).await;
    let mut full = None;
    for key in 0..100 {
        let (key, value) = (key.to_string(), vec![0; 100_000]);
        full = full.or(server.try_command(&[b"SET", key.as_bytes(), &value]).await.err());
    }
    assert_eq!(full.as_ref().and_then(RedisError::code), Some("OOM"));
}

#[tokio::test]
async fn a_replica_has_what_its_master_has() {
    let (master, replica) = tokio::join!(Server::start(), Server::start());
    master.set("a", b"one").await;
    replica.replicaof(Some(&master)).await;
    assert_eq!(replica.get("a").await.as_deref(), Some(b"one".as_slice()));
    let refused = replica.try_command(&["SET", "a", "two"]).await.expect_err("replicas are read only");
    assert_eq!(refused.code(), Some("READONLY"));
    replica.replicaof(None).await;
    replica.set("a", b"two").await;
}

#[tokio::test]
async fn a_relay_passes_and_counts() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    ping(&relay.url()).await.expect("it passes");
    let before = (relay.request_bytes(), relay.reply_bytes());
    assert_eq!(said(&mut pinging(&relay).await, 7).await, PONG);
    assert_eq!(relay.connections(), 2);
    assert_eq!((relay.request_bytes(), relay.reply_bytes()), (before.0 + 6, before.1 + 7));
}

#[tokio::test]
async fn a_relay_delays_and_throttles() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    for (fault, least) in [(Fault::Delay(Duration::from_millis(150)), 150), (Fault::Throttle(3), 300)] {
        relay.set(fault);
        let begin = Instant::now();
        assert_eq!(said(&mut pinging(&relay).await, 7).await, PONG);
        assert!(begin.elapsed() >= Duration::from_millis(least), "{fault:?}");
    }
}

#[tokio::test]
async fn a_relay_cuts_a_reply_in_its_middle() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let mut open = pinging(&relay).await;
    assert_eq!(said(&mut open, 7).await, PONG);
    relay.set(Fault::CutAfter(3));
    open.write_all(b"PING\r\n").await.expect("it is open");
    assert_eq!(rest(&mut open).await, b"+PO");
    assert_eq!(rest(&mut pinging(&relay).await).await, b"+PO");
}

#[tokio::test]
async fn a_relay_makes_garbage_of_replies() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let mut connection = connect(&relay.url()).await.expect("it passes");
    relay.set(Fault::Garbage);
    assert_eq!(said(&mut pinging(&relay).await, 7).await, [0xA5; 7]);
    assert!(redis::cmd("PING").query_async::<String>(&mut connection).await.is_err());
}

#[tokio::test]
async fn a_relay_holds_both_ways_and_lets_go() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    relay.set(Fault::Hold);
    let mut held = pinging(&relay).await;
    let silence = timeout(Duration::from_millis(100), held.read_u8()).await;
    assert!(silence.is_err() && relay.request_bytes() == 0, "nothing passes");
    relay.set(Fault::Pass);
    assert_eq!(said(&mut held, 7).await, PONG);
}

#[tokio::test]
async fn a_relay_closes_connections() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    let mut open = pinging(&relay).await;
    assert_eq!(said(&mut open, 7).await, PONG);
    relay.cut_all();
    assert!(rest(&mut open).await.is_empty());

    let mut open = pinging(&relay).await;
    assert_eq!(said(&mut open, 7).await, PONG);
    relay.set(Fault::Refuse);
    assert!(rest(&mut open).await.is_empty());
    assert!(ping(&relay.url()).await.is_err());
    relay.set(Fault::Pass);
    ping(&relay.url()).await.expect("it passes again");
}

#[tokio::test]
async fn tls_needs_the_right_authority() {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut tls = Tls::start().await;
    let relay = Relay::to(tls.port()).await;
    let localhost = format!("rediss://localhost:{}", tls.port());
    for url in [tls.url(), localhost, format!("rediss://127.0.0.1:{}", relay.port())] {
        ping_client(trusting(&url, tls.ca_pem())).await.expect("its own authority");
        ping_client(trusting(&url, tls.another_ca_pem())).await.expect_err("another authority");
    }
    ping(&format!("redis://127.0.0.1:{}", tls.port())).await.expect_err("no port without TLS");
    assert!(tls.server.keys("*").await.is_empty());
    tls.server.restart().await;
    ping_client(trusting(&tls.url(), tls.ca_pem())).await.expect("the certificate is still there");
}

#[tokio::test]
async fn sentinels_make_the_replica_a_master() {
    let mut sentinels = Sentinels::start().await;
    let ports = [0, 1, 2].map(|index| format!("127.0.0.1:{}", sentinels.sentinel(index).port()));
    assert_eq!(sentinels.url(), format!("redis://{}?sentinel=mymaster", ports.join(",")));
    sentinels.master().set("a", b"one").await;
    sentinels.master().replicated().await;
    let before = (sentinels.master_port(), sentinels.replica().port());
    assert_eq!(sentinels.replica().get("a").await.as_deref(), Some(b"one".as_slice()));
    // Two of three are enough.
    sentinels.sentinel(0).kill();
    sentinels.kill_master();
    sentinels.await_failover().await;
    assert_eq!((sentinels.replica().port(), sentinels.master_port()), before);
    assert_eq!(sentinels.master().get("a").await.as_deref(), Some(b"one".as_slice()));
    sentinels.master().set("a", b"two").await;
}

#[tokio::test]
async fn a_cluster_redirects_and_recovers() {
    let mut cluster = Cluster::start().await;
    assert!(cluster.url().ends_with(&format!(":{}?cluster_enabled=true", cluster.nodes()[5].port())));

    // A key on each master, as a client that knows one node sees it.
    let client = ClusterClient::new([cluster.nodes()[4].url()]).expect("a URL");
    let mut client = client.get_async_connection().await.expect("a cluster");
    let mut owned = [0; 3];
    for key in (0..30).map(|key| key.to_string()) {
        redis::cmd("SET").arg(&key).arg("v").exec_async(&mut client).await.expect("a write");
        let owner = cluster.master_of(&key).await;
        assert!(cluster.nodes()[owner].get(&key).await.is_some());
        owned[owner] += 1;
    }
    assert!(owned.iter().all(|count| *count > 0), "{owned:?}");

    // A slot with four keys moves from its owner to another master.
    let keys = ["{t}1", "{t}2", "{t}3", "{t}4"];
    let (slot, from) = (cluster.slot_of("t").await, cluster.master_of("t").await);
    let to = (from + 1) % 3;
    let error = async |node: usize, key: &str| {
        let answer: RedisResult<Value> = cluster.nodes()[node].try_command(&["GET", key]).await;
        answer.err().and_then(|error| error.code().map(str::to_owned)).unwrap_or_default()
    };
    for key in keys {
        cluster.nodes()[from].set(key, b"v").await;
        assert_eq!(error(to, key).await, "MOVED");
    }
    let migration = cluster.begin_migration(slot, to).await;
    let mut answers = Vec::new();
    for key in keys {
        answers.push(error(from, key).await);
        let _: String = redis::cmd("GET").arg(key).query_async(&mut client).await.expect("the client follows");
    }
    answers.sort();
    assert_eq!(answers, ["", "", "ASK", "ASK"]);
    cluster.finish_migration(migration).await;
    for key in keys {
        assert_eq!((error(from, key).await, error(to, key).await), ("MOVED".to_owned(), String::new()));
        let _: String = redis::cmd("GET").arg(key).query_async(&mut client).await.expect("the client follows");
    }
    cluster.reshard(slot, from).await;
    assert_eq!(cluster.master_of("t").await, from);

    // A master dies; its replica takes over, and it is a replica once it is back.
    cluster.nodes()[from].replicated().await;
    cluster.kill_master(from);
    cluster.await_ok().await;
    assert_eq!(cluster.master_of("t").await, from + 3);
    assert_eq!(cluster.nodes()[from + 3].get("{t}1").await.as_deref(), Some(b"v".as_slice()));
    cluster.restart(from).await;
    cluster.await_ok().await;
    assert_eq!(cluster.master_of("t").await, from + 3);
}

async fn ping(url: &str) -> RedisResult<()> {
    ping_client(Client::open(url)?).await
}

async fn ping_client(client: Client) -> RedisResult<()> {
    redis::cmd("PING").exec_async(&mut connected(&client).await?).await
}

async fn connect(url: &str) -> RedisResult<MultiplexedConnection> {
    connected(&Client::open(url)?).await
}

/// Patient, because the machine may be busy.
async fn connected(client: &Client) -> RedisResult<MultiplexedConnection> {
    let patience = Some(Duration::from_secs(10));
    let config = AsyncConnectionConfig::new().set_connection_timeout(patience).set_response_timeout(patience);
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn trusting(url: &str, ca_pem: &str) -> Client {
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca_pem.as_bytes().to_vec()) };
    Client::build_with_tls(url, certificates).expect("a URL and a certificate")
}

/// A plain connection on which `PING` was sent.
async fn pinging(relay: &Relay) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", relay.port())).await.expect("it accepts");
    stream.write_all(b"PING\r\n").await.expect("it is open");
    stream
}

/// The next bytes.
async fn said(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.expect("so many bytes");
    bytes
}

/// All bytes until the connection closes.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is as good as an end.
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}
