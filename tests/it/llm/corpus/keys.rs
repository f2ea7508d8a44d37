//! The laws of a key, at each place in each request of the corpus.

use std::{collections::HashMap, env, fs};

use http::{Method, Uri};
use serde_json::Value;

use super::{
    Sample, directory,
    mutate::{Mutant, Path, Step, mutants, rewritten},
    samples,
};

/// What doesn't count, with all that is in it: members at the top, and marks of what a provider shall cache. `*` is any element.
const IGNORED: [&[&str]; 11] = [
    &["user"],
    &["safety_identifier"],
    &["metadata"],
    &["prompt_cache_key"],
    &["prompt_cache_retention"],
    &["cache_control"],
    &["tools", "*", "cache_control"],
    &["system", "*", "cache_control"],
    &["messages", "*", "cache_control"],
    &["messages", "*", "content", "*", "cache_control"],
    &["messages", "*", "content", "*", "content", "*", "cache_control"],
];

fn is_ignored(path: &Path) -> bool {
    let is = |(pattern, step): (&&str, &Step)| match step {
        Step::Member(name) => name == pattern,
        Step::Element(_) => *pattern == "*",
    };
    let begins = |pattern: &&[&str]| pattern.len() <= path.len() && pattern.iter().zip(path).all(is);
    IGNORED.iter().any(begins)
}

/// Members that say in which form the answer is to come. They don't count as long as what they say together is understood.
const FORM: [&str; 2] = ["stream", "stream_options"];

fn says_form(path: &Path) -> bool {
    matches!(path.first(), Some(Step::Member(name)) if FORM.contains(&&**name))
}

/// Whether it is understood in which form an answer is to come.
fn is_form_known(sample: &Sample) -> bool {
    let (stream, options) = (sample.body.get("stream"), sample.body.get("stream_options"));
    let has = |end: &str| sample.uri.split('?').next().is_some_and(|path| path.ends_with(end));
    let known: &[&str] = match () {
        () if has("/completions") => &["include_usage", "include_obfuscation"],
        () if has("/responses") => &["include_obfuscation"],
        () => &[],
    };
    let streams = stream == Some(&Value::Bool(true));
    let is_switch = |value: &Value| value.is_null() || value.is_boolean();
    let is_known = |(name, value): (&String, &Value)| known.contains(&&**name) && is_switch(value);
    stream.is_none_or(is_switch)
        && match options {
            None | Some(Value::Null) => true,
            Some(options) => {
                streams && !known.is_empty() && options.as_object().is_some_and(|options| options.iter().all(is_known))
            }
        }
}

#[test]
fn every_place_in_a_body_counts_unless_it_is_on_the_list() {
    let (mut counted, mut ignored) = (0, 0);
    for sample in samples() {
        let key = sample.key();
        let mut seen: HashMap<_, Value> = HashMap::from([(key.to_string(), sample.body.clone())]);
        for Mutant { path, what, body } in mutants(&sample.body) {
            let place = format!("{}: {path:?} {what}", sample.name);
            let changed = sample.key_of(body.to_string());
            let other = Sample { body: body.clone(), ..sample.clone() };
            let is_form = says_form(&path) && is_form_known(&sample) && is_form_known(&other);
            if is_ignored(&path) || is_form {
                assert_eq!(changed.as_ref(), Some(&key), "{place}");
                ignored += 1;
                continue;
            }
            assert_ne!(changed.as_ref(), Some(&key), "{place}");
            counted += 1;
            // Nor do two changes make one key, unless they are one.
            if let Some(changed) = changed
                && let Some(other) = seen.insert(changed.to_string(), body.clone())
            {
                assert_eq!(other, body, "{place}");
            }
        }
    }
    assert!(counted > 800 && ignored > 50, "{counted} and {ignored}");
}

#[test]
fn how_a_body_is_written_does_not_count() {
    for sample in samples() {
        let key = Some(sample.key());
        let mut otherwise = String::new();
        rewritten(&sample.body, &mut otherwise);
        let read: Value = serde_json::from_str(&otherwise).expect("JSON");
        assert_eq!(read.as_object().map(serde_json::Map::len), sample.body.as_object().map(serde_json::Map::len));
        assert_eq!(sample.key_of(otherwise), key, "{}", sample.name);
        let pretty = serde_json::to_string_pretty(&sample.body).expect("JSON");
        assert_eq!(sample.key_of(pretty), key, "{}", sample.name);
    }
}

#[test]
fn fields_count_that_say_who_asks_or_what_is_spoken_and_no_others() {
    const COUNT: [&str; 11] = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "anthropic-version",
        "anthropic-beta",
        "openai-beta",
        "openai-organization",
        "openai-project",
    ];
    const DO_NOT: [&str; 20] = [
        "user-agent",
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "connection",
        "content-length",
        "idempotency-key",
        "traceparent",
        "tracestate",
        "baggage",
        "x-request-id",
        "x-client-request-id",
        "x-forwarded-for",
        "forwarded",
        "x-stainless-lang",
        "x-stainless-retry-count",
        "http-referer",
        "x-title",
        "x-unheard-of",
    ];
    for sample in samples() {
        let key = Some(sample.key());
        for name in COUNT {
            let place = format!("{}: {name}", sample.name);
            let (one, other) = (sample.key_with_field(name, Some("one")), sample.key_with_field(name, Some("other")));
            assert!(one != key && one.is_some() && one != other, "{place}");
            if sample.headers.contains_key(name) {
                assert_ne!(sample.key_with_field(name, None), key, "{place} removed");
            }
        }
        for name in DO_NOT {
            for value in [None, Some("one")] {
                assert_eq!(sample.key_with_field(name, value), key, "{}: {name} {value:?}", sample.name);
            }
        }
    }
}

#[test]
fn where_a_request_goes_counts() {
    for sample in samples() {
        let key = Some(sample.key());
        let uri = |change: &dyn Fn(&str) -> String| {
            let uri: Uri = change(&sample.uri).parse().expect("a URI");
            sample.key_with(|head| head.uri = uri)
        };
        let joined = if sample.uri.contains('?') { '&' } else { '?' };
        let others = [
            uri(&|uri| format!("{uri}{joined}x=1")),
            uri(&|uri| uri.replace("/v1", "/other/v1").replace("/openai/", "/other/openai/")),
            uri(&|uri| uri.replacen("://", "://other.", 1)),
            uri(&|uri| {
                if uri.starts_with("https:") {
                    uri.replacen("https:", "http:", 1)
                } else {
                    uri.replacen("http:", "https:", 1)
                }
            }),
        ];
        for (at, other) in others.into_iter().enumerate() {
            assert_ne!(other, key, "{}: {at}", sample.name);
        }
        assert_ne!(sample.key_with(|head| head.method = Method::PUT), key, "{}", sample.name);
    }
}

/// How to write them anew, and when, is said above.
#[test]
fn golden_keys_of_requests_do_not_change() {
    let lines = samples().iter().map(|sample| format!("{} {}\n", sample.name, sample.key())).collect::<String>();
    let path = directory().join("golden.txt");
    if env::var("LARDER_GOLDEN").is_ok_and(|what| what == "write") {
        fs::write(&path, &lines).expect("the file can be written");
    }
    let golden = fs::read_to_string(&path).expect("the golden keys");
    assert_eq!(lines, golden, "keys that change empty every cache");
}
