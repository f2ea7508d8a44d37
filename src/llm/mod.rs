//! The kit for LLM APIs: fingerprint, policy, completeness and retries set up for requests whose answers take seconds and cost money.
//!
//! Generation requests (chat completions, completions, responses, embeddings, messages) are kept by their body, per
//! credential, for a time of the user's, whatever the origin's `Cache-Control` says; everything else as HTTP has it.
//!
//! ```
//! use larder::{CacheLayer, llm, store::Memory};
//! use std::time::Duration;
//!
//! let cache = llm::layer(Memory::new(256 << 20), Duration::from_secs(24 * 60 * 60)).build();
//! let retry = llm::retry().build();
//! # let _ = (cache, retry);
//! ```
//!
//! A [`Ledger`] counts what answers cost, and what the cache saves.
//!
//! [`EmbeddingsLayer`] keeps embeddings text by text, however they are batched.
//!
//! [`retry`] is what stands between the cache and the provider.

pub mod embeddings;
mod endpoint;
mod explain;
mod fingerprint;
mod ledger;
mod members;
mod price;
mod rendering;
mod retry;
mod tokens;
mod usage;

use std::time::Duration;

use http::request::Parts;

pub use self::{
    embeddings::EmbeddingsLayer,
    endpoint::{Endpoint, is_generation},
    explain::explain,
    fingerprint::{Fingerprint, Temperature},
    ledger::{Account, Balance, Cost, Ledger, LedgerBuilder, Reason, Sums},
    price::{ModelPrice, NanoDollars, Prices},
    retry::{Classify, retry},
    tokens::Tokens,
    usage::{Reader as UsageReader, Usage},
};
pub use crate::policy::completeness::{Anthropic, Gemini, Llm as Completeness, OpenAi};
use crate::{
    CacheLayer, cache,
    policy::{Rfc9111, Select, Ttl},
    store::Store,
};

/// [`Ttl`] for generation requests, [`Rfc9111`] for the rest.
pub type Policy = Select<fn(&Parts) -> bool, Ttl, Rfc9111>;

/// How long a fetch goes on for an answer that nobody waits for any more, since it is paid for.
pub const FINISH: Duration = Duration::from_secs(600);

/// The policy of [`layer`]: answers to generation requests are fresh for `ttl` and may stand in for an error for
/// `stale_if_error` after that.
#[must_use]
pub fn policy(ttl: Duration, stale_while_revalidate: Duration, stale_if_error: Duration) -> Policy {
    let generation = Ttl::new(ttl)
        .override_origin(true)
        .stale_while_revalidate(stale_while_revalidate)
        .stale_if_error(stale_if_error);
    let rest = Rfc9111::shared().stale_while_revalidate(stale_while_revalidate).stale_if_error(stale_if_error);
    Select::new(is_generation, generation, rest)
}

/// A cache for an LLM API, to be built or set further: answers are fresh for `ttl`, may stand in for an error for seven days
/// after that, and are fetched to their end even if the client goes away. `max_body` is 16 MiB.
pub fn layer<St: Store>(store: St, ttl: Duration) -> cache::Builder<St, Fingerprint, Policy> {
    CacheLayer::builder(store)
        .fingerprint(Fingerprint::new())
        .policy(policy(ttl, Duration::ZERO, Duration::from_secs(7 * 24 * 60 * 60)))
        .completeness(Completeness::new())
        .finish_fetches(FINISH)
        .max_body(16 << 20)
}
