//! What the origin is asked of variants, and what its 304 does to them (§4.3.1, §4.3.3, §4.3.4).

use super::{BROKEN, FRESH, Field, Found, Fresh, Site, Stale, reply, said};
use crate::proxy::message::Message;

const LANGUAGE: &str = "Accept-Language";
const VARY: Field<'static> = ("Vary", LANGUAGE);

fn language(request: &Message) -> &str {
    request.field("accept-language").unwrap_or("none")
}

/// A response with the language as its body and its tag.
fn tagged(request: &Message, fields: &[Field<'_>]) -> Vec<u8> {
    let etag = format!("\"{}\"", language(request));
    reply(200, &[fields, &[VARY, ("ETag", &etag)]].concat(), language(request))
}

fn offered(sent: &Message) -> Vec<&str> {
    let mut tags: Vec<_> =
        sent.field("if-none-match").into_iter().flat_map(|tags| tags.split(',')).map(str::trim).collect();
    tags.sort_unstable();
    tags
}

#[tokio::test]
async fn the_tags_of_known_variants_are_offered_and_a_304_picks_one() {
    let site = Site::new(|request, number| match language(request) {
        "fr" => reply(304, &[FRESH, VARY, ("ETag", "\"en\""), ("X-Number", &number.to_string())], ""),
        _ => tagged(request, &[FRESH, ("Content-Type", "text/plain"), ("X-Old", "1")]),
    })
    .await;
    for language in ["de", "en", "it"] {
        site.get("/a", &[(LANGUAGE, language)]).await;
    }
    let picked = site.get("/a", &[(LANGUAGE, "fr")]).await;
    assert_eq!(offered(&site.last()), ["\"de\"", "\"en\"", "\"it\""]);
    assert_eq!(site.last().field("accept-language"), Some("fr"));
    assert_eq!((picked.status(), picked.text(), picked.field("content-length")), (200, "en", Some("2")));
    assert!(picked.cache().starts_with("fwd=vary-miss; fwd-status=304"), "{}", picked.cache());
    let hit = site.get("/a", &[(LANGUAGE, "fr")]).await;
    assert!(hit.is_hit(), "{}", hit.cache());
    for given in [&picked, &hit] {
        assert_eq!(
            (given.field("x-number"), given.field("x-old")),
            (Some("4"), Some("1")),
            "new fields beside the old"
        );
        assert_eq!((given.text(), given.field("etag")), ("en", Some("\"en\"")));
    }
    for language in ["de", "en", "it"] {
        let given = site.get("/a", &[(LANGUAGE, language)]).await;
        assert_eq!((given.text(), given.is_hit()), (language, true));
    }
    assert_eq!(site.origin.calls(), 4);
}

#[tokio::test]
async fn a_304_that_matches_no_variant_leads_to_a_second_plain_request() {
    let cases: &[(&[&str], &'static [Field<'static>])] = &[
        (&["de", "en"], &[FRESH, ("ETag", "\"other\"")]),
        (&["de", "en"], &[FRESH]),
        (&["de"], &[FRESH, ("ETag", "\"other\"")]),
    ];
    for (languages, unchanged) in cases {
        let unchanged = *unchanged;
        let site = Site::new(move |request, _| match request.field("if-none-match") {
            Some(_) => reply(304, unchanged, ""),
            None => tagged(request, &[FRESH]),
        })
        .await;
        for language in *languages {
            site.proxy.ask(crate::proxy::message::get("/a", &[(LANGUAGE, language)])).await;
        }
        let calls = site.origin.calls();
        for is_hit in [false, true] {
            let given = site.get("/a", &[(LANGUAGE, "fr")]).await;
            assert_eq!((given.text(), given.is_hit()), ("fr", is_hit), "{unchanged:?}: {}", given.cache());
        }
        assert_eq!((site.origin.calls(), site.last().field("if-none-match")), (calls + 2, None), "{unchanged:?}");
    }
}

#[tokio::test]
async fn a_304_without_a_tag_means_no_variant_even_if_one_alone_was_offered() {
    let site = Site::new(|request, _| match request.field("if-none-match") {
        Some(_) => reply(304, &[FRESH], ""),
        None => tagged(request, &[FRESH]),
    })
    .await;
    site.get("/a", &[(LANGUAGE, "de")]).await;
    for is_hit in [false, true] {
        let given = site.get("/a", &[(LANGUAGE, "fr")]).await;
        assert_eq!((given.status(), given.text(), given.is_hit()), (200, "fr", is_hit), "{}", given.cache());
    }
}

#[tokio::test]
async fn a_weak_tag_of_another_variant_is_not_offered() {
    for etag in ["W/\"a\"", "unquoted", ""] {
        let site = Site::new(move |request, _| reply(200, &[FRESH, VARY, ("ETag", etag)], language(request))).await;
        for language in ["de", "en", "fr"] {
            assert_eq!(site.get("/a", &[(LANGUAGE, language)]).await.text(), language);
            assert_eq!(site.last().field("if-none-match"), None, "{etag}");
        }
    }
}

#[tokio::test]
async fn a_new_variant_in_answer_to_the_tags_of_others_is_kept_beside_them() {
    let site = Site::new(|request, _| tagged(request, &[FRESH])).await;
    for language in ["de", "en", "fr"] {
        let given = site.get("/a", &[(LANGUAGE, language)]).await;
        assert_eq!((given.text(), said(&given, "stored")), (language, Some("")), "{}", given.cache());
    }
    assert_eq!(offered(&site.last()), ["\"de\"", "\"en\""]);
    for language in ["de", "en", "fr"] {
        assert!(site.get("/a", &[(LANGUAGE, language)]).await.is_hit());
    }
}

#[tokio::test]
async fn a_clients_own_condition_is_not_mixed_with_the_tags_of_variants() {
    let site = Site::new(|request, _| match request.field("if-none-match") {
        Some("\"mine\"") => reply(304, &[FRESH, VARY, ("ETag", "\"mine\"")], ""),
        _ => tagged(request, &[FRESH]),
    })
    .await;
    site.get("/a", &[(LANGUAGE, "de")]).await;
    let given = site.get("/a", &[(LANGUAGE, "fr"), ("If-None-Match", "\"mine\"")]).await;
    assert_eq!((given.status(), site.last().field("if-none-match")), (304, Some("\"mine\"")));
    let given = site.get("/a", &[(LANGUAGE, "fr")]).await;
    assert_eq!(
        (given.status(), given.text()),
        (200, "fr"),
        "a 304 to the client was nothing to keep: {}",
        given.cache()
    );
}

#[tokio::test]
async fn a_304_freshens_all_variants_with_its_strong_tag() {
    let cases: &[(&str, &str, &str, Found)] = &[
        // The tags of the variant that is validated, and of the other; that of the 304; what is found of the other then.
        ("\"a\"", "\"a\"", "\"a\"", Fresh),
        ("\"a\"", "\"b\"", "\"a\"", Stale),
        ("W/\"a\"", "W/\"a\"", "W/\"a\"", Stale),
        ("\"a\"", "W/\"a\"", "\"a\"", Stale),
        ("\"a\"", "\"a\"", "W/\"a\"", Stale),
        ("\"a\"", "\"a\"", "", Stale),
    ];
    for (one, other, new, expected) in cases {
        for validated in ["de", "en"] {
            let site = Site::new(move |request, number| {
                let tag = if language(request) == validated { one } else { other };
                if number <= 2 {
                    return reply(
                        200,
                        &[FRESH, VARY, ("ETag", tag), ("Age", "61"), ("X-Number", "1")],
                        language(request),
                    );
                }
                let new = if language(request) == validated { new } else { other };
                let etag: &[_] = if new.is_empty() { &[] } else { &[("ETag", *new)] };
                reply(304, &[&[FRESH, ("X-Number", "3")], etag].concat(), "")
            })
            .await;
            for language in ["de", "en"] {
                site.get("/a", &[(LANGUAGE, language)]).await;
            }
            let given = site.get("/a", &[(LANGUAGE, validated)]).await;
            assert_eq!((given.text(), given.field("x-number")), (validated, Some("3")));
            let sibling = if validated == "de" { "en" } else { "de" };
            let given = site.get("/a", &[(LANGUAGE, sibling)]).await;
            assert_eq!(
                (given.text(), Found::by(&given)),
                (sibling, *expected),
                "{one} {other} {new}: {}",
                given.cache()
            );
            if *expected == Fresh {
                assert_eq!(given.field("x-number"), Some("3"), "with the new fields");
            }
        }
    }
}

#[tokio::test]
async fn a_stale_variant_is_validated_by_its_own_tag() {
    let site = Site::new(|request, _| match request.field("if-none-match") {
        Some(tags) if tags.contains(language(request)) => reply(304, &[FRESH, ("ETag", tags)], ""),
        _ => tagged(request, &[FRESH, ("Age", "61")]),
    })
    .await;
    let languages = ["de", "en", "fr"];
    for language in languages {
        site.get("/a", &[(LANGUAGE, language)]).await;
    }
    for language in languages {
        let given = site.get("/a", &[(LANGUAGE, language)]).await;
        assert_eq!((given.text(), Found::by(&given)), (language, Stale), "{}", given.cache());
        assert_eq!(offered(&site.last()), [format!("\"{language}\"")]);
    }
}

#[tokio::test]
async fn one_variants_stale_body_does_not_stand_in_for_another() {
    let site = Site::with(&["--stale-if-error", "60s"], |request, _| match language(request) {
        "de" => tagged(request, &[FRESH, ("Age", "61")]),
        "en" => reply(503, &[], "error"),
        _ => BROKEN,
    })
    .await;
    site.get("/a", &[(LANGUAGE, "de")]).await;
    assert_eq!(site.get("/a", &[(LANGUAGE, "en")]).await.status(), 503);
    assert_eq!(site.get("/a", &[(LANGUAGE, "fr")]).await.status(), 502);
}
