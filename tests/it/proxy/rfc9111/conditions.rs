//! Conditions of a client, answered from what is kept (§4.3.2, RFC 9110 §13).

use super::{BROKEN, FRESH, Field, Found, Nothing, STRONG, Site, Stale, reply};

const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const CHANGED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
const TAG: &str = "If-None-Match";
const SINCE: &str = "If-Modified-Since";

const BOTH: &[Field<'_>] = &[FRESH, STRONG, ("Last-Modified", CHANGED)];
const WEAK: &[Field<'_>] = &[FRESH, ("ETag", "W/\"a\"")];
const TAGGED: &[Field<'_>] = &[FRESH, STRONG];
const DATED: &[Field<'_>] = &[FRESH, ("Last-Modified", CHANGED)];
const SENT: &[Field<'_>] = &[("Cache-Control", "max-age=2147483648"), ("Date", CHANGED)];

/// What is stored, what the client asks, and whether 304 is the answer.
const CASES: &[(&[Field<'_>], &[Field<'_>], bool)] = &[
    (BOTH, &[(TAG, "\"a\"")], true),
    (BOTH, &[(TAG, "W/\"a\"")], true),
    (WEAK, &[(TAG, "\"a\"")], true),
    (WEAK, &[(TAG, "W/\"a\"")], true),
    (BOTH, &[(TAG, "\"b\"")], false),
    (BOTH, &[(TAG, "\"A\"")], false),
    (BOTH, &[(TAG, "*")], true),
    (&[FRESH], &[(TAG, "*")], true),
    (BOTH, &[(TAG, "\"x\", \"a\"")], true),
    (BOTH, &[(TAG, "\"x\",W/\"a\" , \"y\"")], true),
    (BOTH, &[(TAG, ",, \"x\" ,, \"a\",")], true),
    (BOTH, &[(TAG, "\"x\""), (TAG, "\"a\"")], true),
    (BOTH, &[(TAG, "\"x, a\", \"y\"")], false),
    (BOTH, &[(TAG, "\"x\", \"y\"")], false),
    (BOTH, &[(TAG, "a")], false),
    (BOTH, &[(TAG, "w/\"a\"")], false),
    (BOTH, &[(TAG, "")], false),
    (DATED, &[(TAG, "\"a\"")], false),
    // The tag decides, if there is one.
    (BOTH, &[(TAG, "\"a\""), (SINCE, EARLIER)], true),
    (BOTH, &[(TAG, "\"b\""), (SINCE, CHANGED)], false),
    (BOTH, &[(TAG, "\"b\""), (SINCE, LATER)], false),
    (DATED, &[(TAG, "\"b\""), (SINCE, LATER)], false),
    (BOTH, &[(SINCE, CHANGED)], true),
    (BOTH, &[(SINCE, LATER)], true),
    (BOTH, &[(SINCE, EARLIER)], false),
    (DATED, &[(SINCE, "Sunday, 06-Nov-94 08:49:37 GMT")], true),
    (DATED, &[(SINCE, "Sun Nov  6 08:49:37 1994")], true),
    (DATED, &[(SINCE, "sun, 06 nov 1994 08:49:37 gmt")], true),
    (DATED, &[(SINCE, "Sun, 06 Nov 1994 08:49:37 CET")], false),
    (DATED, &[(SINCE, "nonsense")], false),
    (DATED, &[(SINCE, "")], false),
    // Without the date of a change, it is that of the response which counts.
    (SENT, &[(SINCE, CHANGED)], true),
    (SENT, &[(SINCE, LATER)], true),
    (SENT, &[(SINCE, EARLIER)], false),
    (TAGGED, &[(SINCE, "@60")], true),
    (TAGGED, &[(SINCE, CHANGED)], false),
];

#[tokio::test]
async fn a_clients_conditions_are_answered_by_the_cache() {
    let site = Site::new(|request, _| reply(200, CASES[super::number_in(request.target())].0, "hello")).await;
    let mut wrong = Vec::new();
    for (index, (stored, fields, unchanged)) in CASES.iter().enumerate() {
        let target = format!("/{index}");
        site.get(&target, &[]).await;
        for method in ["GET", "HEAD"] {
            let given = site.ask(method, &target, fields).await;
            let text = if *unchanged || method == "HEAD" { "" } else { "hello" };
            let expected = (if *unchanged { 304 } else { 200 }, text, true);
            if (given.status(), given.text(), given.is_hit()) != expected {
                wrong.push(format!("{method} {stored:?} {fields:?}: {} {}", given.start, given.cache()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(site.origin.calls(), CASES.len());
}

#[tokio::test]
async fn a_304_has_the_fields_that_a_client_updates_by_and_none_of_the_content() {
    let site = Site::new(|_, _| {
        let fields = [
            STRONG,
            FRESH,
            ("Expires", "@600"),
            ("Date", "@-5"),
            ("Vary", "X-A"),
            ("Content-Location", "/b"),
            ("Last-Modified", CHANGED),
            ("Content-Type", "text/plain"),
            ("Content-Encoding", "x"),
            ("Content-Language", "de"),
        ];
        reply(200, &fields, "hello")
    })
    .await;
    let whole = site.get("/a", &[]).await;
    let mut client = site.proxy.connect().await;
    let given = client.ask(crate::proxy::message::get("/a", &[(TAG, "\"a\"")])).await;
    assert_eq!((given.status(), given.text(), given.is_hit()), (304, "", true));
    for name in ["etag", "cache-control", "expires", "date", "vary", "content-location"] {
        assert_eq!(given.field(name), whole.field(name), "{name}");
    }
    assert!(given.field("age").is_some());
    for name in ["content-length", "content-type", "content-encoding", "transfer-encoding"] {
        assert_eq!(given.field(name), None, "{name}");
    }
    let next = client.ask(crate::proxy::message::get("/a", &[])).await;
    assert_eq!((next.status(), next.text()), (200, "hello"), "the connection is in step");
}

#[tokio::test]
async fn a_client_whose_copy_holds_is_told_so_when_the_origin_has_confirmed_it() {
    let site = Site::new(|request, _| match request.field("if-none-match") {
        Some("\"a\"") => reply(304, &[FRESH, STRONG], ""),
        _ => reply(200, &[FRESH, STRONG, ("Last-Modified", CHANGED), ("Age", "61")], "hello"),
    })
    .await;
    for (index, (fields, status)) in [
        (&[(TAG, "\"a\"")] as &[_], 304),
        (&[(TAG, "\"x\", W/\"a\"")], 304),
        (&[(TAG, "\"b\"")], 200),
        (&[(SINCE, CHANGED)], 304),
        (&[(SINCE, EARLIER)], 200),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{index}");
        site.get(&target, &[]).await;
        let given = site.get(&target, fields).await;
        assert_eq!((given.status(), Found::by(&given)), (status, Stale), "{fields:?}");
        assert_eq!(given.text(), if status == 200 { "hello" } else { "" }, "{fields:?}");
        let sent = site.last();
        assert_eq!((sent.field("if-none-match"), sent.field("if-modified-since")), (Some("\"a\""), Some(CHANGED)));
    }
}

#[tokio::test]
async fn a_client_with_the_new_version_is_told_that_it_has_it() {
    let site = Site::new(|_, number| match number {
        1 => reply(200, &[FRESH, STRONG, ("Age", "61")], "old"),
        _ => reply(200, &[FRESH, ("ETag", "\"b\"")], "new"),
    })
    .await;
    site.get("/a", &[]).await;
    let given = site.get("/a", &[(TAG, "\"b\"")]).await;
    assert!(matches!((given.status(), given.text()), (304, "") | (200, "new")), "{given:?}");
    assert_eq!(site.get("/a", &[]).await.text(), "new");
}

#[tokio::test]
async fn conditions_that_are_for_the_origin_reach_it() {
    let site = Site::new(|request, number| {
        let conditional = request.field("if-match").or_else(|| request.field("if-unmodified-since")).is_some();
        reply(if conditional { 412 } else { 200 }, &[FRESH, STRONG], &number.to_string())
    })
    .await;
    site.get("/a", &[]).await;
    for field in [("If-Match", "\"x\""), ("If-Match", "\"a\""), ("If-Match", "*"), ("If-Unmodified-Since", EARLIER)] {
        let given = site.get("/a", &[field]).await;
        assert_eq!(given.status(), 412, "{field:?}");
        assert!(given.cache().starts_with("fwd=bypass"), "{}", given.cache());
        assert_eq!(site.last().field(&field.0.to_ascii_lowercase()), Some(field.1));
    }
    let hit = site.get("/a", &[]).await;
    assert_eq!((hit.text(), hit.is_hit()), ("1", true), "what was kept stays");
}

#[tokio::test]
async fn a_304_to_a_client_is_not_kept_as_an_answer() {
    let site = Site::new(|request, _| match request.field("if-none-match") {
        Some(_) => reply(304, &[FRESH, STRONG], ""),
        None => reply(200, &[FRESH, STRONG], "hello"),
    })
    .await;
    let first = site.get("/a", &[(TAG, "\"a\"")]).await;
    assert_eq!((first.status(), Found::by(&first)), (304, Nothing));
    assert_eq!(site.last().field("if-none-match"), Some("\"a\""));
    let whole = site.get("/a", &[]).await;
    assert_eq!((whole.status(), whole.text(), whole.is_hit()), (200, "hello", false));
    assert!(site.get("/a", &[]).await.is_hit());
}

#[tokio::test]
async fn errors_are_no_answer_to_a_condition() {
    let site = Site::new(|request, _| match request.target() {
        "/missing" => reply(404, &[FRESH, STRONG], "missing"),
        _ => BROKEN,
    })
    .await;
    site.get("/missing", &[]).await;
    let given = site.get("/missing", &[(TAG, "\"a\"")]).await;
    assert_eq!((given.status(), given.text(), given.is_hit()), (404, "missing", true));
    assert_eq!(site.get("/broken", &[(TAG, "\"a\"")]).await.status(), 502);
}
