//! A [`Message`] from a stream, and as one.

use super::{ALWAYS_NULL, CONTEXT, FINAL, Message, STOP, TOTALS, block::Block, known, set};
use crate::{
    llm::rendering::{
        Rendered,
        json::{Object, Raw},
        writer::Writer,
    },
    policy::completeness::sse::Events,
};

/// Reads a stream into the plain message.
pub(in super::super) fn to_plain(body: &[u8]) -> Option<Rendered> {
    let mut events = Events::new(body);
    let read: Vec<_> = events.by_ref().filter(|event| !event.data.trim_ascii().is_empty()).collect();
    // Not Anthropic's, but some gateways end every stream with it.
    let end = read.iter().rposition(|event| event.data.trim_ascii() != b"[DONE]")?;
    let mut transcript = Transcript::default();
    for event in &read[..=end] {
        let data = Object::read(&event.data)?;
        let kind = data.get("type")?.string()?;
        if !event.event.is_empty() && event.event != kind {
            return None;
        }
        transcript.take(kind, &data)?;
    }
    let message = transcript.message.filter(|_| transcript.is_stopped && !events.is_truncated())?;
    let mut writer = Writer::default();
    message.write_plain(&mut writer);
    Some(writer.finish())
}

/// Writes a plain message as a stream.
pub(in super::super) fn to_stream(body: &[u8]) -> Option<Rendered> {
    let message = Message::read(&Object::read(body)?)?;
    let has_stopped = message.ended("stop_reason")?.is_string() && message.ended("stop_sequence").is_some();
    if !has_stopped {
        return None;
    }
    let mut writer = Writer::default();
    message.write_stream(&mut writer);
    Some(writer.finish())
}

/// What a stream has said so far.
#[derive(Default)]
struct Transcript<'a> {
    message: Option<Message<'a>>,
    is_in_block: bool,
    /// Whether the message's end has come, but for the last event.
    has_ended: bool,
    is_stopped: bool,
}

impl<'a> Transcript<'a> {
    fn take(&mut self, kind: &str, data: &Object<'a>) -> Option<()> {
        if self.is_stopped {
            return None;
        }
        if kind == "ping" {
            return data.has_only(&["type"]).then_some(());
        }
        let Some(message) = &mut self.message else {
            return if kind == "message_start" { self.start(data) } else { None };
        };
        match kind {
            "content_block_start" if !self.is_in_block && !self.has_ended => {
                self.is_in_block = true;
                let index = data.get("index")?.index()?;
                message.content.push(Block::read(data.get("content_block")?, true)?);
                let is_next = index + 1 == message.content.len();
                (is_next && data.has_only(&["type", "index", "content_block"])).then_some(())
            }
            "content_block_delta" | "content_block_stop" if self.is_in_block => {
                let is_last = data.get("index")?.index()? + 1 == message.content.len();
                let block = message.content.last_mut().filter(|_| is_last)?;
                if kind == "content_block_stop" {
                    self.is_in_block = false;
                    block.stop()?;
                    data.has_only(&["type", "index"]).then_some(())
                } else {
                    block.take(&data.get("delta")?.object()?)?;
                    data.has_only(&["type", "index", "delta"]).then_some(())
                }
            }
            "message_delta" if !self.is_in_block && !self.has_ended => {
                self.has_ended = true;
                message.end(data)
            }
            "message_stop" if self.has_ended => {
                self.is_stopped = true;
                data.has_only(&["type"]).then_some(())
            }
            _ => None,
        }
    }

    fn start(&mut self, data: &Object<'a>) -> Option<()> {
        let message = Message::read(&data.get("message")?.object()?)?;
        // Nothing has been said, so nothing can be contradicted.
        let is_empty = message.content.is_empty()
            && message.end.iter().all(|(name, value)| value.is_null() || *name == "container" || *name == CONTEXT);
        self.message = Some(message);
        (is_empty && data.has_only(&["type", "message"])).then_some(())
    }
}

impl<'a> Message<'a> {
    /// Takes a `message_delta`.
    fn end(&mut self, data: &Object<'a>) -> Option<()> {
        let delta = data.get("delta")?.object()?;
        delta.get("stop_reason")?.string().filter(|reason| !reason.is_empty())?;
        for (name, value) in delta.iter() {
            let name = known(&STOP, name)?;
            if name != "container" || !value.is_null() || self.ended(name).is_none() {
                set(&mut self.end, name, value);
            }
        }
        for (name, value) in data.iter() {
            match name {
                "type" | "delta" | "usage" => {}
                CONTEXT if !value.is_null() || self.ended(CONTEXT).is_none() => set(&mut self.end, CONTEXT, value),
                CONTEXT => {}
                _ => return None,
            }
        }
        let usage = data.get("usage")?.object()?;
        usage.get("output_tokens")?.index()?;
        for (name, value) in usage.iter() {
            let name = known(&TOTALS, name)?;
            if !value.is_null() || self.used(name).is_none() {
                set(&mut self.usage, name, value);
            }
        }
        Some(())
    }

    fn write_plain(&self, writer: &mut Writer) {
        writer.object(|writer| {
            writer.members(self.fixed.iter());
            writer.name("content").array(|writer| {
                self.content.iter().for_each(|block| block.write_plain(writer));
            });
            writer.members(self.end.iter().copied());
            writer.name("usage").object(|writer| writer.members(self.usage.iter().copied()));
        });
    }

    fn write_stream(&self, writer: &mut Writer) {
        event(writer, "message_start", |writer| {
            writer.name("message").object(|writer| self.write_start(writer));
        });
        for (index, block) in self.content.iter().enumerate() {
            event(writer, "content_block_start", |writer| {
                writer.number("index", index);
                writer.name("content_block");
                block.write_start(writer);
            });
            block.write_deltas(|delta| {
                event(writer, "content_block_delta", |writer| {
                    writer.number("index", index);
                    writer.name("delta").object(delta);
                });
            });
            event(writer, "content_block_stop", |writer| writer.number("index", index));
        }
        event(writer, "message_delta", |writer| self.write_end(writer));
        event(writer, "message_stop", |_| {});
    }

    /// The message before anything of it has come. Nothing has been put out yet, so that a client which adds what the start and the
    /// end say gets the right sum as well.
    fn write_start(&self, writer: &mut Writer) {
        writer.members(self.fixed.iter());
        writer.name("content").array(|_| {});
        writer.members(self.end.iter().map(|(name, _)| (*name, Raw::NULL)));
        writer.name("usage").object(|writer| {
            writer.members(self.usage.iter().map(|(name, value)| match *name {
                "output_tokens" => ("output_tokens", Raw::written("0")),
                name if FINAL.contains(&name) => (name, Raw::NULL),
                name => (name, *value),
            }));
        });
    }

    /// A `message_delta`.
    fn write_end(&self, writer: &mut Writer) {
        writer.name("delta").object(|writer| {
            let is_said = |name: &str, value: &Raw<'_>| {
                name != CONTEXT && name != ALWAYS_NULL && (name != "container" || !value.is_null())
            };
            writer.members(self.end.iter().copied().filter(|(name, value)| is_said(name, value)));
        });
        writer.name("usage").object(|writer| {
            writer
                .members(self.usage.iter().copied().filter(|(name, value)| TOTALS.contains(name) && !value.is_null()));
        });
        let context = self.ended(CONTEXT).filter(|context| !context.is_null());
        writer.members(context.map(|context| (CONTEXT, context)));
    }
}

/// An event that is named as its type.
fn event(writer: &mut Writer, kind: &str, rest: impl FnOnce(&mut Writer)) {
    writer.event(kind, |writer| {
        writer.object(|writer| {
            writer.text("type", kind);
            rest(writer);
        });
    });
}
