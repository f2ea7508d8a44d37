//! Who is who: addresses, proxies in front, keys.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

use super::{super::connection::Connection, *};

/// Asks from an address of this machine.
async fn ask_from(proxy: &Proxy, address: [u8; 4]) -> u16 {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from((Ipv4Addr::from(address), 0))).expect("127.0.0.0/8 is this machine");
    let stream = socket.connect(proxy.address()).await.expect("a live proxy");
    Connection::new(stream).ask(get("/a", &[])).await.status()
}

#[tokio::test]
async fn an_address_is_that_of_the_peer_and_not_what_a_client_says() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &["--limit", "1/min:ip"]).await;
    assert_eq!(ask_from(&proxy, [127, 0, 0, 2]).await, 200);
    assert_eq!(ask_from(&proxy, [127, 0, 0, 3]).await, 200);
    assert_eq!(ask_from(&proxy, [127, 0, 0, 2]).await, 429);
    let spoofed: [&[(&str, &str)]; 6] = [
        &[("X-Forwarded-For", "203.0.113.1")],
        &[("X-Forwarded-For", "203.0.113.2, 127.0.0.1")],
        &[("Forwarded", "for=203.0.113.3")],
        &[("X-Real-IP", "203.0.113.4")],
        &[("X-Forwarded-For", "127.0.0.9"), ("X-Forwarded-For", "203.0.113.5")],
        &[],
    ];
    assert_eq!(statuses(&proxy, &spoofed).await, [200, 429, 429, 429, 429, 429]);
}

#[tokio::test]
async fn behind_a_trusted_proxy_clients_are_told_apart_from_the_right() {
    let origin = origin().await;
    for (field, another) in [("X-Forwarded-For", "Forwarded"), ("Forwarded", "X-Forwarded-For")] {
        let form = |field: &str, addresses: &[&str]| {
            let prefix = if field == "Forwarded" { "for=" } else { "" };
            let all: Vec<_> = addresses.iter().map(|address| format!("{prefix}{address}")).collect();
            all.join(", ")
        };
        let args = ["--trusted-proxy=127.0.0.1", "--trusted-proxy=10.0.0.0/8", "--limit=1/min:ip", "--forwarded-field"];
        let proxy = Proxy::start(&origin, &[&args[..], &[&field.to_lowercase()]].concat()).await;
        for (addresses, status) in [
            (&["203.0.113.1"][..], 200),
            (&["203.0.113.2"], 200),
            (&["203.0.113.1"], 429),
            (&["198.51.100.9", "203.0.113.1"], 429),
            (&["198.51.100.9", "203.0.113.1", "10.1.2.3"], 429),
            (&["203.0.113.1", "198.51.100.9"], 200),
        ] {
            let value = form(field, addresses);
            let given = proxy.ask(get("/a", &[(field, &value)])).await;
            assert_eq!(given.status(), status, "{field}: {value}");
        }
        // What the proxies don't write is a client's.
        let value = form(another, &["203.0.113.7"]);
        let made_up: [&[(&str, &str)]; 2] = [&[(another, &value)], &[]];
        assert_eq!(statuses(&proxy, &made_up).await, [200, 429], "{another}");
        assert_eq!(ask_from(&proxy, [127, 0, 0, 2]).await, 200);
        assert_eq!(ask_from(&proxy, [127, 0, 0, 2]).await, 429);
    }
}

#[tokio::test]
async fn a_key_is_one_in_whatever_field_and_who_has_none_counts_by_address() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &["--limit", "1/min:key"]).await;
    let each: [&[(&str, &str)]; 9] = [
        &[("Authorization", "Bearer one")],
        &[("X-Api-Key", "one")],
        &[("Api-Key", "one")],
        &[("Authorization", "Bearer two")],
        &[("Authorization", "bearer two")],
        &[],
        &[],
        &[("Authorization", "Basic made-up")],
        &[("Authorization", "Bearer ")],
    ];
    assert_eq!(statuses(&proxy, &each).await, [200, 429, 429, 200, 429, 200, 429, 429, 429]);
    assert_eq!(ask_from(&proxy, [127, 0, 0, 2]).await, 200);
}

#[tokio::test]
async fn a_field_tells_clients_apart_by_all_of_its_value() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &["--limit", "1/min:header=X-Org-Id"]).await;
    let each: [&[(&str, &str)]; 6] = [
        &[("X-Org-Id", "acme")],
        &[("x-org-id", " acme ")],
        &[("X-Org-Id", "acme 2")],
        &[("X-Org-Id", "ACME"), ("Authorization", "Bearer acme")],
        &[("X-Org-Id", ""), ("Authorization", "Bearer acme")],
        &[],
    ];
    assert_eq!(statuses(&proxy, &each).await, [200, 429, 200, 200, 200, 429]);
}
