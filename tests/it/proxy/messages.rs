//! What a gateway does to the messages that pass it (RFC 9110 §7.6), and what it must not.

use super::{
    message::{get, request, response},
    origin::Origin,
    process::Proxy,
};

async fn origin() -> Origin {
    Origin::answering(|_, number| response(200, &[], number.to_string())).await
}

#[tokio::test]
async fn fields_for_one_hop_do_not_pass() {
    let answer = [
        ("Connection", "X-Hop-Back, keep-alive"),
        ("Connection", "x-hop-too"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Upgrade", "websocket"),
        ("X-Hop-Back", "1"),
        ("X-Hop-Too", "1"),
        ("X-End", "kept"),
        ("Trailer", "X-Sum"),
    ];
    let origin = Origin::answering(move |_, _| response(200, &answer, "")).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let fields = [
        ("Connection", "X-Hop, Keep-Alive, Upgrade, HTTP2-Settings"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Upgrade", "websocket"),
        ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("X-Hop", "1"),
        ("X-End", "kept"),
        ("User-Agent", "test/1"),
    ];
    let given = proxy.ask(get("/a", &fields)).await;
    let seen = origin.request();
    for name in ["keep-alive", "proxy-connection", "te", "upgrade", "http2-settings", "x-hop"] {
        assert_eq!(seen.values(name), [""; 0], "{name} reached the origin");
    }
    for name in ["keep-alive", "proxy-connection", "upgrade", "x-hop-back", "x-hop-too"] {
        assert_eq!(given.values(name), [""; 0], "{name} reached the client");
    }
    for message in [&seen, &given] {
        let named = message.values("connection").concat().to_ascii_lowercase();
        assert!(!named.contains("x-hop"), "{named}");
        assert_eq!(message.field("x-end"), Some("kept"));
    }
    assert_eq!(seen.field("user-agent"), Some("test/1"));
    assert_eq!(given.field("trailer"), Some("X-Sum"));
}

#[tokio::test]
async fn connection_cannot_take_framing_or_host_away() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &[]).await;
    let fields = [("Connection", "Content-Length, Host, Cache-Control"), ("Cache-Control", "no-store")];
    proxy.ask(request("POST", "/v1/files", &fields, b"GET /evil HTTP/1.1\r\n\r\n")).await;
    let seen = origin.request();
    assert_eq!(seen.text(), "GET /evil HTTP/1.1\r\n\r\n");
    assert_eq!(seen.field("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn the_upstream_gets_its_own_host_and_learns_the_clients() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &[]).await;
    proxy.ask(get("/a", &[("Host", "api.example:8443")])).await;
    let seen = origin.request();
    assert_eq!(seen.field("host"), Some(&*origin.address().to_string()));
    assert_eq!(seen.field("x-forwarded-host"), Some("api.example:8443"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.values("via"), ["1.1 larder"]);
}

#[tokio::test]
async fn the_list_of_hops_grows_and_other_claims_of_the_client_are_not_believed() {
    let origin = Origin::answering(|_, _| response(200, &[("Via", "1.0 far"), ("Cache-Status", "far; hit")], "")).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let fields = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.2, 192.0.2.3"),
        ("X-Forwarded-Host", "outer.example"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=192.0.2.1;host=outer.example;proto=https"),
        ("Via", "2 near"),
    ];
    let given = proxy.ask(get("/a", &fields)).await;
    let seen = origin.request();
    assert_eq!(seen.field("x-forwarded-for"), Some("192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-host"), Some("proxy.test"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("forwarded"), None);
    assert_eq!(seen.values("via").join(", "), "2 near, 1.1 larder");
    assert_eq!(given.values("via").join(", "), "1.0 far, 1.1 larder");
    let status = given.values("cache-status").join(", ");
    assert!(status.starts_with("far; hit, larder; fwd="), "{status}");
}

#[tokio::test]
async fn targets_reach_the_upstream_byte_for_byte() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &[]).await;
    let targets = [
        "/",
        "/v1/models?b=2&a=1&&a=1&=&c",
        "/v1/models?",
        "/a%2Fb%2fc/%7Euser/~user/%zz/%",
        "//double//slash/",
        "/a/../b/./c/%2e%2e/d",
        "/a;p=1,2@3:4!$'()*+",
        "/?q=a+b%20c&d[]=%5B%5D&e=x|y\\z^`{}",
        "/?next=http://user:pw@other.example/?x=1",
    ];
    for target in targets {
        proxy.ask(get(target, &[])).await;
        let seen = origin.requests().pop();
        assert_eq!(seen.expect("a request").target(), target);
    }
}

#[tokio::test]
async fn the_upstreams_own_path_comes_before_the_requests() {
    let origin = origin().await;
    for base in ["/base", "/base/"] {
        let proxy = Proxy::before(&format!("{}{base}", origin.url()), &[]).await;
        for (target, expected) in [
            ("/v1/models?x=1", "/base/v1/models?x=1"),
            ("/", "/base/"),
            ("/?x", "/base/?x"),
            ("http://other.example/v1/models", "/base/v1/models"),
        ] {
            proxy.ask(get(target, &[])).await;
            assert_eq!(origin.requests().pop().expect("a request").target(), expected, "{base} {target}");
        }
    }
}

#[tokio::test]
async fn a_path_without_a_slash_cannot_leave_the_upstreams_own() {
    let origin = origin().await;
    let proxy = Proxy::before(&format!("{}/base", origin.url()), &[]).await;
    proxy.ask(request("OPTIONS", "*", &[], b"")).await;
    proxy.ask(get("http://other.example", &[])).await;
    proxy.ask(get("http://other.example?x=1", &[])).await;
    for seen in origin.requests() {
        assert!(
            ["*", "/base"].contains(&seen.target()) || seen.target().starts_with("/base/"),
            "{} {}",
            seen.method(),
            seen.target()
        );
    }
}

#[tokio::test]
async fn no_way_of_writing_two_dots_leaves_the_upstreams_own_path() {
    let origin = origin().await;
    let proxy = Proxy::before(&format!("{}/base", origin.url()), &[]).await;
    let mut client = proxy.connect().await;
    for target in ["/..", "/../secret", "/a/../../secret", "/%2e%2e/secret", "/.%2E/secret", "/a/%2E./../secret"] {
        let given = client.ask(get(target, &[])).await;
        assert_eq!((given.status(), given.field("content-type")), (400, Some("application/problem+json")), "{target}");
    }
    assert_eq!(origin.calls(), 0);
    assert_eq!(client.ask(get("/...?next=/../a", &[])).await.status(), 200);
}

#[tokio::test]
async fn a_target_with_a_host_goes_to_the_upstream_and_nowhere_else() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &[]).await;
    for target in ["http://other.example/v1/models?x=1", "https://other.example:1/v1/models?x=1"] {
        let given = proxy.ask(get(target, &[("Host", "other.example")])).await;
        assert_eq!(given.status(), 200);
        let seen = origin.requests().pop().expect("a request");
        assert_eq!((seen.target(), seen.field("host")), ("/v1/models?x=1", Some(&*origin.address().to_string())));
    }
}

#[tokio::test]
async fn a_password_in_the_target_reaches_nobody() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &[]).await;
    proxy.ask(get("http://user:s3cret@other.example:81/a", &[])).await;
    let seen = origin.request();
    assert_eq!(seen.field("x-forwarded-host"), Some("other.example:81"), "the target's host overrides the field");
    assert!(!format!("{seen:?}").contains("s3cret"), "{seen:?}");
}

#[tokio::test]
async fn an_options_request_for_the_whole_server_passes() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &[]).await;
    assert_eq!(proxy.ask(request("OPTIONS", "*", &[], b"")).await.status(), 200);
    assert_eq!(origin.request().target(), "*");
}

#[tokio::test]
async fn a_tunnel_is_refused() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &[]).await;
    let given = proxy.ask(request("CONNECT", "other.example:443", &[], b"")).await;
    assert_eq!(given.status(), 405);
    assert_eq!(given.field("content-type"), Some("application/problem+json"));
    assert_eq!(origin.calls(), 0);
    assert_eq!(proxy.ask(get("/a", &[])).await.status(), 200);
}

#[tokio::test]
async fn a_request_head_that_is_too_large_harms_only_itself() {
    let origin = origin().await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut bystander = proxy.connect().await;
    assert_eq!(bystander.ask(get("/a", &[])).await.status(), 200);
    let one = "x".repeat(1 << 20);
    let line = "x".repeat(1 << 10);
    let many: Vec<_> = (0..1024).map(|_| ("X-Bomb", line.as_str())).collect();
    let target = format!("/{one}");
    for bomb in [get("/a", &[("X-Bomb", &one)]), get("/a", &many), get(&target, &[])] {
        let mut client = proxy.connect().await;
        // The proxy may stop reading before all is sent.
        let _unsent = client.send(&bomb).await;
        let given = client.response().await.expect("an answer to too large a head");
        assert!(matches!(given.status(), 431 | 414), "{given:?}");
        assert!(client.is_closed().await);
    }
    assert_eq!(bystander.ask(get("/a", &[])).await.status(), 200);
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_hundred_large_fields_pass_both_ways() {
    let value = "v".repeat(1 << 10);
    let sent = value.clone();
    let names: Vec<_> = (0..100).map(|number| format!("x-field-{number}")).collect();
    let sent_names = names.clone();
    let origin = Origin::answering(move |_, _| {
        let fields: Vec<_> = sent_names.iter().map(|name| (name.as_str(), sent.as_str())).collect();
        response(200, &fields, "ok")
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let given = proxy.ask(get("/a", &[])).await;
    assert_eq!((given.status(), given.text()), (200, "ok"), "a response with a hundred fields");
    assert!(names.iter().all(|name| given.field(name) == Some(&value)));
    // Together with Host that is as many as common servers take.
    let fields: Vec<_> = names[..99].iter().map(|name| (name.as_str(), value.as_str())).collect();
    assert_eq!(proxy.ask(get("/a", &fields)).await.status(), 200, "a request with a hundred fields");
    let seen = origin.requests().pop().expect("a request");
    assert!(names[..99].iter().all(|name| seen.field(name) == Some(&value)));
}

#[tokio::test]
async fn fields_keep_their_bytes_and_their_order() {
    let origin = Origin::answering(|_, _| {
        response(200, &[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "caf\u{e9}"), ("X-Empty", "")], "")
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let given = proxy.ask(get("/a", &[("Accept", "a/b"), ("Accept", "c/d"), ("X-Latin", "\u{fc}")])).await;
    assert_eq!(given.values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!((given.field("x-latin"), given.field("x-empty")), (Some("caf\u{e9}"), Some("")));
    let seen = origin.request();
    assert_eq!(seen.values("accept"), ["a/b", "c/d"]);
    assert_eq!(seen.field("x-latin"), Some("\u{fc}"));
}
