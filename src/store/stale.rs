//! [`StaleLookup`]: a look-up for when there is nothing better.

use std::pin::Pin;

use bytes::Bytes;
use http::request::Parts;

use crate::entry::Entry;

/// Finds what was stored for a request, for use in place of an error.
///
/// [`cache::Handle`](crate::cache::Handle) is one, for
/// [`Fallback::stale_from`](crate::retry::Fallback::stale_from).
pub trait StaleLookup: Send + Sync + 'static {
    /// The entry for a request with this head and body, if there is one that may be used in place of an error now.
    fn stale<'a>(
        &'a self,
        head: &'a Parts,
        body: &'a Bytes,
    ) -> Pin<Box<dyn Future<Output = Option<Entry>> + Send + 'a>>;
}
