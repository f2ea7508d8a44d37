//! Bodies that are not as their heads say.

use super::{
    llm::{CHAT, QUESTION, answer},
    message::{chunk, get, post_json, request, response},
    origin::Origin,
    process::Proxy,
};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");
const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");

/// How the origin breaks off.
#[derive(Clone, Copy, Debug)]
enum Break {
    Close,
    Reset,
}

/// An origin whose first answer is `bad`, after which it breaks off, and all others good.
async fn origin_that_breaks(bad: Vec<u8>, how: Break) -> Origin {
    Origin::serving(move |mut conversation| {
        let bad = bad.clone();
        async move {
            let Some((_, number)) = conversation.request().await? else { return Ok(()) };
            if number > 1 {
                let good = response(200, &[JSON, FRESH, ("Connection", "close")], answer(number));
                return conversation.wire.send(good).await;
            }
            conversation.wire.send(&bad).await?;
            if let Break::Reset = how {
                // What has been sent is to arrive first.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                conversation.wire.reset();
            }
            Ok(())
        }
    })
    .await
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_at_the_client_and_is_not_kept() {
    let whole = answer(1);
    let part = &whole[..whole.len() / 2];
    let longer = (whole.len() + 1).to_string();
    let chunked = |data: &str| [response(200, &[JSON, FRESH, CHUNKED], ""), chunk(data)].concat();
    let cases = [
        ("fewer bytes than Content-Length", response(200, &[JSON, FRESH, ("Content-Length", "1000")], part)),
        ("one byte fewer than Content-Length", response(200, &[JSON, FRESH, ("Content-Length", &longer)], &whole)),
        ("no last chunk", chunked(&whole)),
        ("a cut chunk", [response(200, &[JSON, FRESH, CHUNKED], ""), b"fff\r\n{".to_vec()].concat()),
        ("half a last chunk", [chunked(&whole), b"0\r\n".to_vec()].concat()),
        ("no chunk size", [chunked(&whole), b"xyz\r\n".to_vec()].concat()),
        ("an overflowing chunk size", [chunked(&whole), b"fffffffffffffffff\r\n".to_vec()].concat()),
    ];
    for (what, bad) in cases {
        for (profile, asked) in [("llm", post_json(CHAT, &[], QUESTION)), ("http", get("/a", &[]))] {
            for how in [Break::Close, Break::Reset] {
                let origin = origin_that_breaks(bad.clone(), how).await;
                let proxy = Proxy::start(&origin, &["--profile", profile]).await;
                let broken = proxy.connect().await.try_ask(&asked).await;
                assert!(broken.is_err(), "{what}, {how:?}, {profile}: {broken:?}");
                let given = proxy.ask(&asked).await;
                assert_eq!(given.text(), answer(2), "{what}, {how:?}, {profile}");
                assert!(proxy.ask(&asked).await.is_hit(), "{what}, {how:?}, {profile}: the good one is kept");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_by_a_reset_is_not_kept() {
    let bad = response(200, &[JSON, CHUNKED], "").to_vec();
    let bad = String::from_utf8(bad).expect("text").replace("Transfer-Encoding: chunked\r\n", "") + &answer(1);
    let origin = origin_that_breaks(bad.into_bytes(), Break::Reset).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let asked = post_json(CHAT, &[], QUESTION);
    assert!(proxy.connect().await.try_ask(&asked).await.is_err());
    assert_eq!(proxy.ask(&asked).await.text(), answer(2));
}

#[tokio::test]
async fn bytes_after_the_body_never_answer_another_request() {
    let evil = response(200, &[], "evil");
    let origin = Origin::answering(move |request, _| {
        [response(200, &[("Content-Length", "5")], "hello"), request.body.clone(), evil.clone()].concat()
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut client = proxy.connect().await;
    for round in 0..50 {
        let given = client.ask(get(&format!("/{round}"), &[])).await;
        assert_eq!((given.status(), given.text(), given.field("content-length")), (200, "hello", Some("5")));
    }
    assert_eq!(origin.calls(), 50);
}

#[tokio::test]
async fn a_body_where_there_can_be_none_is_left_out() {
    let origin = Origin::answering(|request, _| match request.target() {
        "/no-content" => b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".to_vec(),
        _ => response(200, &[], "evil"),
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let mut client = proxy.connect().await;
    for _ in 0..10 {
        let given = client.ask(get("/no-content", &[])).await;
        assert_eq!((given.status(), given.text()), (204, ""));
        // The origin sends a body with its answer to this.
        let given = client.ask(request("HEAD", "/a", &[], b"")).await;
        assert_eq!((given.status(), given.text()), (200, ""));
    }
}

#[tokio::test]
async fn a_request_whose_end_can_be_seen_in_two_ways_is_not_passed_on_so() {
    let origin = Origin::answering(|_, _| response(200, &[], "ok")).await;
    let proxy = Proxy::start(&origin, &[]).await;
    let smuggled = "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n";
    let cases = [
        format!("Content-Length: 0\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len()),
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}", smuggled.len() + 5),
        format!("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("Content-Length: +0\r\n\r\n{smuggled}"),
        format!("Content-Length : 0\r\n\r\n{smuggled}"),
    ];
    for case in cases {
        let calls = origin.calls();
        let mut client = proxy.connect().await;
        client.send(format!("POST /v1/files HTTP/1.1\r\nHost: x\r\n{case}")).await.expect("a live proxy");
        let given = client.response().await.unwrap_or_else(|error| panic!("no answer to {case:?}: {error}"));
        let seen = origin.requests().split_off(calls);
        if given.status() == 400 {
            assert!(seen.is_empty(), "{case}: {seen:?}");
            continue;
        }
        // RFC 9112 §6.1: or Transfer-Encoding is believed, the length is left out, and the connection closed.
        assert_eq!((given.status(), seen[0].values("content-length").len()), (200, 0), "{case}: {seen:?}");
        assert_eq!(seen[0].text(), "", "{case}");
    }
}

#[tokio::test]
async fn a_request_that_breaks_off_is_not_taken_for_a_whole_one() {
    let origin = Origin::answering(|request, number| {
        response(200, &[JSON], if request.body.is_empty() { String::new() } else { answer(number) })
    })
    .await;
    let proxy = Proxy::start(&origin, &[]).await;
    let before = proxy.descriptors();
    let whole = post_json(CHAT, &[], QUESTION);
    let chunked = [request("POST", CHAT, &[JSON, CHUNKED], b""), chunk(QUESTION)].concat();
    for bytes in [&whole[..whole.len() - 1], &chunked] {
        let mut client = proxy.connect().await;
        client.send(bytes).await.expect("a live proxy");
        client.reset();
    }
    let given = proxy.ask(&whole).await;
    assert!(!given.is_hit() && given.cache().contains("stored"), "{}", given.cache());
    let seen = origin.requests();
    assert_eq!(seen.iter().filter(|request| request.text() == QUESTION).count(), 1, "{seen:?}");
    drop(given);
    // One connection to the upstream may stay open for the next request.
    proxy.closes_all_but(before + 1).await;
}
