//! [`explain`]: why two requests do, or don't, share an entry.

mod body;

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri, request::Parts};
use serde::Serialize;

use self::body::{Step, compare, put, render, value_at};
use super::{BodyUse, Fingerprint, Identity, json};
use crate::{header::host::authority, key::Key};

/// The most differences that are looked at; each costs a key, or two.
const MOST: usize = 100;

/// How much of a value is shown, in characters.
const SHOWN: usize = 120;

/// Why two requests do, or don't, share an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether they do.
    pub is_shared: bool,
    /// Whether what they share has to be put into another rendering for one of them; where that can't be done exactly, each has its
    /// own.
    pub is_converted: bool,
    /// The key of each, as `label:digest`; `None` if the request passes by the cache.
    pub keys: [Option<String>; 2],
    /// Where they differ; one that [counts](Difference::counts) is reason enough not to share.
    pub differences: Vec<Difference>,
    /// Whether there are more differences than the 100 that are told.
    pub has_more: bool,
}

/// A place where two requests differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// `method`, `host`, `path`, `query`, `field accept`, or a path in the body such as `body.messages[0].content`.
    pub at: String,
    /// What the first has there, cut to 120 characters; `None` if nothing. Of what looks like a secret only that it is there.
    pub first: Option<String>,
    /// What the second has there.
    pub second: Option<String>,
    /// Whether it keeps the two apart: either would have another key if it differed from itself in this alone. What says in several
    /// places in which form an answer that they share is wanted doesn't. `None` if the first has no key; if the second has none, the
    /// first alone decides.
    pub counts: Option<bool>,
}

/// Compares two requests field by field, and finds out what of it counts by asking the fingerprint about each difference alone.
///
/// ```
/// use larder::{fingerprint::{explain, RequestFingerprint}};
/// use bytes::Bytes;
/// use http::Request;
///
/// let ask = |accept: &str, path: &str| {
///     Request::get(format!("https://example.com{path}")).header("accept", accept).body(Bytes::new())
/// };
/// let explanation = explain(&RequestFingerprint::new(), &ask("a", "/x")?, &ask("b", "/y")?);
/// assert!(!explanation.is_shared);
/// let found: Vec<_> = explanation.differences.iter().map(|found| (&*found.at, found.counts)).collect();
/// assert_eq!(found, [("path", Some(true)), ("field accept", Some(false))]);
/// # Ok::<(), http::Error>(())
/// ```
pub fn explain<F: Fingerprint + ?Sized>(
    fingerprint: &F,
    first: &Request<Bytes>,
    second: &Request<Bytes>,
) -> Explanation {
    let [first, second] = [Asked::new(first), Asked::new(second)];
    let identities = [first.identity(fingerprint), second.identity(fingerprint)];
    let is_shared = matches!(&identities, [Some(one), Some(other)] if one.key == other.key);
    let is_converted = matches!(&identities, [Some(one), Some(other)] if is_shared && one != other);
    let keys = identities.map(|identity| identity.map(|identity| identity.key));
    let mut found = Vec::new();
    first.differences(&second, &mut found);
    let has_more = found.len() > MOST;
    found.truncate(MOST);
    let counting = count(fingerprint, [&first, &second], &keys, &found);
    let differences = found.iter().zip(counting).map(|(found, counts)| {
        let [one, other] = found.shown.clone();
        Difference { at: found.name(), first: one, second: other, counts: keys[0].is_some().then_some(counts) }
    });
    let differences = differences.collect();
    Explanation { is_shared, is_converted, differences, keys: keys.map(|key| key.map(|key| key.to_string())), has_more }
}

/// Which of the differences keep two requests apart.
fn count<F: Fingerprint + ?Sized>(
    fingerprint: &F,
    [first, second]: [&Asked; 2],
    keys: &[Option<Key>; 2],
    found: &[Found],
) -> Vec<bool> {
    let changes =
        |changed: Asked, key: &Option<Key>| changed.identity(fingerprint).map(|identity| identity.key) != *key;
    if keys[0].is_some() && keys[0] == keys[1] {
        return vec![false; found.len()];
    }
    let alone: Vec<_> = found.iter().map(|one| changes(first.with(one, second), &keys[0])).collect();
    // What means nothing without another difference, such as options of a stream, counts alone, and yet is no reason.
    let is_reason = |one: &Found| keys[1].is_none() || changes(second.with(one, first), &keys[1]);
    let mut reasons: Vec<_> = found.iter().zip(&alone).map(|(one, alone)| *alone && is_reason(one)).collect();
    // A form that is named half in the path and half in the query is none in halves.
    let is_target = |one: &Found| matches!(one.place, Place::Path | Place::Query);
    let target = found.iter().filter(|one| is_target(one)).fold(first.clone(), |asked, one| asked.with(one, second));
    if !changes(target, &keys[0]) {
        found.iter().zip(&mut reasons).filter(|(one, _)| is_target(one)).for_each(|(_, reason)| *reason = false);
    }
    if reasons.contains(&true) {
        return reasons;
    }
    found.iter().zip(alone).map(|(one, alone)| alone || is_reason(one)).collect()
}

/// A request, with its body in a form that can be changed.
#[derive(Clone)]
struct Asked {
    head: Parts,
    body: Bytes,
}

/// A difference, and how to make it.
struct Found {
    place: Place,
    shown: [Option<String>; 2],
}

enum Place {
    Method,
    Host,
    Path,
    Query,
    Field(HeaderName),
    /// All of the body: it isn't JSON in both.
    Body,
    In(Vec<Step>),
}

impl Found {
    fn name(&self) -> String {
        match &self.place {
            Place::Method => "method".to_owned(),
            Place::Host => "host".to_owned(),
            Place::Path => "path".to_owned(),
            Place::Query => "query".to_owned(),
            Place::Field(name) => format!("field {name}"),
            Place::Body => "body".to_owned(),
            Place::In(steps) => steps.iter().fold("body".to_owned(), |path, step| match step {
                Step::Member(name) => format!("{path}.{name}"),
                Step::Element(index) => format!("{path}[{index}]"),
            }),
        }
    }
}

impl Asked {
    fn new(request: &Request<Bytes>) -> Self {
        let (head, body) = request.clone().into_parts();
        Self { head, body }
    }

    fn identity<F: Fingerprint + ?Sized>(&self, fingerprint: &F) -> Option<Identity> {
        match fingerprint.body(&self.head) {
            BodyUse::Ignore => fingerprint.identify(&self.head, &Bytes::new()),
            BodyUse::Empty if !self.body.is_empty() => None,
            BodyUse::Buffer { limit } if self.body.len() > limit => None,
            BodyUse::Empty | BodyUse::Buffer { .. } => fingerprint.identify(&self.head, &self.body),
        }
    }

    fn differences(&self, other: &Self, found: &mut Vec<Found>) {
        let mut add = |place: Place, shown: [Option<String>; 2]| found.push(Found { place, shown });
        let (head, others) = (&self.head, &other.head);
        if head.method != others.method {
            add(Place::Method, [head, others].map(|head| Some(head.method.to_string())));
        }
        if authority(head) != authority(others) || head.uri.scheme() != others.uri.scheme() {
            add(Place::Host, [head, others].map(|head| Some(authority(head).into_owned())));
        }
        if head.uri.path() != others.uri.path() {
            add(Place::Path, [head, others].map(|head| Some(shown(head.uri.path()))));
        }
        if head.uri.query() != others.uri.query() {
            // A key may stand in it.
            let names = |query: &str| {
                let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
                names.collect::<Vec<_>>().join("=…&") + "=…"
            };
            add(Place::Query, [head, others].map(|head| head.uri.query().map(|query| shown(&names(query)))));
        }
        let names: BTreeSet<&str> = head.headers.keys().chain(others.headers.keys()).map(HeaderName::as_str).collect();
        for name in names.into_iter().filter(|name| *name != "host") {
            let values = |head: &Parts| head.headers.get_all(name).iter().cloned().collect::<Vec<HeaderValue>>();
            let (own, theirs) = (values(head), values(others));
            if own != theirs
                && let Ok(place) = HeaderName::try_from(name)
            {
                let text = |values: Vec<HeaderValue>| {
                    let lines: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
                    (!lines.is_empty())
                        .then(|| if is_secret(name) { SECRET.to_owned() } else { shown(&lines.join(", ")) })
                };
                add(Place::Field(place), [text(own), text(theirs)]);
            }
        }
        match (json::parse(&self.body), json::parse(&other.body)) {
            (Ok(own), Ok(theirs)) => compare(&own, &theirs, &mut Vec::new(), found),
            _ if self.body != other.body => {
                let size = |body: &Bytes| Some(format!("{} bytes that are no JSON, or have a key twice", body.len()));
                found.push(Found { place: Place::Body, shown: [size(&self.body), size(&other.body)] });
            }
            _ => {}
        }
    }

    /// This request with one difference taken over from the other.
    fn with(&self, found: &Found, other: &Self) -> Self {
        let mut changed = self.clone();
        let Self { head, body } = &mut changed;
        match &found.place {
            Place::Method => head.method = other.head.method.clone(),
            Place::Host => {
                let mut parts = head.uri.clone().into_parts();
                let others = other.head.uri.clone().into_parts();
                (parts.scheme, parts.authority) = (others.scheme, others.authority);
                head.uri = Uri::from_parts(parts).unwrap_or_else(|_| other.head.uri.clone());
                take_over(head, &other.head, &http::header::HOST);
            }
            Place::Path => set_target(head, other.head.uri.path(), self.head.uri.query()),
            Place::Query => set_target(head, self.head.uri.path(), other.head.uri.query()),
            Place::Field(name) => take_over(head, &other.head, name),
            Place::Body => *body = other.body.clone(),
            Place::In(steps) => {
                if let (Ok(mut own), Ok(theirs)) = (json::parse(&self.body), json::parse(&other.body)) {
                    put(&mut own, steps, value_at(&theirs, steps));
                    let mut text = String::new();
                    render(&own, false, &mut text);
                    *body = Bytes::from(text);
                }
            }
        }
        changed
    }
}

fn take_over(head: &mut Parts, other: &Parts, name: &HeaderName) {
    head.headers.remove(name);
    for value in other.headers.get_all(name) {
        head.headers.append(name.clone(), value.clone());
    }
}

fn set_target(head: &mut Parts, path: &str, query: Option<&str>) {
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let mut parts = head.uri.clone().into_parts();
    parts.path_and_query = target.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        head.uri = uri;
    }
}

/// What stands in the place of a secret.
const SECRET: &str = "(hidden)";

/// Whether what has such a name is nobody's to read.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let parts =
        ["authorization", "cookie", "api_key", "apikey", "goog_api", "secret", "password", "credential", "auth_token"];
    parts.iter().any(|part| name.contains(part)) || name == "token" || name.ends_with("_token")
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fingerprint::RequestFingerprint;

    fn fingerprint() -> RequestFingerprint {
        RequestFingerprint::new().json_body(1 << 20).ignore_json("user")
    }

    fn post(body: impl Into<Bytes>) -> Request<Bytes> {
        let request = Request::post("https://a.example/v1/x?key=s3cret").header("content-type", "application/json");
        request.header("authorization", "Bearer s3cret").body(body.into()).expect("a request")
    }

    fn found(explanation: &Explanation) -> Vec<(&str, Option<bool>)> {
        explanation.differences.iter().map(|found| (&*found.at, found.counts)).collect()
    }

    #[test]
    fn each_difference_is_told_and_whether_it_counts() {
        let first = post(r#"{"a":[1,{"b":"x"},3],"user":"u","c":1.0}"#);
        let second = post(r#"{"a":[1,{"b":"y"}],"user":"v","c":1,"d":null}"#);
        let explanation = explain(&fingerprint(), &first, &second);
        assert!(!explanation.is_shared);
        let expected = [
            ("body.a[1].b", Some(true)),
            ("body.a[2]", Some(true)),
            ("body.d", Some(true)),
            ("body.user", Some(false)),
        ];
        assert_eq!(found(&explanation), expected);
        let only_users = explain(&fingerprint(), &post(r#"{"user":"u"}"#), &post(r#"{"user":"v"}"#));
        assert!(only_users.is_shared);
        assert_eq!(found(&only_users), [("body.user", Some(false))]);
    }

    #[test]
    fn no_secret_is_shown() {
        let mut second = post(r#"{"api_key":"s3cret2","x":{"password":"s3cret2","y":1}}"#);
        *second.uri_mut() = Uri::from_static("https://a.example/v1/x?key=s3cret2&b=1");
        second.headers_mut().insert("authorization", HeaderValue::from_static("Bearer s3cret2"));
        second.headers_mut().insert("x-goog-api-key", HeaderValue::from_static("s3cret2"));
        let explanation = explain(&fingerprint(), &post(r#"{"api_key":"s3cret"}"#), &second);
        assert!(!format!("{explanation:?}").contains("s3cret"), "{explanation:?}");
        let told = found(&explanation);
        for at in ["query", "field authorization", "field x-goog-api-key", "body.api_key"] {
            assert!(told.contains(&(at, Some(true))), "{at}: {told:?}");
        }
    }

    #[test]
    fn a_request_without_a_key_is_told_apart() {
        let get =
            |method: &str| Request::builder().method(method).uri("/a").body(Bytes::from_static(b"x")).expect("one");
        let explanation = explain(&RequestFingerprint::new(), &get("POST"), &get("PUT"));
        assert_eq!((explanation.is_shared, &explanation.keys), (false, &[None, None]));
        assert_eq!(found(&explanation), [("method", None)]);
    }

    proptest! {
        /// They share if and only if nothing that counts differs.
        #[test]
        fn what_counts_explains_all(a in "[a-c]{0,2}", b in "[a-c]{0,2}", users: (u8, u8), path in "[a-b]", other in "[a-b]") {
            let ask = |text: &str, user: u8, path: &str| {
                let mut request = post(format!(r#"{{"t":["{text}"],"user":{user}}}"#));
                *request.uri_mut() = format!("https://a.example/{path}").parse().expect("a URI");
                request
            };
            let explanation = explain(&fingerprint(), &ask(&a, users.0, &path), &ask(&b, users.1, &other));
            let counts = explanation.differences.iter().any(|found| found.counts == Some(true));
            prop_assert_eq!(explanation.is_shared, !counts);
        }

        #[test]
        fn any_bodies_are_compared_without_panic(a: Vec<u8>, b: Vec<u8>) {
            let _ = explain(&fingerprint(), &post(a), &post(b));
        }
    }
}
