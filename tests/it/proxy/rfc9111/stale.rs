//! Stale responses within their windows, and not beyond (RFC 5861, §4.2.4).

use super::{BROKEN, Field, Found, Fresh, STRONG, Site, Stale, reply, said};
use crate::proxy::message::{Message, get};

const STALE_30: Field<'static> = ("Age", "90");
const STALE_61: Field<'static> = ("Age", "121");

const fn control(value: &str) -> Field<'_> {
    ("Cache-Control", value)
}

const REVALIDATE: Field<'static> = control("max-age=60, stale-while-revalidate=60");
const IF_ERROR: Field<'static> = control("max-age=60, stale-if-error=60");

/// An origin whose first answer has these fields, and whose later ones are fresh.
async fn first(fields: &'static [Field<'static>]) -> Site {
    let site = Site::new(move |_, number| {
        let fields = if number == 1 { fields } else { &[super::FRESH] };
        reply(200, fields, &number.to_string())
    })
    .await;
    assert_eq!(site.get("/a", &[]).await.text(), "1");
    site
}

#[tokio::test]
async fn a_stale_response_within_its_window_is_served_and_refreshed_behind() {
    let site = first(&[REVALIDATE, STALE_30]).await;
    let given = site.get("/a", &[]).await;
    assert_eq!((given.text(), given.is_hit()), ("1", true), "{}", given.cache());
    assert_eq!(said(&given, "detail"), Some("stale-while-revalidate"));
    let ttl: i64 = said(&given, "ttl").expect("a ttl").parse().expect("a number");
    assert!((-40..=-30).contains(&ttl), "{ttl}");
    let fresh = site.until("/a", &[], |given| given.text() == "2").await;
    assert_eq!((Found::by(&fresh), said(&fresh, "detail"), site.origin.calls()), (Fresh, None, 2));
}

#[tokio::test]
async fn a_refresh_carries_the_clients_request_but_not_what_it_has_already() {
    let site = first(&[REVALIDATE, STALE_30, STRONG]).await;
    let fields = [
        ("X-Client", "1"),
        ("Accept-Language", "de"),
        ("Range", "bytes=0-0"),
        ("If-None-Match", "\"mine\""),
        ("If-Modified-Since", "@0"),
    ];
    let given = site.get("/a", &fields).await;
    assert_eq!((given.status(), given.text()), (206, "1"), "{}", given.cache());
    site.reached(2).await;
    let sent = site.last();
    assert_eq!((sent.method(), sent.field("x-client"), sent.field("accept-language")), ("GET", Some("1"), Some("de")));
    assert_eq!((sent.field("range"), sent.field("if-none-match")), (None, Some("\"a\"")));
    assert_eq!(sent.field("if-modified-since"), None);
    site.until("/a", &[], |given| given.text() == "2").await;
}

#[tokio::test]
async fn there_is_one_refresh_at_a_time_and_nobody_waits_for_it() {
    let (site, gate) = Site::holding(
        &[],
        |_, number| number == 2,
        |_, number| reply(200, &[REVALIDATE, if number == 1 { STALE_30 } else { ("Age", "0") }], &number.to_string()),
    )
    .await;
    site.get("/a", &[]).await;
    let given = futures_util::future::join_all((0..10).map(|_| site.get("/a", &[]))).await;
    assert!(given.iter().all(|given| given.text() == "1" && given.is_hit()));
    site.reached(2).await;
    assert_eq!(site.get("/a", &[]).await.text(), "1");
    gate.add_permits(1);
    site.until("/a", &[], |given| given.text() == "2").await;
    assert_eq!(site.origin.calls(), 2);
}

#[tokio::test]
async fn a_refresh_by_304_makes_the_stored_response_fresh() {
    let site = Site::new(|request, _| match request.field("if-none-match") {
        Some(_) => reply(304, &[REVALIDATE, STRONG, ("X-New", "1")], ""),
        None => reply(200, &[REVALIDATE, STRONG, STALE_30], "hello"),
    })
    .await;
    site.get("/a", &[]).await;
    assert_eq!(site.get("/a", &[]).await.text(), "hello");
    let fresh = site.until("/a", &[], |given| given.field("x-new").is_some()).await;
    assert_eq!((fresh.text(), Found::by(&fresh), site.origin.calls()), ("hello", Fresh, 2));
}

#[tokio::test]
async fn a_refresh_that_fails_leaves_the_stale_response_as_it_was() {
    for error in [reply(503, &[], "error"), BROKEN] {
        let site = Site::new(move |_, number| match number {
            1 => reply(200, &[REVALIDATE, STALE_30], "hello"),
            _ => error.clone(),
        })
        .await;
        site.get("/a", &[]).await;
        for calls in 2..=4 {
            let given = site.until("/a", &[], |_| true).await;
            assert_eq!((given.status(), given.text(), given.is_hit()), (200, "hello", true), "{}", given.cache());
            if calls == 2 {
                site.reached(calls).await;
            }
        }
    }
}

#[tokio::test]
async fn beyond_the_window_or_against_the_origin_nothing_is_served_while_it_is_refreshed() {
    const CASES: &[&[Field<'_>]] = &[
        &[REVALIDATE, STALE_61],
        &[REVALIDATE, STALE_61, STRONG],
        &[control("max-age=60, stale-while-revalidate=0"), STALE_30],
        &[control("max-age=60, stale-while-revalidate=x"), STALE_30],
        &[control("max-age=60, stale-while-revalidate"), STALE_30],
        &[control("max-age=60, stale-while-revalidate=-1"), STALE_30],
        &[control("max-age=60, must-revalidate, stale-while-revalidate=60"), STALE_30],
        &[control("max-age=60, proxy-revalidate, stale-while-revalidate=60"), STALE_30],
        &[control("s-maxage=60, stale-while-revalidate=60"), STALE_30],
        &[control("no-cache, stale-while-revalidate=60"), ("Age", "1")],
        &[IF_ERROR, STALE_30],
    ];
    for fields in CASES {
        let site = first(fields).await;
        let given = site.get("/a", &[]).await;
        assert_eq!((given.text(), given.is_hit()), ("2", false), "{fields:?}: {}", given.cache());
    }
    for asked in ["no-cache", "max-age=60", "min-fresh=1"] {
        let site = first(&[REVALIDATE, STALE_30]).await;
        assert_eq!(site.get("/a", &[control(asked)]).await.text(), "2", "{asked}");
    }
}

/// The answer, where the origin fails after the first.
async fn failed(args: &[&str], stored: &'static [Field<'static>], asked: &[Field<'_>], error: &[u8]) -> Message {
    let error = error.to_vec();
    let site = Site::with(args, move |_, number| match number {
        1 => reply(200, stored, "hello"),
        _ => error.clone(),
    })
    .await;
    site.get("/a", &[]).await;
    site.get("/a", asked).await
}

const STRICT: &[&str] = &["--stale-if-error", "0s"];

#[tokio::test]
async fn a_stale_response_stands_in_for_an_error_within_its_window() {
    for status in [500, 502, 503, 504] {
        let given = failed(STRICT, &[IF_ERROR, STALE_30], &[], &reply(status, &[], "error")).await;
        assert_eq!((given.status(), given.text()), (200, "hello"), "{status}");
        assert!(given.cache().starts_with(&format!("fwd=stale; fwd-status={status}; ttl=-")), "{}", given.cache());
        assert_eq!(said(&given, "detail"), Some("stale-if-error"));
    }
    for status in [400, 403, 404, 410, 429, 501, 505] {
        let given = failed(STRICT, &[IF_ERROR, STALE_30], &[], &reply(status, &[], "error")).await;
        assert_eq!((given.status(), given.text()), (status, "error"), "no such error");
    }
    let given = failed(STRICT, &[IF_ERROR, STALE_30], &[], &BROKEN).await;
    assert_eq!((given.status(), given.text()), (200, "hello"), "broken: {}", given.cache());
    let given = failed(STRICT, &[IF_ERROR, STALE_30], &[], b"garbage\r\n\r\n").await;
    assert_eq!((given.status(), given.text()), (200, "hello"), "no HTTP: {}", given.cache());
}

#[tokio::test]
async fn a_stale_response_stands_in_for_an_origin_that_refuses_connections() {
    for (stored, status) in [(IF_ERROR, 200), (control("max-age=60"), 502)] {
        let site = Site::new(move |_, _| reply(200, &[stored, STALE_30], "hello")).await;
        site.get("/a", &[]).await;
        drop(site.origin);
        let given = site.proxy.ask(get("/a", &[])).await;
        assert_eq!((given.status(), given.text() == "hello"), (status, status == 200), "{}", given.cache());
    }
}

#[tokio::test]
async fn the_window_may_come_from_the_request_or_the_settings() {
    const PLAIN: &[Field<'_>] = &[control("max-age=60"), STALE_30];
    const TAGGED: &[Field<'_>] = &[control("max-age=60"), STALE_30, STRONG];
    const OWN_ZERO: &[Field<'_>] = &[control("max-age=60, stale-if-error=0"), STALE_30, STRONG];
    let error = reply(503, &[], "error");
    let cases: &[(&[&str], &'static [Field<'static>], &[Field<'_>], u16)] = &[
        (STRICT, PLAIN, &[], 503),
        (STRICT, PLAIN, &[control("stale-if-error=60")], 200),
        (STRICT, TAGGED, &[control("stale-if-error=60")], 200),
        (STRICT, TAGGED, &[control("stale-if-error=20")], 503),
        (STRICT, TAGGED, &[control("stale-if-error=x")], 503),
        (&["--stale-if-error", "60s"], TAGGED, &[], 200),
        (&["--stale-if-error", "20s"], TAGGED, &[], 503),
        (&["--stale-if-error", "60s"], OWN_ZERO, &[], 503),
    ];
    for (args, stored, asked, status) in cases {
        let given = failed(args, stored, asked, &error).await;
        assert_eq!(given.status(), *status, "{args:?} {stored:?} {asked:?}: {}", given.cache());
    }
}

#[tokio::test]
async fn nothing_stale_stands_in_beyond_the_window_or_against_the_origin() {
    const CASES: &[(&[Field<'_>], u16)] = &[
        (&[IF_ERROR, STALE_61, STRONG], 502),
        (&[control("max-age=60, stale-if-error=x"), STALE_30, STRONG], 502),
        (&[REVALIDATE, STALE_61, STRONG], 502),
        (&[control("max-age=60, must-revalidate, stale-if-error=60"), STALE_30, STRONG], 504),
        (&[control("max-age=60, proxy-revalidate, stale-if-error=60"), STALE_30, STRONG], 504),
        (&[control("s-maxage=60, stale-if-error=60"), STALE_30, STRONG], 504),
        (&[control("no-cache, max-age=60, stale-if-error=60"), STRONG], 504),
    ];
    for (stored, broken) in CASES {
        for asked in [&[] as &[_], &[control("stale-if-error=0")]] {
            let given = failed(STRICT, stored, asked, &reply(503, &[], "error")).await;
            assert_eq!((given.status(), given.text()), (503, "error"), "{stored:?}: {}", given.cache());
            let given = failed(STRICT, stored, asked, &BROKEN).await;
            assert_eq!(given.status(), *broken, "{stored:?}, broken: {}", given.cache());
        }
    }
}

#[tokio::test]
async fn half_an_answer_does_not_take_the_place_of_a_stale_one() {
    let half = reply(200, &[super::FRESH, ("Content-Length", "100"), ("Connection", "close")], "half");
    let site = Site::new(move |_, number| match number {
        1 => reply(200, &[IF_ERROR, STALE_30], "hello"),
        2 => half.clone(),
        _ => reply(503, &[], "error"),
    })
    .await;
    site.get("/a", &[]).await;
    let broken = site.proxy.connect().await.try_ask(get("/a", &[])).await;
    assert!(broken.is_err(), "{broken:?}");
    let given = site.get("/a", &[]).await;
    assert_eq!((given.text(), Found::by(&given)), ("hello", Stale), "{}", given.cache());
}

#[tokio::test]
async fn an_error_that_a_stale_response_stands_in_for_is_not_kept() {
    let site = Site::new(|_, number| match number {
        1 => reply(200, &[IF_ERROR, STALE_30], "hello"),
        2 => reply(503, &[super::FRESH], "error"),
        _ => reply(200, &[super::FRESH], "better"),
    })
    .await;
    for text in ["hello", "hello", "better", "better"] {
        assert_eq!(site.get("/a", &[]).await.text(), text);
    }
}

#[tokio::test]
async fn a_range_and_a_condition_are_answered_by_what_stands_in_for_an_error() {
    let error = reply(503, &[], "error");
    let stored = &[IF_ERROR, STALE_30, STRONG];
    let given = failed(STRICT, stored, &[("Range", "bytes=0-1")], &error).await;
    assert_eq!((given.status(), given.text()), (206, "he"), "{}", given.cache());
    let given = failed(STRICT, stored, &[("If-None-Match", "\"a\"")], &error).await;
    assert_eq!((given.status(), given.text()), (304, ""), "{}", given.cache());
}

#[tokio::test]
async fn what_was_replaced_by_something_that_is_not_kept_does_not_come_back() {
    for status in [200, 204, 301, 404, 410] {
        let site = Site::new(move |_, number| match number {
            1 => reply(200, &[IF_ERROR, STALE_30, STRONG], "old"),
            2 => reply(status, &[control("no-store")], "new"),
            _ => reply(503, &[], "error"),
        })
        .await;
        site.get("/a", &[]).await;
        assert_eq!(site.get("/a", &[]).await.status(), status);
        let given = site.get("/a", &[]).await;
        assert_eq!((given.status(), given.text()), (503, "error"), "{status}: {}", given.cache());
        assert_eq!(site.last().field("if-none-match"), None, "{status}");
    }
}
