//! Fields that speak to this cache before `Cache-Control` and `Expires` (RFC 9213).

use super::{FRESH, Fresh, Nothing, STRONG, Site, Stale, finds_200, reply, said};

const CDN: &str = "CDN-Cache-Control";
const OWN: &str = "Larder-Cache-Control";

#[tokio::test]
async fn a_targeted_field_overrides_cache_control_and_expires() {
    finds_200(&[
        (&[(CDN, "max-age=60"), ("Cache-Control", "no-store")], Fresh),
        (&[(CDN, "max-age=60"), ("Cache-Control", "private")], Fresh),
        (&[(CDN, "max-age=60"), ("Cache-Control", "no-cache")], Fresh),
        (&[(CDN, "max-age=60"), ("Cache-Control", "s-maxage=0")], Fresh),
        (&[(CDN, "max-age=60"), ("Expires", "@-60")], Fresh),
        (&[(CDN, "max-age=60")], Fresh),
        (&[(CDN, "s-maxage=60, max-age=0")], Fresh),
        (&[(CDN, "max-age=0"), FRESH], Stale),
        (&[(CDN, "no-store"), FRESH], Nothing),
        (&[(CDN, "private"), FRESH], Nothing),
        (&[(CDN, "no-cache"), FRESH], Stale),
        (&[(CDN, "no-store=?0, max-age=60")], Fresh),
        // It says nothing of freshness, and then nobody does.
        (&[(CDN, "public"), FRESH, ("Expires", "@60")], Stale),
        (&[(CDN, "unknown=7"), FRESH, ("Expires", "@60")], Stale),
        (&[(CDN, "public"), ("Last-Modified", "@-100000"), ("Cache-Control", "no-store")], Fresh),
        (&[(CDN, "max-age=60"), ("Age", "61")], Stale),
        (&[("cdn-CACHE-control", "max-age=60"), ("Cache-Control", "no-store")], Fresh),
    ])
    .await;
}

#[tokio::test]
async fn larders_own_field_comes_before_that_of_all_shared_caches() {
    finds_200(&[
        (&[(OWN, "max-age=60"), (CDN, "no-store"), ("Cache-Control", "no-store")], Fresh),
        (&[(OWN, "no-store"), (CDN, "max-age=60"), FRESH], Nothing),
        (&[(CDN, "no-store"), (OWN, "max-age=60")], Fresh),
        (&[(OWN, "max-age=\"60\""), (CDN, "max-age=60"), ("Cache-Control", "no-store")], Fresh),
        (&[(OWN, "&"), (CDN, "no-store"), FRESH], Nothing),
        (&[(OWN, "&"), (CDN, "&"), FRESH], Fresh),
        (&[(OWN, ""), (CDN, "no-store"), FRESH], Nothing),
    ])
    .await;
}

#[tokio::test]
async fn a_targeted_field_that_is_no_valid_dictionary_is_ignored() {
    finds_200(&[
        (&[(CDN, "no-store, &"), FRESH], Fresh),
        (&[(CDN, "no-store,"), FRESH], Fresh),
        (&[(CDN, ",no-store"), FRESH], Fresh),
        (&[(CDN, "No-Store"), FRESH], Fresh),
        (&[(CDN, "max-age = 0"), FRESH], Fresh),
        (&[(CDN, "max-age=\"0\""), FRESH], Fresh),
        (&[(CDN, "max-age=0.5"), FRESH], Fresh),
        (&[(CDN, "max-age=zero"), FRESH], Fresh),
        (&[(CDN, "max-age"), FRESH], Fresh),
        (&[(CDN, "no-store=1"), FRESH], Fresh),
        (&[(CDN, "no-store=\"x\""), FRESH], Fresh),
        (&[(CDN, ""), FRESH], Fresh),
        (&[(CDN, "max-age=60, &"), ("Cache-Control", "no-store")], Nothing),
        (&[(CDN, "max-age=99999999999999999"), ("Cache-Control", "no-store")], Nothing),
        (&[(CDN, "max-age=60"), (CDN, "&"), ("Cache-Control", "no-store")], Nothing),
    ])
    .await;
}

#[tokio::test]
async fn a_targeted_field_is_read_as_a_structured_field() {
    finds_200(&[
        (&[(CDN, "max-age=60;a=b;c"), ("Cache-Control", "no-store")], Fresh),
        (&[(CDN, "no-store;a"), FRESH], Nothing),
        (&[(CDN, "public"), (CDN, "max-age=60"), ("Cache-Control", "no-store")], Fresh),
        (&[(CDN, "max-age=0, max-age=60")], Fresh),
        (&[(CDN, "max-age=60, max-age=0")], Stale),
        (&[(CDN, "max-age=-1"), FRESH], Stale),
        (&[(CDN, "max-age=999999999999999")], Fresh),
        (&[(CDN, "unknown=(1 2), max-age=60"), ("Cache-Control", "no-store")], Fresh),
        (&[(CDN, "unknown=\"no-store, max-age=0\", max-age=60")], Fresh),
        (&[(CDN, "  max-age=60\t,  public ")], Fresh),
    ])
    .await;
}

#[tokio::test]
async fn targeted_fields_are_passed_on_whether_or_not_they_counted() {
    let fields =
        [(OWN, "max-age=60"), (CDN, "no-store"), ("Cache-Control", "no-store"), ("Surrogate-Control", "x"), STRONG];
    let site = Site::new(move |_, _| reply(200, &fields, "")).await;
    for is_hit in [false, true] {
        let given = site.get("/a", &[]).await;
        assert_eq!(given.is_hit(), is_hit);
        for (name, value) in fields {
            assert_eq!(given.field(&name.to_ascii_lowercase()), Some(value), "{name}");
        }
    }
}

#[tokio::test]
async fn fields_and_windows_in_a_targeted_field_are_obeyed() {
    let site = Site::new(|request, number| match (request.target(), number) {
        ("/fields", _) => {
            reply(200, &[(CDN, "max-age=60, private=\"x-a\", no-cache=x-b"), ("X-A", "1"), ("X-B", "1")], "")
        }
        ("/window", 1) => reply(200, &[(CDN, "max-age=60, stale-if-error=60"), ("Age", "90"), FRESH], "kept"),
        ("/strict", 1) => reply(200, &[(CDN, "max-age=60, stale-if-error=60, must-revalidate"), ("Age", "90")], "kept"),
        (_, _) => reply(503, &[], "error"),
    })
    .await;
    site.get("/fields", &[]).await;
    let hit = site.get("/fields", &[]).await;
    assert_eq!((hit.is_hit(), hit.field("x-a"), hit.field("x-b")), (true, None, None));
    for (target, text) in [("/window", "kept"), ("/strict", "error")] {
        site.get(target, &[]).await;
        let given = site.get(target, &[]).await;
        assert_eq!(given.text(), text, "{target}");
        assert_eq!(said(&given, "detail") == Some("stale-if-error"), text == "kept", "{}", given.cache());
    }
}

#[tokio::test]
async fn a_targeted_field_allows_what_was_asked_with_authorization() {
    let site = Site::new(|request, _| {
        let control = if request.target() == "/public" { "public, max-age=60" } else { "max-age=60" };
        reply(200, &[(CDN, control), ("Cache-Control", "public, max-age=60")], "")
    })
    .await;
    for (target, kept) in [("/public", true), ("/silent", false)] {
        site.get(target, &[("Authorization", "Bearer one")]).await;
        assert_eq!(site.get(target, &[]).await.is_hit(), kept, "{target}");
    }
}
