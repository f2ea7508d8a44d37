//! What a request asks of the cache (§5.2.1, §5.4).

use super::{FRESH, Field, STRONG, Site, reply, said};

const PRAGMA: Field<'static> = ("Pragma", "no-cache");

const fn control(value: &str) -> Field<'_> {
    ("Cache-Control", value)
}

/// Holds how requests with these fields are answered, `hit` or a reason to ask the origin, against how they should be, where
/// there is a response with these fields.
async fn answered(stored: &'static [Field<'static>], cases: &[(&[Field<'_>], &str)]) {
    let site = Site::new(move |_, number| reply(200, &[stored, &[STRONG]].concat(), &number.to_string())).await;
    let mut wrong = Vec::new();
    for (index, (fields, expected)) in cases.iter().enumerate() {
        let target = format!("/{index}");
        assert_eq!(site.get(&target, &[]).await.text(), "1");
        let given = site.get(&target, fields).await;
        let how = given.cache().split(';').next().unwrap_or_default().trim_start_matches("fwd=");
        let expected_text = if *expected == "hit" { "1" } else { "2" };
        if (how, given.text()) != (*expected, expected_text) {
            wrong.push(format!("{fields:?}: {} {:?}, not {expected}", given.cache(), given.text()));
        }
    }
    assert!(wrong.is_empty(), "{stored:?}: {wrong:#?}");
}

#[tokio::test]
async fn what_a_request_asks_of_a_fresh_response_is_obeyed() {
    answered(
        // It has been fresh for 30 seconds, and is for 30 more.
        &[FRESH, ("Age", "30")],
        &[
            (&[], "hit"),
            (&[control("")], "hit"),
            (&[control("foo")], "hit"),
            (&[control("no-cache")], "request"),
            (&[control("NO-CACHE")], "request"),
            (&[control("foo"), control("no-cache")], "request"),
            (&[control("max-age=60")], "hit"),
            (&[control("max-age=20")], "request"),
            (&[control("Max-Age=\"20\"")], "request"),
            (&[control("max-age=0")], "request"),
            (&[control("max-age=60, max-age=0")], "request"),
            (&[control("max-age=x")], "request"),
            (&[control("max-age=-1")], "request"),
            (&[control("max-age=99999999999999999999")], "hit"),
            (&[control("min-fresh=20")], "hit"),
            (&[control("min-fresh=40")], "request"),
            (&[control("min-fresh=x")], "hit"),
            (&[control("min-fresh=99999999999999999999")], "request"),
            (&[control("max-stale")], "hit"),
            (&[control("max-stale=0")], "hit"),
            (&[control("max-stale, max-age=20")], "request"),
            (&[control("only-if-cached")], "hit"),
            (&[control("no-store")], "request"),
            (&[control("extension=\"no-cache\"")], "hit"),
            (&[PRAGMA], "request"),
            (&[("pragma", "foo, NO-CACHE")], "request"),
            (&[("Pragma", "foo")], "hit"),
            (&[PRAGMA, control("max-age=60")], "hit"),
            (&[PRAGMA, control("foo")], "hit"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_stale_response_is_served_to_who_takes_it() {
    answered(
        // It has been stale for 30 seconds.
        &[FRESH, ("Age", "90")],
        &[
            (&[], "stale"),
            (&[control("max-stale")], "hit"),
            (&[control("MAX-STALE")], "hit"),
            (&[control("max-stale=40")], "hit"),
            (&[control("max-stale=\"40\"")], "hit"),
            (&[control("max-stale=20")], "stale"),
            (&[control("max-stale=0")], "stale"),
            (&[control("max-stale=x")], "stale"),
            (&[control("max-stale=-1")], "stale"),
            (&[control("max-stale, max-stale=20")], "stale"),
            (&[control("max-stale=40, max-stale=20")], "stale"),
            (&[control("max-stale, max-age=100")], "hit"),
            (&[control("max-stale, max-age=80")], "request"),
            (&[control("max-stale, no-cache")], "request"),
            (&[control("max-stale, min-fresh=1")], "stale"),
            (&[control("max-stale, only-if-cached")], "hit"),
            (&[control("min-fresh=0")], "stale"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_must_not_be_stale_is_not_served_stale_to_who_would_take_it() {
    const TAKES: &[(&[Field<'_>], &str)] = &[(&[control("max-stale")], "stale"), (&[control("max-stale=40")], "stale")];
    answered(const { &[control("must-revalidate, max-age=60"), ("Age", "90")] }, TAKES).await;
    answered(const { &[control("proxy-revalidate, max-age=60"), ("Age", "90")] }, TAKES).await;
    answered(const { &[control("s-maxage=60"), ("Age", "90")] }, TAKES).await;
    answered(const { &[control("no-cache, max-age=60")] }, TAKES).await;
    answered(const { &[control("no-cache, max-age=60"), ("Age", "90")] }, TAKES).await;
}

#[tokio::test]
async fn who_wants_only_what_is_cached_gets_504_and_the_origin_hears_nothing() {
    let site = Site::new(|request, number| {
        let age = if request.target() == "/stale" { "90" } else { "0" };
        reply(200, &[FRESH, STRONG, ("Age", age)], &number.to_string())
    })
    .await;
    for target in ["/stale", "/fresh"] {
        site.get(target, &[]).await;
    }
    let only = control("only-if-cached");
    let cases: &[(&str, &str, &[_])] = &[
        ("GET", "/none", &[only]),
        ("GET", "/none", &[control("ONLY-IF-CACHED, max-stale")]),
        ("GET", "/stale", &[only]),
        ("GET", "/stale", &[control("only-if-cached, max-stale=20")]),
        ("GET", "/fresh", &[control("only-if-cached, no-cache")]),
        ("GET", "/fresh", &[control("only-if-cached, min-fresh=100")]),
        ("GET", "/fresh", &[control("only-if-cached, no-store")]),
        ("GET", "/none", &[only, ("Range", "bytes=0-1")]),
        ("GET", "/none", &[only, ("If-None-Match", "\"a\"")]),
        ("HEAD", "/none", &[only]),
        ("POST", "/fresh", &[only]),
    ];
    for (method, target, fields) in cases {
        let given = site.ask(method, target, fields).await;
        assert_eq!((given.status(), given.text()), (504, ""), "{method} {target} {fields:?}");
        assert!(given.cache().starts_with("fwd="), "{}", given.cache());
    }
    assert_eq!(site.origin.calls(), 2);
    let hit = site.get("/fresh", &[only]).await;
    assert_eq!((hit.status(), hit.text(), hit.is_hit()), (200, "1", true), "what there was is there");
}

#[tokio::test]
async fn nothing_is_kept_of_a_request_that_says_no_store() {
    let site = Site::new(|_, number| reply(200, &[FRESH], &number.to_string())).await;
    let first = site.get("/a", &[control("no-store")]).await;
    assert_eq!((first.text(), said(&first, "stored")), ("1", None), "{}", first.cache());
    let second = site.get("/a", &[]).await;
    assert_eq!((second.text(), second.is_hit()), ("2", false), "{}", second.cache());
    assert_eq!(site.get("/a", &[control("No-Store")]).await.text(), "3");
    assert_eq!(site.get("/a", &[]).await.text(), "2", "what was kept before stays");
}

#[tokio::test]
async fn what_was_asked_for_anew_takes_the_place_of_what_was_kept() {
    for fields in [control("no-cache"), control("max-age=0"), PRAGMA] {
        let site = Site::new(|_, number| reply(200, &[FRESH, ("Age", "1")], &number.to_string())).await;
        assert_eq!(site.get("/a", &[]).await.text(), "1");
        let given = site.get("/a", &[fields]).await;
        assert_eq!((given.text(), said(&given, "stored")), ("2", Some("")), "{fields:?}: {}", given.cache());
        let hit = site.get("/a", &[]).await;
        assert_eq!((hit.text(), hit.is_hit()), ("2", true), "{fields:?}");
    }
}

#[tokio::test]
async fn what_a_request_asks_of_caches_reaches_the_origin() {
    let site = Site::new(|_, _| reply(200, &[FRESH], "")).await;
    for (name, value) in [control("no-cache, foo=\"bar\""), control("no-store"), PRAGMA] {
        site.get("/a", &[(name, value)]).await;
        assert_eq!(site.last().field(&name.to_ascii_lowercase()), Some(value));
    }
}

#[tokio::test]
async fn a_request_without_a_cache_control_of_its_own_gets_what_others_stored() {
    let site = Site::new(|_, _| reply(200, &[FRESH], "")).await;
    let first = site.get("/a", &[control("max-age=5, max-stale, min-fresh=1")]).await;
    assert_eq!(said(&first, "stored"), Some(""), "{}", first.cache());
    assert!(site.get("/a", &[]).await.is_hit());
}

#[tokio::test]
async fn who_asks_for_a_fresh_answer_hears_of_an_origin_that_has_none() {
    let site = Site::new(|_, number| match number {
        1 => reply(200, &[FRESH, STRONG], "kept"),
        _ => reply(503, &[], "error"),
    })
    .await;
    site.get("/a", &[]).await;
    let given = site.get("/a", &[control("no-cache")]).await;
    assert_eq!((given.status(), given.text()), (503, "error"), "{}", given.cache());
    assert!(site.get("/a", &[]).await.is_hit(), "what was kept stays");
}
