//! [`Message`]: what a model says in a chat.

use crate::llm::rendering::json::{Object, Pieces, Raw, Same, add};

/// Strings that come in pieces, in the order in which a stream has them. The look-alikes' names for what a model thinks are
/// `reasoning` (OpenRouter, vLLM) and `reasoning_content` (DeepSeek, vLLM, and others).
pub(super) const TEXTS: [&str; 4] = ["reasoning", "reasoning_content", "content", "refusal"];

/// A message, whichever way it came.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    /// `role`, and `audio` where it is `null`.
    pub(super) same: Same<'a>,
    /// Those of [`TEXTS`] that it has.
    pub(super) texts: Vec<(&'static str, Pieces<'a>)>,
    /// A list that comes at once, or `null`.
    pub(super) annotations: Option<Raw<'a>>,
    /// Whether there is one among them.
    pub(super) is_annotated: bool,
    /// Two options: it may be missing, and `null`.
    pub(super) function_call: Option<Option<Function<'a>>>,
    /// The same.
    pub(super) tool_calls: Option<Option<Vec<ToolCall<'a>>>>,
}

/// The name of a function, and what it is called with.
#[derive(Debug, Default)]
pub(super) struct Function<'a> {
    pub(super) name: Pieces<'a>,
    pub(super) arguments: Pieces<'a>,
}

/// A call of a function.
#[derive(Debug, Default)]
pub(super) struct ToolCall<'a> {
    pub(super) id: Pieces<'a>,
    pub(super) function: Function<'a>,
    has_type: bool,
}

impl<'a> Message<'a> {
    /// Takes a delta, or a whole message.
    pub(super) fn take(&mut self, delta: &Object<'a>, is_chunk: bool) -> Option<()> {
        for (name, value) in delta.iter() {
            match name {
                "role" if value.is_null() || value.string()?.is_empty() => {}
                "role" => self.same.take(&["role"], name, value)?,
                "audio" if value.is_null() => self.same.take(&["audio"], name, value)?,
                "annotations" => self.take_annotations(value)?,
                "function_call" => {
                    let call = self.function_call.get_or_insert_default();
                    if !value.is_null() {
                        call.get_or_insert_default().take(value)?;
                    }
                }
                "tool_calls" => self.take_tool_calls(value, is_chunk)?,
                _ => {
                    let name = *TEXTS.iter().find(|known| **known == name)?;
                    match self.texts.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, pieces)) => add(pieces, value)?,
                        None => {
                            let mut pieces = None;
                            add(&mut pieces, value)?;
                            self.texts.push((name, pieces));
                        }
                    }
                }
            }
        }
        Some(())
    }

    /// Nothing says how lists of them would be put together, so that there is one.
    fn take_annotations(&mut self, value: Raw<'a>) -> Option<()> {
        let is_empty = value.is_null() || value.array()?.is_empty();
        match self.annotations {
            // Not read again with each delta, of which there are many.
            Some(_) if self.is_annotated => return is_empty.then_some(()),
            Some(known) if value.is_null() && !known.is_null() => {}
            Some(_) | None => self.annotations = Some(value),
        }
        self.is_annotated = !is_empty;
        Some(())
    }

    fn take_tool_calls(&mut self, value: Raw<'a>, is_chunk: bool) -> Option<()> {
        let calls = self.tool_calls.get_or_insert_default();
        if value.is_null() {
            return Some(());
        }
        let calls = calls.get_or_insert_default();
        for (position, call) in value.array()?.into_iter().enumerate() {
            let call = call.object()?;
            let index = match call.get("index") {
                Some(index) => index.index()?,
                None if is_chunk => return None,
                None => position,
            };
            if index == calls.len() {
                calls.push(ToolCall::default());
            } else if !is_chunk {
                return None;
            }
            calls.get_mut(index)?.take(&call)?;
        }
        Some(())
    }

    pub(super) fn text(&self, name: &str) -> Option<&Pieces<'a>> {
        self.texts.iter().find(|(known, _)| *known == name).map(|(_, pieces)| pieces)
    }

    pub(super) fn is_whole(&self) -> bool {
        let function_call = self.function_call.as_ref().and_then(Option::as_ref);
        let tool_calls = self.tool_calls.as_ref().and_then(Option::as_ref);
        self.same.get("role").is_some()
            && function_call.is_none_or(Function::is_whole)
            && tool_calls.is_none_or(|calls| calls.iter().all(ToolCall::is_whole))
    }
}

impl<'a> Function<'a> {
    fn take(&mut self, value: Raw<'a>) -> Option<()> {
        value.object()?.iter().try_for_each(|(name, value)| match name {
            "name" => add_once(&mut self.name, value),
            "arguments" => add(&mut self.arguments, value),
            _ => None,
        })
    }

    fn is_whole(&self) -> bool {
        self.name.as_ref().is_some_and(|name| !name.is_empty()) && self.arguments.is_some()
    }

    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub(super) fn arguments(&self) -> &str {
        self.arguments.as_deref().unwrap_or_default()
    }
}

impl<'a> ToolCall<'a> {
    fn take(&mut self, call: &Object<'a>) -> Option<()> {
        call.iter().try_for_each(|(name, value)| match name {
            "index" => Some(()),
            "id" => add_once(&mut self.id, value),
            "type" if value.is_null() => Some(()),
            "type" => {
                // The clients read no other tool's calls from a stream.
                self.has_type = value.string() == Some("function");
                self.has_type.then_some(())
            }
            "function" => self.function.take(value),
            _ => None,
        })
    }

    fn is_whole(&self) -> bool {
        self.has_type && self.id.as_ref().is_some_and(|id| !id.is_empty()) && self.function.is_whole()
    }

    pub(super) fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_default()
    }
}

/// Adds a string that comes at once: of two pieces one client takes the last, another both.
fn add_once<'a>(pieces: &mut Pieces<'a>, piece: Raw<'a>) -> Option<()> {
    match pieces {
        Some(text) if !text.is_empty() => (piece.is_null() || piece.string()?.is_empty()).then_some(()),
        Some(_) | None => add(pieces, piece),
    }
}
