//! Statuses, and what a cache has to know of them (§3, §5.2.2.3).

use super::{FRESH, Fresh, Nothing, Site, finds, reply};

#[tokio::test]
async fn any_final_status_with_explicit_freshness_is_kept() {
    const EXPIRES: &[(&str, &str)] = &[("Expires", "@60")];
    let known = [
        200, 201, 202, 203, 204, 205, 207, 226, 300, 301, 302, 303, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406,
        409, 410, 411, 413, 414, 418, 421, 422, 425, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 507, 511,
    ];
    let unknown = [299, 399, 499, 599];
    let mut cases = Vec::new();
    for status in known.into_iter().chain(unknown) {
        cases.extend([(status, &[FRESH] as &'static [_], Fresh), (status, EXPIRES, Fresh)]);
    }
    finds(&cases).await;
}

#[tokio::test]
async fn a_status_comes_back_from_the_cache_as_it_was() {
    let site = Site::new(|request, _| {
        let status = super::number_in(request.target()).try_into().expect("a status");
        reply(status, &[FRESH, ("X-Own", "1")], "what is wrong")
    })
    .await;
    for status in [203, 299, 301, 404, 410, 418, 499, 503, 599] {
        for is_hit in [false, true] {
            let given = site.get(&format!("/{status}"), &[]).await;
            assert_eq!((given.status(), given.is_hit()), (status, is_hit));
            assert_eq!((given.text(), given.field("x-own")), ("what is wrong", Some("1")), "{status}");
        }
    }
}

#[tokio::test]
async fn who_has_to_understand_a_status_keeps_known_ones_alone() {
    const MUST: &[(&str, &str)] = &[("Cache-Control", "must-understand, max-age=60")];
    const BOTH: &[(&str, &str)] = &[("Cache-Control", "must-understand, no-store, max-age=60")];
    const APART: &[(&str, &str)] = &[("Cache-Control", "no-store, max-age=60"), ("Cache-Control", "Must-Understand")];
    const PRIVATE: &[(&str, &str)] = &[("Cache-Control", "must-understand, private, max-age=60")];
    let mut cases = Vec::new();
    for status in [200, 204, 301, 404, 503] {
        cases.extend([
            (status, MUST, Fresh),
            (status, BOTH, Fresh),
            (status, APART, Fresh),
            (status, PRIVATE, Nothing),
        ]);
    }
    for status in [299, 399, 499, 599] {
        cases.extend([(status, MUST, Nothing), (status, BOTH, Nothing), (status, APART, Nothing)]);
    }
    finds(&cases).await;
}
