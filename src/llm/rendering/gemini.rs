//! Gemini's `generateContent` and `streamGenerateContent`: one format, of which a stream has several.

use std::borrow::Cow;

use super::{
    Rendered, Rendering,
    json::{Object, Raw, Same, add},
    writer::Writer,
};
use crate::policy::completeness::sse::Events;

/// What a piece may have, apart from `candidates`. Of what a stream says piece by piece the first three are the same in all, and
/// `usageMetadata` counts on to the last.
const SAME: [&str; 3] = ["modelVersion", "responseId", "createTime"];
const USAGE: &str = "usageMetadata";
const FEEDBACK: &str = "promptFeedback";

/// What a candidate may have, apart from `content`: what can be put together, and what only one piece can have.
const OF_CANDIDATE: [&str; 4] = ["index", "finishReason", "finishMessage", "safetyRatings"];
const AT_THE_END: [&str; 2] = ["groundingMetadata", "urlContextMetadata"];
const OF_ONE_PIECE: [&str; 4] = ["citationMetadata", "avgLogprobs", "logprobsResult", "tokenCount"];

/// What a part may have that isn't text.
const OF_PART: [&str; 6] =
    ["thought", "thoughtSignature", "functionCall", "executableCode", "codeExecutionResult", "fileData"];
/// Parts that a stream cuts in a way of its own.
const OF_WHOLE_PART: &str = "inlineData";

/// The most candidates that an answer has: each piece is asked whether all have ended.
const MAX_CANDIDATES: usize = 128;

/// How a request wants its answer, by its path and query. A stream without `alt=sse` is a JSON array, and neither of the two.
pub(super) fn asked(path: &str, query: Option<&str>) -> Option<Rendering> {
    let (_, verb) = path.rsplit_once(':')?;
    let mut alt = None;
    for pair in query.unwrap_or_default().split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // `$alt` is another name for it, and either may be escaped.
        if name.contains(['%', '+', '$']) || name == "alt" && alt.replace(value).is_some() {
            return None;
        }
    }
    match (verb, alt) {
        ("generateContent", None | Some("json")) => Some(Rendering::Plain),
        ("streamGenerateContent", Some("sse")) => Some(Rendering::Stream { usage: true }),
        _ => None,
    }
}

/// Writes a plain answer as a stream of one piece.
pub(super) fn to_stream(body: &[u8]) -> Option<Rendered> {
    let body = Raw::read(body)?;
    let mut answer = Answer::default();
    answer.take(&body.object()?, true)?;
    let mut writer = Writer::default();
    writer.event("", |writer| writer.raw(body));
    answer.has_ended().then(|| writer.finish())
}

/// Reads a stream into the plain answer.
pub(super) fn to_plain(body: &[u8]) -> Option<Rendered> {
    let mut events = Events::new(body);
    let mut read: Vec<_> = events.by_ref().filter(|event| !event.data.trim_ascii().is_empty()).collect();
    // Not Gemini's, but some gateways end every stream with it.
    if read.last().is_some_and(|event| event.data.trim_ascii() == b"[DONE]") {
        read.pop();
    }
    if events.is_truncated() || read.iter().any(|event| !event.event.is_empty()) {
        return None;
    }
    let mut answer = Answer::default();
    for (position, event) in read.iter().enumerate() {
        answer.usage = None;
        answer.take(&Object::read(&event.data)?, read.len() == 1)?;
        // The last piece is the one that says what was used, and why each candidate ended.
        let is_last = position + 1 == read.len();
        if answer.has_ended() != is_last || is_last && answer.usage.is_none() {
            return None;
        }
    }
    let mut writer = Writer::default();
    match read.as_slice() {
        [] => return None,
        [piece] => writer.raw(Raw::read(&piece.data)?),
        _ => answer.write(&mut writer),
    }
    Some(writer.finish())
}

/// An answer, as far as it has come.
#[derive(Debug, Default)]
struct Answer<'a> {
    same: Same<'a>,
    candidates: Vec<Candidate<'a>>,
    usage: Option<Raw<'a>>,
}

#[derive(Debug, Default)]
struct Candidate<'a> {
    members: Same<'a>,
    /// Of `content`; `None` if it had none.
    role: Option<Same<'a>>,
    parts: Option<Vec<Part<'a>>>,
}

#[derive(Debug)]
enum Part<'a> {
    /// Text, and whether it is a thought, as it was written.
    Text(Cow<'a, str>, Option<Raw<'a>>),
    Other(Raw<'a>),
}

impl<'a> Answer<'a> {
    /// Takes a piece, or the one that is all.
    fn take(&mut self, piece: &Object<'a>, is_all: bool) -> Option<()> {
        for (name, value) in piece.iter() {
            match name {
                "candidates" => {}
                USAGE if value.is_object() => self.usage = Some(value),
                FEEDBACK if is_all => {}
                _ => self.same.take(&SAME, name, value)?,
            }
        }
        for (position, candidate) in piece.get("candidates")?.array()?.into_iter().enumerate() {
            let candidate = candidate.object()?;
            let index = candidate.get("index").map_or(Some(if is_all { position } else { 0 }), Raw::index)?;
            if index == self.candidates.len() && index < MAX_CANDIDATES {
                self.candidates.push(Candidate::default());
            } else if is_all {
                return None;
            }
            self.candidates.get_mut(index)?.take(&candidate, is_all)?;
        }
        Some(())
    }

    fn has_ended(&self) -> bool {
        !self.candidates.is_empty() && self.candidates.iter().all(Candidate::has_ended)
    }

    fn write(&self, writer: &mut Writer) {
        writer.object(|writer| {
            writer.name("candidates").array(|writer| self.candidates.iter().for_each(|one| one.write(writer)));
            writer.members(self.usage.map(|usage| (USAGE, usage)));
            writer.members(self.same.iter());
        });
    }
}

impl<'a> Candidate<'a> {
    fn has_ended(&self) -> bool {
        self.members.get("finishReason").is_some()
    }

    fn take(&mut self, candidate: &Object<'a>, is_all: bool) -> Option<()> {
        if self.has_ended() {
            return None;
        }
        let ends = candidate.get("finishReason").is_some();
        for (name, value) in candidate.iter() {
            match name {
                "content" => self.take_content(&value.object()?, is_all)?,
                "finishReason" => {
                    value.string()?;
                    self.members.take(&OF_CANDIDATE, name, value)?;
                }
                _ if is_all && OF_ONE_PIECE.contains(&name) => {}
                _ if ends && AT_THE_END.contains(&name) => self.members.take(&AT_THE_END, name, value)?,
                _ => self.members.take(&OF_CANDIDATE, name, value)?,
            }
        }
        Some(())
    }

    fn take_content(&mut self, content: &Object<'a>, is_all: bool) -> Option<()> {
        let role = self.role.get_or_insert_default();
        for (name, value) in content.iter() {
            match name {
                "parts" => {}
                _ => role.take(&["role"], name, value)?,
            }
        }
        let Some(parts) = content.get("parts") else { return Some(()) };
        let known = self.parts.get_or_insert_default();
        for (position, part) in parts.array()?.into_iter().enumerate() {
            let next = Part::read(part, is_all)?;
            match (known.last_mut(), &next) {
                (Some(Part::Text(text, thought)), Part::Text(more, other)) if thought == other => {
                    // Parts that came apart in one piece are parts of the plain answer, perhaps.
                    if !is_all && position > 0 {
                        return None;
                    }
                    if !is_all {
                        text.to_mut().push_str(more);
                        continue;
                    }
                }
                // A piece without anything to say, such as the last one, leaves no part behind.
                (_, Part::Text(text, _)) if text.is_empty() && !is_all => return None,
                _ => {}
            }
            known.push(next);
        }
        Some(())
    }

    fn write(&self, writer: &mut Writer) {
        writer.object(|writer| {
            if let Some(role) = &self.role {
                writer.name("content").object(|writer| {
                    if let Some(parts) = &self.parts {
                        writer.name("parts").array(|writer| parts.iter().for_each(|part| part.write(writer)));
                    }
                    writer.members(role.iter());
                });
            }
            writer.members(self.members.iter());
        });
    }
}

impl<'a> Part<'a> {
    fn read(part: Raw<'a>, is_all: bool) -> Option<Self> {
        let object = part.object()?;
        let is_known = |name: &str| OF_PART.contains(&name) || name == "text" || is_all && name == OF_WHOLE_PART;
        if !object.iter().all(|(name, _)| is_known(name)) {
            return None;
        }
        let Some(text) = object.get("text") else {
            // A call may come in pieces as well, and says so.
            let call = object.get("functionCall").map(Raw::object);
            let is_whole = call.is_none_or(|call| call.is_some_and(|call| call.has_only(&["id", "name", "args"])));
            return (is_all || is_whole).then_some(Self::Other(part));
        };
        let mut pieces = None;
        add(&mut pieces, text)?;
        // What a signature signs, once the text has grown, isn't known.
        let is_text = object.has_only(&["text", "thought"]) || is_all;
        pieces.filter(|_| is_text).map(|text| Self::Text(text, object.get("thought")))
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Other(part) => writer.raw(*part),
            Self::Text(text, thought) => writer.object(|writer| {
                writer.members(thought.map(|thought| ("thought", thought)));
                writer.text("text", text);
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::asked;
    use crate::llm::{
        Endpoint,
        rendering::{
            Rendering,
            laws::{assert_same, converted},
        },
    };

    const STREAM: &str = r#"data: {"candidates":[{"content":{"parts":[{"text":"Hm","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":5},"modelVersion":"gemini-2.5-flash","responseId":"r"}

data: {"candidates":[{"content":{"parts":[{"text":"Hel"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":6},"modelVersion":"gemini-2.5-flash","responseId":"r"}

data: {"candidates":[{"content":{"parts":[{"text":"lo 😀\n"},{"functionCall":{"name":"f","args":{"n":1.50}}}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":7},"modelVersion":"gemini-2.5-flash","responseId":"r"}

data: {"candidates":[{"content":{"parts":[{"text":"Bye"}],"role":"model"},"finishReason":"STOP","index":0,"groundingMetadata":{"a":[]}}],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":8},"modelVersion":"gemini-2.5-flash","responseId":"r"}

"#;

    fn to_plain(stream: &str) -> Option<Vec<u8>> {
        converted(Endpoint::GenerateContent, Rendering::Plain, true, stream.as_bytes())
    }

    #[test]
    fn text_that_came_in_pieces_is_one_part() {
        let plain = r#"{"candidates":[{"content":{"parts":[{"text":"Hm","thought":true},{"text":"Hello 😀\n"},{"functionCall":{"name":"f","args":{"n":1.50}}},{"text":"Bye"}],"role":"model"},"index":0,"finishReason":"STOP","groundingMetadata":{"a":[]}}],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":8},"modelVersion":"gemini-2.5-flash","responseId":"r"}"#;
        let converted = to_plain(STREAM).expect("a known shape");
        assert_same(&converted, plain.as_bytes());
        assert!(String::from_utf8_lossy(&converted).contains("1.50"));
        assert_eq!(to_plain(&STREAM.replace('\n', "\r\n")), Some(converted.clone()));
        assert_eq!(to_plain(&format!("{STREAM}data: [DONE]\n\n")), Some(converted));
    }

    #[test]
    fn what_is_not_known_for_sure_is_inexact() {
        let cases = [
            ("{\"text\":\"Hel\"}", "{\"text\":\"Hel\",\"thoughtSignature\":\"s\"}"),
            ("{\"text\":\"Hel\"}", "{\"text\":\"Hel\"},{\"text\":\"\"}"),
            ("{\"text\":\"Hel\"}", "{\"inlineData\":{\"mimeType\":\"audio/pcm\",\"data\":\"\"}}"),
            ("{\"text\":\"Hel\"}", "{\"functionCall\":{\"name\":\"f\",\"willContinue\":true}}"),
            ("{\"text\":\"Bye\"}", "{\"text\":\"\"}"),
            ("{\"text\":\"Hel\"}],\"role\":\"model\"", "{\"text\":\"Hel\"}],\"role\":\"user\""),
            ("\"finishReason\":\"STOP\",", ""),
            ("\"totalTokenCount\":8}", "\"totalTokenCount\":8},\"promptFeedback\":{}"),
            ("\"groundingMetadata\"", "\"citationMetadata\""),
            (",\"usageMetadata\":{\"promptTokenCount\":4,\"totalTokenCount\":8}", ""),
        ];
        for (known, unknown) in cases {
            assert!(STREAM.contains(known), "{known}");
            assert_eq!(to_plain(&STREAM.replace(known, unknown)), None, "{unknown}");
        }
        let many = |count: usize| {
            let candidates: Vec<_> =
                (0..count).map(|index| format!(r#"{{"index":{index},"finishReason":"STOP"}}"#)).collect();
            format!(
                "data: {}\n\ndata: {{\"candidates\":[{}],\"usageMetadata\":{{}}}}\n\n",
                "{\"candidates\":[]}",
                candidates.join(",")
            )
        };
        assert_eq!([128, 129].map(|count| to_plain(&many(count)).is_some()), [true, false]);
        let (first, rest) = STREAM.split_once("\n\n").expect("an event");
        assert_eq!(to_plain(&format!("{first}\n\n")), None);
        assert_eq!(to_plain(&format!("{STREAM}{rest}")), None);
        let grounded = STREAM.replacen("\"index\":0", "\"index\":0,\"groundingMetadata\":{\"a\":[]}", 1);
        assert_eq!(to_plain(&grounded), None, "it may be put together in a way of its own");
        assert_eq!(to_plain(&STREAM.replacen("\"responseId\":\"r\"", "\"responseId\":\"q\"", 1)), None);
    }

    #[test]
    fn only_events_and_one_document_are_renderings() {
        let stream = Some(Rendering::Stream { usage: true });
        let cases = [
            ("generateContent", None, Some(Rendering::Plain)),
            ("generateContent", Some("key=k&alt=json"), Some(Rendering::Plain)),
            ("generateContent", Some("alt=sse"), None),
            ("streamGenerateContent", Some("alt=sse"), stream),
            ("streamGenerateContent", Some("key=k&alt=sse&x"), stream),
            ("streamGenerateContent", None, None),
            ("streamGenerateContent", Some("alt=json"), None),
            ("streamGenerateContent", Some("alt=sse&alt=json"), None),
            ("streamGenerateContent", Some("alt=sse&$alt=json"), None),
            ("streamGenerateContent", Some("alt=sse&%24alt=json"), None),
        ];
        for (verb, query, expected) in cases {
            assert_eq!(asked(&format!("/v1beta/models/gemini:{verb}"), query), expected, "{verb} {query:?}");
        }
    }
}
