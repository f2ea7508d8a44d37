//! [`Block`]: a part of a message.

use std::borrow::Cow;

use super::known;
use crate::llm::rendering::{
    json::{Object, Pieces, Raw, add},
    writer::Writer,
};

/// Blocks that come whole with their start, and what they may have: the rest is in them, and stays as it is.
const WHOLE: [&str; 9] = [
    "redacted_thinking",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "mcp_tool_result",
    "container_upload",
];
const OF_WHOLE: [&str; 7] = ["type", "tool_use_id", "content", "caller", "data", "file_id", "is_error"];

/// Calls of tools, whose `input` comes in pieces, and what else they may have.
const CALLS: [&str; 3] = ["tool_use", "server_tool_use", "mcp_tool_use"];
const OF_CALL: [&str; 6] = ["type", "id", "name", "caller", "toolset_name", "server_name"];

/// A block, whichever way it came.
#[derive(Debug)]
pub(super) enum Block<'a> {
    Whole(Raw<'a>),
    Text {
        text: Pieces<'a>,
        /// Two options: they may be missing, and `null`.
        citations: Option<Option<Vec<Raw<'a>>>>,
    },
    Thinking {
        thinking: Pieces<'a>,
        signature: Pieces<'a>,
        is_signed: bool,
    },
    Call {
        /// Those of [`OF_CALL`] that it has.
        members: Vec<(&'static str, Raw<'a>)>,
        /// JSON.
        input: Cow<'a, str>,
        /// The pieces of it that came, escaped.
        pieces: Pieces<'a>,
    },
}

impl<'a> Block<'a> {
    /// Reads a block of a plain message, or the start of one in a stream.
    pub(super) fn read(block: Raw<'a>, is_start: bool) -> Option<Self> {
        let object = block.object()?;
        let kind = object.get("type")?.string()?;
        match kind {
            "text" => Self::text(&object),
            "thinking" => Self::thinking(&object),
            _ if CALLS.contains(&kind) => Self::call(&object, is_start),
            _ => (WHOLE.contains(&kind) && object.has_only(&OF_WHOLE)).then_some(Self::Whole(block)),
        }
    }

    fn text(object: &Object<'a>) -> Option<Self> {
        let mut text = None;
        add(&mut text, object.get("text")?)?;
        let citations = match object.get("citations") {
            None => None,
            Some(citations) if citations.is_null() => Some(None),
            Some(citations) => Some(Some(citations.array()?)),
        };
        (text.is_some() && object.has_only(&["type", "text", "citations"])).then_some(Self::Text { text, citations })
    }

    fn thinking(object: &Object<'a>) -> Option<Self> {
        let (mut thinking, mut signature) = (None, None);
        add(&mut thinking, object.get("thinking")?)?;
        if let Some(value) = object.get("signature") {
            add(&mut signature, value)?;
            signature.as_ref()?;
        }
        let is_known = thinking.is_some() && object.has_only(&["type", "thinking", "signature"]);
        is_known.then_some(Self::Thinking { thinking, signature, is_signed: false })
    }

    fn call(object: &Object<'a>, is_start: bool) -> Option<Self> {
        let input = object.get("input")?;
        let is_empty = input.object().map(|input| input.iter().next().is_none());
        // A start that has something in it already isn't what the pieces are added to.
        if is_start && is_empty != Some(true) || !input.is_object() {
            return None;
        }
        let members = object.iter().filter(|(name, _)| *name != "input");
        let members = members.map(|(name, value)| Some((known(&OF_CALL, name)?, value))).collect::<Option<_>>()?;
        Some(Self::Call { members, input: Cow::Borrowed(input.text()), pieces: None })
    }

    /// Takes a delta.
    pub(super) fn take(&mut self, delta: &Object<'a>) -> Option<()> {
        let kind = delta.get("type")?.string()?;
        let value = |name: &str| delta.get(name).filter(|value| !value.is_null() && delta.has_only(&["type", name]));
        match (self, kind) {
            (Self::Text { text, .. }, "text_delta") => add(text, value("text")?),
            (Self::Text { citations, .. }, "citations_delta") => {
                citations.get_or_insert_default().get_or_insert_default().push(value("citation")?);
                Some(())
            }
            (Self::Thinking { thinking, .. }, "thinking_delta") => add(thinking, value("thinking")?),
            // The clients take the last one.
            (Self::Thinking { signature, is_signed: is_signed @ false, .. }, "signature_delta") => {
                *is_signed = true;
                *signature = None;
                add(signature, value("signature")?)
            }
            (Self::Call { pieces, .. }, "input_json_delta") => add(pieces, value("partial_json")?),
            _ => None,
        }
    }

    /// Ends the block: pieces of JSON have to be JSON together.
    pub(super) fn stop(&mut self) -> Option<()> {
        if let Self::Call { input, pieces, .. } = self
            && let Some(pieces) = pieces.take().filter(|pieces| !pieces.is_empty())
        {
            let text: String = serde_json::from_str(&format!("\"{pieces}\"")).ok()?;
            let value = Raw::read(text.as_bytes())?.text();
            if !value.starts_with('{') {
                return None;
            }
            *input = Cow::Owned(value.to_owned());
        }
        Some(())
    }

    pub(super) fn write_plain(&self, writer: &mut Writer) {
        self.write(writer, true);
    }

    /// The start of it.
    pub(super) fn write_start(&self, writer: &mut Writer) {
        self.write(writer, false);
    }

    fn write(&self, writer: &mut Writer, is_plain: bool) {
        fn text<'p>(pieces: &'p Pieces<'_>, is_plain: bool) -> &'p str {
            pieces.as_deref().filter(|_| is_plain).unwrap_or_default()
        }
        match self {
            Self::Whole(block) => writer.raw(*block),
            Self::Text { text: pieces, citations } => writer.object(|writer| {
                writer.text("type", "text");
                writer.text("text", text(pieces, is_plain));
                match citations {
                    None => {}
                    Some(None) => writer.member("citations", Raw::NULL),
                    Some(Some(citations)) => writer.name("citations").array(|writer| {
                        citations.iter().filter(|_| is_plain).for_each(|citation| writer.raw(*citation));
                    }),
                }
            }),
            Self::Thinking { thinking, signature, .. } => writer.object(|writer| {
                writer.text("type", "thinking");
                writer.text("thinking", text(thinking, is_plain));
                if signature.is_some() {
                    writer.text("signature", text(signature, is_plain));
                }
            }),
            Self::Call { members, input, .. } => writer.object(|writer| {
                writer.members(members.iter().copied());
                writer.member("input", Raw::written(if is_plain { input } else { "{}" }));
            }),
        }
    }

    /// Gives each delta, written by what it is given, to `emit`.
    pub(super) fn write_deltas(&self, mut emit: impl FnMut(&dyn Fn(&mut Writer))) {
        let mut piece = |kind: &str, name: &str, pieces: &Pieces<'_>| {
            if let Some(text) = pieces.as_deref().filter(|text| !text.is_empty()) {
                emit(&|writer| {
                    writer.text("type", kind);
                    writer.text(name, text);
                });
            }
        };
        match self {
            Self::Whole(_) => {}
            Self::Text { text, citations } => {
                piece("text_delta", "text", text);
                for citation in citations.iter().flatten().flatten() {
                    emit(&|writer| {
                        writer.text("type", "citations_delta");
                        writer.member("citation", *citation);
                    });
                }
            }
            Self::Thinking { thinking, signature, .. } => {
                piece("thinking_delta", "thinking", thinking);
                piece("signature_delta", "signature", signature);
            }
            Self::Call { input, .. } => emit(&|writer| {
                writer.text("type", "input_json_delta");
                writer.name("partial_json").string(input);
            }),
        }
    }
}
