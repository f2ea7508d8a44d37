//! One answer in its two renderings: plain JSON, and a stream of events.
//!
//! A request that asks for a stream and one that doesn't ask for the same answer, so an entry made from either can answer both. A
//! conversion is exact or it isn't done: each member, type of event, part, delta and item that this code doesn't know makes it
//! [`Rendered::Inexact`], and so does whatever the other rendering has and this one lacks. Exact means that the providers' official
//! clients make the same message of it as of the rendering that was kept. Numbers and strings come through as they were
//! written; white space between them, comments of a stream and `obfuscation`, which only pads a stream's events to hide their
//! lengths, do not.
//!
//! Text comes in one delta, since nothing tells how the model would have cut it. Nothing is converted into more than 64 MiB.

mod chat;
mod gemini;
mod json;
mod messages;
mod responses;
mod writer;

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod laws;

use super::Endpoint;
use crate::fingerprint::json::Value;

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rendering {
    /// As one JSON document.
    Plain,
    /// As server-sent events.
    Stream {
        /// Whether it ends with what it has used: for chat completions and completions what `stream_options.include_usage`
        /// says, for all others always.
        usage: bool,
    },
}

/// An answer as it was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rendered {
    /// The kept body will do.
    AsIs,
    /// The body in the other rendering: JSON, `application/json`, or events, `text/event-stream`.
    Converted {
        /// The body.
        data: Vec<u8>,
        /// Where each event ends, so that a replay goes event by event; empty for JSON.
        ends: Vec<usize>,
    },
    /// There is no exact conversion.
    Inexact,
}

/// How a request wants its answer. `None` if it says so in a way that isn't known here: then everything in which it says so has to
/// count in its key.
///
/// What it is read from are the members `stream` and `stream_options`, and for Gemini the verb in the path and `alt` in the query.
pub(crate) fn asked(endpoint: Endpoint, path: &str, query: Option<&str>, request: &Value<'_>) -> Option<Rendering> {
    request.as_object()?;
    if endpoint == Endpoint::GenerateContent {
        let is_elsewhere = request.get("stream").or_else(|| request.get("stream_options")).is_some();
        return if is_elsewhere { None } else { gemini::asked(path, query) };
    }
    let streams = match request.get("stream") {
        None | Some(Value::Null) => false,
        Some(stream) => stream.as_bool()?,
    };
    let known: &[&str] = match endpoint {
        Endpoint::ChatCompletions | Endpoint::Completions => &["include_usage", "include_obfuscation"],
        Endpoint::Responses => &["include_obfuscation"],
        Endpoint::Messages | Endpoint::Embeddings | Endpoint::GenerateContent => &[],
    };
    let options = match request.get("stream_options") {
        None | Some(Value::Null) => &[][..],
        // Options of a stream that isn't asked for, or that none of these APIs has, are an error, or mean something else.
        Some(_) if !streams || known.is_empty() => return None,
        Some(options) => options.as_object()?,
    };
    let mut usage = !known.contains(&"include_usage");
    for (name, value) in options {
        let is_set = if value.is_null() { false } else { value.as_bool()? };
        if !known.contains(&&**name) {
            return None;
        }
        usage = if name == "include_usage" { is_set } else { usage };
    }
    match streams {
        false => Some(Rendering::Plain),
        true if endpoint == Endpoint::Embeddings => None,
        true => Some(Rendering::Stream { usage }),
    }
}

/// Renders a kept body, which is whole, complete and not encoded.
///
/// `kept` is what was [asked](asked) for when the body came, if that is known: then it will do for the like, also where a provider
/// ignores `stream_options`, or answers plainly whatever is asked. A body that will do is not read, but for the last two events
/// of a stream.
pub(crate) fn render(
    endpoint: Endpoint,
    kept: Option<Rendering>,
    wanted: Rendering,
    is_event_stream: bool,
    body: &[u8],
) -> Rendered {
    if kept == Some(wanted) {
        return Rendered::AsIs;
    }
    let converted = match (endpoint, is_event_stream, wanted) {
        (_, false, Rendering::Plain) => return Rendered::AsIs,
        (Endpoint::ChatCompletions | Endpoint::Completions, true, Rendering::Stream { usage }) => {
            chat::restream(body, usage)
        }
        (_, true, Rendering::Stream { .. }) => return Rendered::AsIs,
        (Endpoint::ChatCompletions, true, Rendering::Plain) => chat::to_plain(chat::Kind::Chat, body),
        (Endpoint::Completions, true, Rendering::Plain) => chat::to_plain(chat::Kind::Completion, body),
        (Endpoint::ChatCompletions, false, Rendering::Stream { usage }) => {
            chat::to_stream(chat::Kind::Chat, usage, body)
        }
        (Endpoint::Completions, false, Rendering::Stream { usage }) => {
            chat::to_stream(chat::Kind::Completion, usage, body)
        }
        (Endpoint::Messages, true, Rendering::Plain) => messages::to_plain(body),
        (Endpoint::Messages, false, Rendering::Stream { .. }) => messages::to_stream(body),
        (Endpoint::Responses, true, Rendering::Plain) => responses::to_plain(body),
        (Endpoint::Responses, false, Rendering::Stream { .. }) => responses::to_stream(body),
        (Endpoint::GenerateContent, true, Rendering::Plain) => gemini::to_plain(body),
        (Endpoint::GenerateContent, false, Rendering::Stream { .. }) => gemini::to_stream(body),
        (Endpoint::Embeddings, ..) => None,
    };
    converted.unwrap_or(Rendered::Inexact)
}

#[cfg(test)]
mod tests {
    use super::{Rendered, Rendering, asked, render};
    use crate::{fingerprint::json::parse, llm::Endpoint};

    #[test]
    fn a_rendering_is_asked_for_in_known_words_only() {
        use Endpoint::{ChatCompletions, Completions, Embeddings, GenerateContent, Messages, Responses};
        let (with, without) = (Some(Rendering::Stream { usage: true }), Some(Rendering::Stream { usage: false }));
        let plain = Some(Rendering::Plain);
        let chat = "/v1/chat/completions";
        let cases = [
            (ChatCompletions, "{}", plain),
            (ChatCompletions, r#"{"stream":null,"stream_options":null}"#, plain),
            (ChatCompletions, r#"{"stream":false}"#, plain),
            (ChatCompletions, r#"{"stream":true}"#, without),
            (ChatCompletions, r#"{"stream":true,"stream_options":{}}"#, without),
            (ChatCompletions, r#"{"stream":true,"stream_options":{"include_usage":false}}"#, without),
            (
                ChatCompletions,
                r#"{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}"#,
                with,
            ),
            (Completions, r#"{"stream":true,"stream_options":{"include_usage":true}}"#, with),
            (
                ChatCompletions,
                r#"{"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}"#,
                None,
            ),
            (ChatCompletions, r#"{"stream":true,"stream_options":{"include_usage":1}}"#, None),
            (ChatCompletions, r#"{"stream":true,"stream_options":[]}"#, None),
            (ChatCompletions, r#"{"stream":1}"#, None),
            (ChatCompletions, r#"{"stream":"true"}"#, None),
            (ChatCompletions, r#"{"stream_options":{"include_usage":true}}"#, None),
            (ChatCompletions, "[]", None),
            (Responses, r#"{"stream":true}"#, with),
            (Responses, r#"{"stream":true,"stream_options":{"include_obfuscation":true}}"#, with),
            (Responses, r#"{"stream":true,"stream_options":{"include_usage":true}}"#, None),
            (Messages, r#"{"stream":true}"#, with),
            (Messages, r#"{"stream":true,"stream_options":{}}"#, None),
            (Embeddings, "{}", plain),
            (Embeddings, r#"{"stream":true}"#, None),
        ];
        for (endpoint, body, expected) in cases {
            let request = parse(body.as_bytes()).expect("JSON");
            assert_eq!(asked(endpoint, chat, None, &request), expected, "{endpoint:?} {body}");
        }
        let stream = parse(br#"{"stream":true}"#).expect("JSON");
        let empty = parse(b"{}").expect("JSON");
        let path = "/v1beta/models/gemini:streamGenerateContent";
        assert_eq!(asked(GenerateContent, path, Some("alt=sse"), &empty), with);
        assert_eq!(asked(GenerateContent, path, Some("alt=sse"), &stream), None);
    }

    #[test]
    fn what_was_asked_for_in_the_same_way_will_do() {
        let ignored = b"data: {\"choices\":[{\"index\":0}]}\n\ndata: [DONE]\n\n";
        let wanted = Rendering::Stream { usage: true };
        let render = |kept, body: &[u8]| render(Endpoint::ChatCompletions, kept, wanted, true, body);
        assert_eq!(render(Some(wanted), ignored), Rendered::AsIs);
        assert_eq!(render(None, ignored), Rendered::Inexact);
        assert_eq!(render(Some(Rendering::Plain), ignored), Rendered::Inexact);
    }

    #[test]
    fn a_plain_answer_that_is_wanted_is_not_read() {
        for endpoint in [Endpoint::ChatCompletions, Endpoint::Embeddings, Endpoint::Messages] {
            assert_eq!(render(endpoint, None, Rendering::Plain, false, b"\xff"), Rendered::AsIs);
        }
    }
}
