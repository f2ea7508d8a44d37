//! [`Choice`]: one of the answers to a request.

use super::{Kind, message::Message};
use crate::llm::rendering::{
    json::{Object, Pieces, Raw, Same, add},
    writer::Writer,
};

/// How some say more exactly why a choice ended: OpenRouter, vLLM, SGLang. They stand beside the finish reason.
const ENDS: [&str; 3] = ["native_finish_reason", "stop_reason", "matched_stop"];

/// vLLM's; of no use but for being `null`.
const ALWAYS_NULL: [&str; 2] = ["token_ids", "prompt_logprobs"];

/// The lists of a choice's log probabilities.
const CHAT_LISTS: [&str; 2] = ["content", "refusal"];
const COMPLETION_LISTS: [&str; 4] = ["tokens", "token_logprobs", "top_logprobs", "text_offset"];

/// A choice, whichever way it came.
#[derive(Debug, Default)]
pub(super) struct Choice<'a> {
    /// Of a chat completion.
    pub(super) message: Message<'a>,
    /// Of a completion.
    pub(super) text: Pieces<'a>,
    /// Two options: `logprobs` may be missing, and `null`.
    pub(super) logprobs: Option<Option<Lists<'a>>>,
    pub(super) finish_reason: Option<Raw<'a>>,
    pub(super) ends: Same<'a>,
}

impl<'a> Choice<'a> {
    /// Takes a choice of a chunk, or of a whole plain answer.
    pub(super) fn take(&mut self, kind: Kind, choice: &Object<'a>, is_chunk: bool) -> Option<()> {
        for (name, value) in choice.iter() {
            match (name, kind) {
                ("index", _) => {}
                ("delta", Kind::Chat) if is_chunk => self.message.take(&value.object()?, true)?,
                ("message", Kind::Chat) if !is_chunk => self.message.take(&value.object()?, false)?,
                ("text", Kind::Completion) => add(&mut self.text, value)?,
                ("logprobs", _) => self.take_logprobs(kind, value)?,
                ("finish_reason", _) if value.is_null() => {}
                ("finish_reason", _) => {
                    value.string().filter(|reason| !reason.is_empty())?;
                    if self.finish_reason.replace(value).is_some_and(|known| known != value) {
                        return None;
                    }
                }
                _ if ALWAYS_NULL.contains(&name) && value.is_null() => self.ends.take(&ALWAYS_NULL, name, value)?,
                _ if !value.is_object() => self.ends.take(&ENDS, name, value)?,
                _ => return None,
            }
        }
        Some(())
    }

    fn take_logprobs(&mut self, kind: Kind, value: Raw<'a>) -> Option<()> {
        let logprobs = self.logprobs.get_or_insert_default();
        if !value.is_null() {
            let lists = logprobs.get_or_insert_default();
            value.object()?.iter().try_for_each(|(name, list)| lists.take(kind, name, list))?;
        }
        Some(())
    }

    pub(super) fn is_whole(&self, kind: Kind) -> bool {
        let logprobs = self.logprobs.as_ref().and_then(Option::as_ref);
        let has_answer = match kind {
            Kind::Chat => self.message.is_whole(),
            Kind::Completion => self.text.is_some() && logprobs.is_none_or(Lists::are_of_one_length),
        };
        self.finish_reason.is_some() && has_answer
    }
}

/// Lists by their names; `None` for `null`.
#[derive(Debug, Default)]
pub(super) struct Lists<'a>(Vec<(&'static str, Option<Vec<Raw<'a>>>)>);

impl<'a> Lists<'a> {
    fn take(&mut self, kind: Kind, name: &str, list: Raw<'a>) -> Option<()> {
        let names: &[&'static str] = match kind {
            Kind::Chat => &CHAT_LISTS,
            Kind::Completion => &COMPLETION_LISTS,
        };
        let name = *names.iter().find(|known| **known == name)?;
        let list = if list.is_null() { None } else { Some(list.array()?) };
        match (self.0.iter_mut().find(|(known, _)| *known == name), list) {
            (None, list) => self.0.push((name, list)),
            (Some(_), None) => {}
            (Some((_, known)), Some(list)) => known.get_or_insert_default().extend(list),
        }
        Some(())
    }

    /// A completion's lists say something of each token, so that one which was `null` for a while has gaps.
    fn are_of_one_length(&self) -> bool {
        let mut lengths = self.0.iter().filter_map(|(_, list)| list.as_ref().map(Vec::len));
        let first = lengths.next();
        lengths.all(|length| Some(length) == first)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.object(|writer| {
            for (name, list) in &self.0 {
                match list {
                    None => writer.member(name, Raw::NULL),
                    Some(list) => {
                        writer.name(name).array(|writer| list.iter().for_each(|element| writer.raw(*element)));
                    }
                }
            }
        });
    }
}
