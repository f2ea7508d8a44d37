//! HEAD: answered from what GET stored, and what it says of that (§4, §4.3.5).

use super::{FRESH, Field, Found, Fresh, Nothing, STRONG, Site, Stale, head_of, reply, said};

const CHANGED: Field<'static> = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");

#[tokio::test]
async fn a_stored_answer_to_get_answers_head() {
    let site = Site::new(|request, _| match request.target() {
        "/chunked" => {
            let head = reply(200, &[FRESH, STRONG, ("Transfer-Encoding", "chunked")], "");
            [&head[..], b"5\r\nhello\r\n0\r\n\r\n"].concat()
        }
        "/missing" => reply(404, &[FRESH, STRONG], "hello"),
        _ => reply(200, &[FRESH, STRONG, ("X-Own", "1")], "hello"),
    })
    .await;
    for (target, status) in [("/plain", 200), ("/chunked", 200), ("/missing", 404)] {
        site.get(target, &[]).await;
        let given = site.ask("HEAD", target, &[]).await;
        assert_eq!((given.status(), given.is_hit(), given.text()), (status, true, ""), "{target}");
        assert_eq!((given.field("content-length"), given.field("etag")), (Some("5"), Some("\"a\"")), "{target}");
    }
    let conditional = site.ask("HEAD", "/plain", &[("If-None-Match", "\"a\"")]).await;
    assert_eq!((conditional.status(), conditional.is_hit()), (304, true));
    assert_eq!(site.origin.calls(), 3);
}

#[tokio::test]
async fn an_answer_to_head_does_not_answer_get() {
    let site = Site::new(|request, _| {
        let whole = reply(200, &[FRESH, STRONG], "hello");
        if request.method() == "HEAD" { head_of(whole) } else { whole }
    })
    .await;
    assert_eq!(Found::by(&site.ask("HEAD", "/a", &[]).await), Nothing);
    assert_eq!(Found::by(&site.ask("HEAD", "/a", &[]).await), Fresh, "but HEAD");
    let given = site.get("/a", &[]).await;
    assert_eq!((given.text(), Found::by(&given)), ("hello", Nothing));
    assert_eq!(site.get("/a", &[]).await.text(), "hello");
}

/// The origin's answers to GET and HEAD, if the stored one is stale.
async fn site(stored: &'static [Field<'static>], head: &'static [Field<'static>]) -> Site {
    let site = Site::new(move |request, number| match (request.method(), number) {
        ("HEAD", _) => head_of(reply(200, &[head, &[FRESH, ("X-Number", &number.to_string())]].concat(), "hello")),
        (_, 1) => reply(200, &[stored, &[FRESH, ("Age", "61"), ("X-Number", "1"), ("X-Old", "1")]].concat(), "hello"),
        (_, _) => reply(200, &[FRESH, ("X-Number", &number.to_string())], "fresh"),
    })
    .await;
    site.get("/a", &[]).await;
    site
}

#[tokio::test]
async fn head_brings_a_stored_answer_to_get_up_to_date() {
    let cases: &[(&'static [Field<'static>], &'static [Field<'static>])] = &[
        (&[STRONG, CHANGED], &[STRONG, CHANGED]),
        (&[STRONG, CHANGED], &[STRONG]),
        (&[STRONG, CHANGED], &[CHANGED]),
        (&[CHANGED], &[CHANGED]),
        (&[("ETag", "W/\"a\"")], &[("ETag", "W/\"a\"")]),
        (&[STRONG], &[STRONG, ("Content-Length", "5")]),
    ];
    for (stored, head) in cases {
        let site = site(stored, head).await;
        let updated = site.ask("HEAD", "/a", &[]).await;
        assert_eq!((updated.status(), Found::by(&updated), updated.field("x-number")), (200, Stale, Some("2")));
        let given = site.get("/a", &[]).await;
        assert_eq!((given.text(), Found::by(&given)), ("hello", Fresh), "{stored:?} {head:?}: {}", given.cache());
        assert_eq!((given.field("x-number"), given.field("x-old")), (Some("2"), Some("1")), "{stored:?} {head:?}");
        assert_eq!(given.field("content-length"), Some("5"));
        assert_eq!(site.origin.calls(), 2);
    }
}

#[tokio::test]
async fn a_stored_answer_to_get_that_head_contradicts_is_not_used() {
    let cases: &[(&'static [Field<'static>], &'static [Field<'static>])] = &[
        (&[STRONG], &[("ETag", "\"b\"")]),
        (&[STRONG, CHANGED], &[("ETag", "\"b\""), CHANGED]),
        (&[STRONG, CHANGED], &[STRONG, ("Last-Modified", "Sun, 06 Nov 1994 08:49:38 GMT")]),
        (&[CHANGED], &[("Last-Modified", "Sun, 06 Nov 1994 08:49:38 GMT")]),
        (&[STRONG], &[STRONG, ("Content-Length", "6")]),
        (&[], &[("Content-Length", "6")]),
    ];
    for (stored, head) in cases {
        let site = site(stored, head).await;
        assert_eq!(site.ask("HEAD", "/a", &[]).await.status(), 200);
        let given = site.get("/a", &[("Cache-Control", "max-stale")]).await;
        assert_eq!((given.text(), given.is_hit()), ("fresh", false), "{stored:?} {head:?}: {}", given.cache());
        assert_eq!(site.last().field("if-none-match"), None, "{stored:?} {head:?}");
    }
}

#[tokio::test]
async fn head_that_tells_nothing_neither_freshens_a_stored_answer_to_get_nor_outdates_it() {
    let cases: &[(&'static [Field<'static>], &'static [Field<'static>])] =
        &[(&[STRONG, CHANGED], &[]), (&[STRONG], &[("Content-Length", "5")]), (&[], &[])];
    for (stored, head) in cases {
        let site = site(stored, head).await;
        assert_eq!(site.ask("HEAD", "/a", &[]).await.field("x-number"), Some("2"));
        let given = site.get("/a", &[("Cache-Control", "max-stale")]).await;
        assert_eq!((given.text(), given.is_hit()), ("hello", true), "{stored:?} {head:?}: {}", given.cache());
        assert_eq!(Found::by(&site.get("/a", &[]).await), Stale, "{stored:?} {head:?}");
    }
}

#[tokio::test]
async fn head_of_a_fresh_answer_that_was_asked_for_anew_updates_it_too() {
    let site = Site::new(|request, number| {
        let whole = reply(200, &[FRESH, STRONG, ("X-Number", &number.to_string())], "hello");
        if request.method() == "HEAD" { head_of(whole) } else { whole }
    })
    .await;
    site.get("/a", &[]).await;
    let updated = site.ask("HEAD", "/a", &[("Cache-Control", "no-cache")]).await;
    assert!(said(&updated, "stored").is_some(), "{}", updated.cache());
    let hit = site.get("/a", &[]).await;
    assert_eq!((hit.text(), hit.field("x-number"), hit.is_hit()), ("hello", Some("2"), true));
}

#[tokio::test]
async fn head_that_validates_a_stored_answer_to_get_freshens_it() {
    let site = Site::new(|request, _| match request.field("if-none-match") {
        Some("\"a\"") => reply(304, &[FRESH, STRONG, ("X-New", "1")], ""),
        _ => reply(200, &[FRESH, STRONG, ("Age", "61")], "hello"),
    })
    .await;
    site.get("/a", &[]).await;
    let given = site.ask("HEAD", "/a", &[]).await;
    assert_eq!((given.status(), given.field("content-length"), given.field("x-new")), (200, Some("5"), Some("1")));
    let hit = site.get("/a", &[]).await;
    assert_eq!((hit.text(), hit.is_hit(), hit.field("x-new")), ("hello", true, Some("1")));
}
