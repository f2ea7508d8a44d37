//! Two fingerprints, and which of them is meant.

use bytes::Bytes;
use http::request::Parts;

use super::{BodyUse, Fingerprint, Identity, Rendered, Rendering};
use crate::{ConfigError, entry::Entry, key::Key};

/// One fingerprint for the requests that a predicate picks, another for the rest.
///
/// ```
/// use larder::fingerprint::{RequestFingerprint, Select};
/// use http::{Method, request::Parts};
///
/// let plain = RequestFingerprint::new();
/// let fingerprint = Select::new(|head: &Parts| head.method == Method::POST, plain.clone().json_body(1 << 20), plain);
/// # let _ = fingerprint;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Select<W, A, B> {
    when: W,
    then: A,
    otherwise: B,
}

impl<W, A, B> Select<W, A, B>
where
    W: Fn(&Parts) -> bool + Send + Sync + 'static,
{
    /// `then` where `when` says so, `otherwise` elsewhere.
    pub fn new(when: W, then: A, otherwise: B) -> Self {
        Self { when, then, otherwise }
    }
}

impl<W, A, B> Fingerprint for Select<W, A, B>
where
    W: Fn(&Parts) -> bool + Send + Sync + 'static,
    A: Fingerprint,
    B: Fingerprint,
{
    fn validate(&self) -> Result<(), ConfigError> {
        self.then.validate()?;
        self.otherwise.validate()
    }

    fn body(&self, head: &Parts) -> BodyUse {
        if (self.when)(head) { self.then.body(head) } else { self.otherwise.body(head) }
    }

    fn key(&self, head: &Parts, body: &Bytes) -> Option<Key> {
        if (self.when)(head) { self.then.key(head, body) } else { self.otherwise.key(head, body) }
    }

    fn identify(&self, head: &Parts, body: &Bytes) -> Option<Identity> {
        if (self.when)(head) { self.then.identify(head, body) } else { self.otherwise.identify(head, body) }
    }

    fn render(&self, head: &Parts, rendering: Rendering, entry: &Entry) -> Rendered {
        if (self.when)(head) {
            self.then.render(head, rendering, entry)
        } else {
            self.otherwise.render(head, rendering, entry)
        }
    }
}
