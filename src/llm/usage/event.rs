//! [`Events`]: usage in an event stream.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Said, Usage};

/// The longest line that is read; longer ones say nothing of usage.
const LONGEST: usize = 1024 * 1024;

/// Reads the lines of a stream, and looks only into those that may say something of usage or of the end.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// A line that isn't whole yet.
    line: Vec<u8>,
    /// Whether it is too long.
    skips: bool,
    usage: Option<Usage>,
    said: Said,
    is_final: bool,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    r#type: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "usageMetadata")]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow, default, alias = "modelVersion")]
    model: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    service_tier: Option<std::borrow::Cow<'a, str>>,
    // Anthropic's `message_start`, and OpenAI's `response.completed`.
    #[serde(borrow, default)]
    message: Option<Inner<'a>>,
    #[serde(borrow, default)]
    response: Option<Inner<'a>>,
}

#[derive(Default, Deserialize)]
struct Inner<'a> {
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    service_tier: Option<std::borrow::Cow<'a, str>>,
}

impl Events {
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }

    pub(super) fn said(&self) -> &Said {
        &self.said
    }

    pub(super) fn is_final(&self) -> bool {
        self.is_final
    }

    pub(super) fn read(&mut self, mut data: &[u8]) {
        while let Some(end) = data.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, rest) = data.split_at(end);
            self.add(line);
            self.end_line();
            data = &rest[1..];
        }
        self.add(data);
    }

    fn add(&mut self, data: &[u8]) {
        self.skips |= self.line.len() + data.len() > LONGEST;
        if self.skips {
            self.line.clear();
        } else {
            self.line.extend_from_slice(data);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !std::mem::take(&mut self.skips)
            && let Some(data) = line.strip_prefix(b"data:")
        {
            self.take(data.trim_ascii());
        }
        // Its room is used again.
        self.line = line;
        self.line.clear();
    }

    fn take(&mut self, data: &[u8]) {
        if data == b"[DONE]" {
            self.is_final = true;
            return;
        }
        let says = |word: &[u8]| data.windows(word.len()).any(|window| window == word);
        let names_model = self.said.model.is_none() && says(b"\"model");
        if !names_model && !says(b"\"usage") && !says(b"\"message_stop\"") {
            return;
        }
        let has_finished = says(b"\"finishReason\"");
        let Ok(data) = serde_json::from_slice::<Data<'_>>(data) else { return };
        let inner = data.message.or(data.response).unwrap_or_default();
        for object in [inner.usage, data.usage, data.usage_metadata].into_iter().flatten() {
            self.said.read_usage(object.get().as_bytes());
            if let Some(usage) = Usage::of_object(object.get().as_bytes()) {
                self.usage.get_or_insert_default().merge(usage);
            }
        }
        self.said.model(data.model.or(inner.model).as_deref());
        self.said.service_tier(data.service_tier.or(inner.service_tier).as_deref());
        let last = ["message_stop", "response.completed", "response.incomplete"];
        // Gemini ends without a word, but says with its last usage why it stopped.
        let stopped = data.usage_metadata.is_some() && has_finished;
        self.is_final |= stopped || data.r#type.is_some_and(|kind| last.contains(&&*kind));
    }
}
