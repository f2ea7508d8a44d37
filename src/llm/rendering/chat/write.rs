//! An [`Answer`] in either rendering, as OpenAI's API has it.

use super::{
    Answer, Kind,
    choice::Choice,
    message::{Message, TEXTS, ToolCall},
};
use crate::llm::rendering::{json::Raw, writer::Writer};

impl Answer<'_> {
    pub(super) fn write_plain(&self, writer: &mut Writer) {
        writer.object(|writer| {
            self.write_head(self.kind.plain(), writer);
            writer.name("choices").array(|writer| {
                for (index, choice) in &self.choices {
                    writer.object(|writer| choice.write_plain(self.kind, *index, writer));
                }
            });
            if let Some(usage) = self.usage {
                writer.member("usage", usage);
            }
        });
    }

    pub(super) fn write_stream(&self, usage: bool, writer: &mut Writer) {
        for (index, choice) in &self.choices {
            let deltas = choice.deltas(self.kind);
            let logged = choice.logged(&deltas);
            for (position, delta) in deltas.iter().enumerate() {
                self.write_chunk(writer, |writer| {
                    writer.name("choices").array(|writer| {
                        let is_logged = position == logged;
                        writer.object(|writer| choice.write_delta(self.kind, *index, delta, is_logged, writer));
                    });
                    if usage {
                        writer.member("usage", Raw::NULL);
                    }
                });
            }
        }
        if let Some(used) = self.usage.filter(|_| usage) {
            self.write_chunk(writer, |writer| {
                writer.name("choices").array(|_| {});
                writer.member("usage", used);
            });
        }
        writer.done();
    }

    fn write_chunk(&self, writer: &mut Writer, rest: impl FnOnce(&mut Writer)) {
        writer.event("", |writer| {
            writer.object(|writer| {
                self.write_head(self.kind.chunk(), writer);
                rest(writer);
            });
        });
    }

    fn write_head(&self, of_type: &str, writer: &mut Writer) {
        if let Some(id) = self.same.get("id") {
            writer.member("id", id);
        }
        writer.name("object").string(of_type);
        writer.members(self.same.iter().filter(|(name, _)| *name != "id"));
    }
}

/// What a chunk of a choice says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delta<'c> {
    /// Who speaks, and all that is `null` or empty.
    Role,
    /// One of [`TEXTS`], or the text of a completion.
    Text(&'static str, &'c str),
    Annotations(Raw<'c>),
    /// A call begins.
    Call(usize),
    /// What it is called with.
    Arguments(usize),
    FunctionCall,
    FunctionArguments,
    Finish,
}

impl Choice<'_> {
    /// The deltas in their order.
    fn deltas(&self, kind: Kind) -> Vec<Delta<'_>> {
        if kind == Kind::Completion {
            return vec![Delta::Text("text", self.text.as_deref().unwrap_or_default()), Delta::Finish];
        }
        let mut deltas = vec![Delta::Role];
        for name in TEXTS {
            let text = self.message.text(name).and_then(Option::as_deref).filter(|text| !text.is_empty());
            deltas.extend(text.map(|text| Delta::Text(name, text)));
        }
        deltas.extend(self.message.annotations.filter(|_| self.message.is_annotated).map(Delta::Annotations));
        if let Some(Some(_)) = &self.message.function_call {
            deltas.extend([Delta::FunctionCall, Delta::FunctionArguments]);
        }
        for index in 0..self.message.calls().len() {
            deltas.extend([Delta::Call(index), Delta::Arguments(index)]);
        }
        deltas.push(Delta::Finish);
        deltas
    }

    /// Which of the deltas has the log probabilities of all tokens: the one with the text. It is never the first, since the TypeScript
    /// client counts those twice.
    fn logged(&self, deltas: &[Delta<'_>]) -> usize {
        let is_text = |delta: &Delta<'_>| matches!(delta, Delta::Text("text" | "content" | "refusal", _));
        deltas.iter().position(is_text).unwrap_or(1)
    }

    fn write_delta(&self, kind: Kind, index: usize, delta: &Delta<'_>, is_logged: bool, writer: &mut Writer) {
        writer.number("index", index);
        match (kind, delta) {
            (Kind::Completion, Delta::Text(_, text)) => writer.text("text", text),
            (Kind::Completion, _) => writer.text("text", ""),
            (Kind::Chat, delta) => {
                writer.name("delta").object(|writer| self.message.write_delta(delta, writer));
            }
        }
        match &self.logprobs {
            Some(Some(lists)) if is_logged => lists.write(writer.name("logprobs")),
            Some(_) => writer.member("logprobs", Raw::NULL),
            None => {}
        }
        let finish_reason = self.finish_reason.filter(|_| *delta == Delta::Finish);
        writer.member("finish_reason", finish_reason.unwrap_or(Raw::NULL));
        if *delta == Delta::Finish {
            writer.members(self.ends.iter());
        }
    }

    fn write_plain(&self, kind: Kind, index: usize, writer: &mut Writer) {
        writer.number("index", index);
        match kind {
            Kind::Chat => writer.name("message").object(|writer| self.message.write(writer)),
            Kind::Completion => writer.text("text", self.text.as_deref().unwrap_or_default()),
        }
        match &self.logprobs {
            Some(Some(lists)) => lists.write(writer.name("logprobs")),
            Some(None) => writer.member("logprobs", Raw::NULL),
            None => {}
        }
        writer.members(self.finish_reason.map(|reason| ("finish_reason", reason)));
        writer.members(self.ends.iter());
    }
}

impl<'a> Message<'a> {
    fn calls(&self) -> &[ToolCall<'a>] {
        self.tool_calls.as_ref().and_then(Option::as_deref).unwrap_or_default()
    }

    fn write_delta(&self, delta: &Delta<'_>, writer: &mut Writer) {
        match *delta {
            Delta::Role => self.write_role(writer),
            Delta::Text(name, text) => writer.text(name, text),
            Delta::Annotations(annotations) => writer.member("annotations", annotations),
            Delta::FunctionCall | Delta::FunctionArguments => {
                let Some(Some(call)) = &self.function_call else { return };
                writer.name("function_call").object(|writer| {
                    let is_start = *delta == Delta::FunctionCall;
                    if is_start {
                        writer.text("name", call.name());
                    }
                    writer.text("arguments", if is_start { "" } else { call.arguments() });
                });
            }
            Delta::Call(index) | Delta::Arguments(index) => {
                let is_start = *delta == Delta::Call(index);
                let Some(call) = self.calls().get(index) else { return };
                writer.name("tool_calls").array(|writer| {
                    writer.object(|writer| {
                        writer.number("index", index);
                        if is_start {
                            writer.text("id", call.id());
                            writer.text("type", "function");
                        }
                        writer.name("function").object(|writer| {
                            if is_start {
                                writer.text("name", call.function.name());
                            }
                            writer.text("arguments", if is_start { "" } else { call.function.arguments() });
                        });
                    });
                });
            }
            Delta::Finish => {}
        }
    }

    /// The first delta: of what comes later only `content` has its place here already, as the API has it.
    fn write_role(&self, writer: &mut Writer) {
        writer.members(self.same.iter());
        for (name, text) in &self.texts {
            match text.as_deref() {
                None => writer.member(name, Raw::NULL),
                Some(text) if text.is_empty() || *name == "content" => writer.text(name, ""),
                Some(_) => {}
            }
        }
        writer.members(self.annotations.filter(|_| !self.is_annotated).map(|none| ("annotations", none)));
        if let Some(None) = &self.function_call {
            writer.member("function_call", Raw::NULL);
        }
        match &self.tool_calls {
            Some(None) => writer.member("tool_calls", Raw::NULL),
            Some(Some(calls)) if calls.is_empty() => writer.name("tool_calls").array(|_| {}),
            Some(Some(_)) | None => {}
        }
    }

    fn write(&self, writer: &mut Writer) {
        writer.members(self.same.iter());
        for (name, text) in &self.texts {
            match text.as_deref() {
                None => writer.member(name, Raw::NULL),
                Some(text) => writer.text(name, text),
            }
        }
        writer.members(self.annotations.map(|annotations| ("annotations", annotations)));
        match &self.function_call {
            None => {}
            Some(None) => writer.member("function_call", Raw::NULL),
            Some(Some(call)) => writer.name("function_call").object(|writer| call.write(writer)),
        }
        match &self.tool_calls {
            None => {}
            Some(None) => writer.member("tool_calls", Raw::NULL),
            Some(Some(calls)) => writer.name("tool_calls").array(|writer| {
                for call in calls {
                    writer.object(|writer| {
                        writer.text("id", call.id());
                        writer.text("type", "function");
                        writer.name("function").object(|writer| call.function.write(writer));
                    });
                }
            }),
        }
    }
}

impl super::message::Function<'_> {
    fn write(&self, writer: &mut Writer) {
        writer.text("name", self.name());
        writer.text("arguments", self.arguments());
    }
}
