//! [`Tokens`]: what requests cost in tokens, before and after.

use std::fmt;

use http::{Method, header::CONTENT_LENGTH, request, response};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::{Endpoint, usage::Reader};
use crate::rate_limit::{self, Gauge, Meter};

/// The longest request body that is read.
const LONGEST: usize = 64 << 20;

/// The meter of [`Unit::Tokens`](crate::rate_limit::Unit::Tokens).
///
/// Reserved are the input, estimated by the length of its texts, and the largest output that the request allows (`max_tokens`,
/// `max_completion_tokens`, `max_output_tokens`, for each of `n`, `best_of` or
/// `candidateCount` answers). When the answer has ended, the charge is corrected to the
/// provider's own count. An answer that failed costs nothing; one whose usage isn't said, because the stream was cut or the request
/// didn't ask for it (OpenAI's `stream_options.include_usage`), keeps what was reserved.
///
/// Requests that generate nothing cost nothing. Of a body that is longer than [`max_body`](crate::rate_limit::Builder::max_body), or
/// that isn't JSON (compressed, say), the length is taken for text and the output for one without a limit.
///
/// ```
/// use larder::{RateLimitLayer, llm, rate_limit::{Limit, Quota, Unit}};
///
/// let layer = RateLimitLayer::new(Limit::new(Quota::per_minute(90_000).of(Unit::Tokens)).meter(llm::Tokens::new()));
/// # let _ = layer;
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Tokens {
    bytes_per_token: u64,
    default_output: u64,
    media: u64,
}

impl Tokens {
    /// Four bytes of text to a token, 4096 tokens for an output without a limit of its own, 1000 for an image or another file.
    pub const fn new() -> Self {
        Self { bytes_per_token: 4, default_output: 4096, media: 1000 }
    }

    /// How many bytes of text are taken for a token; 0 is taken for 1. English has about four, other languages fewer. Default: 4.
    pub const fn bytes_per_token(mut self, bytes: u64) -> Self {
        self.bytes_per_token = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// How much output is reserved if the request sets no limit. Default: 4096.
    pub const fn default_output(mut self, tokens: u64) -> Self {
        self.default_output = tokens;
        self
    }

    /// How much is reserved for an image, a sound or another file that is part of the request. Default: 1000.
    pub const fn media(mut self, tokens: u64) -> Self {
        self.media = tokens;
        self
    }

    fn input(&self, text: Text) -> u64 {
        text.bytes.div_ceil(self.bytes_per_token).saturating_add(text.media.saturating_mul(self.media))
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

impl Meter for Tokens {
    fn reads(&self, head: &request::Parts) -> usize {
        if generates(head) { LONGEST } else { 0 }
    }

    fn reserve(&self, head: &request::Parts, body: &[u8]) -> u64 {
        if !generates(head) {
            return 0;
        }
        let writes = endpoint(head) != Some(Endpoint::Embeddings);
        let output = if writes { self.default_output } else { 0 };
        let Ok(text) = serde_json::from_slice::<Text>(body) else {
            // Too long to be read, or no JSON.
            let length = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let bytes = length.unwrap_or(0).max(body.len() as u64);
            return self.input(Text { bytes, media: 0 }).saturating_add(output);
        };
        let limits = serde_json::from_slice::<Limits>(body).unwrap_or_default();
        let output = if writes { limits.output().unwrap_or(output).saturating_mul(limits.answers()) } else { 0 };
        self.input(text).saturating_add(output)
    }

    fn gauge(&self, head: &response::Parts, _: u64) -> Option<Box<dyn Gauge>> {
        if head.status.is_client_error() || head.status.is_server_error() {
            return Some(Box::new(Nothing));
        }
        Some(Box::new(Reading(Reader::new(&head.headers)?)))
    }
}

/// What a request asks of a model, however its path is written, and whatever it says that its body is: upstreams differ in what they
/// let pass, and a quota must not be passed by that.
pub(super) fn endpoint(head: &request::Parts) -> Option<Endpoint> {
    let path = head.uri.path();
    Endpoint::of(path).or_else(|| Endpoint::of(std::str::from_utf8(&rate_limit::plain(path)).ok()?))
}

pub(super) fn generates(head: &request::Parts) -> bool {
    head.method == Method::POST && endpoint(head).is_some()
}

/// A failure, which costs nothing.
struct Nothing;

impl Gauge for Nothing {
    fn read(&mut self, _: &[u8]) {}

    fn cost(&mut self, _: bool) -> Option<u64> {
        Some(0)
    }
}

/// An answer.
struct Reading(Reader);

impl Gauge for Reading {
    fn read(&mut self, data: &[u8]) {
        self.0.read(data);
    }

    fn cost(&mut self, _: bool) -> Option<u64> {
        // What was counted before a stream broke off isn't all of it.
        self.0.is_final().then(|| self.0.usage().map(|usage| usage.total()))?
    }
}

/// How much a request may have written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Limits {
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    n: Option<u64>,
    best_of: Option<u64>,
    #[serde(rename = "generationConfig")]
    generation_config: Option<Generation>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Generation {
    max_output_tokens: Option<u64>,
    candidate_count: Option<u64>,
}

impl Limits {
    /// The largest that is named: servers differ in which of them they know.
    fn output(&self) -> Option<u64> {
        let gemini = self.generation_config.as_ref().and_then(|generation| generation.max_output_tokens);
        [self.max_completion_tokens, self.max_output_tokens, gemini, self.max_tokens].into_iter().flatten().max()
    }

    /// How many answers are written, those among them that are not shown.
    fn answers(&self) -> u64 {
        let gemini = self.generation_config.as_ref().and_then(|generation| generation.candidate_count);
        [Some(1), self.n, self.best_of, gemini].into_iter().flatten().max().unwrap_or(1)
    }
}

/// How much text there is in a JSON value, and how many files.
#[derive(Clone, Copy, Default)]
struct Text {
    bytes: u64,
    media: u64,
}

impl Text {
    /// A string that is longer than this and has nothing but Base64's signs is taken for a file.
    const SHORTEST_FILE: usize = 4096;

    fn of(text: &str) -> Self {
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte);
        let is_url = text.starts_with("data:") && !text.bytes().any(|byte| byte.is_ascii_whitespace());
        if is_url || (text.len() > Self::SHORTEST_FILE && text.bytes().all(is_base64)) {
            return Self { bytes: 0, media: 1 };
        }
        Self { bytes: text.len() as u64, media: 0 }
    }

    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.media = self.media.saturating_add(other.media);
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
        Ok(Text::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
        Ok(Text { bytes: 4, media: 0 })
    }

    fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
        // Token ids of embeddings, and such: one each.
        Ok(Text { bytes: 4, media: 0 })
    }

    fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
        Ok(Text { bytes: 4, media: 0 })
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text::of(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Text, A::Error> {
        let mut all = Text::default();
        while let Some(text) = values.next_element()? {
            all.add(text);
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Text, A::Error> {
        let mut all = Text::default();
        while let Some((name, text)) = members.next_entry::<Text, Text>()? {
            all.add(name);
            all.add(text);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn reserve(path: &str, body: &str) -> u64 {
        let request = Request::post(path).header("content-type", "application/json").body(()).expect("a request");
        let (head, ()) = request.into_parts();
        let meter = Tokens::new();
        let known = if meter.reads(&head) > 0 { body.as_bytes() } else { b"" };
        meter.reserve(&head, known)
    }

    #[test]
    fn the_input_and_the_largest_output_are_reserved() {
        let text = "x".repeat(400);
        let input = 100;
        for (path, rest, output) in [
            ("/v1/chat/completions", "\"max_tokens\":50", 50),
            ("/v1/chat/completions", "\"max_completion_tokens\":50,\"n\":3", 150),
            ("/v1/completions", "\"max_tokens\":50,\"n\":1,\"best_of\":4", 200),
            ("/v1/chat/completions", "\"stream\":true", 4096),
            ("/v1/responses", "\"max_output_tokens\":70", 70),
            ("/v1/messages", "\"max_tokens\":80", 80),
            ("/v1/messages", "\"max_tokens\":80,\"max_output_tokens\":1", 80),
            ("/v1/embeddings", "\"n\":1", 0),
            ("/v1beta/models/gemini-pro:generateContent", "\"generationConfig\":{\"maxOutputTokens\":90}", 90),
        ] {
            let body = format!("{{\"x\":\"{text}\",{rest}}}");
            let reserved = reserve(path, &body);
            assert!((input + output..input + output + 20).contains(&reserved), "{path} {rest}: {reserved}");
        }
        assert_eq!(reserve("/v1/files", "{\"max_tokens\":50}"), 0);
    }

    #[test]
    fn a_path_or_a_type_written_otherwise_costs_the_same() {
        let of = |path: &str, media_type: &str| {
            let request = Request::post(path).header("content-type", media_type).body(()).expect("a request");
            let (head, ()) = request.into_parts();
            let body = br#"{"max_tokens":50}"#;
            assert!(Tokens::new().reads(&head) > 0, "{path} {media_type}");
            Tokens::new().reserve(&head, body)
        };
        let plain = of("/v1/chat/completions", "application/json");
        assert!(plain > 50);
        for (path, media_type) in [
            ("/v1/chat/%63ompletions", "application/json"),
            ("/v1//chat/./completions/", "application/json"),
            ("/v1/chat/completions", "text/plain"),
        ] {
            assert_eq!(of(path, media_type), plain, "{path} {media_type}");
        }
    }

    #[test]
    fn a_file_is_not_taken_for_text() {
        let image = "A".repeat(1_000_000);
        for body in [format!("[\"data:image/png;base64,{image}\"]"), format!("{{\"data\":\"{image}\"}}")] {
            assert!((5096..5100).contains(&reserve("/v1/messages", &body)));
        }
    }

    #[test]
    fn absurd_requests_reserve_much_and_do_not_panic() {
        let most = u64::MAX;
        assert_eq!(reserve("/v1/messages", &format!("{{\"max_tokens\":{most},\"n\":{most}}}")), most);
        for body in ["", "{", "no JSON", "{\"max_tokens\":-1}", "{\"max_tokens\":\"x\"}", "[[[[]]]]"] {
            assert!(reserve("/v1/messages", body) >= 4096, "{body}");
        }
    }
}
