//! Parts of responses: kept, served, completed, put together, and when not (§3.3, §3.4).

use super::{FRESH, Field, Found, Fresh, STRONG, Site, reply, said};
use crate::proxy::message::Message;

const BODY: &str = "0123456789";
const OTHER: Field<'static> = ("ETag", "\"b\"");
const WEAK: Field<'static> = ("ETag", "W/\"a\"");

/// The part of the body that a request asks for by `first-last`, `first-` or `-count`; the whole, if by nothing.
fn part_of(request: &Message, fields: &[Field<'_>]) -> Vec<u8> {
    let Some(range) = request.field("range").and_then(|range| range.strip_prefix("bytes=")) else {
        return reply(200, fields, BODY);
    };
    let (first, last) = range.split_once('-').expect("a range");
    let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, last.min(9)),
        (Ok(first), Err(_)) => (first, 9),
        (Err(_), Ok(count)) => (10 - count, 9),
        (Err(_), Err(_)) => panic!("{range}"),
    };
    let content_range = format!("bytes {first}-{last}/10");
    reply(206, &[fields, &[("Content-Range", &content_range)]].concat(), &BODY[first..=last])
}

fn range(value: &str) -> Field<'_> {
    ("Range", value)
}

#[tokio::test]
async fn a_part_answers_ranges_within_it() {
    let site = Site::new(|request, _| part_of(request, &[FRESH, STRONG, ("X-Own", "1")])).await;
    let first = site.get("/a", &[range("bytes=3-9")]).await;
    assert_eq!((first.status(), first.text(), first.field("content-range")), (206, "3456789", Some("bytes 3-9/10")));
    assert!(said(&first, "stored").is_some(), "{}", first.cache());
    for (asked, text, content_range) in [
        ("bytes=3-9", "3456789", "bytes 3-9/10"),
        ("bytes=4-5", "45", "bytes 4-5/10"),
        ("bytes=9-9", "9", "bytes 9-9/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
    ] {
        let given = site.get("/a", &[range(asked)]).await;
        assert_eq!((given.status(), given.text(), given.is_hit()), (206, text, true), "{asked}: {}", given.cache());
        assert_eq!(given.field("content-range"), Some(content_range), "{asked}");
        assert_eq!(given.field("content-length"), Some(&*text.len().to_string()), "{asked}");
        assert_eq!((given.field("etag"), given.field("x-own")), (Some("\"a\""), Some("1")));
        assert!(given.field("age").is_some());
    }
    assert_eq!(site.origin.calls(), 1);
    for (number, asked) in (2..).zip(["bytes=2-3", "bytes=0-1", "bytes=-8"]) {
        let site = Site::new(|request, _| part_of(request, &[FRESH, STRONG])).await;
        site.get("/a", &[range("bytes=3-9")]).await;
        let given = site.get("/a", &[range(asked)]).await;
        assert!(given.cache().starts_with("fwd=partial"), "{number} {asked}: {}", given.cache());
        assert_eq!((site.origin.calls(), site.last().field("range")), (2, Some(asked)));
    }
}

#[tokio::test]
async fn a_part_of_something_of_unknown_length_answers_ranges_within_it() {
    let site = Site::new(|_, _| reply(206, &[FRESH, STRONG, ("Content-Range", "bytes 0-4/*")], "01234")).await;
    site.get("/a", &[range("bytes=0-4")]).await;
    let given = site.get("/a", &[range("bytes=1-2")]).await;
    assert_eq!((given.text(), given.field("content-range"), given.is_hit()), ("12", Some("bytes 1-2/*"), true));
    for asked in ["bytes=-1", "bytes=1-", "bytes=4-5"] {
        assert!(!site.get("/a", &[range(asked)]).await.is_hit(), "{asked}");
    }
}

#[tokio::test]
async fn a_part_heeds_if_range_and_what_the_request_asks_of_caches() {
    for (field, is_hit) in [
        (("If-Range", "\"a\""), true),
        (("If-Range", "W/\"a\""), false),
        (("If-Range", "\"b\""), false),
        (("If-None-Match", "\"b\""), false),
        (("Cache-Control", "no-cache"), false),
        (("Cache-Control", "max-stale"), true),
        (("Cache-Control", "min-fresh=100"), false),
    ] {
        let site = Site::new(|request, _| part_of(request, &[FRESH, STRONG])).await;
        site.get("/a", &[range("bytes=0-4")]).await;
        let given = site.get("/a", &[range("bytes=1-2"), field]).await;
        assert_eq!((given.text(), given.is_hit()), ("12", is_hit), "{field:?}: {}", given.cache());
        let sent = site.last();
        assert_eq!(sent.field(&field.0.to_ascii_lowercase()), (!is_hit).then_some(field.1), "as the client sent it");
    }
}

#[tokio::test]
async fn a_part_is_completed_with_what_it_lacks() {
    let site = Site::new(|request, number| {
        let number = number.to_string();
        part_of(request, &[FRESH, STRONG, ("Content-Type", "text/plain"), ("X-Number", &number)])
    })
    .await;
    site.get("/a", &[range("bytes=0-4")]).await;
    let whole = site.get("/a", &[]).await;
    let sent = site.last();
    assert_eq!((sent.field("range"), sent.field("if-range")), (Some("bytes=5-"), Some("\"a\"")));
    assert!(
        whole.cache().starts_with("fwd=partial; fwd-status=20") && said(&whole, "stored").is_some(),
        "{}",
        whole.cache()
    );
    let hit = site.get("/a", &[]).await;
    for given in [&whole, &hit] {
        assert_eq!((given.status(), given.text(), given.field("content-length")), (200, BODY, Some("10")));
        assert_eq!((given.field("content-range"), given.field("x-number")), (None, Some("2")));
        assert_eq!((given.field("etag"), given.field("content-type")), (Some("\"a\""), Some("text/plain")));
    }
    assert!(hit.is_hit(), "{}", hit.cache());
    assert_eq!(site.get("/a", &[range("bytes=4-5")]).await.text(), "45");
    assert_eq!(site.origin.calls(), 2);
}

#[tokio::test]
async fn a_whole_that_came_in_place_of_the_rest_is_the_answer() {
    let site = Site::new(|request, number| match number {
        1 => part_of(request, &[FRESH, STRONG]),
        _ => reply(200, &[FRESH, OTHER], "another"),
    })
    .await;
    site.get("/a", &[range("bytes=0-4")]).await;
    for is_hit in [false, true] {
        let given = site.get("/a", &[]).await;
        assert_eq!((given.status(), given.text(), given.is_hit()), (200, "another", is_hit), "{}", given.cache());
    }
    assert_eq!(site.get("/a", &[range("bytes=0-1")]).await.text(), "an", "the old part is gone");
}

#[tokio::test]
async fn what_is_not_the_rest_is_not_put_behind_a_part() {
    let answers: &[(u16, &[Field<'_>], &str)] = &[
        (206, &[FRESH, OTHER, ("Content-Range", "bytes 5-9/10")], "56789"),
        (206, &[FRESH, WEAK, ("Content-Range", "bytes 5-9/10")], "56789"),
        (206, &[FRESH, ("Content-Range", "bytes 5-9/10")], "56789"),
        (206, &[FRESH, STRONG, ("Content-Range", "bytes 6-9/10")], "6789"),
        (206, &[FRESH, STRONG, ("Content-Range", "bytes 4-9/10")], "456789"),
        (206, &[FRESH, STRONG, ("Content-Range", "bytes 5-8/10")], "5678"),
        (206, &[FRESH, STRONG, ("Content-Range", "bytes 5-10/11")], "56789x"),
        (206, &[FRESH, STRONG, ("Content-Range", "bytes 5-9/*")], "56789"),
        (206, &[FRESH, STRONG], "56789"),
        (416, &[FRESH, STRONG, ("Content-Range", "bytes */10")], ""),
    ];
    for (index, (_, fields, text)) in answers.iter().enumerate() {
        let site = Site::new(move |request, number| match number {
            1 => part_of(request, &[FRESH, STRONG]),
            2 => reply(answers[index].0, answers[index].1, answers[index].2),
            _ => reply(200, &[FRESH, OTHER], "the whole"),
        })
        .await;
        site.get("/a", &[range("bytes=0-4")]).await;
        let given = site.get("/a", &[]).await;
        assert_eq!((given.status(), given.text()), (200, "the whole"), "{fields:?} {text}: {}", given.cache());
        let plain = site.last();
        assert_eq!((site.origin.calls(), plain.field("range"), plain.field("if-range")), (3, None, None));
        assert_eq!(site.get("/a", &[]).await.text(), "the whole");
    }
}

#[tokio::test]
async fn a_part_that_lacks_its_beginning_or_a_strong_tag_is_not_asked_to_be_completed() {
    let cases: &[(&str, &'static [Field<'static>])] = &[
        ("bytes=1-4", &[FRESH, STRONG]),
        ("bytes=0-4", &[FRESH, WEAK]),
        ("bytes=0-4", &[FRESH]),
        ("bytes=0-4", &[FRESH, ("ETag", "a")]),
        ("bytes=0-4", &[FRESH, ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")]),
    ];
    for (asked, fields) in cases {
        let fields = *fields;
        let site = Site::new(move |request, _| part_of(request, fields)).await;
        site.get("/a", &[range(asked)]).await;
        let given = site.get("/a", &[]).await;
        assert_eq!((given.status(), given.text()), (200, BODY), "{fields:?}");
        let sent = site.last();
        assert_eq!((sent.field("range"), sent.field("if-range")), (None, None), "{asked} {fields:?}");
    }
}

#[tokio::test]
async fn a_stale_part_is_not_served_but_may_be_completed() {
    let site = Site::new(|request, number| {
        let age = if number == 1 { "61" } else { "0" };
        part_of(request, &[FRESH, STRONG, ("Age", age)])
    })
    .await;
    site.get("/a", &[range("bytes=0-4")]).await;
    let whole = site.get("/a", &[]).await;
    assert_eq!((whole.status(), whole.text()), (200, BODY), "{}", whole.cache());
    assert_eq!(Found::by(&site.get("/a", &[]).await), Fresh);
    let site = Site::new(|request, _| part_of(request, &[FRESH, STRONG, ("Age", "61")])).await;
    site.get("/a", &[range("bytes=0-4")]).await;
    let given = site.get("/a", &[range("bytes=1-2")]).await;
    assert_eq!((given.text(), given.is_hit(), site.origin.calls()), ("12", false, 2), "{}", given.cache());
}

#[tokio::test]
async fn a_rest_that_breaks_off_leaves_the_part_as_it_was() {
    let site = Site::new(|request, number| {
        let mut bytes = part_of(request, &[FRESH, STRONG]);
        if number == 2 {
            bytes = part_of(request, &[FRESH, STRONG, ("Connection", "close")]);
            bytes.truncate(bytes.len() - 2);
        }
        bytes
    })
    .await;
    site.get("/a", &[range("bytes=0-4")]).await;
    let broken = site.proxy.connect().await.try_ask(crate::proxy::message::get("/a", &[])).await;
    assert!(broken.is_err(), "{broken:?}");
    let whole = site.get("/a", &[]).await;
    assert_eq!((whole.text(), whole.is_hit()), (BODY, false), "{}", whole.cache());
    assert_eq!(site.get("/a", &[]).await.text(), BODY);
}

#[tokio::test]
async fn a_part_is_for_its_variant_alone() {
    let site = Site::new(|request, _| part_of(request, &[FRESH, STRONG, ("Vary", "Accept-Language")])).await;
    let german = ("Accept-Language", "de");
    site.get("/a", &[range("bytes=0-4"), german]).await;
    assert!(site.get("/a", &[range("bytes=1-2"), german]).await.is_hit());
    let other = site.get("/a", &[range("bytes=1-2"), ("Accept-Language", "en")]).await;
    assert!(!other.is_hit(), "{}", other.cache());
}

#[tokio::test]
async fn a_rest_that_varies_otherwise_does_not_answer_what_it_must_not() {
    let site = Site::new(|request, number| match number {
        1 => part_of(request, &[FRESH, STRONG]),
        2 => part_of(request, &[FRESH, STRONG, ("Vary", "Accept-Language")]),
        _ => reply(200, &[FRESH, OTHER, ("Vary", "Accept-Language")], "english"),
    })
    .await;
    let german = [("Accept-Language", "de")];
    site.get("/a", &[range("bytes=0-4"), german[0]]).await;
    assert_eq!(site.get("/a", &german).await.text(), BODY);
    let other = site.get("/a", &[("Accept-Language", "en")]).await;
    assert_eq!(other.text(), "english", "{}", other.cache());
}

#[tokio::test]
async fn a_part_is_completed_once_for_all_that_ask_at_once() {
    let (site, gate) = Site::holding(
        &[],
        |request, _| request.field("if-range").is_some(),
        |request, _| part_of(request, &[FRESH, STRONG]),
    )
    .await;
    site.get("/a", &[range("bytes=0-4")]).await;
    let asked = futures_util::future::join_all((0..5).map(|_| site.get("/a", &[])));
    let opened = async {
        site.reached(2).await;
        gate.add_permits(5);
    };
    let (given, ()) = tokio::join!(asked, opened);
    assert!(given.iter().all(|given| (given.status(), given.text()) == (200, BODY)), "{given:?}");
    assert_eq!(site.origin.calls(), 2);
}
