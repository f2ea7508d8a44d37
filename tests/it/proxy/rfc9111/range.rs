//! Ranges of what is kept whole (RFC 9110 §14, §13.1.5).

use super::{FRESH, Field, Found, Fresh, STRONG, Site, Stale, reply};

const CHANGED: Field<'static> = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
const BODY: &str = "0123456789";

/// With the whole in the cache.
async fn site_with(fields: &'static [Field<'static>]) -> Site {
    let site = Site::new(move |_, _| reply(200, fields, BODY)).await;
    assert_eq!(site.get("/a", &[]).await.text(), BODY);
    site
}

#[tokio::test]
async fn a_range_comes_out_of_the_whole() {
    let site = site_with(&[FRESH, STRONG, CHANGED, ("Content-Type", "text/plain"), ("X-Own", "1")]).await;
    let cases = [
        ("bytes=2-5", "2345", "bytes 2-5/10"),
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=9-9", "9", "bytes 9-9/10"),
        ("bytes=0-9", BODY, "bytes 0-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=8-99999999999999999999999", "89", "bytes 8-9/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=0-", BODY, "bytes 0-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-10", BODY, "bytes 0-9/10"),
        ("bytes=-99", BODY, "bytes 0-9/10"),
        ("Bytes=2-5", "2345", "bytes 2-5/10"),
        ("bytes= ,2-5", "2345", "bytes 2-5/10"),
    ];
    for (range, text, content_range) in cases {
        let given = site.get("/a", &[("Range", range)]).await;
        assert_eq!((given.status(), given.text(), given.is_hit()), (206, text, true), "{range}: {}", given.cache());
        assert_eq!(given.field("content-range"), Some(content_range), "{range}");
        assert_eq!(given.field("content-length"), Some(&*text.len().to_string()), "{range}");
        for (name, value) in [STRONG, CHANGED, FRESH, ("Content-Type", "text/plain"), ("X-Own", "1")] {
            assert_eq!(given.field(&name.to_ascii_lowercase()), Some(value), "{range}");
        }
        assert!(given.field("date").is_some() && given.field("age").is_some());
    }
    assert_eq!(site.origin.calls(), 1);
}

#[tokio::test]
async fn a_range_past_the_end_is_not_satisfiable() {
    let site = site_with(&[FRESH, STRONG, ("Content-Type", "text/plain"), ("Content-Encoding", "x")]).await;
    for range in ["bytes=10-", "bytes=10-20", "bytes=99999999999999999999-", "bytes=-0"] {
        let given = site.get("/a", &[("Range", range)]).await;
        assert_eq!((given.status(), given.text(), given.is_hit()), (416, "", true), "{range}: {}", given.cache());
        assert_eq!((given.field("content-range"), given.field("content-length")), (Some("bytes */10"), Some("0")));
        assert_eq!((given.field("content-type"), given.field("content-encoding")), (None, None));
    }
    assert_eq!(site.get("/a", &[]).await.text(), BODY);
    assert_eq!(site.origin.calls(), 1);
}

#[tokio::test]
async fn several_ranges_and_ranges_of_what_is_not_200_get_the_whole() {
    let site = site_with(&[FRESH, STRONG]).await;
    for range in ["bytes=0-1,3-4", "bytes=0-1, -1", "bytes=0-0,0-0,0-0"] {
        let given = site.get("/a", &[("Range", range)]).await;
        assert_eq!((given.status(), given.text(), given.is_hit()), (200, BODY, true), "{range}");
        assert_eq!(given.field("content-range"), None);
    }
    let site = Site::new(|_, _| reply(404, &[FRESH, STRONG], BODY)).await;
    site.get("/a", &[]).await;
    let given = site.get("/a", &[("Range", "bytes=0-1")]).await;
    assert_eq!((given.status(), given.text(), given.is_hit()), (404, BODY, true));
}

#[tokio::test]
async fn a_range_that_cannot_be_read_is_for_the_origin_to_judge() {
    let site = site_with(&[FRESH, STRONG]).await;
    for (number, range) in (2..).zip(["lines=0-1", "bytes=5-2", "bytes=x", "bytes 0-1", "bytes=0-1;x"]) {
        let given = site.get("/a", &[("Range", range)]).await;
        assert_eq!((given.status(), given.text()), (200, BODY), "{range}");
        assert!(given.cache().starts_with("fwd=bypass"), "{}", given.cache());
        assert_eq!((site.origin.calls(), site.last().field("range")), (number, Some(range)));
    }
}

#[tokio::test]
async fn if_range_holds_for_the_same_strong_tag_and_the_date_of_the_last_change() {
    const TAGGED: &[Field<'_>] = &[FRESH, STRONG, CHANGED];
    const WEAK: &[Field<'_>] = &[FRESH, ("ETag", "W/\"a\""), CHANGED];
    const DATED: &[Field<'_>] = &[FRESH, CHANGED];
    const JUST: &[Field<'_>] = &[("Cache-Control", "max-age=2147483648"), CHANGED, ("Date", CHANGED.1)];
    let cases: &[(&'static [Field<'static>], &str, bool)] = &[
        (TAGGED, "\"a\"", true),
        (TAGGED, "\"b\"", false),
        (TAGGED, "W/\"a\"", false),
        (TAGGED, "\"a\", \"b\"", false),
        (TAGGED, "a", false),
        (TAGGED, "*", false),
        (TAGGED, "", false),
        (TAGGED, CHANGED.1, true),
        (TAGGED, "Sunday, 06-Nov-94 08:49:37 GMT", true),
        (TAGGED, "Sun, 06 Nov 1994 08:49:36 GMT", false),
        (TAGGED, "Sun, 06 Nov 1994 08:49:38 GMT", false),
        (WEAK, "W/\"a\"", false),
        (WEAK, "\"a\"", false),
        (DATED, "\"a\"", false),
        (DATED, CHANGED.1, true),
        (JUST, CHANGED.1, false),
        (&[FRESH], CHANGED.1, false),
        (&[FRESH], "\"a\"", false),
    ];
    for (stored, if_range, holds) in cases {
        let site = site_with(stored).await;
        let given = site.get("/a", &[("Range", "bytes=2-5"), ("If-Range", if_range)]).await;
        let expected = if *holds { (206, "2345") } else { (200, BODY) };
        assert_eq!(site.origin.calls(), 1, "{stored:?} {if_range}: {}", given.cache());
        assert_eq!((given.status(), given.text()), expected, "{stored:?} {if_range}");
    }
    let site = site_with(TAGGED).await;
    let given = site.get("/a", &[("If-Range", "\"b\"")]).await;
    assert_eq!((given.status(), given.is_hit()), (200, true), "without a range it asks nothing");
}

#[tokio::test]
async fn conditions_come_before_ranges() {
    let site = site_with(&[FRESH, STRONG, CHANGED]).await;
    let range = ("Range", "bytes=2-5");
    for (condition, status) in [
        (("If-None-Match", "\"a\""), 304),
        (("If-None-Match", "\"b\""), 206),
        (("If-Modified-Since", CHANGED.1), 304),
        (("If-Modified-Since", "Sun, 06 Nov 1994 08:49:36 GMT"), 206),
    ] {
        let given = site.get("/a", &[range, condition]).await;
        assert_eq!((given.status(), given.is_hit()), (status, true), "{condition:?}");
        assert_eq!(given.field("content-range").is_some(), status == 206, "{condition:?}");
    }
    assert_eq!(site.origin.calls(), 1);
}

#[tokio::test]
async fn a_range_in_a_request_for_the_head_asks_nothing() {
    let site = site_with(&[FRESH, STRONG]).await;
    let given = site.ask("HEAD", "/a", &[("Range", "bytes=2-5")]).await;
    assert_eq!((given.status(), given.is_hit(), given.field("content-length")), (200, true, Some("10")));
    assert_eq!(given.field("content-range"), None);
}

#[tokio::test]
async fn a_range_of_what_is_stale_comes_out_of_the_whole_when_it_has_been_validated() {
    let site = Site::new(|request, _| match request.field("if-none-match") {
        Some("\"a\"") => reply(304, &[FRESH, STRONG], ""),
        _ => reply(200, &[FRESH, STRONG, ("Age", "61")], BODY),
    })
    .await;
    site.get("/a", &[]).await;
    let given = site.get("/a", &[("Range", "bytes=2-5")]).await;
    assert_eq!((given.status(), given.text(), Found::by(&given)), (206, "2345", Stale), "{}", given.cache());
    let given = site.get("/a", &[("Range", "bytes=-1")]).await;
    assert_eq!((given.status(), given.text(), Found::by(&given)), (206, "9", Fresh));
    assert_eq!(site.origin.calls(), 2);
}

#[tokio::test]
async fn a_range_of_a_body_without_a_length_has_one_when_it_is_kept() {
    let site = Site::new(|_, _| {
        let head = reply(200, &[FRESH, STRONG, ("Transfer-Encoding", "chunked")], "");
        [&head[..], b"4\r\n0123\r\n6;x=y\r\n456789\r\n0\r\n\r\n"].concat()
    })
    .await;
    assert_eq!(site.get("/a", &[]).await.text(), BODY);
    let given = site.get("/a", &[("Range", "bytes=-3")]).await;
    assert_eq!((given.status(), given.text(), given.field("content-range")), (206, "789", Some("bytes 7-9/10")));
    assert_eq!(given.field("content-length"), Some("3"));
}

#[tokio::test]
async fn the_whole_in_answer_to_a_range_is_kept_as_the_whole() {
    let site = Site::new(|_, _| reply(200, &[FRESH, STRONG], BODY)).await;
    assert_eq!(site.get("/a", &[("Range", "bytes=2-5")]).await.text(), BODY);
    let whole = site.get("/a", &[]).await;
    assert_eq!((whole.text(), whole.is_hit()), (BODY, true), "{}", whole.cache());
    assert_eq!(site.get("/a", &[("Range", "bytes=2-5")]).await.text(), "2345");
}

#[tokio::test]
async fn that_a_range_was_not_satisfiable_answers_no_other_request() {
    let cases: &[&'static [Field<'static>]] = &[
        &[FRESH, STRONG],
        &[FRESH, STRONG, ("Content-Range", "bytes */10")],
        &[("Expires", "@60")],
        &[("Cache-Control", "public"), ("Last-Modified", "@-100000")],
    ];
    for fields in cases {
        let fields = *fields;
        let site = Site::new(move |request, _| match request.field("range") {
            Some(_) => reply(416, fields, "no such range"),
            None => reply(200, &[FRESH, STRONG], BODY),
        })
        .await;
        assert_eq!(site.get("/a", &[("Range", "bytes=10-")]).await.status(), 416);
        let whole = site.get("/a", &[]).await;
        assert_eq!((whole.status(), whole.text()), (200, BODY), "{fields:?}: {}", whole.cache());
    }
}

#[tokio::test]
async fn that_a_range_is_not_satisfiable_any_more_does_not_replace_the_whole() {
    let site = Site::new(|request, _| match (request.field("range"), request.field("if-none-match")) {
        (Some(_), Some(_)) => reply(416, &[FRESH, ("ETag", "\"b\""), ("Content-Range", "bytes */3")], ""),
        (_, Some(_)) => reply(304, &[FRESH, STRONG], ""),
        (_, None) => reply(200, &[FRESH, STRONG, ("Age", "61")], BODY),
    })
    .await;
    site.get("/a", &[]).await;
    let given = site.get("/a", &[("Range", "bytes=5-")]).await;
    assert_eq!((given.status(), given.field("content-range")), (416, Some("bytes */3")), "{}", given.cache());
    let whole = site.get("/a", &[]).await;
    assert_eq!((whole.status(), whole.text()), (200, BODY), "{}", whole.cache());
}
