//! [`EmbeddingsLayer`]: embeddings kept text by text, however they are batched.
//!
//! Clients ask for embeddings in batches, and two batches are rarely the same: a
//! [`CacheLayer`](crate::CacheLayer) finds a whole request only, and one new text in it makes it a new one. This layer takes a
//! request to `…/embeddings` apart, looks each text up, asks for those that are missing in one request, and puts the answer
//! together. A text is found whether it was asked for alone or with others.
//!
//! ```
//! use larder::{CacheLayer, llm, llm::EmbeddingsLayer, store::Memory};
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//!
//! let (day, store) = (Duration::from_secs(24 * 60 * 60), Memory::new(256 << 20));
//! // Outside of the cache for the rest. Both may have one store; their keys are apart.
//! let layers = ServiceBuilder::new()
//!     .layer(EmbeddingsLayer::new(store.clone(), 30 * day))
//!     .layer(llm::layer(store, day).build());
//! # let _ = layers;
//! ```
//!
//! # What it promises
//!
//! - A text's key is that of the same request with that text alone, by [`llm::Fingerprint`](super::Fingerprint): model,
//!   `dimensions`, `encoding_format`, credential and all else count as they do there.
//! - Upstream is asked once, for the missing texts, each once, in their order; all else in the request is as it came, but for
//!   `Content-Length` and `Idempotency-Key`, which is left out: it stands for the whole. If nothing was kept, and no text stands
//!   twice, the request is sent and answered byte for byte as it came.
//! - An embedding is given as the provider wrote it, digit by digit, with the index that it has in this request.
//! - What isn't a 200 with exactly one embedding for each text that was asked for is never kept. If a part was asked for, the
//!   request is sent again as it came, and answered with what comes; but 408, 429 and 5xx, which say nothing of what was asked,
//!   are handed on.
//! - Embeddings under two names of a model are never mixed: an alias that was moved makes a new answer.
//! - Texts that another request is asking for at the time are waited for, and not bought twice.
//! - A store that fails or is slow counts as empty.
//!
//! # Usage
//!
//! An answer's `usage` is the sum over its texts. A text that was bought alone has what the provider counted; of a batch each has
//! its share, by length in bytes (in tokens, if it came as tokens), and the shares add up exactly: a batch that comes again has the
//! usage that it had. Members of `usage` that aren't integers are left out when an answer is put together, and so are names longer
//! than 64 bytes, and what comes behind 16 members.
//!
//! # What passes
//!
//! Requests that aren't for embeddings, or have no key; compressed ones; those that are signed, or carry a digest of their body;
//! an `input` that isn't a text, a list of texts, tokens, or a list of tokens, that has more than 8192 of them, or so many that
//! their number times the bytes of all else in the request is more than 64 MiB; `no-store`. They go to the inner service as they
//! came. `no-cache` and `max-age` hold for each text.
//!
//! Answers are read whole before they are handed on, up to [`max_body`](Builder::max_body).

mod answer;
mod asked;
mod batch;
mod builder;
mod fetch;
mod flights;
mod frame;
mod future;
mod handle;
mod item;
mod layer;
mod members;
mod respond;
mod run;
mod service;
mod shared;
mod stats;
mod usage;

pub use self::{
    builder::Builder, future::ResponseFuture, handle::Handle, layer::EmbeddingsLayer, service::Embeddings,
    stats::Snapshot,
};
