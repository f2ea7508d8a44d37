//! [`explain`]: why two requests to a model do, or don't, share an answer.

use bytes::Bytes;
use http::Request;

use super::Fingerprint;
use crate::fingerprint::{self, Explanation};

/// Compares two requests field by field, and says which of the differences count, for the [fingerprint](Fingerprint) as it is by
/// default. For another, use [`fingerprint::explain`].
///
/// ```
/// use larder::llm;
/// use bytes::Bytes;
/// use http::Request;
///
/// let ask = |body: &'static str| {
///     let request = Request::post("https://api.openai.com/v1/chat/completions").header("content-type", "application/json");
///     request.body(Bytes::from_static(body.as_bytes()))
/// };
/// let explanation = llm::explain(
///     &ask(r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"user":"ann"}"#)?,
///     &ask(r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}],"user":"bob"}"#)?,
/// );
/// let found: Vec<_> = explanation.differences.iter().map(|found| (&*found.at, found.counts)).collect();
/// assert_eq!(found, [("body.messages[0].content", Some(true)), ("body.user", Some(false))]);
/// # Ok::<(), http::Error>(())
/// ```
#[must_use]
pub fn explain(first: &Request<Bytes>, second: &Request<Bytes>) -> Explanation {
    fingerprint::explain(&Fingerprint::new(), first, second)
}
