//! Targeted fields (RFC 9213): `Cache-Control` for caches of one kind, such as `CDN-Cache-Control`.
//!
//! They are Dictionaries of structured fields (RFC 9651 §3.2), and read as strictly as those ask: what `Cache-Control`
//! would make the best of costs the whole field here, so that all caches agree on which field it is that counts.

use std::{borrow::Cow, convert::Infallible, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{
    BareItemFromInput, KeyRef, Parser, StringRef, TokenRef,
    visitor::{DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor},
};

use super::response::{FieldNames, ResponseDirectives};
use crate::header::delta_seconds;

impl ResponseDirectives {
    /// Reads the first of the `targets` that counts (RFC 9213 §2.2). `Cache-Control` and `Expires` are then to be
    /// ignored; `None` says that they are what counts.
    ///
    /// A target is passed over if it is absent, empty, or no valid Dictionary with all its lines joined. So it is if a
    /// directive that is known has a value of another type than its own (§2.1): an Integer for lifetimes and windows,
    /// a Boolean for the others, and also a String or a Token of field names for `no-cache` and `private`. A directive
    /// that is false is as good as absent. Parameters, and directives that are not known, are ignored.
    ///
    /// Of a directive given twice the last one counts (RFC 9651 §3.2). A negative Integer is zero. Does not allocate
    /// where no target is present.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use http::{HeaderMap, HeaderName, HeaderValue};
    /// use larder::header::cache_control::ResponseDirectives;
    ///
    /// let targets = [HeaderName::from_static("example-cache-control"), HeaderName::from_static("cdn-cache-control")];
    /// let mut headers = HeaderMap::new();
    /// headers.insert("cache-control", HeaderValue::from_static("no-store"));
    /// assert_eq!(ResponseDirectives::targeted(&headers, &targets), None);
    ///
    /// headers.insert("cdn-cache-control", HeaderValue::from_static("max-age=600"));
    /// let directives = ResponseDirectives::targeted(&headers, &targets).expect("one of them counts");
    /// assert_eq!(directives.max_age, Some(Duration::from_secs(600)));
    /// assert!(!directives.no_store);
    /// ```
    #[must_use]
    pub fn targeted(headers: &HeaderMap, targets: &[HeaderName]) -> Option<Self> {
        targets.iter().find_map(|target| {
            let value = joined(headers, target)?;
            Parser::new(&value).parse_dictionary_with_visitor(Dictionary::default()).ok()?
        })
    }

    /// Takes over a member of the Dictionary; `None` if its value has the wrong type.
    ///
    /// What was there before is replaced, as the last of several members with one name is the one that counts.
    fn set(&mut self, name: &str, value: Value<'_, '_>) -> Option<()> {
        match name {
            "no-store" => self.no_store = boolean(value)?,
            "no-cache" => self.no_cache = field_names(value)?,
            "private" => self.private = field_names(value)?,
            "public" => self.public = boolean(value)?,
            "max-age" => self.max_age = Some(seconds(value)?),
            "s-maxage" => self.s_maxage = Some(seconds(value)?),
            "must-revalidate" => self.must_revalidate = boolean(value)?,
            "proxy-revalidate" => self.proxy_revalidate = boolean(value)?,
            "must-understand" => self.must_understand = boolean(value)?,
            "immutable" => self.immutable = boolean(value)?,
            "no-transform" => self.no_transform = boolean(value)?,
            "stale-while-revalidate" => self.stale_while_revalidate = Some(seconds(value)?),
            "stale-if-error" => self.stale_if_error = Some(seconds(value)?),
            _ => {}
        }
        Some(())
    }
}

/// The value of a member; `None` is an Inner List, the type of no directive that is known.
type Value<'a, 'de> = Option<&'a BareItemFromInput<'de>>;

/// The Dictionary as far as it has been read.
#[derive(Debug, Default)]
struct Dictionary<'a> {
    directives: ResponseDirectives,
    has_members: bool,
    /// Directives whose value has the wrong type, each once. One may yet be given again with the right type, and the
    /// last one counts: so the field is invalid only if any are left at the end.
    mistyped: Vec<&'a str>,
}

/// A member of which the name has been read.
struct Member<'a, 'de> {
    dictionary: &'a mut Dictionary<'de>,
    name: &'de str,
}

impl<'de> DictionaryVisitor<'de> for Dictionary<'de> {
    type Out = Option<ResponseDirectives>;
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        self.has_members = true;
        Ok(Member { dictionary: self, name: key.as_str() })
    }

    fn finish(self) -> Result<Self::Out, Infallible> {
        Ok((self.has_members && self.mistyped.is_empty()).then_some(self.directives))
    }
}

impl Member<'_, '_> {
    fn set(self, value: Value<'_, '_>) {
        self.dictionary.mistyped.retain(|name| *name != self.name);
        if self.dictionary.directives.set(self.name, value).is_none() {
            self.dictionary.mistyped.push(self.name);
        }
    }
}

impl<'de> EntryVisitor<'de> for Member<'_, 'de> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        Ok(move |value: BareItemFromInput<'de>| {
            self.set(Some(&value));
            Ok::<_, Infallible>(Ignored)
        })
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        self.set(None);
        Ok(Ignored)
    }
}

/// All lines of a field as one value (RFC 9651 §4.2); `None` if there are none.
fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut lines = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    let mut value = Cow::Borrowed(lines.next()?);
    for line in lines {
        let value = value.to_mut();
        value.extend_from_slice(b", ");
        value.extend_from_slice(line);
    }
    Some(value)
}

/// A directive without an argument.
fn boolean(value: Value<'_, '_>) -> Option<bool> {
    value?.as_boolean()
}

/// `delta-seconds`, which are an Integer here.
fn seconds(value: Value<'_, '_>) -> Option<Duration> {
    let integer = i64::from(value?.as_integer()?);
    // Read as text, so that the greatest number is the same in all fields, and a minus no less invalid.
    Some(delta_seconds::parse(integer.to_string().as_bytes()).unwrap_or_default())
}

/// Field names in a String or a Token, or a Boolean for the whole response.
fn field_names(value: Value<'_, '_>) -> Option<FieldNames> {
    let value = value?;
    let argument = match value.as_boolean() {
        Some(false) => return Some(FieldNames::Absent),
        Some(true) => None,
        None => Some(value.as_string().map(StringRef::as_str).or_else(|| value.as_token().map(TokenRef::as_str))?),
    };
    let mut names = FieldNames::default();
    names.add(argument.map(str::as_bytes));
    Some(names)
}

#[cfg(test)]
mod tests {
    use http::header;
    use proptest::prelude::*;

    use super::*;
    use crate::header::arbitrary::field_value;

    const FIRST: HeaderName = HeaderName::from_static("example-cache-control");
    const SECOND: HeaderName = HeaderName::from_static("cdn-cache-control");

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a field value");
            headers.append(name, value);
        }
        headers
    }

    fn targeted(fields: &[(HeaderName, &str)]) -> Option<ResponseDirectives> {
        ResponseDirectives::targeted(&headers(fields), &[FIRST, SECOND])
    }

    fn read(value: &str) -> Option<ResponseDirectives> {
        targeted(&[(FIRST, value)])
    }

    fn max_age(directives: Option<ResponseDirectives>) -> Option<u64> {
        directives.and_then(|directives| directives.max_age).map(|max_age| max_age.as_secs())
    }

    fn fields(names: &[&'static str]) -> FieldNames {
        FieldNames::Fields(names.iter().copied().map(HeaderName::from_static).collect())
    }

    #[test]
    fn every_directive_is_understood() {
        let expected = ResponseDirectives::parse(&headers(&[(
            header::CACHE_CONTROL,
            "no-store, no-cache=\"x-a, set-cookie\", private, public, max-age=1, s-maxage=2, must-revalidate, \
             proxy-revalidate, must-understand, immutable, no-transform, stale-while-revalidate=3, stale-if-error=4",
        )]));
        let lines = [
            "no-store, no-cache=\"X-A , Set-Cookie\",private=?1\t,\tpublic, max-age=1;a;b=\"c\"; d=?0, s-maxage=02",
            "must-revalidate, proxy-revalidate;x, must-understand, immutable, no-transform",
            "stale-while-revalidate=3, stale-if-error=4, unknown, extension=(\"max-age=9\" 1.5);a, *=:AA==:, date=@1",
        ];
        assert_eq!(targeted(&lines.map(|line| (SECOND, line))), Some(expected.clone()));
        assert_eq!(read(&lines.join(",")), Some(expected));
    }

    #[test]
    fn the_first_target_that_counts_decides_alone() {
        let all = [
            (header::CACHE_CONTROL, "max-age=3"),
            (header::EXPIRES, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (SECOND, "no-store, max-age=2"),
            (FIRST, "max-age=1"),
        ];
        let first = targeted(&all).expect("valid");
        assert_eq!(first, ResponseDirectives { max_age: Some(Duration::from_secs(1)), ..Default::default() });
        assert_eq!(max_age(targeted(&all[..3])), Some(2));
        assert_eq!(targeted(&all[..2]), None);
        assert_eq!(ResponseDirectives::targeted(&headers(&all), &[]), None);
        // Says nothing that is understood, but is there to be obeyed (RFC 9213 §3.1).
        for value in ["none", "no-store=?0"] {
            let directives = targeted(&[(FIRST, value), (SECOND, "max-age=2")]);
            assert_eq!(directives, Some(ResponseDirectives::default()), "{value}");
        }
    }

    #[test]
    fn a_target_that_is_empty_or_malformed_is_passed_over() {
        let passed_over = |value: &str| {
            assert_eq!(max_age(targeted(&[(FIRST, value), (SECOND, "max-age=2")])), Some(2), "{value}");
            assert_eq!(read(value), None, "{value}");
        };
        for value in ["", "  ", ",no-store", "no-store,", "no-store,,a", "max-age =1", "MaX-aGe=1", "max-age=\u{661}"] {
            passed_over(value);
        }
        for malformed in [
            "&&&&&", "X", "x=&", "x =1", "x= 1", "x=", "x=+1", "x=1.", "x=1.1234", "x y", "x;X", "x;", "x;=1", "x ;y",
            "x=\"", "x=(1", "x=(1,2)", "x=?2", "x=:!:", "x=@1.0", "=1", "1",
        ] {
            passed_over(&format!("max-age=1, {malformed}"));
            passed_over(&format!("{malformed}, max-age=1"));
        }
        passed_over("max-age=1000000000000000");
        passed_over("max-age=1, x=\"\\a\"");
    }

    #[test]
    fn a_directive_with_a_value_of_the_wrong_type_costs_the_field() {
        const LIFETIMES: &str = "max-age s-maxage stale-while-revalidate stale-if-error";
        const FLAGS: &str = "no-store public must-revalidate proxy-revalidate must-understand immutable no-transform";
        let (boolean, integer, text) = (["", "=?1", "=?0"], ["=1", "=0", "=-1"], ["=\"1\"", "=\"\"", "=x"]);
        let other = ["=1.0", "=1.5", "=(1)", "=()", "=(?1)", "=:AA==:", "=@1", "=%\"1\""];
        for (directives, wrong) in [
            (LIFETIMES, [boolean, text].concat()),
            (FLAGS, [integer, text].concat()),
            ("no-cache private", integer.to_vec()),
        ] {
            for value in wrong.into_iter().chain(other) {
                for directive in directives.split(' ') {
                    assert_eq!(read(&format!("x{value}, {directive}{value}")), None, "{directive}{value}");
                    assert!(read(&format!("x{value}, x-{directive}{value}")).is_some(), "{directive}{value}");
                }
            }
        }
    }

    #[test]
    fn a_number_is_held_within_delta_seconds() {
        let least = ["0", "-0", "-1", "-999999999999999"].map(|value| (value, 0));
        let most = ["2147483648", "2147483649", "999999999999999"].map(|value| (value, 1 << 31));
        for (value, expected) in least.into_iter().chain(most) {
            let directives = read(&format!("max-age={value}, stale-if-error={value}")).expect("valid");
            assert_eq!(directives.stale_if_error, directives.max_age);
            assert_eq!(max_age(Some(directives)), Some(expected), "{value}");
        }
    }

    #[test]
    fn private_in_doubt_means_the_whole_response() {
        for (value, expected) in [
            ("private=?0", FieldNames::Absent),
            ("private;x-a", FieldNames::Whole),
            ("private=\"\"", FieldNames::Whole),
            ("private=\"x-a, b c\"", FieldNames::Whole),
            ("private=\"\\\"x-a\\\"\"", FieldNames::Whole),
            ("private=x:a", FieldNames::Whole),
            ("private=X-A", fields(&["x-a"])),
            ("private=\"X-B,x-a,,x-b\"", fields(&["x-a", "x-b"])),
        ] {
            assert_eq!(read(value).expect("valid").private, expected, "{value}");
        }
    }

    #[test]
    fn of_two_members_with_one_name_the_last_one_counts() {
        for (value, expected) in [
            ("max-age=9, max-age=5", Some(5)),
            ("max-age=5, max-age=9", Some(9)),
            ("max-age=\"9\", max-age, max-age=5", Some(5)),
            ("max-age=5, max-age=\"9\"", None),
            ("max-age=\"9\", s-maxage=\"9\", max-age=5", None),
        ] {
            assert_eq!(max_age(read(value)), expected, "{value}");
        }
        assert_eq!(max_age(targeted(&[(FIRST, "max-age=5"), (FIRST, "max-age=9")])), Some(9));
        assert!(!read("no-store, no-store=?0").expect("valid").no_store);
        assert_eq!(read("private=x-b, private=x-a").expect("valid").private, fields(&["x-a"]));
        assert_eq!(read("private, private=x-a").expect("valid").private, fields(&["x-a"]));
    }

    #[test]
    fn one_malformed_line_costs_the_field() {
        for line in ["X", "", "max-age=\"1\"", "x=\""] {
            assert_eq!(targeted(&[(FIRST, "no-store"), (FIRST, line)]), None, "{line}");
            assert_eq!(targeted(&[(FIRST, line), (FIRST, "no-store")]), None, "{line}");
        }
    }

    #[test]
    fn a_response_without_targets_allocates_nothing() {
        let headers = headers(&[(header::CACHE_CONTROL, "max-age=1"), (header::VARY, "accept")]);
        let cost = allocation_counter::measure(|| {
            assert_eq!(ResponseDirectives::targeted(&headers, &[FIRST, SECOND]), None);
        });
        assert_eq!(cost.count_total, 0);
    }

    /// One member for each of some directives, known and unknown, in any order.
    fn members() -> impl Strategy<Value = Vec<String>> {
        const OTHERS: &str = "no-store|public|must-revalidate|must-understand|immutable|x=a&b|y=\"z, no-store\"";
        let number = || 0..=999_999_999_999_999_u64;
        let names = || proptest::collection::vec("[xX]-[a-z]{1,4}", 0..4).prop_map(|names| names.join(", "));
        let all = (number(), number(), names(), names()).prop_map(|(lifetime, window, no_cache, private)| {
            let mut all: Vec<_> = OTHERS.split('|').map(str::to_owned).collect();
            all.extend(["max-age", "s-maxage"].map(|name| format!("{name}={lifetime}")));
            all.extend(["stale-while-revalidate", "stale-if-error"].map(|name| format!("{name}={window}")));
            all.extend([format!("no-cache=\"{no_cache}\""), format!("private=\"{private}\"")]);
            all
        });
        all.prop_flat_map(|all| proptest::sample::subsequence(all, 1..9)).prop_shuffle()
    }

    proptest! {
        #[test]
        fn any_lines_are_read_without_panic(lines in proptest::collection::vec(field_value(), 0..4)) {
            let headers = HeaderMap::from_iter(lines.into_iter().map(|line| (FIRST, line)));
            let _ = ResponseDirectives::targeted(&headers, &[FIRST]);
        }

        #[test]
        fn what_is_well_formed_says_the_same_in_cache_control(members in members()) {
            let value = members.join(", ");
            let expected = ResponseDirectives::parse(&headers(&[(header::CACHE_CONTROL, &value)]));
            prop_assert_eq!(read(&value), Some(expected));
        }

        #[test]
        fn neither_order_nor_lines_count(
            (members, shuffled) in members().prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle())),
        ) {
            let expected = read(&members.join(","));
            prop_assert!(expected.is_some());
            prop_assert_eq!(read(&shuffled.join(" ,\t")), expected.clone());
            let lines: Vec<_> = shuffled.iter().map(|member| (FIRST, member.as_str())).collect();
            prop_assert_eq!(targeted(&lines), expected);
        }

        #[test]
        fn one_malformed_member_costs_the_field(
            members in members(),
            malformed in "[a-z]{0,4}[A-Z][a-z-]{0,4}(=1)?|&{1,4}|[a-z]=&|[a-z]=\"[a-z, ]{0,4}|[a-z]\"",
            at: proptest::sample::Index,
        ) {
            let mut members = members;
            members.insert(at.index(members.len() + 1), malformed);
            let fields = [(FIRST, members.join(", ")), (SECOND, "max-age=2".to_owned())];
            let fields = fields.each_ref().map(|(name, value)| (name.clone(), value.as_str()));
            prop_assert_eq!(max_age(targeted(&fields)), Some(2));
            prop_assert_eq!(targeted(&fields[..1]), None);
        }
    }
}
