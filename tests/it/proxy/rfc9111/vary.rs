//! Which requests a response answers, by its `Vary` (§4.1).

use super::{FRESH, Field, Found, Fresh, Nothing, STRONG, Site, finds_200, reply};
use crate::proxy::{
    connection::Connection,
    message::{Message, get},
    within,
};

const LANGUAGE: &str = "Accept-Language";
const ENCODING: &str = "Accept-Encoding";

/// Whether what was stored for one request answers the other.
async fn agree(vary: &[Field<'_>], one: &[Field<'_>], other: &[Field<'_>]) -> bool {
    let vary = super::filled(vary);
    let site =
        Site::new(move |_, number| reply(200, &[&[FRESH], &super::borrowed(&vary)[..]].concat(), &number.to_string()))
            .await;
    site.get("/a", one).await;
    assert!(site.get("/a", one).await.is_hit(), "the same request gets it: {one:?}");
    let given = site.get("/a", other).await;
    assert!(given.is_hit() || given.cache().starts_with("fwd=vary-miss"), "{}", given.cache());
    given.is_hit()
}

#[tokio::test]
async fn fields_that_vary_does_not_name_do_not_count() {
    for (vary, one, other) in [
        (&[("Vary", LANGUAGE)] as &[_], &[("X-A", "1")] as &[_], &[("X-A", "2")] as &[_]),
        (&[("Vary", "")], &[("X-A", "1")], &[("X-A", "2")]),
        (&[("Vary", " , ")], &[("X-A", "1")], &[]),
        (&[], &[(LANGUAGE, "de")], &[(LANGUAGE, "en")]),
    ] {
        assert!(agree(vary, one, other).await, "{vary:?} {one:?} {other:?}");
    }
}

#[tokio::test]
async fn every_field_of_every_line_of_vary_counts() {
    let cases: &[&[Field<'_>]] = &[
        &[("Vary", "X-A, X-B")],
        &[("Vary", "x-a,x-b")],
        &[("vary", "X-A"), ("Vary", "X-B")],
        &[("Vary", "X-B"), ("Vary", ""), ("Vary", "X-A")],
        &[("Vary", ", X-A ,, X-B,")],
        &[("Vary", "X-A, X-A, X-B")],
    ];
    let stored = [("X-A", "1"), ("X-B", "2")];
    for vary in cases {
        assert!(agree(vary, &stored, &[("X-B", "2"), ("X-A", "1"), ("X-C", "3")]).await, "{vary:?}");
        for other in [&[("X-A", "1"), ("X-B", "3")] as &[_], &[("X-A", "3"), ("X-B", "2")], &[("X-A", "1")], &[]] {
            assert!(!agree(vary, &stored, other).await, "{vary:?} {other:?}");
        }
    }
}

#[tokio::test]
async fn a_star_anywhere_in_vary_is_never_reused() {
    finds_200(&[
        (&[FRESH, ("Vary", "*")], Nothing),
        (&[FRESH, ("Vary", "X-A, *")], Nothing),
        (&[FRESH, ("Vary", "*, X-A")], Nothing),
        (&[FRESH, ("Vary", "X-A"), ("Vary", "*")], Nothing),
        (&[FRESH, ("Vary", "*"), ("Vary", "X-A")], Nothing),
        (&[FRESH, ("Vary", "X-A"), ("Vary", "X-B")], Fresh),
    ])
    .await;
}

#[tokio::test]
async fn preferences_that_say_the_same_agree() {
    for (name, one, other) in [
        (ENCODING, "gzip, br", "br,gzip"),
        (ENCODING, "GZIP", "gzip"),
        (ENCODING, "gzip;q=1.0", "gzip"),
        (ENCODING, "gzip;q=1", "gzip;q=1.000"),
        (ENCODING, "gzip;q=0.50", "gzip ; Q=0.5"),
        (ENCODING, "gzip, gzip", "gzip"),
        (ENCODING, "  gzip ,\tbr;q=0.1", "br;q=0.100,gzip"),
        (LANGUAGE, "de, en;q=0.5", "EN;q=0.5,DE"),
        (LANGUAGE, "de-AT,de", "DE,de-at"),
        (LANGUAGE, "*;q=0, de", "de,*;q=0.0"),
        ("X-List", "a, b", "a,b"),
        ("X-List", "a ,\tb", "a,b"),
        ("X-List", "a", "  a\t"),
    ] {
        assert!(agree(&[("Vary", name)], &[(name, one)], &[(name, other)]).await, "{name}: {one} | {other}");
    }
    for name in [ENCODING, LANGUAGE, "X-List"] {
        let lines = [(name, "a"), (name, "b")];
        assert!(agree(&[("Vary", name)], &lines, &[(name, "a, b")]).await, "{name} in two lines");
    }
}

#[tokio::test]
async fn what_may_mean_something_else_does_not_agree() {
    for (name, one, other) in [
        (ENCODING, "gzip", "br"),
        (ENCODING, "gzip", "gzip, br"),
        (ENCODING, "gzip;q=0", "gzip"),
        (ENCODING, "gzip;q=0.5", "gzip;q=0.6"),
        (ENCODING, "gzip;q=0.5, br", "gzip, br;q=0.5"),
        (ENCODING, "", "gzip"),
        (LANGUAGE, "de", "de-AT"),
        (LANGUAGE, "de, en;q=0.5", "de;q=0.5, en"),
        ("X-List", "a,b", "b,a"),
        ("X-List", "A", "a"),
        ("X-List", "a b", "ab"),
        ("User-Agent", "one", "One"),
    ] {
        assert!(!agree(&[("Vary", name)], &[(name, one)], &[(name, other)]).await, "{name}: {one} | {other}");
        assert!(!agree(&[("Vary", name)], &[(name, one)], &[]).await, "{name}: {one} | absent");
        assert!(!agree(&[("Vary", name)], &[], &[(name, one)]).await, "{name}: absent | {one}");
    }
}

fn language(request: &Message, fields: &[Field<'_>]) -> Vec<u8> {
    reply(200, &[fields, &[("Vary", LANGUAGE)]].concat(), request.field("accept-language").unwrap_or("none"))
}

#[tokio::test]
async fn a_uri_has_many_variants() {
    let site = Site::new(|request, _| language(request, &[FRESH])).await;
    let languages: Vec<_> = (0..60).map(|number| format!("x-{number}")).collect();
    for round in 0..2 {
        for (index, language) in languages.iter().enumerate() {
            let given = site.get("/a", &[(LANGUAGE, language)]).await;
            assert_eq!((given.text(), given.is_hit()), (language.as_str(), round > 0), "{language}: {}", given.cache());
            let expected = if index == 0 { "fwd=uri-miss" } else { "fwd=vary-miss" };
            assert!(round > 0 || given.cache().starts_with(expected), "{language}: {}", given.cache());
        }
    }
    assert_eq!(site.origin.calls(), languages.len());
}

#[tokio::test]
async fn a_variant_keeps_its_own_fields_status_and_freshness() {
    let site = Site::new(|request, _| match request.field("accept-language") {
        Some("de") => language(request, &[FRESH, ("X-Own", "1")]),
        Some("en") => language(request, &[("Cache-Control", "max-age=60"), ("Age", "61"), STRONG]),
        _ => reply(404, &[FRESH, ("Vary", LANGUAGE)], "none"),
    })
    .await;
    for _ in 0..2 {
        for (language, status, own) in [("de", 200, Some("1")), ("en", 200, None), ("fr", 404, None)] {
            let given = site.get("/a", &[(LANGUAGE, language)]).await;
            assert_eq!((given.status(), given.field("x-own")), (status, own), "{language}");
        }
    }
    let calls = |language| {
        let requests = site.origin.requests();
        requests.iter().filter(|request| request.field("accept-language") == Some(language)).count()
    };
    assert_eq!((calls("de"), calls("en"), calls("fr")), (1, 2, 1));
}

#[tokio::test]
async fn what_counts_is_what_the_newest_response_says() {
    let site = Site::new(|_, number| {
        let vary = if number == 1 { "X-A" } else { "X-B" };
        let age = if number == 1 { "61" } else { "0" };
        reply(200, &[FRESH, STRONG, ("Vary", vary), ("Age", age)], &number.to_string())
    })
    .await;
    let fields = [("X-A", "1"), ("X-B", "1")];
    site.get("/a", &fields).await;
    assert_eq!(site.get("/a", &fields).await.text(), "2", "the first was stale");
    assert_eq!(Found::by(&site.get("/a", &[("X-A", "2"), ("X-B", "1")]).await), Fresh);
    assert_eq!(site.get("/a", &[("X-A", "1"), ("X-B", "2")]).await.text(), "3");
}

#[tokio::test]
async fn head_chooses_among_variants_too() {
    let site = Site::new(|request, _| language(request, &[FRESH])).await;
    for (language, length) in [("de", "2"), ("de-AT", "5")] {
        site.get("/a", &[(LANGUAGE, language)]).await;
        let given = site.ask("HEAD", "/a", &[(LANGUAGE, language)]).await;
        assert_eq!((given.is_hit(), given.field("content-length")), (true, Some(length)), "{language}");
    }
}

#[tokio::test]
async fn nobody_gets_anothers_variant_where_there_are_too_many_to_keep() {
    let site = Site::new(|request, _| language(request, &[FRESH])).await;
    let languages: Vec<_> = (0..130).map(|number| format!("x-{number}")).collect();
    for _ in 0..2 {
        for language in &languages {
            assert_eq!(site.get("/a", &[(LANGUAGE, language)]).await.text(), language);
        }
    }
    assert!(site.get("/a", &[(LANGUAGE, &languages[129])]).await.is_hit(), "the newest is kept");
}

#[tokio::test]
async fn a_field_that_does_not_reach_the_origin_does_not_choose_for_others() {
    let site = Site::new(|request, _| language(request, &[FRESH])).await;
    let first = site.get("/a", &[("Connection", LANGUAGE), (LANGUAGE, "de")]).await;
    assert_eq!((first.text(), site.last().field("accept-language")), ("none", None));
    let given = site.get("/a", &[(LANGUAGE, "de")]).await;
    assert_eq!(given.text(), "de", "{}", given.cache());
}

#[tokio::test]
async fn a_field_that_the_proxy_writes_chooses_as_it_wrote_it() {
    const CLIENTS: &str = "X-Forwarded-For";
    let site = Site::new(|request, _| {
        reply(200, &[FRESH, ("Vary", CLIENTS)], request.field("x-forwarded-for").unwrap_or("none"))
    })
    .await;
    for address in ["127.0.0.1", "127.0.0.2"] {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(format!("{address}:0").parse().expect("an address")).expect("a loopback address");
        let stream = within(socket.connect(site.proxy.address())).await.expect("a proxy");
        let given = Connection::new(stream).ask(get("/a", &[])).await;
        assert_eq!(given.text(), address, "{}", given.cache());
    }
}
