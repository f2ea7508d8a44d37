//! What the origin is asked of a stored response, and what its answer does (§4.3.1, §4.3.3, §4.3.4, §3.2).

use super::{BROKEN, FRESH, Field, Found, Fresh, Nothing, STRONG, Site, Stale, age, reply, said};
use crate::proxy::message::{Message, get};

const CHANGED: Field<'static> = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
const OLD: Field<'static> = ("Age", "61");

fn is_validation(request: &Message) -> bool {
    request.field("if-none-match").is_some() || request.field("if-modified-since").is_some()
}

#[tokio::test]
async fn a_stale_response_is_validated_by_what_it_has() {
    let cases: &[(&'static [Field<'static>], Option<&str>, Option<&str>)] = &[
        (&[STRONG, CHANGED], Some("\"a\""), Some(CHANGED.1)),
        (&[STRONG], Some("\"a\""), None),
        (&[("ETag", "W/\"a\"")], Some("W/\"a\""), None),
        (&[CHANGED], None, Some(CHANGED.1)),
        (&[("Last-Modified", "Sunday, 06-Nov-94 08:49:37 GMT")], None, Some("Sunday, 06-Nov-94 08:49:37 GMT")),
        (&[("ETag", "unquoted")], Some("unquoted"), None),
        (&[], None, None),
    ];
    for (validators, tag, date) in cases {
        let validators = *validators;
        let site = Site::new(move |request, number| match is_validation(request) {
            true => reply(304, &[FRESH, ("X-Number", "2")], ""),
            false => reply(200, &[&[FRESH, OLD], validators].concat(), &number.to_string()),
        })
        .await;
        site.get("/a", &[]).await;
        let given = site.get("/a", &[]).await;
        let sent = site.last();
        assert_eq!((sent.field("if-none-match"), sent.field("if-modified-since")), (*tag, *date), "{validators:?}");
        assert_eq!((given.status(), Found::by(&given)), (200, Stale));
        assert_eq!(given.text(), if validators.is_empty() { "2" } else { "1" }, "{validators:?}");
        if !validators.is_empty() {
            assert!(given.cache().starts_with("fwd=stale; fwd-status=304"), "{}", given.cache());
            assert_eq!(Found::by(&site.get("/a", &[]).await), Fresh, "{validators:?}");
        }
    }
}

#[tokio::test]
async fn a_validation_carries_the_clients_request() {
    let site = Site::new(|request, _| match is_validation(request) {
        true => reply(304, &[FRESH], ""),
        false => reply(200, &[FRESH, OLD, STRONG], "hello"),
    })
    .await;
    site.get("/a?b=c", &[]).await;
    site.get("/a?b=c", &[("X-Client", "1"), ("Accept-Language", "de"), ("User-Agent", "test/1")]).await;
    let sent = site.last();
    assert_eq!((sent.method(), sent.target(), sent.field("if-none-match")), ("GET", "/a?b=c", Some("\"a\"")));
    assert_eq!(
        (sent.field("x-client"), sent.field("accept-language"), sent.field("user-agent")),
        (Some("1"), Some("de"), Some("test/1"))
    );
}

#[tokio::test]
async fn a_304_updates_the_stored_fields_but_those_of_the_stored_body() {
    let site = Site::new(|request, _| match is_validation(request) {
        true => reply(
            304,
            &[
                ("Cache-Control", "max-age=120"),
                STRONG,
                ("Date", "@-2"),
                ("Expires", "@600"),
                ("X-Changed", "new"),
                ("X-Lines", "3"),
                ("X-Added", "1"),
                ("Content-Type", "text/new"),
                ("Content-Encoding", "new"),
                ("Content-Length", "99"),
                ("Content-Range", "bytes 0-1/2"),
                ("Set-Cookie", "a=new"),
                ("Connection", "X-Hop"),
                ("X-Hop", "1"),
            ],
            "",
        ),
        false => reply(
            200,
            &[
                FRESH,
                OLD,
                STRONG,
                ("Date", "@-61"),
                ("X-Changed", "old"),
                ("X-Lines", "1"),
                ("X-Lines", "2"),
                ("X-Kept", "1"),
                ("Content-Type", "text/old"),
                ("Content-Encoding", "old"),
            ],
            "hello",
        ),
    })
    .await;
    let date = site.get("/a", &[]).await.field("date").map(str::to_owned);
    let updated = site.get("/a", &[]).await;
    let hit = site.get("/a", &[]).await;
    assert!(hit.is_hit(), "{}", hit.cache());
    for given in [&updated, &hit] {
        assert_eq!((given.status(), given.text()), (200, "hello"));
        for (name, value) in [
            ("cache-control", "max-age=120"),
            ("etag", "\"a\""),
            ("x-changed", "new"),
            ("x-lines", "3"),
            ("x-added", "1"),
            ("x-kept", "1"),
            ("content-type", "text/new"),
            ("content-encoding", "old"),
            ("content-length", "5"),
            ("set-cookie", "a=new"),
        ] {
            assert_eq!(given.field(name), Some(value), "{name}");
        }
        assert_eq!((given.field("content-range"), given.field("x-hop")), (None, None));
        assert!(given.field("date") != date.as_deref() && given.field("expires").is_some());
        assert!((2..20).contains(&age(given)), "{}", age(given));
    }
}

#[tokio::test]
async fn a_304_says_anew_how_long_the_response_is_fresh() {
    let cases: &[(&'static [Field<'static>], Found)] = &[
        (&[], Fresh),
        (&[STRONG], Fresh),
        (&[("Age", "30")], Fresh),
        (&[("Age", "61")], Stale),
        (&[("Date", "@-61")], Stale),
        (&[("Cache-Control", "max-age=0")], Stale),
        (&[("Cache-Control", "no-cache")], Stale),
        (&[("Cache-Control", "max-age=600"), ("Age", "61")], Fresh),
        (&[("Cache-Control", "no-store")], Nothing),
        (&[("Cache-Control", "private, max-age=60")], Nothing),
        (&[("CDN-Cache-Control", "max-age=0")], Stale),
    ];
    let site = Site::new(|request, _| match is_validation(request) {
        true => reply(304, cases[super::number_in(request.target())].0, ""),
        false => reply(200, &[FRESH, OLD, STRONG], "hello"),
    })
    .await;
    for (index, (unchanged, expected)) in cases.iter().enumerate() {
        let target = format!("/{index}");
        site.get(&target, &[]).await;
        let given = site.get(&target, &[]).await;
        assert_eq!((given.status(), given.text()), (200, "hello"), "{unchanged:?}");
        assert_eq!(Found::by(&site.get(&target, &[]).await), *expected, "{unchanged:?}");
    }
}

#[tokio::test]
async fn a_304_without_a_date_is_dated_when_it_came() {
    let site = Site::new(|request, _| match is_validation(request) {
        true => reply(304, &[FRESH, STRONG], ""),
        false => reply(200, &[FRESH, STRONG, ("Date", "@-600")], "hello"),
    })
    .await;
    let old = site.get("/a", &[]).await;
    let updated = site.get("/a", &[]).await;
    let hit = site.get("/a", &[]).await;
    assert_eq!((Found::by(&updated), Found::by(&hit)), (Stale, Fresh), "{}", hit.cache());
    assert!(updated.field("date") != old.field("date") && hit.field("date") == updated.field("date"));
    assert!(age(&hit) < 20, "{}", age(&hit));
}

#[tokio::test]
async fn a_changed_response_replaces_the_stored_one() {
    let site = Site::new(|_, number| {
        let etag = format!("\"{number}\"");
        reply(
            200,
            &[FRESH, OLD, ("ETag", &etag), ("X-Own", "1")][..if number == 1 { 4 } else { 3 }],
            &number.to_string(),
        )
    })
    .await;
    for number in 1..=3 {
        let given = site.get("/a", &[]).await;
        assert_eq!(given.text(), number.to_string());
        assert_eq!(given.field("x-own").is_some(), number == 1, "nothing of the old one is left");
        let expected = (number > 1).then(|| format!("\"{}\"", number - 1));
        assert_eq!(site.last().field("if-none-match"), expected.as_deref());
    }
}

#[tokio::test]
async fn a_304_with_another_tag_does_not_make_what_is_stored_fresh() {
    let cases: &[(&'static [Field<'static>], &'static [Field<'static>])] = &[
        (&[STRONG], &[("ETag", "\"b\"")]),
        (&[("ETag", "W/\"a\"")], &[("ETag", "W/\"b\"")]),
        (&[CHANGED], &[("Last-Modified", "Sun, 06 Nov 1994 08:49:38 GMT")]),
    ];
    for (stored, unchanged) in cases {
        let (stored, unchanged) = (*stored, *unchanged);
        let site = Site::new(move |request, number| match is_validation(request) {
            true => reply(304, &[&[FRESH], unchanged].concat(), ""),
            false => reply(200, &[&[FRESH, OLD], stored].concat(), &number.to_string()),
        })
        .await;
        site.get("/a", &[]).await;
        site.get("/a", &[]).await;
        let given = site.get("/a", &[]).await;
        assert!(!given.is_hit() && given.status() == 200, "{stored:?} {unchanged:?}: {}", given.cache());
        assert!(!is_validation(&site.last()), "it is asked for anew: {:?}", site.last());
    }
}

#[tokio::test]
async fn an_error_on_validation_is_passed_as_it_is_where_nothing_stale_may_stand_in() {
    for control in
        ["max-age=60", "must-revalidate, max-age=60", "proxy-revalidate, max-age=60", "s-maxage=60", "no-cache"]
    {
        for status in [404, 500, 501, 502, 503, 504] {
            let site = Site::new(move |request, _| match is_validation(request) {
                true => reply(status, &[("X-Error", "1")], "error"),
                false => reply(200, &[("Cache-Control", control), OLD, STRONG], "hello"),
            })
            .await;
            site.get("/a", &[]).await;
            let given = site.get("/a", &[]).await;
            assert_eq!((given.status(), given.text()), (status, "error"), "{control} {status}: {}", given.cache());
            assert_eq!((given.field("x-error"), Found::by(&given)), (Some("1"), Stale));
            if control != "max-age=60" {
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_must_be_validated_and_cannot_be_is_504() {
    for (control, status) in [
        ("must-revalidate, max-age=60", 504),
        ("proxy-revalidate, max-age=60", 504),
        ("s-maxage=60", 504),
        ("no-cache", 504),
        ("no-cache, max-age=60, stale-if-error=600", 504),
        ("must-revalidate, max-age=60, stale-if-error=600, stale-while-revalidate=600", 504),
        ("max-age=60", 502),
    ] {
        let site = Site::new(move |request, _| match is_validation(request) {
            true => BROKEN,
            false => reply(200, &[("Cache-Control", control), OLD, STRONG], "hello"),
        })
        .await;
        site.get("/a", &[]).await;
        let given = site.get("/a", &[]).await;
        assert_eq!(given.status(), status, "{control}: {}", given.cache());
        assert_ne!(given.text(), "hello", "{control}");
        drop(site.origin);
        let refused = site.proxy.ask(get("/a", &[])).await;
        assert_eq!(refused.status(), status, "{control}, refused: {}", refused.cache());
    }
}

#[tokio::test]
async fn what_could_not_be_validated_may_be_later() {
    for control in ["max-age=60", "must-revalidate, max-age=60", "no-cache"] {
        let site = Site::new(move |request, number| match (is_validation(request), number) {
            (true, 2) => reply(503, &[], "error"),
            (true, 3) => BROKEN,
            (true, _) => reply(304, &[], ""),
            (false, _) => reply(200, &[("Cache-Control", control), OLD, STRONG], "hello"),
        })
        .await;
        site.get("/a", &[]).await;
        for error in [true, true, false] {
            let given = site.get("/a", &[]).await;
            assert_eq!(given.status() == 200, !error, "{control}: {}", given.cache());
        }
        assert_eq!(site.last().field("if-none-match"), Some("\"a\""), "{control}");
    }
}

#[tokio::test]
async fn clients_that_validate_at_once_ask_the_origin_once() {
    let (site, gate) = Site::holding(
        &[],
        |request, _| is_validation(request),
        |request, _| match is_validation(request) {
            true => reply(304, &[FRESH, STRONG], ""),
            false => reply(200, &[("Cache-Control", "max-age=1"), STRONG], "hello"),
        },
    )
    .await;
    site.get("/a", &[]).await;
    // A response that is stale when it comes would not be waited for.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let asked = futures_util::future::join_all((0..5).map(|_| site.get("/a", &[])));
    let opened = async {
        site.reached(2).await;
        gate.add_permits(5);
    };
    let (given, ()) = tokio::join!(asked, opened);
    assert!(given.iter().all(|given| given.status() == 200 && given.text() == "hello"));
    let led = given.iter().filter(|given| !given.is_hit() && said(given, "collapsed").is_none()).count();
    assert_eq!((led, site.origin.calls()), (1, 2), "{:?}", given.iter().map(Message::cache).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_counts_after_a_304_or_a_head_is_the_vary_that_it_brought() {
    const LANGUAGE: &str = "Accept-Language";
    let cases: &[&'static [Field<'static>]] = &[&[], &[("Vary", "X-Other")]];
    for method in ["GET", "HEAD"] {
        for stored in cases {
            let stored = *stored;
            let site = Site::new(move |request, number| match (number, request.method()) {
                (1, _) => reply(200, &[&[FRESH, OLD, STRONG], stored].concat(), "german"),
                (2, "GET") => reply(304, &[FRESH, STRONG, ("Vary", LANGUAGE)], ""),
                (2, _) => super::head_of(reply(200, &[FRESH, STRONG, ("Vary", LANGUAGE)], "german")),
                (_, _) => reply(200, &[FRESH, ("ETag", "\"b\""), ("Vary", LANGUAGE)], "english"),
            })
            .await;
            site.get("/a", &[(LANGUAGE, "de")]).await;
            assert_eq!(site.ask(method, "/a", &[(LANGUAGE, "de")]).await.status(), 200);
            let other = site.get("/a", &[(LANGUAGE, "en")]).await;
            assert_eq!(other.text(), "english", "{method} {stored:?}: {}", other.cache());
        }
    }
}
