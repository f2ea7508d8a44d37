//! [`Usage`]: how many tokens an answer took, of which model, read as it passes.

mod event;
mod member;
mod object;

use std::io::{self, Write};

use http::HeaderMap;
use serde::Deserialize;

use self::{event::Events, member::Members, object::Object};
use crate::{
    body::Decoder,
    header::{content_encoding, media_type},
};

/// How many tokens an answer took, by the provider's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// What was read: prompt, tools, and what the provider had cached of them.
    pub input: u64,
    /// What was written, reasoning included.
    pub output: u64,
    /// Of the input, what the provider had cached.
    pub cached_input: u64,
    /// Of the input, what the provider cached now, for later requests.
    pub cache_creation: u64,
    /// Of that, what it keeps for an hour, which some charge more for.
    pub cache_creation_1h: u64,
    /// Of the output, what was thought and not said.
    pub reasoning: u64,
}

impl Usage {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// What an object says that a provider calls `usage`, or Gemini `usageMetadata`.
    pub(super) fn of_object(json: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Object>(json).ok()?.usage()
    }

    /// The same or more of each count: providers of streams repeat what they have counted so far.
    fn merge(&mut self, other: Self) {
        self.input = self.input.max(other.input);
        self.output = self.output.max(other.output);
        self.cached_input = self.cached_input.max(other.cached_input);
        self.cache_creation = self.cache_creation.max(other.cache_creation);
        self.cache_creation_1h = self.cache_creation_1h.max(other.cache_creation_1h);
        self.reasoning = self.reasoning.max(other.reasoning);
    }
}

/// What an answer says of who wrote it.
#[derive(Clone, Debug, Default)]
struct Said {
    model: Option<String>,
    service_tier: Option<String>,
}

impl Said {
    /// The longest name that is kept.
    const LONGEST: usize = 256;

    /// The first name counts.
    fn model(&mut self, name: Option<&str>) {
        if self.model.is_none() {
            self.model = name.filter(|name| (1..=Self::LONGEST).contains(&name.len())).map(str::to_owned);
        }
    }

    /// The last one counts: what was asked for may not be what was given.
    fn service_tier(&mut self, name: Option<&str>) {
        if let Some(name) = name.filter(|name| name.len() <= Self::LONGEST) {
            self.service_tier = Some(name.to_owned());
        }
    }

    /// Anthropic says it with the usage.
    fn read_usage(&mut self, json: &[u8]) {
        #[derive(Deserialize)]
        struct Tier {
            service_tier: Option<String>,
        }
        if let Ok(Tier { service_tier }) = serde_json::from_slice(json) {
            self.service_tier(service_tier.as_deref());
        }
    }
}

/// Reads an answer's usage as its body passes, and keeps no more of it than one event or one member.
///
/// A compressed body (`gzip`, `deflate`, `br`, with the feature `zstd` that) is read as it is decoded: that takes a decoder's
/// window of memory, from 32 KiB (gzip) to 16 MiB (br, if the server chose so). Nothing is read beyond 64 MiB of text.
#[derive(Debug)]
pub struct Reader(Source);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most answers are plain")]
enum Source {
    Plain(Kind),
    Encoded {
        decoder: Box<Decoder<Kind>>,
        /// Whether the rest can't be read.
        is_broken: bool,
    },
}

#[derive(Debug)]
enum Kind {
    Stream(Events),
    Json(Members<5>),
}

impl Write for Kind {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(events) => events.read(data),
            Self::Json(members) => members.read(data),
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reader {
    /// A reader for a body with these fields; `None` if it is neither an event stream nor JSON, or is compressed in a way that
    /// isn't known here.
    #[must_use]
    pub fn new(headers: &HeaderMap) -> Option<Self> {
        let kind = if media_type::is_event_stream(headers) {
            Kind::Stream(Events::default())
        } else if media_type::is_json(headers) {
            Kind::Json(Members::new(["usage", "usageMetadata", "model", "modelVersion", "service_tier"]))
        } else {
            return None;
        };
        let codings = content_encoding::codings(headers)?;
        Some(Self(if codings.is_empty() {
            Source::Plain(kind)
        } else {
            Source::Encoded { decoder: Box::new(Decoder::new(&codings, kind)?), is_broken: false }
        }))
    }

    /// Some more of the body.
    pub fn read(&mut self, data: &[u8]) {
        match &mut self.0 {
            Source::Plain(Kind::Stream(events)) => events.read(data),
            Source::Plain(Kind::Json(members)) => members.read(data),
            Source::Encoded { decoder, is_broken } if !*is_broken => *is_broken = decoder.read(data).is_err(),
            Source::Encoded { .. } => {}
        }
    }

    /// What it says so far; `None` if it says nothing. Of a stream it is final when its last event has come.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match self.kind() {
            Kind::Stream(events) => events.usage(),
            Kind::Json(members) => Usage::of_object(object(members)?),
        }
    }

    /// Whether the provider has said all that it will say, and could be understood.
    #[must_use]
    pub fn is_final(&self) -> bool {
        if matches!(self.0, Source::Encoded { is_broken: true, .. }) {
            return false;
        }
        match self.kind() {
            Kind::Stream(events) => events.is_final(),
            Kind::Json(members) => object(members).is_some(),
        }
    }

    fn kind(&self) -> &Kind {
        match &self.0 {
            Source::Plain(kind) => kind,
            Source::Encoded { decoder, .. } => decoder.get_ref(),
        }
    }

    /// The model that the answer names as its writer: often a dated snapshot of the one that was asked.
    #[must_use]
    pub fn model(&self) -> Option<String> {
        self.said().model
    }

    /// The service tier that the answer names, such as `flex`, for which providers have prices of their own.
    #[must_use]
    pub fn service_tier(&self) -> Option<String> {
        self.said().service_tier
    }

    fn said(&self) -> Said {
        let members = match self.kind() {
            Kind::Stream(events) => return events.said().clone(),
            Kind::Json(members) => members,
        };
        let text = |index| serde_json::from_slice::<String>(members.get(index)?).ok();
        let mut said = Said::default();
        said.model(text(2).or_else(|| text(3)).as_deref());
        if let Some(usage) = object(members) {
            said.read_usage(usage);
        }
        said.service_tier(text(4).as_deref());
        said
    }
}

/// What a provider calls `usage`, or Gemini `usageMetadata`.
fn object(members: &Members<5>) -> Option<&[u8]> {
    members.get(0).or_else(|| members.get(1)).filter(|json| json.starts_with(b"{"))
}

#[cfg(test)]
mod tests;
