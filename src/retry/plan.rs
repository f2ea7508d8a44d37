//! [`Plan`]: whom to ask, and the request as it is sent there.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, request::Parts};

use super::{Credentials, Upstream};
use crate::body::ReplayBody;

/// Which attempt of a layer further out a request is, from the second on.
pub(super) const LARDER_ATTEMPT: HeaderName = HeaderName::from_static("larder-attempt");

/// Whom to ask, and how.
pub(super) struct Plan<'a> {
    pub(super) upstream: Option<&'a Upstream>,
    pub(super) credentials: Option<&'a Credentials>,
    pub(super) attempts: u32,
    pub(super) timeout: Option<Duration>,
}

impl Plan<'_> {
    /// The request as it is sent; `None` if it can't be sent there, or not again.
    pub(super) fn request<B>(
        &self,
        mut head: Parts,
        bytes: &Bytes,
        body: Option<ReplayBody<B>>,
        key: Option<usize>,
        number: u32,
    ) -> Option<Request<ReplayBody<B>>> {
        let mut body = body?;
        if let Some(upstream) = self.upstream {
            let rewritten = upstream.rewrite(&mut head, bytes)?;
            if rewritten != bytes {
                body = ReplayBody::buffered(rewritten);
            }
        }
        if number > 1 {
            head.headers.insert(LARDER_ATTEMPT, HeaderValue::from(number));
        }
        if let Some((credentials, key)) = self.credentials.zip(key) {
            head.headers.insert(credentials.name(), credentials.value(key).clone());
        }
        Some(Request::from_parts(head, body))
    }
}
