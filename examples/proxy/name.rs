//! Which host a client named, as far as it counts.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderValue, header::HOST, request::Parts};
use larder::{
    ConfigError,
    fingerprint::{BodyUse, Fingerprint, RequestFingerprint},
    key::{Key, KeyBuilder},
};

/// The host counts, for the upstream hears of it and may answer by it; but a proxy's own address says nothing. So proxies that
/// share a store share entries, too, whichever of them was asked.
#[derive(Debug)]
pub(crate) struct ByHost<F> {
    own: Vec<HeaderValue>,
    named: F,
    unnamed: F,
}

impl<F: Fingerprint> ByHost<F> {
    /// `address` is where the proxy listens; `make` makes the fingerprint of what it is given for plain requests.
    pub(crate) fn new(address: SocketAddr, plain: RequestFingerprint, make: impl Fn(RequestFingerprint) -> F) -> Self {
        let mut own = vec![address.to_string()];
        if address.ip().is_loopback() {
            own.push(format!("localhost:{}", address.port()));
        }
        let own = own.iter().filter_map(|name| name.parse().ok()).collect();
        Self { own, named: make(plain.clone().header(HOST)), unnamed: make(plain) }
    }
}

impl<F: Fingerprint> Fingerprint for ByHost<F> {
    fn body(&self, head: &Parts) -> BodyUse {
        self.unnamed.body(head)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.unnamed.validate()
    }

    fn key(&self, head: &Parts, body: &Bytes) -> Option<Key> {
        match head.headers.get(HOST) {
            Some(host) if self.own.contains(host) => self.unnamed.key(head, body),
            Some(_) => self.named.key(head, body),
            // What the upstream hears then is not what it hears of the proxy's own address.
            None => self
                .unnamed
                .key(head, body)
                .map(|key| KeyBuilder::new("nameless").label(key.label()).field("key", key.digest()).finish()),
        }
    }
}
