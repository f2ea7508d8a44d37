//! What unsafe requests do to what is kept (§4.4), and what of their answers is kept (RFC 9110 §9.3.3).

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{BROKEN, FRESH, Field, Found, Fresh, Nothing, STRONG, Site, reply, said};
use crate::proxy::message::Message;

const UNSAFE: [&str; 7] = ["PUT", "POST", "DELETE", "PATCH", "M-SEARCH", "MKCOL", "put"];

fn is_get(request: &Message) -> bool {
    request.method() == "GET"
}

/// An origin that answers unsafe requests to `/STATUS/…` by that status, with these fields.
async fn site(fields: &'static [Field<'static>]) -> Site {
    Site::new(move |request, number| match request.target().split('/').nth(1).and_then(|one| one.parse().ok()) {
        Some(status) if request.method() != "GET" => reply(status, fields, ""),
        _ => {
            let etag = format!("\"{number}\"");
            reply(200, &[FRESH, ("ETag", &etag), ("Vary", "Accept-Language")], &number.to_string())
        }
    })
    .await
}

async fn is_kept(site: &Site, target: &str, fields: &[Field<'_>]) -> bool {
    Found::by(&site.get(target, fields).await) == Fresh
}

#[tokio::test]
async fn an_unsafe_request_that_succeeds_invalidates_its_uri() {
    let site = site(&[]).await;
    for method in UNSAFE {
        for status in [200, 201, 202, 204, 299, 301, 302, 303, 307, 399] {
            let target = format!("/{status}/{method}?x=1");
            site.get(&target, &[]).await;
            let given = site.ask(method, &target, &[]).await;
            assert_eq!(given.status(), status);
            assert!(given.cache().starts_with("fwd=method"), "{}", given.cache());
            assert!(!is_kept(&site, &target, &[]).await, "{method} {status}");
            assert!(is_kept(&site, &target, &[]).await, "{method} {status}: what came after it is kept");
        }
    }
}

#[tokio::test]
async fn an_unsafe_request_that_fails_invalidates_nothing() {
    let site = site(&[("Location", "/named"), ("Content-Location", "/named")]).await;
    site.get("/named", &[]).await;
    for method in UNSAFE {
        for status in [400, 401, 403, 404, 405, 409, 412, 428, 499, 500, 501, 503, 599] {
            let target = format!("/{status}/{method}");
            site.get(&target, &[]).await;
            assert_eq!(site.ask(method, &target, &[]).await.status(), status);
            assert!(is_kept(&site, &target, &[]).await, "{method} {status}");
        }
    }
    assert!(is_kept(&site, "/named", &[]).await);
}

#[tokio::test]
async fn a_safe_request_invalidates_nothing() {
    let site = site(&[]).await;
    for method in ["OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "HEAD"] {
        let target = format!("/200/{method}");
        site.get(&target, &[]).await;
        site.ask(method, &target, &[]).await;
        assert!(is_kept(&site, &target, &[]).await, "{method}");
    }
}

#[tokio::test]
async fn other_uris_are_not_invalidated() {
    let site = site(&[]).await;
    let others = ["/200", "/200/", "/200/a/", "/200/a?", "/200/a?x=1", "/200/A", "/200/a/b"];
    for target in others {
        site.get(target, &[]).await;
    }
    site.ask("PUT", "/200/a", &[]).await;
    for target in others {
        assert!(is_kept(&site, target, &[]).await, "{target}");
    }
    site.get("/200/~b", &[]).await;
    site.ask("PUT", "/200/%7eb", &[]).await;
    assert!(!is_kept(&site, "/200/~b", &[]).await, "the same URI, written in another way");
    site.get("/200/c", &[("Host", "other.test")]).await;
    site.ask("PUT", "/200/c", &[]).await;
    let given = site.get("/200/c", &[("Host", "other.test")]).await;
    assert!(matches!(Found::by(&given), Fresh | Nothing), "the origin is the same: {}", given.cache());
}

#[tokio::test]
async fn all_that_is_kept_for_the_uri_is_invalidated() {
    let key = "X-Api-Key";
    let requests: &[&[Field<'_>]] = &[
        &[],
        &[(key, "one")],
        &[(key, "two")],
        &[("Accept-Language", "de")],
        &[("Accept-Language", "en"), (key, "one")],
    ];
    for method in ["PUT", "M-SEARCH"] {
        for by in [&[] as &[Field<'_>], &[(key, "one")], &[(key, "three")]] {
            let site = site(&[]).await;
            for fields in requests {
                site.get("/204/a", fields).await;
                assert!(is_kept(&site, "/204/a", fields).await, "{fields:?}");
            }
            site.ask(method, "/204/a", by).await;
            for fields in requests {
                let given = site.get("/204/a", fields).await;
                assert!(!given.is_hit(), "{method} by {by:?}, {fields:?}: {}", given.cache());
                let sent = site.last();
                let offered = sent.field("if-none-match").unwrap_or_default();
                let old = (1..=requests.len()).any(|number| offered.contains(&format!("\"{number}\"")));
                assert!(!old, "nor is it validated: {offered}");
            }
        }
    }
}

#[tokio::test]
async fn parts_and_answers_to_head_are_invalidated_too() {
    let site = Site::new(|request, _| match (request.method(), request.field("range")) {
        ("PUT", _) => reply(204, &[], ""),
        ("HEAD", _) => super::head_of(reply(200, &[FRESH, STRONG], "01234")),
        (_, Some(_)) => reply(206, &[FRESH, STRONG, ("Content-Range", "bytes 0-4/10")], "01234"),
        (_, None) => reply(200, &[], "0123456789"),
    })
    .await;
    let range = ("Range", "bytes=0-4");
    for (target, method, fields) in [("/part", "GET", &[range] as &[_]), ("/head", "HEAD", &[])] {
        site.ask(method, target, fields).await;
        assert!(site.ask(method, target, fields).await.is_hit(), "{target}");
        site.ask("PUT", target, &[]).await;
        assert!(!site.ask(method, target, fields).await.is_hit(), "{target}");
    }
    site.ask("PUT", "/part", &[]).await;
    assert_eq!(site.get("/part", &[]).await.text(), "0123456789");
    assert_eq!(site.last().field("range"), None, "there is nothing to complete");
}

#[tokio::test]
async fn the_uris_that_the_answer_names_on_the_same_host_are_invalidated() {
    for field in ["Location", "Content-Location"] {
        for (value, expected) in [
            ("/list/item", true),
            ("item", true),
            ("../list/item", true),
            ("/list/item#fragment", true),
            ("http://proxy.test/list/item", true),
            ("HTTP://PROXY.TEST:80/list/item", true),
            ("//proxy.test/list/item", true),
            ("http://ORIGIN/list/item", true),
            ("http://other.test/list/item", false),
            ("//other.test/list/item", false),
            ("http://proxy.test:81/list/item", false),
            ("/list/item?x=1", false),
            ("/list/item/", false),
            ("mailto:item", false),
            ("", false),
        ] {
            for method in ["POST", "PUT"] {
                let address = Arc::new(std::sync::OnceLock::<String>::new());
                let known = address.clone();
                let site = Site::new(move |request, number| match is_get(request) {
                    true => reply(200, &[FRESH], &number.to_string()),
                    false => {
                        let value = value.replace("ORIGIN", known.get().expect("known by now"));
                        reply(201, &[(field, &value)], "")
                    }
                })
                .await;
                address.set(site.origin.address().to_string()).expect("set once");
                site.get("/list/item", &[]).await;
                site.ask(method, "/list/all", &[]).await;
                assert_eq!(is_kept(&site, "/list/item", &[]).await, !expected, "{method}, {field}: {value}");
                if method == "POST" && field == "Location" {
                    break;
                }
            }
        }
    }
}

/// The first GET waits for a permit; each is answered by its number, and what changes something by nothing.
async fn holding_the_first() -> (Site, Arc<Semaphore>) {
    Site::holding(
        &[],
        |request, number| is_get(request) && number == 1,
        |request, number| match is_get(request) {
            true => reply(200, &[FRESH], &number.to_string()),
            false => reply(200, &[], ""),
        },
    )
    .await
}

#[tokio::test]
async fn what_was_asked_for_before_a_change_is_not_kept_after_it() {
    for method in UNSAFE {
        let (site, gate) = holding_the_first().await;
        let asked = site.get("/a", &[]);
        let changed = async {
            site.reached(1).await;
            site.ask(method, "/a", &[]).await;
            gate.add_permits(1);
        };
        let (given, ()) = tokio::join!(asked, changed);
        assert_eq!(given.text(), "1", "who asked before gets what was then");
        let given = site.get("/a", &[]).await;
        assert_eq!((given.text(), given.is_hit()), ("3", false), "{method}: {}", given.cache());
        assert!(is_kept(&site, "/a", &[]).await);
    }
}

#[tokio::test]
async fn who_asks_after_a_change_does_not_share_what_was_asked_for_before() {
    let (site, gate) = holding_the_first().await;
    let before = site.get("/a", &[]);
    let after = async {
        site.reached(1).await;
        site.ask("PUT", "/a", &[]).await;
        let given = site.get("/a", &[]).await;
        gate.add_permits(1);
        given
    };
    let (before, after) = tokio::join!(before, after);
    assert_eq!((before.text(), after.text()), ("1", "3"), "{}", after.cache());
    assert_eq!(site.get("/a", &[]).await.text(), "3");
}

const TO_POST: &[(&[Field<'_>], Found)] = &[
    (&[FRESH, ("Content-Location", "/0")], Fresh),
    (&[("Expires", "@60"), ("Content-Location", "/1")], Fresh),
    (&[FRESH, ("Content-Location", "http://proxy.test/2")], Fresh),
    (&[("CDN-Cache-Control", "max-age=60"), ("Content-Location", "/3")], Fresh),
    (&[FRESH, ("Content-Location", "/x")], Nothing),
    (&[FRESH, ("Content-Location", "http://other.test/5")], Nothing),
    (&[FRESH], Nothing),
    (&[("Content-Location", "/7"), ("Last-Modified", "@-100000")], Nothing),
    (&[("Content-Location", "/8"), ("Cache-Control", "public"), ("Last-Modified", "@-100000")], Nothing),
    (&[("Cache-Control", "no-store, max-age=60"), ("Content-Location", "/9")], Nothing),
    (&[("Cache-Control", "private, max-age=60"), ("Content-Location", "/10")], Nothing),
];

#[tokio::test]
async fn an_answer_to_post_that_stands_for_get_replaces_what_was_there() {
    for kept_before in [false, true] {
        let site = Site::new(|request, _| match is_get(request) {
            true => reply(200, &[FRESH, STRONG], "to get"),
            false => reply(200, TO_POST[super::number_in(request.target())].0, "to post"),
        })
        .await;
        for (index, (fields, expected)) in TO_POST.iter().enumerate() {
            let target = format!("/{index}");
            if kept_before {
                site.get(&target, &[]).await;
            }
            let posted = site.ask("POST", &target, &[]).await;
            assert_eq!(
                (posted.text(), said(&posted, "stored").is_some()),
                ("to post", *expected == Fresh),
                "{fields:?}"
            );
            let given = site.get(&target, &[]).await;
            let text = if *expected == Fresh { "to post" } else { "to get" };
            assert_eq!((given.text(), Found::by(&given)), (text, *expected), "{fields:?}: {}", given.cache());
        }
    }
}

#[tokio::test]
async fn an_answer_to_post_answers_no_other_post() {
    let fields = [FRESH, ("Content-Location", "/a")];
    let site = Site::new(move |_, number| reply(200, &fields, &number.to_string())).await;
    for number in ["1", "2"] {
        let given = site.ask("POST", "/a", &[]).await;
        assert_eq!((given.text(), given.is_hit()), (number, false), "{}", given.cache());
    }
    assert_eq!(site.get("/a", &[]).await.text(), "2");
    for (method, number) in [("PUT", "3"), ("PATCH", "5")] {
        assert_eq!(site.ask(method, "/a", &[]).await.text(), number);
        assert!(!is_kept(&site, "/a", &[]).await, "an answer to {method} is no answer to GET");
    }
}

#[tokio::test]
async fn an_answer_to_post_is_kept_only_as_its_request_allows() {
    let fields = [FRESH, ("Content-Location", "/a")];
    for (asked, kept) in [
        (("Cache-Control", "no-cache"), true),
        (("Cache-Control", "no-store"), false),
        (("Authorization", "Bearer one"), false),
    ] {
        let site = Site::new(move |_, _| reply(200, &fields, "to post")).await;
        let posted = site.ask("POST", "/a", &[asked]).await;
        assert_eq!(said(&posted, "stored").is_some(), kept, "{asked:?}: {}", posted.cache());
        assert_eq!(is_kept(&site, "/a", &[]).await, kept, "{asked:?}");
    }
}

#[tokio::test]
async fn the_uris_that_the_answer_names_are_invalidated_for_all_credentials() {
    let site = Site::new(|request, _| match is_get(request) {
        true => reply(200, &[FRESH, ("Vary", "Accept-Language")], ""),
        false => reply(201, &[("Location", "/item")], ""),
    })
    .await;
    let requests: &[&[Field<'_>]] = &[&[], &[("X-Api-Key", "one")], &[("Accept-Language", "de"), ("X-Api-Key", "one")]];
    for fields in requests {
        site.get("/item", fields).await;
    }
    site.ask("POST", "/list", &[("X-Api-Key", "two")]).await;
    for fields in requests {
        let given = site.get("/item", fields).await;
        assert!(!given.is_hit(), "{fields:?}: {}", given.cache());
    }
}

#[tokio::test]
async fn a_304_from_before_a_change_does_not_freshen_what_the_change_made_invalid() {
    for key in [&[] as &[Field<'_>], &[("X-Api-Key", "one")]] {
        for (validated, other) in [("de", "en"), ("en", "de")] {
            let (site, gate) = Site::holding(
                &[],
                |request, _| request.field("if-none-match").is_some() && request.field("x-new").is_none(),
                |request, number| match (is_get(request), request.field("if-none-match")) {
                    (false, _) => reply(204, &[], ""),
                    (true, Some("\"a\"")) if request.field("x-new").is_none() => reply(304, &[FRESH, STRONG], ""),
                    (true, _) => {
                        let age = if number <= 2 { "61" } else { "0" };
                        let etag = if number <= 2 { STRONG } else { ("ETag", "\"b\"") };
                        reply(200, &[FRESH, etag, ("Vary", "Accept-Language"), ("Age", age)], &number.to_string())
                    }
                },
            )
            .await;
            let by = |language| [key, &[("Accept-Language", language)]].concat();
            for language in ["de", "en"] {
                // The one offered the other's tag takes it for a new one all the same.
                site.get("/a", &[by(language), vec![("X-New", "1")]].concat()).await;
            }
            let fields = by(validated);
            let asked = site.get("/a", &fields);
            let changed = async {
                site.reached(3).await;
                site.ask("PUT", "/a", &[]).await;
                gate.add_permits(1);
            };
            let (given, ()) = tokio::join!(asked, changed);
            assert_eq!(given.status(), 200);
            let new = [by(other), vec![("X-New", "1")]].concat();
            let given = site.get("/a", &new).await;
            assert!(!given.is_hit() && given.text() == "5", "{key:?} {validated}: {} {}", given.text(), given.cache());
        }
    }
}

#[tokio::test]
async fn a_change_whose_answer_never_came_is_passed_on_as_a_failure() {
    let site = Site::new(|request, _| if is_get(request) { reply(200, &[FRESH], "") } else { BROKEN }).await;
    site.get("/a", &[]).await;
    assert_eq!(site.ask("PUT", "/a", &[]).await.status(), 502);
}
