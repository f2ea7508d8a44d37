//! What of a message is kept and passed (§3.1, §7.3), and what is said of it (RFC 9211).

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{FRESH, Field, Found, Fresh, Nothing, STRONG, Site, age, reply, said};
use crate::proxy::{message::chunk, within};

#[tokio::test]
async fn fields_for_one_hop_are_neither_kept_nor_passed() {
    let fields = [
        FRESH,
        ("Connection", "X-Hop, keep-alive"),
        ("Connection", "x-HOP-too"),
        ("X-Hop", "1"),
        ("X-Hop-Too", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Upgrade", "x"),
        ("TE", "trailers"),
        ("X-End", "1"),
    ];
    let site = Site::new(move |_, _| reply(200, &fields, "hello")).await;
    for is_hit in [false, true] {
        let given = site.get("/a", &[]).await;
        assert_eq!((given.is_hit(), given.text(), given.field("x-end")), (is_hit, "hello", Some("1")));
        for name in ["x-hop", "x-hop-too", "keep-alive", "proxy-connection", "upgrade", "te"] {
            assert_eq!(given.field(name), None, "{name}, hit: {is_hit}");
        }
        assert!(!given.values("connection").concat().to_ascii_lowercase().contains("hop"));
    }
}

#[tokio::test]
async fn connection_cannot_take_away_what_caches_go_by() {
    let fields =
        [("Cache-Control", "no-store"), ("Connection", "Cache-Control, Vary"), ("Vary", "X-A"), ("Expires", "@60")];
    let site = Site::new(move |_, _| reply(200, &fields, "")).await;
    for _ in 0..2 {
        assert_eq!(Found::by(&site.get("/a", &[]).await), Nothing);
    }
}

#[tokio::test]
async fn all_other_fields_are_kept_in_their_lines_and_bytes() {
    let fields: [Field<'_>; 6] = [
        FRESH,
        ("X-Lines", "b"),
        ("X-Lines", "a, c"),
        ("X-Empty", ""),
        ("X-Latin", "caf\u{e9}"),
        ("Warning", "110 - \"x\""),
    ];
    let site = Site::new(move |_, _| reply(200, &fields, "")).await;
    for is_hit in [false, true] {
        let given = site.get("/a", &[]).await;
        assert_eq!((given.is_hit(), given.values("x-lines")), (is_hit, vec!["b", "a, c"]));
        assert_eq!((given.field("x-empty"), given.field("x-latin")), (Some(""), Some("caf\u{e9}")));
        assert_eq!(given.field("warning"), Some("110 - \"x\""));
    }
}

#[tokio::test]
async fn interim_responses_do_no_harm_and_are_never_kept() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 102 Processing\r\nCache-Control: max-age=60\r\n\r\n\
        HTTP/1.1 103 Early Hints\r\nCache-Control: max-age=60\r\nLink: </a.css>; rel=preload\r\nETag: \"hint\"\r\n\r\n\
        HTTP/1.1 199 Whatever\r\nX-Interim: 1\r\n\r\n";
    let site = Site::new(move |request, _| {
        let last = match request.target() {
            "/kept" => reply(200, &[FRESH, STRONG], "hello"),
            _ => reply(200, &[("Cache-Control", "no-store")], "hello"),
        };
        [interim.as_bytes(), &last].concat()
    })
    .await;
    for (target, hits) in [("/kept", [false, true, true]), ("/passed", [false; 3])] {
        for is_hit in hits {
            let mut client = site.proxy.connect().await;
            let mut given = client.ask(crate::proxy::message::get(target, &[])).await;
            let mut hints = 0;
            while given.status() < 200 {
                assert_eq!(given.field("cache-status"), None);
                hints += usize::from(given.status() == 103 && given.field("link").is_some());
                given = client.response().await.expect("a final response");
            }
            assert_eq!(hints, usize::from(!is_hit), "the origin's hints come with its answers, and with no others");
            assert_eq!((given.status(), given.text(), given.is_hit()), (200, "hello", is_hit), "{target}");
            assert_eq!((given.field("x-interim"), given.field("link")), (None, None));
        }
    }
}

/// All bytes that the proxy answers by, until it closes the connection.
async fn heard(site: &Site, fields: &str) -> String {
    let mut stream = within(tokio::net::TcpStream::connect(site.proxy.address())).await.expect("a proxy");
    let request = format!("GET /a HTTP/1.1\r\nHost: proxy.test\r\n{fields}Connection: close\r\n\r\n");
    within(stream.write_all(request.as_bytes())).await.expect("a proxy that reads");
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.expect("text");
    text
}

#[tokio::test]
async fn trailers_are_no_part_of_the_head_and_a_body_with_them_is_kept() {
    let site = Site::new(|_, _| {
        let fields = [FRESH, ("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum, Cache-Control")];
        let trailers = b"0\r\nX-Sum: 1\r\nCache-Control: no-store\r\nX-Unnamed: 1\r\n\r\n".to_vec();
        [reply(200, &fields, ""), chunk("hel"), chunk("lo"), trailers].concat()
    })
    .await;
    for is_hit in [false, true] {
        let text = heard(&site, "TE: trailers\r\n").await;
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let head = head.to_ascii_lowercase();
        assert_eq!(head.contains("larder; hit"), is_hit, "{text}");
        assert!(head.contains("cache-control: max-age=60") && !head.contains("x-sum: 1"), "{text}");
        assert!(body.contains("hel") && body.contains("lo"), "{text}");
        assert_eq!(body.to_ascii_lowercase().matches("x-sum: 1").count(), 1, "trailers come after the body: {text}");
    }
    let plain = heard(&site, "").await;
    assert!(!plain.to_ascii_lowercase().contains("x-sum: 1"), "who does not take trailers gets none: {plain}");
}

#[tokio::test]
async fn a_body_without_a_length_is_kept() {
    let site = Site::new(|_, _| {
        let head = reply(200, &[FRESH, ("Transfer-Encoding", "chunked")], "");
        [head, chunk("hello"), chunk("")].concat()
    })
    .await;
    for is_hit in [false, true] {
        let given = site.get("/a", &[]).await;
        assert_eq!((given.text(), given.is_hit()), ("hello", is_hit), "{}", given.cache());
    }
}

#[tokio::test]
async fn an_answer_of_http_1_0_is_kept() {
    let site = Site::new(|request, number| {
        let length = if request.target() == "/length" { "Content-Length: 5\r\n" } else { "" };
        format!("HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\nX-Number: {number}\r\n{length}\r\nhello").into_bytes()
    })
    .await;
    for target in ["/length", "/close"] {
        for is_hit in [false, true] {
            let given = site.get(target, &[]).await;
            assert_eq!((given.status(), given.text(), given.is_hit()), (200, "hello", is_hit), "{target}");
            assert!(given.start.starts_with("HTTP/1.1 ") && given.field("date").is_some());
        }
    }
}

#[tokio::test]
async fn what_the_cache_did_is_said_with_every_answer() {
    let site = Site::new(|request, number| {
        let target = request.target();
        match (target, request.field("range")) {
            (_, _) if request.field("if-none-match") == Some("\"a\"") => reply(304, &[FRESH, STRONG], ""),
            ("/part", Some(_)) => reply(206, &[FRESH, STRONG, ("Content-Range", "bytes 0-1/5")], "he"),
            ("/vary", _) => reply(200, &[FRESH, ("Vary", "X-A")], "hello"),
            ("/stale", _) if number == 1 => reply(200, &[FRESH, STRONG, ("Age", "61")], "hello"),
            ("/private", _) => reply(200, &[("Cache-Control", "private")], "hello"),
            (_, _) => reply(200, &[FRESH], "hello"),
        }
    })
    .await;
    let cases: &[(&str, &str, &[Field<'_>], &str)] = &[
        ("GET", "/a", &[], "fwd=uri-miss; fwd-status=200; stored"),
        ("GET", "/a", &[], "hit; ttl=TTL"),
        ("HEAD", "/a", &[], "hit; ttl=TTL"),
        ("GET", "/a", &[("Cache-Control", "no-cache")], "fwd=request; fwd-status=200; stored"),
        ("GET", "/a", &[("Cache-Control", "no-store")], "fwd=request"),
        ("GET", "/a", &[("If-Match", "*")], "fwd=bypass"),
        ("POST", "/a", &[], "fwd=method"),
        ("OPTIONS", "/a", &[], "fwd=method"),
        ("GET", "/vary", &[("X-A", "1")], "fwd=uri-miss; fwd-status=200; stored"),
        ("GET", "/vary", &[("X-A", "2")], "fwd=vary-miss; fwd-status=200; stored"),
        ("GET", "/stale", &[], "fwd=uri-miss; fwd-status=200; stored"),
        ("GET", "/stale", &[], "fwd=stale; fwd-status=304; stored"),
        ("GET", "/part", &[("Range", "bytes=0-1")], "fwd=uri-miss; fwd-status=206; stored"),
        ("GET", "/part", &[("Range", "bytes=1-1")], "hit; ttl=TTL"),
        ("GET", "/part", &[("Range", "bytes=1-2")], "fwd=partial; fwd-status=206; stored"),
        ("GET", "/private", &[], "fwd=uri-miss; fwd-status=200; detail=forbidden"),
        ("GET", "/none", &[("Cache-Control", "only-if-cached")], "fwd=uri-miss"),
    ];
    for (method, target, fields, expected) in cases {
        let given = site.ask(method, target, fields).await;
        let mut heard = given.cache().to_owned();
        if let Some(ttl) = said(&given, "ttl") {
            let left: u64 = ttl.parse().expect("a number of seconds");
            assert!((1..=60).contains(&left) && left + age(&given) == 60, "{method} {target}: {heard}");
            heard = heard.replace(&format!("ttl={ttl}"), "ttl=TTL");
        }
        assert!(heard.starts_with(expected), "{method} {target} {fields:?}: {heard}, not {expected}");
        assert_eq!(given.values("cache-status").len(), 1);
        assert_eq!(heard.contains("; stored"), expected.contains("; stored"), "{method} {target} {fields:?}: {heard}");
    }
}

#[tokio::test]
async fn requests_at_once_share_one_fetch_and_say_so() {
    let (site, gate) = Site::holding(&[], |_, _| true, |_, _| reply(200, &[FRESH], "hello")).await;
    let asked = futures_util::future::join_all((0..5).map(|_| site.get("/a", &[])));
    let opened = async {
        site.reached(1).await;
        gate.add_permits(5);
    };
    let (given, ()) = tokio::join!(asked, opened);
    assert_eq!(site.origin.calls(), 1);
    let led = given.iter().filter(|given| !given.is_hit() && said(given, "collapsed").is_none()).count();
    assert_eq!(led, 1);
    assert!(given.iter().all(|given| given.text() == "hello"));
    assert_eq!(Found::by(&site.get("/a", &[]).await), Fresh);
}

#[tokio::test]
async fn a_cache_before_this_one_keeps_its_say() {
    let fields = [FRESH, ("Cache-Status", "far; hit; ttl=9"), ("Age", "5"), ("Via", "1.0 far")];
    let site = Site::new(move |_, _| reply(200, &fields, "")).await;
    let first = site.get("/a", &[]).await;
    assert!(first.values("cache-status").join(", ").starts_with("far; hit; ttl=9, larder; fwd=uri-miss"), "{first:?}");
    let hit = site.get("/a", &[]).await;
    assert!(hit.values("cache-status").join(", ").ends_with("larder; hit; ttl=55"), "{hit:?}");
    assert_eq!((hit.field("age"), hit.values("via").join(", ")), (Some("5"), "1.0 far, 1.1 larder".to_owned()));
}

#[tokio::test]
async fn methods_that_are_not_known_pass_with_body_and_answer() {
    let site = Site::new(|request, number| reply(299, &[FRESH], &format!("{} {number}", request.text()))).await;
    for number in 1..=2 {
        let asked = crate::proxy::message::request("FROBNICATE", "/a", &[("X-A", "1")], b"body");
        let given = site.proxy.ask(asked).await;
        assert_eq!((given.status(), given.text()), (299, &*format!("body {number}")));
        assert_eq!((site.last().method(), site.last().field("x-a")), ("FROBNICATE", Some("1")));
    }
}
