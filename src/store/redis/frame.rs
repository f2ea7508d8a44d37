//! Entries as they lie in Redis, and back.

use std::sync::atomic::Ordering;

use ::redis::Value;
use bytes::Bytes;
use tokio::runtime::Handle;

use super::{Redis, Result, StoreError};
use crate::{
    entry::{Entry, codec::RECEIVED_AT},
    key::Key,
};

/// Above this many bytes an entry is encoded and decoded apart from the tasks that serve requests.
const LARGE: usize = 128 << 10;

impl Redis {
    /// The entry in some bytes. What can't be read is removed, so that it is read once; what no key opens isn't, for another
    /// process may have the key.
    pub(super) fn decoded(&self, key: &Key, name: String, frame: Vec<u8>) -> Option<Entry> {
        let received_at: Option<[u8; 8]> = frame.get(RECEIVED_AT).and_then(|bytes| bytes.try_into().ok());
        let error = match self.0.codec.decode(name.as_bytes(), Bytes::from(frame)) {
            Ok(entry) => return Some(entry),
            Err(error) => error,
        };
        if let Some(received_at) = received_at {
            self.0.unread.insert(*key.digest(), received_at);
        }
        tracing::warn!(error = &error as &dyn std::error::Error, name, "an entry can't be read");
        if error.is_sealed() {
            self.0.sealed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.0.unreadable.fetch_add(1, Ordering::Relaxed);
        let this = self.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let mut unlink = ::redis::cmd("UNLINK");
                unlink.arg(name);
                if let Err(error) = this.ask(unlink).await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "it could not be removed");
                }
            });
        }
        None
    }

    pub(super) async fn found(&self, key: &Key, name: String, value: Value) -> Result<Option<Entry>> {
        if let Value::BulkString(frame) = value {
            if frame.len() < LARGE {
                return Ok(self.decoded(key, name, frame));
            }
            let (this, key) = (self.clone(), key.clone());
            let decoded = tokio::task::spawn_blocking(move || this.decoded(&key, name, frame)).await;
            return decoded.map_err(StoreError::unavailable);
        }
        if value == Value::Nil { Ok(None) } else { Err(StoreError::corrupt(format!("{name} holds no text"))) }
    }

    /// An entry's bytes under its name.
    pub(super) async fn encoded(&self, name: &str, entry: Entry) -> Bytes {
        if entry.body().data().len() < LARGE {
            // Whoever called has something better to do first, such as ending a response.
            tokio::task::yield_now().await;
            return self.0.codec.encode(name.as_bytes(), &entry);
        }
        let (codec, own, spare) = (self.0.codec.clone(), name.to_owned(), entry.clone());
        let encoded = tokio::task::spawn_blocking(move || codec.encode(own.as_bytes(), &entry)).await;
        encoded.unwrap_or_else(|_| self.0.codec.encode(name.as_bytes(), &spare))
    }
}
