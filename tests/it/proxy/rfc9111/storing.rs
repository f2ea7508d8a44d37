//! What a response forbids, as a whole or in part (§3, §5.2.2), and whom it was for (§3.5, §7.3).

use super::{Found, Fresh, Nothing, STRONG, Site, Stale, finds_200, reply, said};

#[tokio::test]
async fn what_the_origin_forbids_is_not_kept() {
    finds_200(&[
        (&[("Cache-Control", "no-store")], Nothing),
        (&[("Cache-Control", "no-store, max-age=60")], Nothing),
        (&[("Cache-Control", "no-store=foo, max-age=60")], Nothing),
        (&[("Cache-Control", "NO-STORE"), ("Expires", "@60")], Nothing),
        (&[("Cache-Control", "private, max-age=60")], Nothing),
        (&[("Cache-Control", "Private"), ("Expires", "@60")], Nothing),
        (&[("Cache-Control", "private, s-maxage=60")], Nothing),
        (&[("Cache-Control", "private=\"\", max-age=60")], Nothing),
        (&[("Cache-Control", "private=\"x y\", max-age=60")], Nothing),
        (&[("Cache-Control", "private=\"x-a\", max-age=60")], Fresh),
    ])
    .await;
}

#[tokio::test]
async fn no_cache_is_kept_and_validated_each_time() {
    finds_200(&[
        (&[("Cache-Control", "no-cache")], Stale),
        (&[("Cache-Control", "no-cache, max-age=60")], Stale),
        (&[("Cache-Control", "no-cache, s-maxage=60")], Stale),
        (&[("Cache-Control", "No-Cache"), ("Expires", "@60")], Stale),
        (&[("Cache-Control", "no-cache=\"\", max-age=60")], Stale),
        (&[("Cache-Control", "no-cache=\"x y\", max-age=60")], Stale),
        (&[("Cache-Control", "no-cache=\"x-a\", max-age=60")], Fresh),
        (&[("Cache-Control", "no-cache, immutable, max-age=60")], Stale),
    ])
    .await;
}

#[tokio::test]
async fn immutable_says_nothing_of_freshness() {
    finds_200(&[
        (&[("Cache-Control", "immutable, max-age=60")], Fresh),
        (&[("Cache-Control", "immutable")], Stale),
        (&[("Cache-Control", "immutable, max-age=60"), ("Age", "61")], Stale),
        (&[("Cache-Control", "immutable, no-store, max-age=60")], Nothing),
    ])
    .await;
}

#[tokio::test]
async fn fields_that_no_cache_or_private_name_are_passed_once_and_not_kept() {
    for control in [
        "max-age=60, no-cache=\"x-a, x-b\"",
        "max-age=60, private=\"x-a, x-b\"",
        "max-age=60, private=\"X-A\", no-cache=\"X-B\"",
        "max-age=60, private=X-A, private=x-b",
        "max-age=60, no-cache=\" x-a , , x-b \"",
    ] {
        let fields = [("Cache-Control", control), ("X-A", "1"), ("X-B", "2"), ("X-B", "3"), ("X-C", "4"), STRONG];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let site = Site::new(move |_, _| reply(200, &super::borrowed(&fields), "")).await;
        let first = site.get("/a", &[]).await;
        assert_eq!((first.values("x-a"), first.values("x-b")), (vec!["1"], vec!["2", "3"]), "{control}");
        let hit = site.get("/a", &[]).await;
        assert!(hit.is_hit(), "{control}: {}", hit.cache());
        assert_eq!((hit.values("x-a").len(), hit.values("x-b").len()), (0, 0), "{control}");
        assert_eq!((hit.field("x-c"), hit.field("cache-control")), (Some("4"), Some(control)));
    }
}

#[tokio::test]
async fn an_answer_to_a_request_with_authorization_is_kept_only_where_it_says_so() {
    const CASES: &[(&str, Found)] = &[
        ("max-age=60", Nothing),
        ("proxy-revalidate, max-age=60", Nothing),
        ("immutable, max-age=60", Nothing),
        ("no-cache, max-age=60", Nothing),
        ("private, max-age=60", Nothing),
        ("public, private, max-age=60", Nothing),
        ("public, no-store, max-age=60", Nothing),
        ("public, max-age=60", Fresh),
        ("must-revalidate, max-age=60", Fresh),
        ("s-maxage=60", Fresh),
        ("S-MaxAge=60, max-age=0", Fresh),
        ("s-maxage=0, max-age=60", Stale),
    ];
    let site = Site::new(|request, _| {
        let (control, _) = CASES[super::number_in(request.target())];
        reply(200, &[("Cache-Control", control), STRONG], request.field("authorization").unwrap_or("nobody"))
    })
    .await;
    for (index, (control, expected)) in CASES.iter().enumerate() {
        let target = format!("/{index}");
        let first = site.get(&target, &[("Authorization", "Bearer one")]).await;
        assert_eq!(first.text(), "Bearer one");
        if *expected == Nothing {
            assert_eq!(said(&first, "stored"), None, "{control}");
        }
        let other = site.get(&target, &[("Authorization", "Bearer two")]).await;
        assert_eq!(Found::by(&other), *expected, "{control}");
        assert_eq!(other.text(), if *expected == Fresh { "Bearer one" } else { "Bearer two" }, "{control}");
    }
}

#[tokio::test]
async fn set_cookie_is_kept_only_under_explicit_freshness() {
    finds_200(&[
        (&[("Set-Cookie", "a=b"), ("Cache-Control", "max-age=60")], Fresh),
        (&[("Set-Cookie", "a=b"), ("Expires", "@60")], Fresh),
        (&[("Set-Cookie", "a=b"), ("Cache-Control", "no-cache=\"set-cookie\", max-age=60")], Fresh),
        (&[("Set-Cookie", "a=b")], Nothing),
        (&[("Set-Cookie", "a=b"), ("Last-Modified", "@-100000")], Nothing),
        (&[("Set-Cookie", "a=b"), ("Last-Modified", "@-100000"), ("Cache-Control", "public")], Nothing),
        (&[("Set-Cookie", "a=b"), ("Cache-Control", "no-cache")], Nothing),
    ])
    .await;
    let site = Site::new(|request, _| {
        let control = if request.target() == "/named" { "max-age=60, no-cache=\"Set-Cookie\"" } else { "max-age=60" };
        reply(200, &[("Set-Cookie", "a=b"), ("Set-Cookie", "c=d"), ("Cache-Control", control)], "")
    })
    .await;
    for (target, kept) in [("/named", 0), ("/plain", 2)] {
        assert_eq!(site.get(target, &[]).await.values("set-cookie").len(), 2);
        let hit = site.get(target, &[]).await;
        assert_eq!((hit.is_hit(), hit.values("set-cookie").len()), (true, kept), "{target}");
    }
}

#[tokio::test]
async fn a_response_that_says_nothing_and_has_no_validator_is_not_kept() {
    let site = Site::new(|_, number| reply(200, &[], &number.to_string())).await;
    for number in ["1", "2"] {
        let given = site.get("/a", &[]).await;
        assert_eq!((given.text(), Found::by(&given), said(&given, "stored")), (number, Nothing, None));
        assert_eq!(said(&given, "detail"), Some("no-lifetime"));
    }
}
