//! Age, dates, and freshness that nobody said (§4.2.2, §4.2.3).

use super::{FRESH, Fresh, Nothing, Site, Stale, age, date_in, finds, finds_200, reply, said};

#[tokio::test]
async fn an_old_date_makes_a_response_old() {
    finds_200(&[
        (&[FRESH, ("Date", "@-30")], Fresh),
        (&[FRESH, ("Date", "@-61")], Stale),
        (&[FRESH, ("Date", "@-61 asctime")], Stale),
        (&[FRESH, ("Date", "@-61 rfc850")], Stale),
        (&[FRESH, ("Date", "@-61"), ("Age", "0")], Stale),
        (&[FRESH, ("Date", "@0"), ("Age", "61")], Stale),
        (&[FRESH, ("Date", "@3600")], Fresh),
        (&[FRESH, ("Date", "nonsense")], Fresh),
        (&[FRESH, ("Date", "@-61 CET")], Fresh),
    ])
    .await;
}

#[tokio::test]
async fn the_age_of_a_hit_counts_from_when_the_response_was_made() {
    let cases: &[(&[_], u64)] = &[
        (&[], 0),
        (&[("Age", "30")], 30),
        (&[("Date", "@-30")], 30),
        (&[("Date", "@-30"), ("Age", "40")], 40),
        (&[("Date", "@-40"), ("Age", "30")], 40),
        (&[("Age", "x")], 0),
        (&[("Age", "20, 30")], 20),
    ];
    let site = Site::new(move |request, _| {
        let (fields, _) = cases[super::number_in(request.target())];
        reply(200, &[&[FRESH], fields].concat(), "")
    })
    .await;
    for (index, (fields, expected)) in cases.iter().enumerate() {
        let target = format!("/{index}");
        site.get(&target, &[]).await;
        let hit = site.get(&target, &[]).await;
        assert!(hit.is_hit(), "{fields:?}: {}", hit.cache());
        // The test may be slow, but not by that much.
        assert!((*expected..expected + 10).contains(&age(&hit)), "{fields:?}: {}", age(&hit));
        let ttl: u64 = said(&hit, "ttl").expect("a ttl").parse().expect("a number");
        assert_eq!(ttl + age(&hit), 60, "{fields:?}");
    }
}

#[tokio::test]
async fn how_long_the_origin_took_counts_as_age_and_hits_grow_older() {
    let (site, gate) = Site::holding(&[], |_, _| true, |_, _| reply(200, &[FRESH, ("Age", "5")], "")).await;
    let asked = site.get("/a", &[]);
    let opened = async {
        site.reached(1).await;
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        gate.add_permits(1);
    };
    let (first, ()) = tokio::join!(asked, opened);
    assert!(age(&first) >= 6, "{}", age(&first));
    let hit = site.get("/a", &[]).await;
    assert!(age(&hit) >= 6, "{}", age(&hit));
    site.until("/a", &[], |later| later.is_hit() && age(later) > age(&hit)).await;
}

#[tokio::test]
async fn what_was_fresh_for_a_second_is_stale_after_it() {
    let site = Site::new(|_, number| reply(200, &[("Cache-Control", "max-age=2")], &number.to_string())).await;
    site.get("/a", &[]).await;
    assert!(site.get("/a", &[]).await.is_hit());
    let later = site.until("/a", &[], |given| !given.is_hit()).await;
    assert_eq!(later.text(), "2");
    assert!(later.cache().starts_with("fwd=stale; fwd-status=200; stored"), "{}", later.cache());
}

#[tokio::test]
async fn a_date_is_never_rewritten() {
    for date in ["@0", "@-30", "@30", "@-30 asctime", "@-30 rfc850", "@-30 lower", "nonsense", ""] {
        let date = super::written(date);
        let sent = date.clone();
        let site = Site::new(move |_, _| reply(200, &[FRESH, ("Date", &sent)], "")).await;
        for is_hit in [false, true] {
            let given = site.get("/a", &[]).await;
            assert_eq!((given.field("date"), given.is_hit()), (Some(&*date), is_hit));
        }
    }
}

#[tokio::test]
async fn a_missing_date_is_added_and_stays_the_same() {
    let site = Site::new(|_, _| reply(200, &[("Cache-Control", "max-age=60")], "")).await;
    let before = date_in(-1);
    let first = site.get("/a", &[]).await;
    let parse = |date: &str| httpdate::parse_http_date(date).expect("a date");
    let date = first.field("date").expect("a date").to_owned();
    assert!((parse(&before)..=parse(&date_in(1))).contains(&parse(&date)), "{date}");
    let later = site.until("/a", &[], |given| age(given) > 0).await;
    assert_eq!((later.is_hit(), later.field("date")), (true, Some(&*date)), "it says when the response came");
}

#[tokio::test]
async fn a_heuristic_takes_a_tenth_of_the_time_since_the_last_change() {
    finds_200(&[
        (&[("Last-Modified", "@-1000"), ("Age", "50")], Fresh),
        (&[("Last-Modified", "@-1000"), ("Age", "101")], Stale),
        (&[("Last-Modified", "@-1000"), ("Date", "@-50")], Fresh),
        (&[("Last-Modified", "@-1000"), ("Date", "@-100")], Stale),
        (&[("Last-Modified", "@-1000 asctime"), ("Age", "50")], Fresh),
        (&[("Last-Modified", "@-1000 rfc850"), ("Age", "50")], Fresh),
        (&[("Last-Modified", "@-1000 lower"), ("Age", "50")], Fresh),
        (&[("Last-Modified", "@1000")], Stale),
        (&[("Last-Modified", "@-60"), ("Date", "@-60")], Stale),
        (&[("Last-Modified", "nonsense")], Stale),
        (&[("Last-Modified", "@-1000 CET")], Stale),
        (&[("Last-Modified", "@-1000"), ("Cache-Control", "no-cache")], Stale),
        (&[("Last-Modified", "@-1000"), ("Cache-Control", "no-store")], Nothing),
        (&[("Last-Modified", "@-1000"), ("Cache-Control", "private")], Nothing),
        (&[("Last-Modified", "@-1000"), ("Cache-Control", "must-revalidate")], Fresh),
    ])
    .await;
}

#[tokio::test]
async fn a_heuristic_lasts_for_a_day_at_most() {
    let site = Site::new(|_, _| reply(200, &[("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")], "")).await;
    site.get("/a", &[]).await;
    let ttl: u64 = said(&site.get("/a", &[]).await, "ttl").expect("a ttl").parse().expect("a number");
    assert!((86_000..=86_400).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn only_some_statuses_are_fresh_by_a_heuristic_and_others_need_public() {
    const CHANGED: &[(&str, &str)] = &[("Last-Modified", "@-100000")];
    const PUBLIC: &[(&str, &str)] = &[("Last-Modified", "@-100000"), ("Cache-Control", "public")];
    let heuristic = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];
    let others = [201, 202, 299, 302, 303, 307, 400, 403, 418, 429, 499, 500, 502, 503, 504, 599];
    let mut cases = Vec::new();
    for status in heuristic {
        cases.extend([(status, CHANGED, Fresh), (status, PUBLIC, Fresh)]);
    }
    for status in others {
        cases.extend([(status, CHANGED, Nothing), (status, PUBLIC, Fresh)]);
    }
    finds(&cases).await;
}
