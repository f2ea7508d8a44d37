//! What becomes of a request's body when the request is sent again.

use http::HeaderMap;
use larder::retry::Upstream;
use tower::Layer as _;

use super::words::{default_answer, half};
use crate::support::{Act, Body, Script, ask, begun, channel, full, pieces, request, text};

fn put(body: Body) -> http::Request<Body> {
    request("PUT", "http://a/", &[]).map(|_| body)
}

#[tokio::test(start_paused = true)]
async fn a_body_in_one_piece_is_sent_again_without_a_copy() {
    let bytes = bytes::Bytes::from(vec![b'x'; 60_000]);
    let script = Script::statuses([503]);
    ask(&half().build().layer(script.clone()), put(full(bytes.clone()))).await;
    let seen = script.seen();
    assert_eq!(seen.len(), 3);
    for seen in seen {
        assert_eq!((seen.data.len(), seen.data[0].len()), (1, bytes.len()));
        assert_eq!(seen.data[0].as_ptr(), bytes.as_ptr());
    }
}

#[tokio::test(start_paused = true)]
async fn a_streamed_body_within_the_limit_is_sent_again_whole() {
    let script = Script::statuses([503]);
    let service = half().max_request_body(6).build().layer(script.clone());
    ask(&service, put(pieces(["ab", "cd", "ef"]))).await;
    assert_eq!(script.seen().iter().map(|seen| seen.text()).collect::<Vec<_>>(), ["abcdef"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_sent_once_and_whole() {
    for body in [full("abcdef"), pieces(["ab", "cd", "ef"]), pieces(["abcdef"])] {
        let script = Script::statuses([503, 200]);
        let layer = half().max_request_body(5).fallback(default_answer()).build();
        let response = ask(&layer.layer(script.clone()), put(body)).await;
        assert_eq!(script.seen().iter().map(|seen| seen.text()).collect::<Vec<_>>(), ["abcdef"]);
        assert_eq!((text(response).await.as_str(), script.now()), ("default", 0));
    }
    let script = Script::statuses([200]);
    let response = ask(&half().max_request_body(5).build().layer(script.clone()), put(full("abcdef"))).await;
    assert_eq!((text(response).await, script.last().text()), ("200".to_owned(), "abcdef".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_is_over_the_limit_is_not_read_to_its_end_first() {
    let script = Script::statuses([200]);
    let service = half().max_request_body(3).build().layer(script.clone());
    let (feed, body) = channel();
    feed.data("abcd");
    let answer = begun(ask(&service, put(body)));
    assert_eq!(script.calls(), 1);
    feed.data("ef");
    drop(feed);
    assert_eq!(text(answer.await).await, "200");
    assert_eq!(script.last().text(), "abcdef");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_half_way_fails_there_for_the_upstream_too_and_is_sent_once() {
    let script = Script::statuses([503, 200]);
    let (feed, body) = channel();
    feed.data("ab");
    feed.fail("the client is gone");
    ask(&half().build().layer(script.clone()), put(body)).await;
    let seen = script.last();
    assert_eq!((seen.text().as_str(), seen.broken.as_deref()), ("ab", Some("the client is gone")));
    assert_eq!(script.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn trailers_go_with_each_attempt() {
    let script = Script::statuses([503]);
    let (feed, body) = channel();
    feed.data("ab");
    let trailers = HeaderMap::from_iter([("x-sum".parse().expect("a name"), "1".parse().expect("a value"))]);
    feed.trailers(trailers.clone());
    drop(feed);
    ask(&half().build().layer(script.clone()), put(body)).await;
    assert_eq!(script.calls(), 3);
    for seen in script.seen() {
        assert_eq!((seen.text().as_str(), seen.trailers.as_ref()), ("ab", Some(&trailers)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_not_touched_yet_goes_to_another_upstream() {
    let script = Script::statuses([200]);
    let other = Upstream::to("http://b".parse().expect("a URI"));
    let layer = half().max_request_body(3).fallback(other).build();
    let service = layer.layer(script.clone());
    ask(&service, put(full("x"))).await;
    layer.handle().breaker("a").expect("it was asked").trip(tokio::time::Instant::now().into_std());
    for body in [full("abcdef"), pieces(["ab", "cd", "ef"])] {
        let response = ask(&service, put(body)).await;
        assert_eq!((text(response).await.as_str(), script.last().host()), ("200", "b"));
        assert_eq!(script.last().text(), "abcdef");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_gone_goes_nowhere_else() {
    let script = Script::new(|_, seen| if seen.host() == "a" { Act::refused() } else { Act::status(200) });
    let chain = half().max_request_body(3).fallback(Upstream::to("http://b".parse().expect("a URI")));
    let service = chain.fallback(default_answer()).build().layer(script.clone());
    assert_eq!(text(ask(&service, put(full("abcdef"))).await).await, "default");
    assert_eq!(script.calls(), 1);
}
