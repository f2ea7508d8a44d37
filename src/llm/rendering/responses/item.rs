//! [`Item`]: a part of a response's output.

use super::Stream;
use crate::llm::rendering::{
    json::{Object, Raw},
    writer::Writer,
};

/// An item that can be streamed.
#[derive(Debug)]
pub(super) struct Item<'a> {
    text: Raw<'a>,
    members: Object<'a>,
    id: Raw<'a>,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    Message(Vec<Part<'a>>),
    /// What it is called with, and the name of the member and of the events that say so.
    Call {
        input: &'a str,
        member: &'static str,
        events: &'static str,
    },
    /// The texts of its summary.
    Reasoning(Vec<(Raw<'a>, &'a str)>),
    /// A tool of OpenAI's own that searches: the name of its events.
    Search(&'static str),
}

#[derive(Debug)]
enum Part<'a> {
    Text { part: Raw<'a>, text: &'a str, annotations: Vec<Raw<'a>>, logprobs: Option<Raw<'a>> },
    Refusal { part: Raw<'a>, refusal: &'a str },
}

impl<'a> Item<'a> {
    /// `None` for items of which it isn't known how they are streamed.
    pub(super) fn read(text: Raw<'a>) -> Option<Self> {
        let members = text.object()?;
        let id = members.get("id").filter(|id| id.is_string())?;
        let call = |member: &'static str, events| {
            let input = members.get(member)?.string()?;
            Some(Kind::Call { input, member, events })
        };
        let (kind, known): (_, &[&str]) = match members.get("type")?.string()? {
            "message" => (message(&members)?, &["role", "content", "phase"]),
            "function_call" => (
                call("arguments", "response.function_call_arguments")?,
                &["arguments", "call_id", "name", "namespace", "caller", "async"],
            ),
            "custom_tool_call" => (
                call("input", "response.custom_tool_call_input")?,
                &["input", "call_id", "name", "namespace", "caller", "async"],
            ),
            "reasoning" => (reasoning(&members)?, &["summary", "content", "encrypted_content"]),
            "web_search_call" => (Kind::Search("response.web_search_call"), &["action"]),
            "file_search_call" => (Kind::Search("response.file_search_call"), &["queries", "results"]),
            _ => return None,
        };
        let is_known = |(name, _): (&str, Raw<'_>)| ["id", "type", "status"].contains(&name) || known.contains(&name);
        members.iter().all(is_known).then_some(())?;
        Some(Self { text, id, kind, members })
    }

    /// Writes the item's events.
    pub(super) fn write(&self, index: usize, stream: &mut Stream) {
        stream.event("response.output_item.added", |writer| {
            writer.number("output_index", index);
            writer.name("item").object(|writer| self.write_start(writer));
        });
        match &self.kind {
            Kind::Message(parts) => {
                for (content_index, part) in parts.iter().enumerate() {
                    part.write(stream, |writer| {
                        self.write_place(index, writer);
                        writer.number("content_index", content_index);
                    });
                }
            }
            Kind::Call { input, member, events } => {
                if !input.is_empty() {
                    stream.event(&format!("{events}.delta"), |writer| {
                        self.write_place(index, writer);
                        writer.text("delta", input);
                    });
                }
                stream.event(&format!("{events}.done"), |writer| {
                    self.write_place(index, writer);
                    writer.text(member, input);
                });
            }
            Kind::Reasoning(summary) => {
                for (summary_index, (part, text)) in summary.iter().enumerate() {
                    let place = |writer: &mut Writer| {
                        self.write_place(index, writer);
                        writer.number("summary_index", summary_index);
                    };
                    write_summary(*part, text, stream, place);
                }
            }
            Kind::Search(events) => {
                for state in ["in_progress", "searching", "completed"] {
                    stream.event(&format!("{events}.{state}"), |writer| self.write_place(index, writer));
                }
            }
        }
        stream.event("response.output_item.done", |writer| {
            writer.number("output_index", index);
            writer.member("item", self.text);
        });
    }

    /// The item before anything of it has come.
    fn write_start(&self, writer: &mut Writer) {
        for (name, value) in self.members.iter() {
            match name {
                "status" if !value.is_null() => writer.text(name, "in_progress"),
                "content" if !value.is_null() => writer.name(name).array(|_| {}),
                "summary" | "queries" => writer.name(name).array(|_| {}),
                "arguments" | "input" => writer.text(name, ""),
                "action" => {}
                "results" => writer.member(name, Raw::NULL),
                _ => writer.member(name, value),
            }
        }
    }

    fn write_place(&self, index: usize, writer: &mut Writer) {
        writer.member("item_id", self.id);
        writer.number("output_index", index);
    }
}

fn message<'a>(members: &Object<'a>) -> Option<Kind<'a>> {
    let parts = members.get("content")?.array()?.into_iter().map(Part::read).collect::<Option<_>>()?;
    members.is("role", "assistant").then_some(Kind::Message(parts))
}

fn reasoning<'a>(members: &Object<'a>) -> Option<Kind<'a>> {
    // The Python client makes nothing of reasoning that isn't a summary, before its end.
    let has_content = members
        .get("content")
        .is_some_and(|content| !content.is_null() && content.array().is_none_or(|all| !all.is_empty()));
    let summary = members.get("summary")?.array()?.into_iter().map(|part| {
        let object = part.object()?;
        let text = object.get("text")?.string()?;
        (object.is("type", "summary_text") && object.has_only(&["type", "text"])).then_some((part, text))
    });
    let summary = summary.collect::<Option<_>>()?;
    (!has_content).then_some(Kind::Reasoning(summary))
}

fn write_summary(part: Raw<'_>, text: &str, stream: &mut Stream, place: impl Fn(&mut Writer)) {
    stream.event("response.reasoning_summary_part.added", |writer| {
        place(writer);
        writer.name("part").object(|writer| {
            writer.text("type", "summary_text");
            writer.text("text", "");
        });
    });
    for (kind, member) in
        [("response.reasoning_summary_text.delta", "delta"), ("response.reasoning_summary_text.done", "text")]
    {
        stream.event(kind, |writer| {
            place(writer);
            writer.text(member, text);
        });
    }
    stream.event("response.reasoning_summary_part.done", |writer| {
        place(writer);
        writer.member("part", part);
    });
}

impl<'a> Part<'a> {
    fn read(part: Raw<'a>) -> Option<Self> {
        let object = part.object()?;
        match object.get("type")?.string()? {
            "output_text" if object.has_only(&["type", "text", "annotations", "logprobs"]) => {
                let logprobs = object.get("logprobs");
                if logprobs.is_some_and(|logprobs| logprobs.array().is_none()) {
                    return None;
                }
                let annotations = object.get("annotations")?.array()?;
                Some(Self::Text { part, text: object.get("text")?.string()?, annotations, logprobs })
            }
            "refusal" if object.has_only(&["type", "refusal"]) => {
                Some(Self::Refusal { part, refusal: object.get("refusal")?.string()? })
            }
            _ => None,
        }
    }

    fn part(&self) -> Raw<'a> {
        match self {
            Self::Text { part, .. } | Self::Refusal { part, .. } => *part,
        }
    }

    fn write(&self, stream: &mut Stream, place: impl Fn(&mut Writer)) {
        stream.event("response.content_part.added", |writer| {
            place(writer);
            writer.name("part").object(|writer| self.write_start(writer));
        });
        match self {
            Self::Text { text, annotations, logprobs, .. } => {
                let logprobs = logprobs.unwrap_or(Raw::written("[]"));
                if !text.is_empty() {
                    stream.event("response.output_text.delta", |writer| {
                        place(writer);
                        writer.text("delta", text);
                        writer.member("logprobs", logprobs);
                    });
                }
                for (index, annotation) in annotations.iter().enumerate() {
                    stream.event("response.output_text.annotation.added", |writer| {
                        place(writer);
                        writer.number("annotation_index", index);
                        writer.member("annotation", *annotation);
                    });
                }
                stream.event("response.output_text.done", |writer| {
                    place(writer);
                    writer.text("text", text);
                    writer.member("logprobs", logprobs);
                });
            }
            Self::Refusal { refusal, .. } => {
                for (kind, member) in [("response.refusal.delta", "delta"), ("response.refusal.done", "refusal")] {
                    stream.event(kind, |writer| {
                        place(writer);
                        writer.text(member, refusal);
                    });
                }
            }
        }
        stream.event("response.content_part.done", |writer| {
            place(writer);
            writer.member("part", self.part());
        });
    }

    fn write_start(&self, writer: &mut Writer) {
        match self {
            Self::Text { logprobs, .. } => {
                writer.text("type", "output_text");
                writer.name("annotations").array(|_| {});
                if logprobs.is_some() {
                    writer.name("logprobs").array(|_| {});
                }
                writer.text("text", "");
            }
            Self::Refusal { .. } => {
                writer.text("type", "refusal");
                writer.text("refusal", "");
            }
        }
    }
}
