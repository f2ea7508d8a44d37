//! Keys: what counts changes them, what doesn't leaves them alone, and no release may change them at all.

use bytes::Bytes;
use http::{HeaderName, Request, header::ACCEPT, request::Parts};
use larder::{
    fingerprint::{Fingerprint, RequestFingerprint, Scope},
    key::Key,
    llm,
};
use proptest::prelude::*;

fn head(method: &str, uri: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

fn key(fingerprint: &impl Fingerprint, head: &Parts, body: &str) -> Key {
    fingerprint.key(head, &Bytes::copy_from_slice(body.as_bytes())).expect("a key")
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// A key that changes between releases is a lost cache; one that changes between restarts is none (bifrost#2791).
#[test]
fn golden_keys_do_not_change() {
    let plain = RequestFingerprint::new();
    let full = RequestFingerprint::new().header(ACCEPT).json_body(1000).ignore_query("utm").ignore_json("user");
    let tenant = RequestFingerprint::new().scope(Scope::tenant_in(HeaderName::from_static("x-team")));
    let chat = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi \u00e9"}],"temperature":0.70,"n":1.0,"user":"u"}"#;
    let found = [
        key(&plain, &head("GET", "http://Example.com:80/a%7eb?x=1&y", &[("authorization", "Bearer t")]), ""),
        key(&plain, &head("HEAD", "/a", &[("host", "example.com")]), ""),
        key(
            &full,
            &head("POST", "https://example.com/?utm=1&q=%C3%A9", &[JSON, ("accept", "text/html")]),
            r#"{"b":[1,2.50,"x"],"a":null,"user":1}"#,
        ),
        key(&full, &head("POST", "https://example.com/", &[JSON]), "{not json"),
        key(&tenant, &head("GET", "http://example.com/", &[("x-team", "red"), ("authorization", "a")]), ""),
        key(
            &llm::Fingerprint::new(),
            &head("POST", "https://api.openai.com/v1/chat/completions", &[JSON, ("authorization", "Bearer sk")]),
            chat,
        ),
        key(
            &llm::Fingerprint::new(),
            &head(
                "POST",
                "https://api.anthropic.com/v1/messages",
                &[JSON, ("x-api-key", "k"), ("anthropic-version", "2023-06-01")],
            ),
            r#"{"model":"claude","max_tokens":1,"stream":true}"#,
        ),
    ];
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, GOLDEN);
}

const GOLDEN: [&str; 7] = [
    "get:example.com/a%7eb:ef295d3ee4523ef0b4a21bd9b910d610895c3a7a3acb92c3e558f2298bf37509",
    "head:example.com/a:7b60580a8f1e64b2d3e29113df1b3b2128f4f66ed85587773f5491cc1594d7a6",
    "post:example.com/:26d373b3c3d97797290e060a6cc8a7e41a432b2c692981a3d42063f269894028",
    "post:example.com/:b83621ce10314cda95f7a179291d14afa56ec5409d2558505ae9528049e57de5",
    "get:example.com/:3bf46f61510c14c1564418c4c62e33b092b5b870593eeaa6e4c73d5d5ba290d6",
    "chat:gpt-4o:0b793d8ad5c539351e547c55c08d5974a7b6117c91f6b08dfb97aa023c355c81",
    "messages:claude:b6861aa209d5adba543a86d9acf4a2ffb4851923c978683a4609c8341a9bfac6",
];

/// A request as its parts, each of which counts.
#[derive(Clone, Debug, PartialEq)]
struct Sketch {
    method: &'static str,
    https: bool,
    host: String,
    path: String,
    query: Option<String>,
    accept: Vec<String>,
    credential: Option<String>,
    body: String,
}

fn sketch() -> impl Strategy<Value = Sketch> {
    (
        prop::sample::select(vec!["GET", "POST", "HEAD", "QUERY"]),
        any::<bool>(),
        "[ab]{1,2}",
        "/[ab/]{0,2}",
        prop::option::of("[ab=&]{0,2}"),
        prop::collection::vec("[ab,]{0,2}", 0..3),
        prop::option::of("[ab]{0,2}"),
        prop::sample::select(vec![
            "",
            "[]",
            "[1]",
            "[\"1\"]",
            "[1,1]",
            "{}",
            "{\"a\":1}",
            "{\"b\":1}",
            "{\"a\":[1]}",
            "[",
            "x",
        ]),
    )
        .prop_map(|(method, https, host, path, query, accept, credential, body)| Sketch {
            method,
            https,
            host,
            path,
            query,
            accept,
            credential,
            body: body.to_owned(),
        })
        .prop_map(Sketch::with_a_key)
}

impl Sketch {
    /// A request that acts and has no body is never the same as another, and has no key.
    fn with_a_key(mut self) -> Self {
        if self.body.is_empty() && !matches!(self.method, "GET" | "HEAD") {
            self.body = "[2]".to_owned();
        }
        self
    }

    fn key(&self) -> Key {
        let scheme = if self.https { "https" } else { "http" };
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let uri = format!("{scheme}://{}{}{query}", self.host, self.path);
        let mut fields = vec![JSON];
        fields.extend(self.accept.iter().map(|accept| ("accept", accept.as_str())));
        fields.extend(self.credential.iter().map(|credential| ("x-api-key", credential.as_str())));
        // What doesn't count.
        fields.push(("user-agent", "x"));
        key(&RequestFingerprint::new().header(ACCEPT).json_body(1000), &head(self.method, &uri, &fields), &self.body)
    }
}

/// JSON of a few shapes.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (-99i64..99).prop_map(Into::into),
        "[a-c\"\\\\é ]{0,3}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same document, its members turned round and with other white space.
fn respell(value: &serde_json::Value, out: &mut String) {
    match value {
        serde_json::Value::Object(map) => {
            out.push_str("{ ");
            let members: Vec<_> = map.iter().collect();
            for (index, (name, value)) in members.into_iter().rev().enumerate() {
                if index > 0 {
                    out.push_str(" ,\n");
                }
                out.push_str(&serde_json::Value::from(name.as_str()).to_string());
                out.push_str(" :\t");
                respell(value, out);
            }
            out.push('}');
        }
        serde_json::Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                respell(item, out);
            }
            out.push_str(" ]");
        }
        serde_json::Value::Number(number) => out.push_str(&format!("{number}.0e0")),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::String(_) => {
            out.push_str(&value.to_string());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_part_that_counts_changes_the_key_and_nothing_else_does(a in sketch(), b in sketch()) {
        prop_assert_eq!(a == b, a.key() == b.key());
    }

    #[test]
    fn changing_one_part_changes_the_key(a in sketch(), b in sketch(), part in 0..8usize) {
        let mut changed = a.clone();
        match part {
            0 => changed.method = b.method,
            1 => changed.https = b.https,
            2 => changed.host = b.host,
            3 => changed.path = b.path,
            4 => changed.query = b.query,
            5 => changed.accept = b.accept,
            6 => changed.credential = b.credential,
            _ => changed.body = b.body,
        }
        let changed = changed.with_a_key();
        prop_assert_eq!(a == changed, a.key() == changed.key());
    }

    #[test]
    fn key_order_white_space_and_spelling_of_numbers_do_not_count(value in json()) {
        let fingerprint = RequestFingerprint::new().json_body(1 << 20);
        let head = head("POST", "http://a/", &[JSON]);
        let mut other = String::new();
        respell(&value, &mut other);
        prop_assert_eq!(key(&fingerprint, &head, &value.to_string()), key(&fingerprint, &head, &other), "{}", other);
    }

    #[test]
    fn different_documents_have_different_keys(a in json(), b in json()) {
        let fingerprint = RequestFingerprint::new().json_body(1 << 20);
        let head = head("POST", "http://a/", &[JSON]);
        prop_assert_eq!(a == b, key(&fingerprint, &head, &a.to_string()) == key(&fingerprint, &head, &b.to_string()));
    }
}
