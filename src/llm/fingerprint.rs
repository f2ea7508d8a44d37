//! [`Fingerprint`]: what counts in a request to a model.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, header::CONTENT_ENCODING, request::Parts};

use super::{Endpoint, endpoint::is_generation};
use crate::{
    ConfigError,
    fingerprint::{self, BodyUse, RequestFingerprint, Scope, body_limit, json, with_raw},
    header::host::authority,
    key::{Key, KeyBuilder},
};

/// Members of a request that say who asks, or how a provider may cache, but not what is asked.
const IGNORED: [&str; 5] = ["user", "safety_identifier", "metadata", "prompt_cache_key", "prompt_cache_retention"];

/// Fields that change what an answer is.
const HEADERS: [&str; 5] =
    ["anthropic-version", "anthropic-beta", "openai-beta", "openai-organization", "openai-project"];

/// The largest request body that is read for its key.
const MAX_REQUEST: usize = 16 << 20;

/// Marks what a provider shall cache of a prompt, wherever a part of a prompt can stand.
const CACHE_CONTROL: &str = "cache_control";

/// Which requests are cached, by how much their answers are left to chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Temperature {
    /// All: who asks the same again gets the same answer.
    #[default]
    All,
    /// Those that ask for a temperature of 0, and embeddings. One that says nothing of it is left to chance.
    DeterministicOnly,
}

/// Generation requests by their body, all others by method and URI.
///
/// Everything in the body counts, members that larder doesn't know included, but for `user`, `safety_identifier`, `metadata`,
/// `prompt_cache_key` and `prompt_cache_retention`, and the `cache_control` marks of Anthropic's clients. A member that is missing is not the same as its default. Neither the
/// order of keys counts, nor white space. A streamed answer and a plain one are two entries.
///
/// Not cached are requests whose answer isn't all they ask for, or doesn't depend on them alone: `store: true`, `background:
/// true`, `previous_response_id`, `conversation`.
///
/// The label is the endpoint and the model, for example `chat:gpt-4o`.
#[derive(Clone, Debug)]
#[must_use]
pub struct Fingerprint {
    generation: RequestFingerprint,
    rest: RequestFingerprint,
    ignored: Arc<[String]>,
    aliases: Arc<HashMap<String, String>>,
    temperature: Temperature,
    limit: usize,
}

impl Fingerprint {
    /// Per credential.
    pub fn new() -> Self {
        let generation = HEADERS
            .into_iter()
            .fold(RequestFingerprint::new(), |fingerprint, name| fingerprint.header(HeaderName::from_static(name)));
        Self {
            generation,
            rest: RequestFingerprint::new(),
            ignored: IGNORED.map(String::from).into(),
            aliases: Arc::default(),
            temperature: Temperature::All,
            limit: MAX_REQUEST,
        }
    }

    /// Sets who may share an answer. Default: [`Scope::credential`].
    pub fn scope(mut self, scope: Scope) -> Self {
        self.generation = self.generation.scope(scope.clone());
        self.rest = self.rest.scope(scope);
        self
    }

    /// Sets what counts in requests that don't generate. Default: [`RequestFingerprint::new`].
    pub fn rest(mut self, fingerprint: RequestFingerprint) -> Self {
        self.rest = fingerprint;
        self
    }

    /// Lets a further request field count in a generation request, such as one by which a gateway chooses the model.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.generation = self.generation.header(name);
        self
    }

    /// Leaves a further top-level member of the body out.
    pub fn ignore(mut self, member: impl Into<String>) -> Self {
        self.ignored = self.ignored.iter().cloned().chain([member.into()]).collect();
        self
    }

    /// Takes one model's name for another's, so that both share answers: of a model that has several names, or of two that are as good
    /// as one. The request goes upstream as it came. Names in a path, as Gemini's, are not meant. Default: none.
    pub fn alias(mut self, name: impl Into<String>, model: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.aliases).insert(name.into(), model.into());
        self
    }

    /// Sets which requests are cached, by how much their answers are left to chance. Default: [`Temperature::All`].
    pub fn temperature(mut self, temperature: Temperature) -> Self {
        self.temperature = temperature;
        self
    }

    /// The largest request body that is read, in bytes; a larger request passes by the cache. Default: 16 MiB.
    pub fn max_request(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self::new()
    }
}

impl fingerprint::Fingerprint for Fingerprint {
    fn validate(&self) -> Result<(), ConfigError> {
        body_limit("llm::Fingerprint max_request", self.limit)
    }

    fn body(&self, head: &Parts) -> BodyUse {
        if is_generation(head) { BodyUse::Buffer { limit: self.limit } } else { self.rest.body(head) }
    }

    fn key(&self, head: &Parts, body: &Bytes) -> Option<Key> {
        if !is_generation(head) {
            return self.rest.key(head, body);
        }
        let endpoint = Endpoint::of(head.uri.path())?;
        let mut key = KeyBuilder::new("llm").label(endpoint.label()).label(":");
        if !self.generation.add_head(head, &authority(head), &mut key) {
            return None;
        }
        let readable = !head.headers.contains_key(CONTENT_ENCODING);
        match readable.then(|| json::parse(body)) {
            Some(Ok(mut request)) => {
                if depends_on_more(&request) || !self.temperature.allows(endpoint, &request) {
                    return None;
                }
                unmark(&mut request);
                self.rename(&mut request);
                let ignored = |name: &str| self.ignored.iter().any(|other| other == name);
                let key = key.streamed("json", |mut sink| json::write_canonical_without(&request, ignored, &mut sink));
                let named = request.get("model").and_then(json::Value::as_str);
                Some(key.label(named.or_else(|| Endpoint::model_in(head.uri.path())).unwrap_or("unknown")).finish())
            }
            // What can't be read here may be read there; the same bytes get the same answer.
            Some(Err(_)) | None => Some(with_raw(key, head, body).label("unknown").finish()),
        }
    }
}

impl Fingerprint {
    /// Gives the model the name under which it is kept.
    fn rename(&self, request: &mut json::Value<'_>) {
        if self.aliases.is_empty() {
            return;
        }
        let json::Value::Object(members) = request else { return };
        let model = members.iter_mut().find(|(name, _)| name == "model");
        if let Some((_, json::Value::String(model))) = model
            && let Some(kept) = self.aliases.get(&**model)
        {
            *model = Cow::Owned(kept.clone());
        }
    }
}

impl Temperature {
    fn allows(self, endpoint: Endpoint, request: &json::Value<'_>) -> bool {
        let config = request.get("generationConfig").unwrap_or(request);
        let is_zero = |number: json::Number<'_>| number.text().parse::<f64>().is_ok_and(|number| number == 0.0);
        self == Self::All
            || endpoint == Endpoint::Embeddings
            || config.get("temperature").and_then(json::Value::as_number).is_some_and(is_zero)
    }
}

/// Takes the marks away by which Anthropic's clients say what the provider shall cache: on the request, on tools, on parts of the
/// system prompt and of messages, and on what is in a part. What a tool's schema or a text says isn't touched.
fn unmark(request: &mut json::Value<'_>) {
    let json::Value::Object(members) = request else { return };
    members.retain(|(name, _)| name != CACHE_CONTROL);
    for (name, value) in members {
        match &**name {
            "tools" | "system" => unmark_all(value, 0),
            "messages" => unmark_all(value, 2),
            _ => {}
        }
    }
}

/// Takes the marks of each of some parts, and of those that its `content` has, so many times over.
fn unmark_all(parts: &mut json::Value<'_>, depth: usize) {
    let json::Value::Array(parts) = parts else { return };
    for part in parts {
        let json::Value::Object(members) = part else { continue };
        members.retain(|(name, _)| name != CACHE_CONTROL);
        if depth > 0
            && let Some((_, content)) = members.iter_mut().find(|(name, _)| name == "content")
        {
            unmark_all(content, depth - 1);
        }
    }
}

/// Whether an answer leaves something behind, or depends on what others left.
fn depends_on_more(request: &json::Value<'_>) -> bool {
    let is_true = |name| request.get(name).and_then(json::Value::as_bool) == Some(true);
    let is_given = |name| request.get(name).is_some_and(|value| !value.is_null());
    is_true("store") || is_true("background") || is_given("previous_response_id") || is_given("conversation")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::fingerprint::Fingerprint as _;

    fn key(body: &'static str, fields: &[(&str, &str)]) -> Option<Key> {
        let mut request =
            Request::post("http://api.example/v1/chat/completions").header("content-type", "application/json");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let head = request.body(()).expect("request").into_parts().0;
        Fingerprint::new().key(&head, &Bytes::from_static(body.as_bytes()))
    }

    const BODY: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1}"#;

    #[test]
    fn what_is_asked_counts_and_who_asks_does_not() {
        let same = [
            r#"{ "temperature": 1.0, "messages": [ { "content": "h\u0069", "role": "user" } ], "model": "gpt-4o" }"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"user":"u","metadata":{"a":1}}"#,
        ];
        let different = [
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}],"temperature":1}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":0.99999999999999999999}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"tools":[]}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"unheard_of":null}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi","user":"x"}],"temperature":1}"#,
            r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"temperature":1,"stream":true}"#,
        ];
        let plain = key(BODY, &[]).expect("a key");
        assert_eq!(plain.label(), "chat:gpt-4o");
        for body in same {
            assert_eq!(key(body, &[]).as_ref(), Some(&plain), "{body}");
        }
        for body in different {
            assert_ne!(key(body, &[]).as_ref(), Some(&plain), "{body}");
        }
    }

    #[test]
    fn credentials_and_api_versions_count_and_tracing_does_not() {
        let plain = key(BODY, &[]);
        for field in [
            ("authorization", "Bearer a"),
            ("x-api-key", "a"),
            ("anthropic-version", "2023-06-01"),
            ("openai-project", "p"),
        ] {
            assert_ne!(key(BODY, &[field]), plain, "{field:?}");
        }
        assert_ne!(key(BODY, &[("authorization", "Bearer a")]), key(BODY, &[("authorization", "Bearer b")]));
        for field in
            [("traceparent", "00-1-2-00"), ("user-agent", "x"), ("x-stainless-os", "Linux"), ("idempotency-key", "1")]
        {
            assert_eq!(key(BODY, &[field]), plain, "{field:?}");
        }
    }

    #[test]
    fn what_is_not_generated_is_no_other_credentials_either() {
        let key = |name: &str, value: &str| {
            let request = Request::get("http://api.example/v1/files/f1/content").header(name, value);
            let head = request.body(()).expect("request").into_parts().0;
            Fingerprint::new().key(&head, &Bytes::new())
        };
        for name in ["x-api-key", "api-key", "x-goog-api-key", "authorization"] {
            assert_ne!(key(name, "alice"), key(name, "bob"), "{name}");
        }
    }

    #[test]
    fn what_a_provider_shall_cache_does_not_count_but_what_is_said_of_it_does() {
        let mark = r#""cache_control":{"type":"ephemeral"}"#;
        let request =
            |request: &str, tool: &str, system: &str, message: &str, part: &str, inner: &str, schema: &str| {
                let body = format!(
                    r#"{{"model":"m",{request}"tools":[{{{tool}"name":"t","input_schema":{{{schema}"type":"object"}}}}],
                    "system":[{{{system}"type":"text","text":"s"}}],"messages":[{{{message}"role":"user","content":[
                    {{{part}"type":"tool_result","content":[{{{inner}"type":"text","text":"r"}}]}}]}}]}}"#
                );
                key(Box::leak(body.into_boxed_str()), &[]).expect("a key")
            };
        let mark = format!("{mark},");
        let plain = request("", "", "", "", "", "", "");
        assert_eq!(request(&mark, &mark, &mark, &mark, &mark, &mark, ""), plain);
        assert_ne!(request("", "", "", "", "", "", &mark), plain, "a schema may have a property of that name");
    }

    #[test]
    fn models_of_two_names_share_answers_if_that_is_said() {
        let of = |fingerprint: &Fingerprint, model: &str| {
            let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
            let head = request.body(()).expect("request").into_parts().0;
            fingerprint.key(&head, &Bytes::from(format!(r#"{{"model":"{model}","messages":[]}}"#))).expect("a key")
        };
        let (plain, aliased) = (Fingerprint::new(), Fingerprint::new().alias("gpt-4o-2024-08-06", "gpt-4o"));
        assert_ne!(of(&plain, "gpt-4o-2024-08-06"), of(&plain, "gpt-4o"));
        assert_eq!(of(&aliased, "gpt-4o-2024-08-06"), of(&plain, "gpt-4o"));
        assert_eq!(of(&aliased, "gpt-4o-2024-08-06").label(), "chat:gpt-4o");
        assert_ne!(of(&aliased, "gpt-4o-mini"), of(&plain, "gpt-4o"));
    }

    #[test]
    fn what_is_left_to_chance_is_cached_unless_that_is_forbidden() {
        let has_key = |temperature: Temperature, path: &str, body: &'static str| {
            let request = Request::post(path).header("content-type", "application/json");
            let head = request.body(()).expect("request").into_parts().0;
            Fingerprint::new().temperature(temperature).key(&head, &Bytes::from_static(body.as_bytes())).is_some()
        };
        let gemini = "/v1beta/models/gemini-2.0-flash:generateContent";
        for (path, body, is_sure) in [
            ("/v1/chat/completions", r#"{"temperature":0}"#, true),
            ("/v1/chat/completions", r#"{"temperature":0.0e3}"#, true),
            ("/v1/chat/completions", r#"{"temperature":1e-9}"#, false),
            ("/v1/chat/completions", r#"{"temperature":"0"}"#, false),
            ("/v1/chat/completions", "{}", false),
            ("/v1/embeddings", "{}", true),
            (gemini, r#"{"generationConfig":{"temperature":0}}"#, true),
            (gemini, r#"{"generationConfig":{}}"#, false),
        ] {
            assert!(has_key(Temperature::All, path, body), "{path} {body}");
            assert_eq!(has_key(Temperature::DeterministicOnly, path, body), is_sure, "{path} {body}");
        }
    }

    #[test]
    fn gemini_s_models_are_named_by_the_path() {
        let of = |path: &str| {
            let request = Request::post(path).header("content-type", "application/json");
            let head = request.body(()).expect("request").into_parts().0;
            Fingerprint::new().key(&head, &Bytes::from_static(br#"{ "contents": [] }"#)).expect("a key")
        };
        let flash = of("/v1beta/models/gemini-2.0-flash:generateContent");
        assert_eq!(flash.label(), "generate:gemini-2.0-flash");
        assert_ne!(flash, of("/v1beta/models/gemini-2.0-pro:generateContent"));
        assert_ne!(flash, of("/v1beta/models/gemini-2.0-flash:streamGenerateContent"));
    }

    #[test]
    fn what_depends_on_more_than_the_request_has_no_key() {
        for body in [
            r#"{"model":"m","store":true}"#,
            r#"{"model":"m","background":true}"#,
            r#"{"model":"m","previous_response_id":"r"}"#,
            r#"{"model":"m","conversation":{"id":"c"}}"#,
        ] {
            assert!(key(body, &[]).is_none(), "{body}");
        }
        for body in [r#"{"model":"m","store":false}"#, r#"{"model":"m","previous_response_id":null}"#] {
            assert!(key(body, &[]).is_some(), "{body}");
        }
    }

    #[test]
    fn what_cannot_be_read_counts_byte_for_byte() {
        let duplicate = key(r#"{"model":"a","model":"b"}"#, &[]);
        assert!(duplicate.is_some());
        assert_ne!(duplicate, key(r#"{"model":"b","model":"a"}"#, &[]));
        assert_ne!(key("{", &[]), key("{ ", &[]));
    }
}
