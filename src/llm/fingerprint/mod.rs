//! [`Fingerprint`]: what counts in a request to a model.

mod form;
mod marks;
mod temperature;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, Uri, header::CONTENT_ENCODING, request::Parts};

pub use self::temperature::Temperature;
use self::{form::Form, marks::unmark};
use super::{Endpoint, endpoint::is_generation};
use crate::{
    ConfigError,
    entry::Entry,
    fingerprint::{
        self, BodyUse, Identity, Rendered, Rendering, RequestFingerprint, Scope, body_limit, json, with_raw,
    },
    header::host::authority,
    key::{Key, KeyBuilder},
};

/// Members of a request that say who asks, or how a provider may cache, but not what is asked.
const IGNORED: [&str; 5] = ["user", "safety_identifier", "metadata", "prompt_cache_key", "prompt_cache_retention"];

/// Fields that change what an answer is.
const HEADERS: [&str; 5] =
    ["anthropic-version", "anthropic-beta", "openai-beta", "openai-organization", "openai-project"];

/// The largest request body that is read for its key.
const MAX_REQUEST: usize = 16 << 20;

/// Generation requests by their body, all others by method and URI.
///
/// Everything in the body counts, members that larder doesn't know included, but for `user`, `safety_identifier`, `metadata`,
/// `prompt_cache_key` and `prompt_cache_retention`, and the `cache_control` marks of Anthropic's clients. A member that is missing is not the same as its default. Neither the
/// order of keys counts, nor white space.
///
/// `stream` and `stream_options` only say in which form the answer is to come. A plain answer and a streamed one are one entry: what
/// was kept of either answers the other, where that can be done [exactly](Self::share_streams).
///
/// Not cached are requests whose answer isn't all they ask for, or doesn't depend on them alone: `store: true`, `background:
/// true`, `previous_response_id`, `conversation`.
///
/// The label is the endpoint and the model, for example `chat:gpt-4o`.
#[derive(Clone, Debug)]
#[must_use]
pub struct Fingerprint {
    generation: RequestFingerprint,
    rest: RequestFingerprint,
    ignored: Arc<[String]>,
    aliases: Arc<HashMap<String, String>>,
    temperature: Temperature,
    shares_streams: bool,
    limit: usize,
}

impl Fingerprint {
    /// Per credential.
    pub fn new() -> Self {
        let generation = HEADERS
            .into_iter()
            .fold(RequestFingerprint::new(), |fingerprint, name| fingerprint.header(HeaderName::from_static(name)));
        Self {
            generation,
            rest: RequestFingerprint::new(),
            ignored: IGNORED.map(String::from).into(),
            aliases: Arc::default(),
            temperature: Temperature::All,
            shares_streams: true,
            limit: MAX_REQUEST,
        }
    }

    /// Sets who may share an answer. Default: [`Scope::credential`].
    pub fn scope(mut self, scope: Scope) -> Self {
        self.generation = self.generation.scope(scope.clone());
        self.rest = self.rest.scope(scope);
        self
    }

    /// Sets what counts in requests that don't generate. Default: [`RequestFingerprint::new`].
    pub fn rest(mut self, fingerprint: RequestFingerprint) -> Self {
        self.rest = fingerprint;
        self
    }

    /// Lets a further request field count in a generation request, such as one by which a gateway chooses the model.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.generation = self.generation.header(name);
        self
    }

    /// Leaves a further top-level member of the body out.
    pub fn ignore(mut self, member: impl Into<String>) -> Self {
        self.ignored = self.ignored.iter().cloned().chain([member.into()]).collect();
        self
    }

    /// Takes one model's name for another's, so that both share answers: of a model that has several names, or of two that are as good
    /// as one. The request goes upstream as it came. Names in a path, as Gemini's, are not meant. Default: none.
    pub fn alias(mut self, name: impl Into<String>, model: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.aliases).insert(name.into(), model.into());
        self
    }

    /// Sets which requests are cached, by how much their answers are left to chance. Default: [`Temperature::All`].
    pub fn temperature(mut self, temperature: Temperature) -> Self {
        self.temperature = temperature;
        self
    }

    /// Whether a plain answer and a streamed one are one entry. Default: true.
    ///
    /// What is kept of the one is converted for the other, with ids, usage, finish reasons, tool calls and reasoning, so that the
    /// providers' official clients make the same of both. It is exact or a miss: what is not known to have a place in the other
    /// form is fetched in that form. A stream of OpenAI's that was asked for without `include_usage` doesn't say what was used, so a
    /// plain request doesn't get it. Text comes in one event, since nothing tells how the model would have cut it. Each hit in the
    /// other form converts anew, in the task of the request; what would become larger than 64 MiB is a miss. If false, `stream`
    /// and `stream_options` count like all other members.
    pub fn share_streams(mut self, yes: bool) -> Self {
        self.shares_streams = yes;
        self
    }

    /// The largest request body that is read, in bytes; a larger request passes by the cache. Default: 16 MiB.
    pub fn max_request(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

impl Default for Fingerprint {
    fn default() -> Self {
        Self::new()
    }
}

impl fingerprint::Fingerprint for Fingerprint {
    fn validate(&self) -> Result<(), ConfigError> {
        body_limit("llm::Fingerprint max_request", self.limit)
    }

    fn body(&self, head: &Parts) -> BodyUse {
        if is_generation(head) { BodyUse::Buffer { limit: self.limit } } else { self.rest.body(head) }
    }

    fn key(&self, head: &Parts, body: &Bytes) -> Option<Key> {
        self.identify(head, body).map(|identity| identity.key)
    }

    fn identify(&self, head: &Parts, body: &Bytes) -> Option<Identity> {
        if !is_generation(head) {
            return self.rest.identify(head, body);
        }
        let endpoint = Endpoint::of(head.uri.path())?;
        let readable = !head.headers.contains_key(CONTENT_ENCODING);
        let Some(Ok(mut request)) = readable.then(|| json::parse(body)) else {
            // What can't be read here may be read there; the same bytes get the same answer.
            let key = with_raw(self.begin(endpoint, head, &head.uri)?, head, body);
            return Some(Identity::new(key.label("unknown").finish()));
        };
        if depends_on_more(&request) || !self.temperature.allows(endpoint, &request) {
            return None;
        }
        let form = self.shares_streams.then(|| Form::asked(endpoint, &head.uri, &request)).flatten();
        let mut key = match &form {
            Some(_) => self.begin(endpoint, head, &form::formless(&head.uri))?,
            None => self.begin(endpoint, head, &head.uri)?,
        };
        unmark(&mut request);
        self.rename(&mut request);
        let is_form = |name: &str| form.is_some() && form::MEMBERS.contains(&name);
        let ignored = |name: &str| is_form(name) || self.ignored.iter().any(|other| other == name);
        key = key.streamed("json", |mut sink| json::write_canonical_without(&request, ignored, &mut sink));
        let named = request.get("model").and_then(json::Value::as_str);
        let key = key.label(named.or_else(|| Endpoint::model_in(head.uri.path())).unwrap_or("unknown"));
        Some(Identity::new(key.finish()).rendering(form.map(Form::rendering)))
    }

    fn render(&self, head: &Parts, rendering: Rendering, entry: &Entry) -> Rendered {
        match Endpoint::of(head.uri.path()).filter(|_| is_generation(head)) {
            Some(endpoint) => Form::of(rendering).map_or(Rendered::Inexact, |form| form.of_entry(endpoint, entry)),
            None => self.rest.render(head, rendering, entry),
        }
    }
}

impl Fingerprint {
    /// The part of a key that the head makes; `None` if the request is to pass by the cache.
    fn begin(&self, endpoint: Endpoint, head: &Parts, uri: &Uri) -> Option<KeyBuilder> {
        let mut key = KeyBuilder::new("llm").label(endpoint.label()).label(":");
        self.generation.add_head_at(head, uri, &authority(head), &mut key).then_some(key)
    }

    /// Gives the model the name under which it is kept.
    fn rename(&self, request: &mut json::Value<'_>) {
        if self.aliases.is_empty() {
            return;
        }
        let json::Value::Object(members) = request else { return };
        let model = members.iter_mut().find(|(name, _)| name == "model");
        if let Some((_, json::Value::String(model))) = model
            && let Some(kept) = self.aliases.get(&**model)
        {
            *model = Cow::Owned(kept.clone());
        }
    }
}

/// Whether an answer leaves something behind, or depends on what others left.
fn depends_on_more(request: &json::Value<'_>) -> bool {
    let is_true = |name| request.get(name).and_then(json::Value::as_bool) == Some(true);
    let is_given = |name| request.get(name).is_some_and(|value| !value.is_null());
    is_true("store") || is_true("background") || is_given("previous_response_id") || is_given("conversation")
}
