//! Chat completions and completions, of OpenAI and of those who imitate it.
//!
//! Both renderings are read into one [`Answer`], and written from it.

mod choice;
mod message;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::choice::Choice;
use super::{
    Rendered,
    json::{Object, Raw, Same},
    writer::Writer,
};
use crate::policy::completeness::sse::Events;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completion,
}

/// What every chunk repeats of the plain answer. `provider` is OpenRouter's.
const SAME: [&str; 6] = ["id", "created", "model", "service_tier", "system_fingerprint", "provider"];

/// vLLM's, which it writes into plain answers only; of no use but for being `null`.
const ALWAYS_NULL: [&str; 3] = ["prompt_logprobs", "prompt_token_ids", "kv_transfer_params"];

/// The most choices that an answer has.
const MAX_CHOICES: usize = 128;

/// An answer, whichever way it came.
#[derive(Debug)]
struct Answer<'a> {
    kind: Kind,
    same: Same<'a>,
    choices: BTreeMap<usize, Choice<'a>>,
    usage: Option<Raw<'a>>,
}

/// Reads a stream into the plain answer.
pub(super) fn to_plain(kind: Kind, body: &[u8]) -> Option<Rendered> {
    let mut events = Events::new(body);
    let read: Vec<_> = events.by_ref().filter(|event| !event.data.trim_ascii().is_empty()).collect();
    let (done, chunks) = read.split_last()?;
    if events.is_truncated() || !is_done(&done.data) || read.iter().any(|event| !event.event.is_empty()) {
        return None;
    }
    let mut answer = Answer::new(kind);
    for chunk in chunks {
        answer.take(&Object::read(&chunk.data)?, kind.chunk(), true)?;
    }
    // A plain answer says what it has used.
    answer.usage?;
    let mut writer = Writer::default();
    answer.whole()?.write_plain(&mut writer);
    Some(writer.finish())
}

/// Writes a plain answer as a stream.
pub(super) fn to_stream(kind: Kind, usage: bool, body: &[u8]) -> Option<Rendered> {
    let mut answer = Answer::new(kind);
    answer.take(&Object::read(body)?, kind.plain(), false)?;
    if usage && answer.usage.is_none() {
        return None;
    }
    let mut writer = Writer::default();
    answer.whole()?.write_stream(usage, &mut writer);
    Some(writer.finish())
}

/// Takes the usage out of a stream that wasn't asked for it. There is no way to put it in.
pub(super) fn restream(body: &[u8], usage: bool) -> Option<Rendered> {
    let mut from_end = Events::from_end(body).filter(|event| !event.data.trim_ascii().is_empty());
    if !is_done(&from_end.next()?.data) {
        return None;
    }
    let last = from_end.next()?;
    let last = Object::read(&last.data)?;
    let has_usage = last.get("usage").is_some_and(|usage| !usage.is_null());
    // Some providers say it whether it is asked for or not, with the last choice's end: to them no chunk is too many.
    let is_extra = last.get("choices")?.array()?.is_empty();
    match (usage, has_usage && is_extra) {
        (true, _) => return has_usage.then_some(Rendered::AsIs),
        (false, false) => return Some(Rendered::AsIs),
        (false, true) => {}
    }
    let is_known = |(name, value): (&str, Raw<'_>)| {
        let is_null = ALWAYS_NULL.contains(&name) && value.is_null();
        is_null || SAME.contains(&name) || ["object", "choices", "usage", "obfuscation"].contains(&name)
    };
    if !last.iter().all(is_known) {
        return None;
    }
    let mut events: Vec<_> = Events::new(body).filter(|event| !event.data.trim_ascii().is_empty()).collect();
    events.truncate(events.len().checked_sub(2)?);
    let mut writer = Writer::default();
    for event in &events {
        let chunk = Object::read(&event.data)?;
        if !event.event.is_empty() || chunk.get("usage").is_some_and(|usage| !usage.is_null()) {
            return None;
        }
        writer.event("", |event| {
            event.object(|event| event.members(chunk.iter().filter(|(name, _)| *name != "usage")));
        });
    }
    writer.done();
    Some(writer.finish())
}

fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

impl Kind {
    /// The type of a chunk.
    fn chunk(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion.chunk",
            Self::Completion => "text_completion",
        }
    }

    /// The type of a plain answer.
    fn plain(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion",
            Self::Completion => "text_completion",
        }
    }
}

impl<'a> Answer<'a> {
    fn new(kind: Kind) -> Self {
        Self { kind, same: Same::default(), choices: BTreeMap::new(), usage: None }
    }

    /// Takes a chunk of a stream, or a whole plain answer.
    fn take(&mut self, object: &Object<'a>, of_type: &str, is_chunk: bool) -> Option<()> {
        if !object.is("object", of_type) {
            return None;
        }
        let choices = object.get("choices")?.array()?;
        for (name, value) in object.iter() {
            match name {
                "object" | "choices" => {}
                "usage" if value.is_null() => {}
                "usage" if self.usage.is_none() && value.is_object() => self.usage = Some(value),
                "obfuscation" if is_chunk && value.is_string() => {}
                _ if ALWAYS_NULL.contains(&name) && value.is_null() => self.same.take(&ALWAYS_NULL, name, value)?,
                _ if !value.is_object() => self.same.take(&SAME, name, value)?,
                _ => return None,
            }
        }
        for (position, choice) in choices.into_iter().enumerate() {
            let choice = choice.object()?;
            let index = choice.get("index")?.index().filter(|index| *index < MAX_CHOICES)?;
            if !is_chunk && index != position {
                return None;
            }
            self.choices.entry(index).or_default().take(self.kind, &choice, is_chunk)?;
        }
        Some(())
    }

    /// The answer, if nothing is missing from it.
    fn whole(self) -> Option<Self> {
        let is_in_order = self.choices.keys().enumerate().all(|(position, index)| position == *index);
        let is_whole = self.choices.values().all(|choice| choice.is_whole(self.kind));
        (is_in_order && is_whole && !self.choices.is_empty()).then_some(self)
    }
}
