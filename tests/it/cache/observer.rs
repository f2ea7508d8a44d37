//! What an observer hears: each request once, each fetch once, and of each entry what it noted when that was fetched.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{request, response};
use larder::{
    cache::{Answer, Fetch, Observed, Observer, Reading},
    clock::ManualClock,
    entry::Note,
};
use tower::Layer as _;

use super::{SECOND, http};
use crate::support::{
    Origin, ask, begun, channel, data, empty, field, full, get, pieces, post, read, reply, request, settle, text,
};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60, stale-while-revalidate=30, stale-if-error=300")];

/// Notes every body, and tells in a field what it was told.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<String>>>);

impl Ear {
    fn say(&self, text: String) {
        self.0.lock().expect("a lock").push(text);
    }

    /// What it heard since it was asked last.
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("a lock"))
    }
}

impl Observer for Ear {
    fn observes(&self, request: &request::Parts) -> bool {
        request.uri.path() != "/unheard"
    }

    fn fetched(
        &self,
        observed: &Observed<'_>,
        how: Fetch,
        response: &mut response::Parts,
        note: &Note,
    ) -> Option<Box<dyn Reading>> {
        assert!(!note.is_written());
        response.headers.insert("x-ear", "fetched".parse().expect("a value"));
        let who = observed.request.extensions.get::<&str>().copied().unwrap_or("nobody");
        self.say(format!("{how:?} for {who}, key: {}", observed.key.is_some()));
        Some(Box::new(Scribe(self.clone(), Vec::new())))
    }

    fn answered(&self, observed: &Observed<'_>, how: Answer, note: Option<&Note>, response: &mut response::Parts) {
        response.headers.insert("x-ear", "answered".parse().expect("a value"));
        let who = observed.request.extensions.get::<&str>().copied().unwrap_or("nobody");
        let ear = self.clone();
        note.expect("a note").then(move |text| ear.say(format!("{how:?} for {who}: {text:?}")));
    }
}

struct Scribe(Ear, Vec<u8>);

impl Reading for Scribe {
    fn read(&mut self, data: &[u8]) {
        self.1.extend_from_slice(data);
    }

    fn end(self: Box<Self>, is_whole: bool) -> Option<Bytes> {
        self.0.say(format!("{} ended, whole: {is_whole}", String::from_utf8_lossy(&self.1)));
        is_whole.then(|| self.1.into())
    }
}

fn asks(who: &'static str) -> http::Request<crate::support::Body> {
    let mut request = get("http://a/", &[]);
    request.extensions_mut().insert(who);
    request
}

#[tokio::test]
async fn who_answers_from_the_store_is_told_what_was_noted_of_the_fetch() {
    let (clock, ear) = (ManualClock::default(), Ear::default());
    let origin = Origin::replies(|number| match number {
        0 | 1 => reply(200, FRESH, full(format!("answer {number}"))),
        _ => reply(500, &[], full("down")),
    });
    let cache = http(&clock).observer(ear.clone()).build().layer(origin);
    let first = ask(&cache, asks("ann")).await;
    assert_eq!(field(&first, "x-ear"), Some("fetched"));
    text(first).await;
    assert_eq!(ear.heard(), ["Miss for ann, key: true", "answer 0 ended, whole: true"]);

    let hit = ask(&cache, asks("bob")).await;
    assert_eq!(hit.headers().get_all("x-ear").iter().collect::<Vec<_>>(), ["answered"], "what is said isn't kept");
    assert_eq!(ear.heard(), ["Hit for bob: Some(b\"answer 0\")"]);

    clock.advance(70 * SECOND);
    text(ask(&cache, asks("cay")).await).await;
    settle().await;
    let refresh = ["Stale for cay: Some(b\"answer 0\")", "Refresh for cay, key: true", "answer 1 ended, whole: true"];
    assert_eq!(ear.heard(), refresh);

    clock.advance(100 * SECOND);
    text(ask(&cache, asks("dee")).await).await;
    assert_eq!(ear.heard(), ["StaleIfError for dee: Some(b\"answer 1\")"], "the error isn't the client's");
}

#[tokio::test]
async fn a_failed_refresh_behind_a_stale_answer_answers_nobody_twice() {
    let (clock, ear) = (ManualClock::default(), Ear::default());
    let origin = Origin::replies(|number| match number {
        0 => reply(200, FRESH, full("x")),
        _ => reply(500, &[], full("down")),
    });
    let cache = http(&clock).observer(ear.clone()).build().layer(origin);
    text(ask(&cache, asks("ann")).await).await;
    clock.advance(70 * SECOND);
    ear.heard();
    text(ask(&cache, asks("ann")).await).await;
    settle().await;
    assert_eq!(ear.heard(), ["Stale for ann: Some(b\"x\")"]);
}

#[tokio::test]
async fn those_who_share_a_fetch_are_told_when_it_has_ended_even_if_they_left() {
    let (clock, ear) = (ManualClock::default(), Ear::default());
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).observer(ear.clone()).build().layer(origin);
    let mut requests: Vec<_> = ["ann", "bob", "cay"].map(|who| begun(ask(&cache, asks(who)))).into();
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, FRESH, body));
    let leader = requests.remove(0).await;
    let (bob, cay) = (requests.remove(0).await, requests.remove(0).await);
    feed.data("1");
    drop(cay);
    assert_eq!(ear.heard(), ["Miss for ann, key: true"]);
    feed.data("2");
    drop(feed);
    assert_eq!((text(leader).await, text(bob).await), ("12".into(), "12".into()));
    let shared = ["bob", "cay"].map(|who| format!("Coalesced for {who}: Some(b\"12\")"));
    assert_eq!(ear.heard(), [&["12 ended, whole: true".to_owned()], &shared[..]].concat());
}

#[tokio::test]
async fn what_is_not_kept_is_read_to_its_end_all_the_same() {
    let (clock, ear) = (ManualClock::default(), Ear::default());
    let origin = Origin::by_request(|request| match request.uri().path() {
        "/large" => reply(200, FRESH, full("x".repeat(100))),
        "/private" => reply(200, &[("cache-control", "no-store")], full("private")),
        "/empty" => reply(200, FRESH, empty()),
        _ => reply(200, &[], full("changed")),
    });
    let cache = http(&clock).max_body(50).observer(ear.clone()).build().layer(origin);
    let x = "x".repeat(100);
    for (request, said, body) in [
        (get("http://a/large", &[]), "Miss for nobody, key: true", x.as_str()),
        (get("http://a/private", &[]), "Miss for nobody, key: true", "private"),
        (get("http://a/empty", &[]), "Miss for nobody, key: true", ""),
        (post("http://a/", &[], "change"), "Bypass for nobody, key: false", "changed"),
    ] {
        let answer = ask(&cache, request).await;
        assert_eq!(field(&answer, "x-ear"), Some("fetched"));
        text(answer).await;
        assert_eq!(ear.heard(), [said.to_owned(), format!("{body} ended, whole: true")]);
    }
    assert_eq!(field(&ask(&cache, request("GET", "http://a/unheard", &[])).await, "x-ear"), None);
    assert!(ear.heard().is_empty());
}

#[tokio::test]
async fn a_body_that_broke_off_or_was_left_is_not_whole() {
    let (clock, ear) = (ManualClock::default(), Ear::default());
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).observer(ear.clone()).build().layer(origin);
    for control in ["max-age=60", "no-store"] {
        for leaves in [true, false] {
            let asked = begun(ask(&cache, asks("ann")));
            let (feed, body) = channel();
            calls.next().await.answer(reply(200, &[("cache-control", control)], body));
            let mut answer = asked.await;
            feed.data("1");
            assert_eq!(data(&mut answer).await, "1");
            if leaves {
                drop(answer);
            } else {
                feed.fail("cut");
                assert!(read(answer).await.is_err());
            }
            assert_eq!(ear.heard(), ["Miss for ann, key: true", "1 ended, whole: false"], "{control} {leaves}");
        }
    }
}

/// A server stops reading when it has sent what Content-Length says, and so does hyper's.
#[tokio::test]
async fn a_body_that_is_read_by_its_length_is_noted_before_it_is_kept() {
    let (clock, ear) = (ManualClock::default(), Ear::default());
    let fields = &[("cache-control", "max-age=60"), ("content-length", "2")];
    let origin = Origin::replies(|_| reply(200, fields, pieces(["12"])));
    let cache = http(&clock).observer(ear.clone()).build().layer(origin);
    let mut answer = ask(&cache, asks("ann")).await;
    assert_eq!(data(&mut answer).await, "12");
    drop(answer);
    text(ask(&cache, asks("bob")).await).await;
    let heard = ["Miss for ann, key: true", "12 ended, whole: true", "Hit for bob: Some(b\"12\")"];
    assert_eq!(ear.heard(), heard);
}

#[tokio::test]
async fn an_answer_that_the_origin_confirms_keeps_its_note() {
    let (clock, ear) = (ManualClock::default(), Ear::default());
    let fields = &[("cache-control", "max-age=60"), ("etag", "\"e\"")];
    let origin = Origin::replies(|number| match number {
        0 => reply(200, fields, full("x")),
        _ => reply(304, fields, empty()),
    });
    let cache = http(&clock).observer(ear.clone()).build().layer(origin);
    text(ask(&cache, asks("ann")).await).await;
    clock.advance(70 * SECOND);
    for expected in ["Confirmed for bob: Some(b\"x\")", "Hit for bob: Some(b\"x\")"] {
        ear.heard();
        text(ask(&cache, asks("bob")).await).await;
        assert_eq!(ear.heard(), [expected]);
    }
}
