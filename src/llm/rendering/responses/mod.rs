//! OpenAI's Responses API. Its streams end with the plain answer, and its clients take that for the result.

mod item;

#[cfg(test)]
mod tests;

use self::item::Item;
use super::{
    Rendered,
    json::{Object, Raw},
    writer::Writer,
};
use crate::policy::completeness::sse::Events;

/// What a response may have, apart from what changes on its way.
const SAME: [&str; 34] = [
    "id",
    "object",
    "access_programs",
    "background",
    "billing",
    "conversation",
    "created_at",
    "error",
    "frequency_penalty",
    "image",
    "input_transformations",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
];

/// What it has at its end only; until then it is `null`.
const AT_THE_END: [&str; 3] = ["completed_at", "incomplete_details", "usage"];

/// Takes the plain answer from the end of a stream.
pub(super) fn to_plain(body: &[u8]) -> Option<Rendered> {
    let mut from_end = Events::from_end(body).filter(|event| !matches!(event.data.trim_ascii(), b"" | b"[DONE]"));
    let last = from_end.next()?;
    let data = Object::read(&last.data)?;
    let kind = data.get("type")?.string()?;
    let status = end_of(kind)?;
    let is_named = last.event.is_empty() || last.event == kind;
    if !is_named || !data.has_only(&["type", "sequence_number", "response"]) {
        return None;
    }
    let text = data.get("response")?;
    let response = text.object()?;
    if !response.is("object", "response") || !response.is("status", status) {
        return None;
    }
    // Some leave out of the end what has been streamed already.
    let output = response.get("output")?.array()?.len();
    let done = Events::new(body).filter(|event| is_done(&event.data)).count();
    if output != done || response.get("usage").is_none_or(Raw::is_null) {
        return None;
    }
    let mut writer = Writer::default();
    writer.raw(text);
    Some(writer.finish())
}

/// Whether an event brings an item to its end.
fn is_done(data: &[u8]) -> bool {
    const NAME: &[u8] = b"response.output_item.done";
    // Most events are deltas, and need not be read for it.
    data.windows(NAME.len()).any(|window| window == NAME)
        && Object::read(data).is_some_and(|data| data.is("type", "response.output_item.done"))
}

/// The status with which a response ends that ends with an event of this type.
fn end_of(kind: &str) -> Option<&'static str> {
    match kind {
        "response.completed" => Some("completed"),
        "response.incomplete" => Some("incomplete"),
        _ => None,
    }
}

/// Writes a plain answer as a stream.
pub(super) fn to_stream(body: &[u8]) -> Option<Rendered> {
    let text = Raw::read(body)?;
    let response = text.object()?;
    let end = ["response.completed", "response.incomplete"].into_iter().find(|end| {
        let status = end_of(end);
        status.is_some_and(|status| response.is("status", status))
    })?;
    let is_known = |(name, _): (&str, Raw<'_>)| {
        SAME.contains(&name) || AT_THE_END.contains(&name) || ["status", "output", "user"].contains(&name)
    };
    let has_failed = response.get("error").is_some_and(|error| !error.is_null());
    if !response.is("object", "response") || !response.iter().all(is_known) || has_failed {
        return None;
    }
    let output = response.get("output")?.array()?;
    let items: Vec<_> = output.into_iter().map(Item::read).collect::<Option<_>>()?;

    let mut stream = Stream::default();
    for kind in ["response.created", "response.in_progress"] {
        stream.event(kind, |writer| {
            writer.name("response").object(|writer| write_start(&response, writer));
        });
    }
    for (index, item) in items.iter().enumerate() {
        item.write(index, &mut stream);
    }
    stream.event(end, |writer| writer.member("response", text));
    Some(stream.writer.finish())
}

/// The response before anything of it has come.
fn write_start(response: &Object<'_>, writer: &mut Writer) {
    for (name, value) in response.iter() {
        match name {
            "status" => writer.text(name, "in_progress"),
            "output" => writer.name(name).array(|_| {}),
            _ if AT_THE_END.contains(&name) => writer.member(name, Raw::NULL),
            _ => writer.member(name, value),
        }
    }
}

/// A stream of numbered events.
#[derive(Default)]
struct Stream {
    writer: Writer,
    sequence_number: usize,
}

impl Stream {
    fn event(&mut self, kind: &str, rest: impl FnOnce(&mut Writer)) {
        let number = self.sequence_number;
        self.sequence_number += 1;
        self.writer.event(kind, |writer| {
            writer.object(|writer| {
                writer.text("type", kind);
                writer.number("sequence_number", number);
                rest(writer);
            });
        });
    }
}
