//! Answers that can be sent in several forms, and share an entry all the same.

use std::num::NonZeroU8;

use bytes::Bytes;
use http::{HeaderMap, Request, request::Parts};
use larder::{
    cache::Builder,
    clock::ManualClock,
    entry::{Entry, Frames},
    fingerprint::{Fingerprint, Identity, Rendered, Rendering},
    key::{Key, KeyBuilder},
    policy::Rfc9111,
    store::Memory,
    tag::Selector,
};
use tower::Layer as _;

use super::{SECOND, http};
use crate::support::{Body, Origin, ask, begun, full, get, post, reply, said, text};

const QUIET: Rendering = Rendering::new(NonZeroU8::MIN);
const LOUD: Rendering = Rendering::new(NonZeroU8::MIN.saturating_add(1));

/// By path; the field `form` asks for lower or for upper case. What has a digit can't be put into the other.
struct Voices;

impl Fingerprint for Voices {
    fn key(&self, head: &Parts, body: &Bytes) -> Option<Key> {
        self.identify(head, body).map(|identity| identity.key)
    }

    fn identify(&self, head: &Parts, _: &Bytes) -> Option<Identity> {
        let rendering = head.headers.get("form").map(|form| if form == "loud" { LOUD } else { QUIET });
        Some(Identity::new(KeyBuilder::new("voices").field("path", head.uri.path()).finish()).rendering(rendering))
    }

    fn render(&self, _: &Parts, rendering: Rendering, entry: &Entry) -> Rendered {
        let text = String::from_utf8_lossy(entry.body().data());
        if text.contains(|letter: char| letter.is_ascii_digit()) {
            return Rendered::Inexact;
        }
        let text = if rendering == LOUD { text.to_uppercase() } else { text.to_lowercase() };
        let head = entry.head().clone().rendered(Some(rendering));
        Rendered::Converted(Entry::new(head, Frames::whole(text.into())))
    }
}

fn voices(clock: &ManualClock) -> Builder<Memory, Voices, Rfc9111> {
    http(clock).fingerprint(Voices)
}

/// Answers in the form that it is asked for, `max-age=60`, and says after `letters` how often it was asked.
fn origin(letters: &'static str, counts: bool) -> Origin {
    Origin::new(move |call| {
        let count = if counts { call.number.to_string() } else { String::new() };
        let text = format!("{letters}{count}");
        let text = if loud(call.request.headers()) { text.to_uppercase() } else { text };
        let fields = [("cache-control", "max-age=60, stale-while-revalidate=60, stale-if-error=600")];
        std::future::ready(Ok(reply(200, &fields, full(text))))
    })
}

fn loud(headers: &HeaderMap) -> bool {
    headers.get("form").is_some_and(|form| form == "loud")
}

fn in_form(form: &str) -> Request<Body> {
    get("http://a/", &[("form", form)])
}

#[tokio::test]
async fn an_answer_is_fetched_once_for_all_its_renderings() {
    let origin = origin("word", false);
    let layer = voices(&ManualClock::default()).build();
    let cache = layer.layer(origin.clone());
    assert_eq!(text(ask(&cache, in_form("quiet")).await).await, "word");
    let answer = ask(&cache, in_form("loud")).await;
    assert_eq!(said(&answer), "larder; hit; ttl=60; detail=converted");
    assert_eq!(text(answer).await, "WORD");
    assert_eq!(said(&ask(&cache, in_form("quiet")).await), "larder; hit; ttl=60");
    let (stats, usage) = (layer.handle().stats(), layer.handle().usage().await.expect("usage"));
    assert_eq!((origin.calls(), stats.hits, stats.converted, usage.entries), (1, 2, 1, 1));
}

#[tokio::test]
async fn renderings_that_cannot_be_converted_are_kept_beside_each_other() {
    let origin = origin("word", true);
    let layer = voices(&ManualClock::default()).build();
    let cache = layer.layer(origin.clone());
    assert_eq!(text(ask(&cache, in_form("quiet")).await).await, "word0");
    assert_eq!(text(ask(&cache, in_form("loud")).await).await, "WORD1", "a guess would be word0 in capitals");
    for (form, expected) in [("quiet", "word0"), ("loud", "WORD1"), ("quiet", "word0"), ("loud", "WORD1")] {
        let answer = ask(&cache, in_form(form)).await;
        assert_eq!(said(&answer), "larder; hit; ttl=60");
        assert_eq!(text(answer).await, expected);
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_purge_by_key_means_all_renderings() {
    let origin = origin("word", true);
    let layer = voices(&ManualClock::default()).build();
    let cache = layer.layer(origin.clone());
    for form in ["quiet", "loud"] {
        text(ask(&cache, in_form(form)).await).await;
    }
    let head = in_form("quiet").into_parts().0;
    let key = Voices.key(&head, &Bytes::new()).expect("a key");
    assert_eq!(layer.handle().purge(&Selector::Key(key)).await.expect("purged"), 2);
    assert_eq!(text(ask(&cache, in_form("quiet")).await).await, "word2");
    assert_eq!(text(ask(&cache, in_form("loud")).await).await, "WORD3", "what lay beside is gone, too");
}

#[tokio::test]
async fn a_purge_by_key_forbids_the_fetch_of_another_rendering_to_be_stored() {
    let (origin, mut calls) = Origin::held();
    let layer = voices(&ManualClock::default()).build();
    let cache = layer.layer(origin.clone());
    let fields = [("cache-control", "max-age=60")];
    let request = begun(ask(&cache, in_form("quiet")));
    calls.next().await.answer(reply(200, &fields, full("word0")));
    text(request.await).await;
    let request = begun(ask(&cache, in_form("loud")));
    let held = calls.next().await;
    let key = Voices.key(&in_form("quiet").into_parts().0, &Bytes::new()).expect("a key");
    layer.handle().purge(&Selector::Key(key)).await.expect("purged");
    held.answer(reply(200, &fields, full("WORD1")));
    assert_eq!(text(request.await).await, "WORD1");
    assert_eq!(layer.handle().usage().await.expect("usage").entries, 0, "it was begun before the purge");
}

#[tokio::test]
async fn who_wants_another_rendering_does_not_read_along() {
    let (origin, mut calls) = Origin::held();
    let cache = voices(&ManualClock::default()).build().layer(origin.clone());
    let fields = [("cache-control", "max-age=60")];
    let mut requests: Vec<_> =
        ["quiet", "loud", "quiet", "loud"].into_iter().map(|form| begun(ask(&cache, in_form(form)))).collect();
    for _ in 0..2 {
        let held = calls.next().await;
        let text = if loud(held.request.headers()) { "WORD" } else { "word" };
        held.answer(reply(200, &fields, full(text)));
    }
    for expected in ["word", "WORD", "word", "WORD"] {
        assert_eq!(text(requests.remove(0).await).await, expected);
    }
    assert_eq!(origin.calls(), 2, "one for each rendering");
}

#[tokio::test]
async fn a_converted_answer_is_served_stale_and_refreshed() {
    let clock = ManualClock::default();
    let origin = origin("word", false);
    let layer = voices(&clock).build();
    let cache = layer.layer(origin.clone());
    text(ask(&cache, in_form("quiet")).await).await;
    clock.advance(70 * SECOND);
    let stale = ask(&cache, in_form("loud")).await;
    assert_eq!(stale.headers()["age"], "70");
    assert_eq!(text(stale).await, "WORD");
    crate::support::settle().await;
    assert_eq!(origin.calls(), 2, "it was refreshed behind");
    let fresh = ask(&cache, in_form("quiet")).await;
    assert_eq!(said(&fresh), "larder; hit; ttl=60; detail=converted", "by a rendering that the other is made of now");
    assert_eq!(text(fresh).await, "word");
}

#[tokio::test]
async fn a_converted_answer_stands_in_for_an_error() {
    let clock = ManualClock::default();
    let origin = Origin::replies(|number| match number {
        0 => reply(200, &[("cache-control", "max-age=60, stale-if-error=600")], full("word")),
        _ => reply(500, &[], full("broken")),
    });
    let cache = voices(&clock).build().layer(origin);
    text(ask(&cache, in_form("quiet")).await).await;
    clock.advance(70 * SECOND);
    assert_eq!(text(ask(&cache, in_form("loud")).await).await, "WORD");
}

#[tokio::test]
async fn what_varies_is_converted_variant_by_variant() {
    let origin = Origin::by_request(|request| {
        let language = request.headers()["accept-language"].to_str().expect("text").to_owned();
        let text = if loud(request.headers()) { language.to_uppercase() } else { language };
        reply(200, &[("cache-control", "max-age=60"), ("vary", "accept-language")], full(text))
    });
    let cache = voices(&ManualClock::default()).build().layer(origin.clone());
    let asked = |form, language| get("http://a/", &[("form", form), ("accept-language", language)]);
    for language in ["de", "en"] {
        text(ask(&cache, asked("quiet", language)).await).await;
    }
    for (language, expected) in [("de", "DE"), ("en", "EN")] {
        assert_eq!(text(ask(&cache, asked("loud", language)).await).await, expected);
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn what_changes_a_resource_means_all_its_renderings() {
    let origin = origin("word", true);
    let layer = voices(&ManualClock::default()).build();
    let cache = layer.layer(origin.clone());
    for form in ["quiet", "loud"] {
        text(ask(&cache, in_form(form)).await).await;
    }
    text(ask(&cache, post("http://a/", &[], "change")).await).await;
    assert_eq!(layer.handle().usage().await.expect("usage").entries, 0);
    assert_eq!(text(ask(&cache, in_form("quiet")).await).await, "word3");
    assert_eq!(text(ask(&cache, in_form("loud")).await).await, "WORD4");
}

#[tokio::test]
async fn a_converted_answer_is_cut_and_left_out_as_any_other() {
    let cache = voices(&ManualClock::default()).build().layer(origin("word", false));
    text(ask(&cache, in_form("quiet")).await).await;
    let part = ask(&cache, get("http://a/", &[("form", "loud"), ("range", "bytes=1-2")])).await;
    assert_eq!((part.status().as_u16(), &part.headers()["content-range"]), (206, &"bytes 1-2/4".parse().expect("one")));
    assert_eq!(text(part).await, "OR");
    let mut head = in_form("loud");
    *head.method_mut() = http::Method::HEAD;
    let head = ask(&cache, head).await;
    assert_eq!(
        (said(&head), &head.headers()["content-length"]),
        ("larder; hit; ttl=60; detail=converted", &"4".parse().expect("one"))
    );
    assert_eq!(text(head).await, "");
    let kept = ask(&cache, get("http://a/", &[("form", "loud"), ("cache-control", "only-if-cached")])).await;
    assert_eq!(text(kept).await, "WORD");
}

#[tokio::test]
async fn who_followed_a_fetch_of_another_variant_does_not_get_another_rendering() {
    let (origin, mut calls) = Origin::held();
    let cache = voices(&ManualClock::default()).build().layer(origin.clone());
    let asked = |form, language| get("http://a/", &[("form", form), ("accept-language", language)]);
    let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
    let german = begun(ask(&cache, asked("quiet", "de")));
    let follows = begun(ask(&cache, asked("quiet", "en")));
    calls.next().await.answer(reply(200, &fields, full("de")));
    assert_eq!(text(german.await).await, "de");
    let english = begun(ask(&cache, asked("loud", "en")));
    calls.next().await.answer(reply(200, &fields, full("EN")));
    assert_eq!(text(english.await).await, "EN");
    let answer = follows.await;
    assert_eq!(said(&answer), "larder; hit; ttl=60; detail=converted");
    assert_eq!((text(answer).await, origin.calls()), ("en".to_owned(), 2));
}

#[tokio::test]
async fn a_variant_of_another_rendering_is_not_adopted() {
    let origin = Origin::by_request(|request| {
        let fields = [("cache-control", "max-age=60"), ("vary", "accept-language"), ("etag", "\"same\"")];
        let text = if loud(request.headers()) { "WORD" } else { "word" };
        let knows = request.headers().contains_key("if-none-match");
        if knows { reply(304, &fields, full("")) } else { reply(200, &fields, full(text)) }
    });
    let cache = voices(&ManualClock::default()).build().layer(origin.clone());
    let asked = |form, language| get("http://a/", &[("form", form), ("accept-language", language)]);
    assert_eq!(text(ask(&cache, asked("quiet", "de")).await).await, "word");
    assert_eq!(text(ask(&cache, asked("quiet", "fr")).await).await, "word");
    assert_eq!(origin.calls(), 2, "the origin says that it is the same");
    assert_eq!(text(ask(&cache, asked("loud", "en")).await).await, "WORD");
    assert_eq!(origin.calls(), 4, "it is asked once more, for the other");
}

#[tokio::test]
async fn a_part_of_one_rendering_is_no_part_of_another() {
    let origin = Origin::by_request(|request| {
        let (part, range) =
            if request.headers()["range"] == "bytes=0-1" { ("wo", "bytes 0-1/4") } else { ("rd", "bytes 2-3/4") };
        let part = if loud(request.headers()) { part.to_uppercase() } else { part.to_owned() };
        reply(206, &[("cache-control", "max-age=60"), ("etag", "\"same\""), ("content-range", range)], full(part))
    });
    let cache = voices(&ManualClock::default()).build().layer(origin.clone());
    let asked = |form, range| get("http://a/", &[("form", form), ("range", range)]);
    assert_eq!(text(ask(&cache, asked("quiet", "bytes=0-1")).await).await, "wo");
    assert_eq!(text(ask(&cache, asked("quiet", "bytes=1-1")).await).await, "o");
    assert_eq!(origin.calls(), 1, "it is within the part");
    assert_eq!(text(ask(&cache, asked("loud", "bytes=0-1")).await).await, "WO");
    assert_eq!(text(ask(&cache, asked("quiet", "bytes=2-3")).await).await, "rd");
    assert_eq!(origin.calls(), 3);
    assert_eq!(text(ask(&cache, asked("quiet", "bytes=2-3")).await).await, "rd", "not WOrd");
}

#[tokio::test]
async fn the_head_of_one_rendering_is_not_that_of_another() {
    let origin = Origin::by_request(|request| {
        let length = if loud(request.headers()) { "40" } else { "4" };
        reply(200, &[("cache-control", "max-age=60"), ("content-length", length)], full(""))
    });
    let cache = voices(&ManualClock::default()).build().layer(origin.clone());
    for (form, length, calls) in [("quiet", "4", 1), ("quiet", "4", 1), ("loud", "40", 2), ("loud", "40", 2)] {
        let mut head = in_form(form);
        *head.method_mut() = http::Method::HEAD;
        assert_eq!(ask(&cache, head).await.headers()["content-length"], length);
        assert_eq!(origin.calls(), calls);
    }
}
