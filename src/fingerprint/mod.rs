//! What makes two requests the same: a [`Fingerprint`] makes a [`Key`] from a request.
//!
//! Two requests that must not share an answer must not share a key, so everything counts unless it is left out on purpose.
//! [`RequestFingerprint`] puts a key together from method, URI, chosen fields, the body and a [`Scope`]; a closure works as a
//! fingerprint too.
//!
//! ```
//! use larder::fingerprint::{RequestFingerprint, Scope};
//! use http::header::ACCEPT_LANGUAGE;
//!
//! let fingerprint = RequestFingerprint::new()
//!     .header(ACCEPT_LANGUAGE)
//!     .json_body(1 << 20)
//!     .scope(Scope::credential());
//! # let _ = fingerprint;
//! ```

mod explain;
mod identity;
pub mod json;
mod request;
mod scope;
mod select;
mod uri;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;

pub use self::{
    explain::{Difference, Explanation, explain},
    identity::{Identity, Rendered, Rendering},
    request::RequestFingerprint,
    scope::Scope,
    select::Select,
};
pub(crate) use self::{
    request::{body_limit, with_raw},
    uri::normalized,
};
use crate::{ConfigError, entry::Entry, key::Key};

/// Makes a [`Key`] from a request.
///
/// It is a pure function: the same request gets the same key in every process and after every restart.
pub trait Fingerprint: Send + Sync + 'static {
    /// What the key needs of the body, from the request's head.
    fn body(&self, head: &Parts) -> BodyUse {
        let _ = head;
        BodyUse::Empty
    }

    /// Whether its settings make sense; asked once, when a layer is built.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if they don't, and what to do.
    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// The key; `None` passes the request by the cache. `body` is empty unless [`Fingerprint::body`] asked for it.
    fn key(&self, head: &Parts, body: &Bytes) -> Option<Key>;

    /// The key, and in which rendering the answer is wanted, for answers that can be sent in several forms and share an entry all
    /// the same. Default: [`Fingerprint::key`], and no rendering.
    fn identify(&self, head: &Parts, body: &Bytes) -> Option<Identity> {
        self.key(head, body).map(Identity::new)
    }

    /// What an entry that was asked for in another rendering, or before renderings were told apart, is to a request that wants
    /// this one; `head` is the request's. Called with each look-up that finds such an entry, so it must not take long, and
    /// never for an entry in the rendering that is wanted. Default: it will do as it is.
    fn render(&self, head: &Parts, rendering: Rendering, entry: &Entry) -> Rendered {
        let _ = (head, rendering, entry);
        Rendered::AsIs
    }
}

/// What a fingerprint needs of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyUse {
    /// The key stands for a request without a body: one that has a body is passed by the cache.
    Empty,
    /// The body doesn't count, whatever is in it.
    Ignore,
    /// The body is read first, up to `limit` bytes; a larger one is passed by the cache, and reaches the inner service
    /// whole.
    Buffer {
        /// Bytes.
        limit: usize,
    },
}

/// A closure over the head is the fingerprint of requests without a body.
///
/// ```
/// use larder::{CacheLayer, key::KeyBuilder, store::Memory};
/// use http::request::Parts;
///
/// let cache = CacheLayer::builder(Memory::new(1 << 20))
///     .fingerprint(|head: &Parts| Some(KeyBuilder::new("mine").field("path", head.uri.path()).finish()))
///     .build();
/// # let _ = cache;
/// ```
impl<F> Fingerprint for F
where
    F: Fn(&Parts) -> Option<Key> + Send + Sync + 'static,
{
    fn key(&self, head: &Parts, _: &Bytes) -> Option<Key> {
        self(head)
    }
}

/// A boxed fingerprint, for when which one is known at run time only.
pub type SharedFingerprint = Arc<dyn Fingerprint>;

impl Fingerprint for SharedFingerprint {
    fn validate(&self) -> Result<(), ConfigError> {
        (**self).validate()
    }

    fn body(&self, head: &Parts) -> BodyUse {
        (**self).body(head)
    }

    fn key(&self, head: &Parts, body: &Bytes) -> Option<Key> {
        (**self).key(head, body)
    }

    fn identify(&self, head: &Parts, body: &Bytes) -> Option<Identity> {
        (**self).identify(head, body)
    }

    fn render(&self, head: &Parts, rendering: Rendering, entry: &Entry) -> Rendered {
        (**self).render(head, rendering, entry)
    }
}

/// A closure over head and body, of which up to `limit` bytes are read.
#[must_use]
pub fn with_body<F>(limit: usize, key: F) -> WithBody<F>
where
    F: Fn(&Parts, &Bytes) -> Option<Key> + Send + Sync + 'static,
{
    WithBody { limit, key }
}

/// The fingerprint that [`with_body`] makes.
#[derive(Clone, Copy, Debug)]
pub struct WithBody<F> {
    limit: usize,
    key: F,
}

impl<F> Fingerprint for WithBody<F>
where
    F: Fn(&Parts, &Bytes) -> Option<Key> + Send + Sync + 'static,
{
    fn validate(&self) -> Result<(), ConfigError> {
        body_limit("fingerprint::with_body limit", self.limit)
    }

    fn body(&self, _: &Parts) -> BodyUse {
        BodyUse::Buffer { limit: self.limit }
    }

    fn key(&self, head: &Parts, body: &Bytes) -> Option<Key> {
        (self.key)(head, body)
    }
}
