//! Variants: one key, several answers.

use std::time::Duration;

use larder::{CacheLayer, clock::ManualClock, header::cache_status::CacheStatus, key::Key, tag::Selector};
use tower::Layer as _;

use super::{SECOND, http};
use crate::support::{Far, Fault, Origin, ask, begun, empty, full, get, memory, reply, said, text};

/// Answers in the language that is asked for.
fn polyglot() -> Origin {
    Origin::by_request(|request| {
        let language = request.headers().get("accept-language").map_or("none", |value| value.to_str().unwrap_or("?"));
        let fields = [("cache-control", "max-age=60"), ("vary", "accept-language"), ("surrogate-key", "page")];
        reply(200, &fields, full(format!("in {language}")))
    })
}

const LANGUAGES: [&str; 4] = ["de", "fr", "it", "rm"];

/// tower-http-cache and axum-response-cache gave one user another's body.
#[tokio::test]
async fn variants_are_kept_apart_and_each_is_a_hit() {
    let clock = ManualClock::default();
    let origin = polyglot();
    let cache = http(&clock).build().layer(origin.clone());
    for round in 0..3 {
        for language in LANGUAGES {
            let answer = ask(&cache, get("http://a/", &[("accept-language", language)])).await;
            assert_eq!(said(&answer) == "larder; hit; ttl=60", round > 0, "{language}: {}", said(&answer));
            assert_eq!(text(answer).await, format!("in {language}"));
        }
        assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "in none");
    }
    assert_eq!(origin.calls(), LANGUAGES.len() + 1);
}

#[tokio::test]
async fn variants_are_kept_apart_in_a_store_that_has_to_be_asked() {
    let clock = ManualClock::default();
    let origin = polyglot();
    let cache = CacheLayer::builder(Far::new(memory(&clock))).clock(clock).build().layer(origin.clone());
    for _ in 0..3 {
        for language in LANGUAGES {
            assert_eq!(
                text(ask(&cache, get("http://a/", &[("accept-language", language)])).await).await,
                format!("in {language}")
            );
        }
    }
    assert_eq!(origin.calls(), LANGUAGES.len());
}

#[tokio::test]
async fn another_variant_is_a_miss_of_its_own_kind() {
    let clock = ManualClock::default();
    let cache = http(&clock).build().layer(polyglot());
    let expected = ["uri-miss", "vary-miss", "vary-miss", "vary-miss"];
    for (language, reason) in LANGUAGES.into_iter().zip(expected) {
        let answer = ask(&cache, get("http://a/", &[("accept-language", language)])).await;
        assert_eq!(said(&answer), format!("larder; fwd={reason}; fwd-status=200; stored"));
        text(answer).await;
    }
}

#[tokio::test]
async fn fields_that_mean_the_same_hit_the_same_variant() {
    let clock = ManualClock::default();
    let origin = polyglot();
    let cache = http(&clock).build().layer(origin.clone());
    for value in ["de, en;q=0.5", "de,en;q=0.50", "DE,  en;q=0.5"] {
        text(ask(&cache, get("http://a/", &[("accept-language", value)])).await).await;
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn variants_that_are_fetched_at_the_same_time_are_all_kept() {
    let clock = ManualClock::default();
    let (origin, mut calls) = Origin::held();
    let cache = http(&clock).build().layer(origin.clone());
    let request = |language| get("http://a/", &[("accept-language", language)]);
    let mut requests: Vec<_> = LANGUAGES.iter().map(|language| begun(ask(&cache, request(language)))).collect();
    let fields = [("cache-control", "max-age=60"), ("vary", "accept-language")];
    let answer = |held: crate::support::Held| {
        let language = held.request.headers()["accept-language"].to_str().expect("text").to_owned();
        held.answer(reply(200, &fields, full(format!("in {language}"))));
    };
    answer(calls.next().await);
    for (request, language) in requests.drain(..).zip(LANGUAGES) {
        let (response, ()) = tokio::join!(request, async {
            while let Some(held) = calls.try_next() {
                answer(held);
            }
        });
        assert_eq!(text(response).await, format!("in {language}"));
    }
    let fetched = origin.calls();
    assert_eq!(fetched, LANGUAGES.len());
    for language in LANGUAGES {
        let request = request(language);
        let mut again = Box::pin(ask(&cache, request));
        assert!(crate::support::poll_once(&mut again).is_ready(), "{language} was fetched and lost");
    }
}

#[tokio::test]
async fn a_purge_of_the_key_removes_all_variants() {
    let clock = ManualClock::default();
    let origin = polyglot();
    let layer = http(&clock).show_key(true).build();
    let cache = layer.layer(origin.clone());
    let mut keys = Vec::new();
    for language in LANGUAGES {
        let answer = ask(&cache, get("http://a/", &[("accept-language", language)])).await;
        let status = answer.extensions().get::<CacheStatus>().expect("a status");
        keys.push(status.key.as_ref().expect("shown").parse::<Key>().expect("a key"));
        text(answer).await;
    }
    layer.handle().purge(&Selector::Key(keys[0].clone())).await.expect("purged");
    for language in LANGUAGES {
        let answer = ask(&cache, get("http://a/", &[("accept-language", language)])).await;
        assert!(!said(&answer).contains("hit"), "{language} outlived the purge");
        text(answer).await;
    }
    assert_eq!(origin.calls(), 2 * LANGUAGES.len());
}

#[tokio::test]
async fn a_purge_by_tag_removes_and_counts_all_variants() {
    let clock = ManualClock::default();
    let layer = http(&clock).build();
    let cache = layer.layer(polyglot());
    for language in LANGUAGES {
        text(ask(&cache, get("http://a/", &[("accept-language", language)])).await).await;
    }
    let tag = larder::tag::Tag::new("page").expect("a tag");
    assert_eq!(layer.handle().purge(&Selector::Tag(tag)).await.expect("purged"), LANGUAGES.len() as u64);
}

#[tokio::test]
async fn an_answer_that_varies_by_other_fields_than_before_is_not_mixed_up() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| {
        let value = |name| request.headers().get(name).map_or("", |value| value.to_str().unwrap_or("?"));
        // What it varies by changes with what is asked.
        let vary = if value("x-a") == "1" { "x-a" } else { "x-a, x-b" };
        reply(
            200,
            &[("cache-control", "max-age=60"), ("vary", vary)],
            full(format!("{}/{}", value("x-a"), value("x-b"))),
        )
    });
    let cache = http(&clock).build().layer(origin);
    for (a, b) in [("1", "1"), ("2", "1"), ("2", "2"), ("1", "2"), ("2", "1"), ("3", "3"), ("2", "2")] {
        let answer = ask(&cache, get("http://a/", &[("x-a", a), ("x-b", b)])).await;
        let body = text(answer).await;
        let same = if a == "1" { body.starts_with("1/") } else { body == format!("{a}/{b}") };
        assert!(same, "asked for {a}/{b}, got {body}");
    }
}

#[tokio::test]
async fn a_304_that_adds_a_field_to_vary_by_narrows_whom_the_entry_answers() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| match request.headers().contains_key("if-none-match") {
        true => reply(304, &[("cache-control", "max-age=60"), ("etag", "\"a\""), ("vary", "accept-language")], empty()),
        false => reply(200, &[("cache-control", "max-age=60"), ("etag", "\"a\"")], full("in English")),
    });
    let cache = http(&clock).build().layer(origin);
    let english = || get("http://a/", &[("accept-language", "en")]);
    text(ask(&cache, english()).await).await;
    clock.advance(70 * SECOND);
    text(ask(&cache, english()).await).await;
    assert_eq!(said(&ask(&cache, english()).await), "larder; hit; ttl=60");
    let german = ask(&cache, get("http://a/", &[("accept-language", "de")])).await;
    assert!(said(&german).starts_with("larder; fwd=vary-miss"), "{}", said(&german));
}

/// The others are found through the first.
#[tokio::test]
async fn a_first_variant_that_ends_does_not_end_the_others() {
    let clock = ManualClock::default();
    let origin = Origin::by_request(|request| {
        let first = request.headers()["accept-language"] == LANGUAGES[0];
        let lifetime = if first { "max-age=1" } else { "max-age=60" };
        reply(200, &[("cache-control", lifetime), ("vary", "accept-language")], full("x"))
    });
    let cache = http(&clock).build().layer(origin);
    for language in LANGUAGES {
        text(ask(&cache, get("http://a/", &[("accept-language", language)])).await).await;
    }
    clock.advance(10 * SECOND);
    for language in &LANGUAGES[1..] {
        let answer = ask(&cache, get("http://a/", &[("accept-language", language)])).await;
        assert_eq!(said(&answer), "larder; hit; ttl=50", "{language}");
    }
}

/// How long it waited for another variant is not the store's fault.
#[tokio::test(start_paused = true)]
async fn a_request_that_waited_for_another_variant_has_time_to_look_again() {
    let clock = ManualClock::default();
    let far = Far::new(memory(&clock));
    let layer = CacheLayer::builder(far.clone()).clock(clock.clone()).lookup_timeout(SECOND).build();
    let (origin, mut calls) = Origin::held();
    let cache = layer.layer(origin);
    far.gets(Fault::Slow(Duration::from_millis(10)));
    let answer = || reply(200, &[("cache-control", "max-age=60"), ("vary", "v")], full("x"));
    let fetch = |value| {
        let cache = cache.clone();
        tokio::spawn(async move { text(ask(&cache, get("http://a/", &[("v", value)])).await).await })
    };
    let first = fetch("1");
    let held = calls.next().await;
    let second = fetch("2");
    tokio::time::sleep(2 * SECOND).await;
    held.answer(answer());
    assert_eq!(first.await.expect("joined"), "x");
    calls.next().await.answer(answer());
    assert_eq!(second.await.expect("joined"), "x");
    assert_eq!(layer.handle().stats().store_read_errors, 0);
}

/// Servers that compress and don't say that it depends on the request are many.
#[tokio::test]
async fn an_encoded_answer_is_not_given_to_who_did_not_ask_for_that_encoding() {
    let origin = Origin::by_request(|request| match request.headers().get("accept-encoding") {
        Some(_) => reply(200, &[("cache-control", "max-age=60"), ("content-encoding", "gzip")], full("packed")),
        None => reply(200, &[("cache-control", "max-age=60")], full("plain")),
    });
    let cache = http(&ManualClock::default()).build().layer(origin.clone());
    let packed = || get("http://a/", &[("accept-encoding", "gzip")]);
    assert_eq!(text(ask(&cache, packed()).await).await, "packed");
    assert_eq!(text(ask(&cache, packed()).await).await, "packed");
    assert_eq!(origin.calls(), 1);
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "plain");
    assert_eq!(origin.calls(), 2);
}
