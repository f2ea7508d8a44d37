//! Anthropic's messages.
//!
//! Both renderings are read into one [`Message`], and written from it. A stream is put together as Anthropic's clients do it
//! (`accumulate_event` in the Python client's `lib/streaming/_messages.py`, `#accumulateMessage` in the TypeScript client's
//! `lib/MessageStream.ts`).

mod block;
mod stream;

#[cfg(test)]
mod tests;

use self::block::Block;
pub(super) use self::stream::{to_plain, to_stream};
use super::json::{Object, Raw, Same};

/// What is known when a message begins, and stays so.
const FIXED: [&str; 4] = ["id", "type", "role", "model"];

/// What is known at the end of a message, in the order of a `message_delta`.
const STOP: [&str; 4] = ["stop_reason", "stop_sequence", "stop_details", "container"];

/// What else is known at the end, beside the `delta` of a `message_delta`.
const CONTEXT: &str = "context_management";

/// Of no use but for being `null`.
const ALWAYS_NULL: &str = "diagnostics";

/// The parts of `usage`.
const USAGE: [&str; 10] = [
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
    "output_tokens",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
    "inference_geo",
    "speed",
];

/// Those of them that a `message_delta` may say again: they are totals, and take the place of what was said before.
const TOTALS: [&str; 6] = [
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "output_tokens_details",
    "server_tool_use",
];

/// Those of the totals that have no value yet when a message begins.
const FINAL: [&str; 2] = ["output_tokens_details", "server_tool_use"];

/// A message, whichever way it came.
#[derive(Debug, Default)]
struct Message<'a> {
    fixed: Same<'a>,
    content: Vec<Block<'a>>,
    /// [`STOP`], [`CONTEXT`] and [`ALWAYS_NULL`], those that it has, in their order.
    end: Vec<(&'static str, Raw<'a>)>,
    usage: Vec<(&'static str, Raw<'a>)>,
}

impl<'a> Message<'a> {
    /// Reads a plain message, or the one that a stream begins with.
    fn read(object: &Object<'a>) -> Option<Self> {
        let mut message = Self::default();
        for (name, value) in object.iter() {
            match name {
                "content" => {
                    let blocks = value.array()?.into_iter();
                    message.content = blocks.map(|block| Block::read(block, false)).collect::<Option<_>>()?;
                }
                "usage" => {
                    for (name, value) in value.object()?.iter() {
                        message.usage.push((known(&USAGE, name)?, value));
                    }
                }
                CONTEXT => message.end.push((CONTEXT, value)),
                ALWAYS_NULL if value.is_null() => message.end.push((ALWAYS_NULL, value)),
                _ => match known(&STOP, name) {
                    Some(name) => message.end.push((name, value)),
                    None => message.fixed.take(&FIXED, name, value)?,
                },
            }
        }
        let is_message = object.is("type", "message") && object.is("role", "assistant");
        let has_usage = message.used("output_tokens").is_some_and(|tokens| tokens.index().is_some());
        (is_message && has_usage && object.get("content").is_some()).then_some(message)
    }

    fn used(&self, name: &str) -> Option<Raw<'a>> {
        self.usage.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn ended(&self, name: &str) -> Option<Raw<'a>> {
        self.end.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

fn known(names: &[&'static str], name: &str) -> Option<&'static str> {
    names.iter().find(|known| **known == name).copied()
}

/// Sets a member, and adds it if it isn't there.
fn set<'a>(members: &mut Vec<(&'static str, Raw<'a>)>, name: &'static str, value: Raw<'a>) {
    match members.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = value,
        None => members.push((name, value)),
    }
}
