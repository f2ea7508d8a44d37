//! How what says it is read: `Cache-Control`, `Expires` and `Age` (§4.2.1, §5.1 to §5.3).

use super::{Fresh, Nothing, Site, Stale, finds_200, reply};

#[tokio::test]
async fn the_nearest_word_on_freshness_counts() {
    finds_200(&[
        (&[("Cache-Control", "max-age=60")], Fresh),
        (&[("Cache-Control", "max-age=0")], Stale),
        (&[("Cache-Control", "s-maxage=60, max-age=0")], Fresh),
        (&[("Cache-Control", "max-age=60, s-maxage=0")], Stale),
        (&[("Cache-Control", "s-maxage=60"), ("Expires", "@-60")], Fresh),
        (&[("Cache-Control", "s-maxage=0"), ("Expires", "@60")], Stale),
        (&[("Cache-Control", "max-age=60"), ("Expires", "@-60")], Fresh),
        (&[("Cache-Control", "max-age=60"), ("Expires", "0")], Fresh),
        (&[("Cache-Control", "max-age=0"), ("Expires", "@60")], Stale),
        (&[("Cache-Control", "public"), ("Expires", "@60")], Fresh),
        (&[("Expires", "@60")], Fresh),
        (&[("Expires", "@-60")], Stale),
        (&[("Expires", "@60"), ("Date", "@0")], Fresh),
        (&[("Expires", "@60"), ("Date", "@60")], Stale),
        (&[("Expires", "@60"), ("Date", "@120")], Stale),
        (&[("Expires", "@60"), ("Date", "nonsense")], Fresh),
        // What an invalid directive would have said is not looked for elsewhere.
        (&[("Cache-Control", "max-age=x"), ("Expires", "@60")], Stale),
        (&[("Cache-Control", "max-age=x"), ("Last-Modified", "@-100000")], Stale),
        (&[("Expires", "0"), ("Last-Modified", "@-100000")], Stale),
        (&[("Cache-Control", "max-age=0"), ("Last-Modified", "@-100000")], Stale),
        (&[], Stale),
    ])
    .await;
}

#[tokio::test]
async fn cache_control_is_read_over_lines_in_any_case_and_spacing() {
    finds_200(&[
        (&[("Cache-Control", "public"), ("Cache-Control", "max-age=60")], Fresh),
        (&[("Cache-Control", "max-age=60"), ("Cache-Control", "foo=bar")], Fresh),
        (&[("Cache-Control", "max-age=60"), ("Cache-Control", "no-store")], Nothing),
        (&[("cAcHe-cOnTrOl", "max-age=60")], Fresh),
        (&[("Cache-Control", "MAX-AGE=60")], Fresh),
        (&[("Cache-Control", "Max-Age=60, No-Store")], Nothing),
        (&[("Cache-Control", "max-age=60 , NO-CACHE")], Stale),
        (&[("Cache-Control", "max-age=\"60\"")], Fresh),
        (&[("Cache-Control", "max-age=\"0\"")], Stale),
        (&[("Cache-Control", "s-maxage=\"60\", max-age=0")], Fresh),
        (&[("Cache-Control", "  \t max-age=60  ")], Fresh),
        (&[("Cache-Control", "public\t,\tmax-age=60")], Fresh),
        (&[("Cache-Control", "public,max-age=60")], Fresh),
        (&[("Cache-Control", ",, ,max-age=60,, ")], Fresh),
        (&[("Cache-Control", ""), ("Cache-Control", "max-age=60")], Fresh),
        (&[("Cache-Control", "max-age = 60")], Fresh),
        (&[("Cache-Control", "max-age=0060")], Fresh),
        (&[("Cache-Control", "foo, bar=\"baz\", max-age=60")], Fresh),
        (&[("Cache-Control", "foo=\"a, b\", max-age=60")], Fresh),
    ])
    .await;
}

#[tokio::test]
async fn what_stands_in_quotes_is_no_directive() {
    finds_200(&[
        (&[("Cache-Control", "extension=\"max-age=60\"")], Stale),
        (&[("Cache-Control", "extension=\"a, max-age=60, b\"")], Stale),
        (&[("Cache-Control", "max-age=0, extension=\"max-age=60\"")], Stale),
        (&[("Cache-Control", "extension=\"max-age=60\", max-age=0")], Stale),
        (&[("Cache-Control", "max-age=60, extension=\"no-store\"")], Fresh),
        (&[("Cache-Control", "max-age=60, extension=\"a, no-store, b\"")], Fresh),
        (&[("Cache-Control", "max-age=60, extension=\"a\\\", no-store\"")], Fresh),
    ])
    .await;
}

#[tokio::test]
async fn other_names_are_not_taken_for_the_directives_that_they_hold() {
    finds_200(&[
        (&[("Cache-Control", "x-max-age=60")], Stale),
        (&[("Cache-Control", "max-age-x=60")], Stale),
        (&[("Cache-Control", "'max-age=60'")], Stale),
        (&[("Cache-Control", "max_age=60")], Stale),
        (&[("Cache-Control", "max-age=60, x-no-store")], Fresh),
        (&[("Cache-Control", "max-age=60, no-storex")], Fresh),
        (&[("Cache-Control", "max-age=60, xno-cache")], Fresh),
    ])
    .await;
}

#[tokio::test]
async fn a_number_that_is_too_great_is_long_and_one_that_is_none_is_stale() {
    finds_200(&[
        (&[("Cache-Control", "max-age=2147483647")], Fresh),
        (&[("Cache-Control", "max-age=2147483648")], Fresh),
        (&[("Cache-Control", "max-age=4294967296")], Fresh),
        (&[("Cache-Control", "max-age=99999999999")], Fresh),
        (&[("Cache-Control", "max-age=18446744073709551616")], Fresh),
        (&[("Cache-Control", "s-maxage=99999999999999999999999999, max-age=0")], Fresh),
        (&[("Cache-Control", "max-age=-1")], Stale),
        (&[("Cache-Control", "max-age=-60")], Stale),
        (&[("Cache-Control", "max-age=+60")], Stale),
        (&[("Cache-Control", "max-age=60.5")], Stale),
        (&[("Cache-Control", "max-age=60.0")], Stale),
        (&[("Cache-Control", "max-age=a60")], Stale),
        (&[("Cache-Control", "max-age=60a")], Stale),
        (&[("Cache-Control", "max-age=6 0")], Stale),
        (&[("Cache-Control", "max-age='60'")], Stale),
        (&[("Cache-Control", "max-age=0x60")], Stale),
        (&[("Cache-Control", "max-age=")], Stale),
        (&[("Cache-Control", "max-age")], Stale),
        (&[("Cache-Control", "max-age=\"\"")], Stale),
        (&[("Cache-Control", "s-maxage=-1, max-age=60")], Stale),
    ])
    .await;
}

#[tokio::test]
async fn of_a_directive_given_twice_the_stricter_counts() {
    finds_200(&[
        (&[("Cache-Control", "max-age=60, max-age=0")], Stale),
        (&[("Cache-Control", "max-age=0, max-age=60")], Stale),
        (&[("Cache-Control", "max-age=60"), ("Cache-Control", "max-age=0")], Stale),
        (&[("Cache-Control", "max-age=0"), ("Cache-Control", "max-age=60")], Stale),
        (&[("Cache-Control", "s-maxage=60, s-maxage=0, max-age=60")], Stale),
        (&[("Cache-Control", "max-age=60, max-age=50")], Fresh),
        (&[("Cache-Control", "max-age=60, max-age=x")], Stale),
        (&[("Cache-Control", "public, private, max-age=60")], Nothing),
        (&[("Cache-Control", "private=\"x-a\", private, max-age=60")], Nothing),
        (&[("Cache-Control", "no-cache=\"x-a\", no-cache, max-age=60")], Stale),
        (&[("Expires", "@-60"), ("Expires", "@60")], Stale),
    ])
    .await;
}

#[tokio::test]
async fn expires_is_read_in_all_three_formats_in_any_case() {
    finds_200(&[
        (&[("Expires", "@600 rfc850")], Fresh),
        (&[("Expires", "@600 asctime")], Fresh),
        (&[("Expires", "@600 lower")], Fresh),
        (&[("Expires", "@600 upper")], Fresh),
        (&[("Expires", "@-600 rfc850")], Stale),
        (&[("Expires", "@-600 asctime")], Stale),
        (&[("Expires", "@-600 lower")], Stale),
        (&[("Expires", "Fri, 31 Dec 9999 23:59:59 GMT")], Fresh),
        (&[("Expires", "@600"), ("Date", "@0 asctime")], Fresh),
        (&[("Expires", "@600"), ("Date", "@600 rfc850")], Stale),
        (&[("Expires", "@600"), ("Date", "@600 lower")], Stale),
    ])
    .await;
}

#[tokio::test]
async fn expires_that_is_no_date_is_one_in_the_past() {
    finds_200(&[
        (&[("Expires", "0")], Stale),
        (&[("Expires", "-1")], Stale),
        (&[("Expires", "")], Stale),
        (&[("Expires", "60")], Stale),
        (&[("Expires", "tomorrow")], Stale),
        (&[("Expires", "@600 UTC")], Stale),
        (&[("Expires", "@600 CET")], Stale),
        (&[("Expires", "@600 +0000")], Stale),
        (&[("Expires", "@600 GMT+1")], Stale),
        (&[("Expires", "Fri, 31 Dec 9999 23:59:59")], Stale),
        (&[("Expires", "31 Dec 9999 23:59:59 GMT")], Stale),
        (&[("Expires", "Fri 31 Dec 9999 23:59:59 GMT")], Stale),
        (&[("Expires", "Fri, 31  Dec 9999 23:59:59 GMT")], Stale),
        (&[("Expires", "Fri, 31-Dec-9999 23:59:59 GMT")], Stale),
        (&[("Expires", "Fri, 31 Dec 9999 23.59.59 GMT")], Stale),
        (&[("Expires", "Fri, 31 Dec 9999 25:59:59 GMT")], Stale),
        (&[("Expires", "Fri, 41 Dec 9999 23:59:59 GMT")], Stale),
        (&[("Expires", "Fri, 31 Abc 9999 23:59:59 GMT")], Stale),
        (&[("Expires", "9999-12-31T23:59:59Z")], Stale),
        (&[("Expires", "Mon, 01 Jan 1900 00:00:00 GMT")], Stale),
    ])
    .await;
}

#[tokio::test]
async fn the_first_age_counts_and_what_is_no_age_is_ignored() {
    finds_200(&[
        (&[("Cache-Control", "max-age=60"), ("Age", "30")], Fresh),
        (&[("Cache-Control", "max-age=60"), ("Age", "61")], Stale),
        (&[("Cache-Control", "max-age=60"), ("Age", "60")], Stale),
        (&[("Cache-Control", "s-maxage=60"), ("Age", "61")], Stale),
        (&[("Expires", "@60"), ("Age", "61")], Stale),
        (&[("Cache-Control", "max-age=60"), ("Age", "0, 61")], Fresh),
        (&[("Cache-Control", "max-age=60"), ("Age", "61, 0")], Stale),
        (&[("Cache-Control", "max-age=60"), ("Age", "0"), ("Age", "61")], Fresh),
        (&[("Cache-Control", "max-age=60"), ("Age", "61"), ("Age", "0")], Stale),
        (&[("Cache-Control", "max-age=60"), ("Age", "61, x")], Stale),
        (&[("Cache-Control", "max-age=60"), ("Age", "061")], Stale),
        (&[("Cache-Control", "max-age=60"), ("Age", "9999")], Stale),
        // So old that it is of no use, not even to be validated.
        (&[("Cache-Control", "max-age=60"), ("Age", "99999999999999999999999")], Nothing),
        (&[("Cache-Control", "max-age=60"), ("Age", "x")], Fresh),
        (&[("Cache-Control", "max-age=60"), ("Age", "-61")], Fresh),
        (&[("Cache-Control", "max-age=60"), ("Age", "61.5")], Fresh),
        (&[("Cache-Control", "max-age=60"), ("Age", "")], Fresh),
    ])
    .await;
}

#[tokio::test]
async fn pragma_in_a_response_says_nothing() {
    finds_200(&[
        (&[("Pragma", "no-cache"), ("Cache-Control", "max-age=60")], Fresh),
        (&[("Pragma", "no-cache"), ("Expires", "@60")], Fresh),
        (&[("Pragma", "no-cache"), ("Last-Modified", "@-100000")], Fresh),
        (&[("Pragma", "max-age=60")], Stale),
    ])
    .await;
    let site = Site::new(|_, _| reply(200, &[super::FRESH, ("Pragma", "no-cache")], "")).await;
    for _ in 0..2 {
        assert_eq!(site.get("/a", &[]).await.field("pragma"), Some("no-cache"), "it is passed on");
    }
}
