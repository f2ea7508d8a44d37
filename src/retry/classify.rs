//! What an attempt came to: whether it will do, is worth repeating, or is better asked of somebody else.

use std::{any::Any, error::Error, io};

use http::{StatusCode, response};

use super::Asked;
use crate::BoxError;

/// Judges what attempts came to. It is synchronous and does no I/O.
///
/// A closure will do as well:
///
/// ```
/// use http::StatusCode;
/// use larder::{
///     RetryFallbackLayer,
///     retry::{Asked, Cause, Outcome, Verdict},
/// };
///
/// let layer = RetryFallbackLayer::builder()
///     .classify(|_: &Asked, outcome: Outcome<'_, std::io::Error>| match outcome {
///         Outcome::Response { head, .. } if head.status == StatusCode::BAD_GATEWAY => Verdict::Retry(Cause::Failed),
///         Outcome::Response { .. } => Verdict::Accept,
///         _ => Verdict::Retry(Cause::Failed),
///     })
///     .build();
/// # let _ = layer;
/// ```
pub trait Classify<E>: Send + Sync + 'static {
    /// What is to be done about the outcome of an attempt.
    fn classify(&self, asked: &Asked, outcome: Outcome<'_, E>) -> Verdict;

    /// How many bytes of a response's body `classify` is to be shown. Until these have arrived, or the body has ended, nothing
    /// of the response is released, so it is for errors only. Default: 0.
    fn reads(&self, head: &response::Parts) -> usize {
        let _ = head;
        0
    }

    /// Whether an error proves that nothing of the request was sent, so that a request which changes something can't have done
    /// so. Default: `false`.
    fn is_unsent(&self, error: &E) -> bool {
        let _ = error;
        false
    }
}

impl<E, F> Classify<E> for F
where
    F: Fn(&Asked, Outcome<'_, E>) -> Verdict + Send + Sync + 'static,
{
    fn classify(&self, asked: &Asked, outcome: Outcome<'_, E>) -> Verdict {
        self(asked, outcome)
    }
}

/// What an attempt came to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<'a, E> {
    /// A response.
    Response {
        /// Its head.
        head: &'a response::Parts,
        /// The beginning of its body, as far as [`Classify::reads`] asked for it.
        body: &'a [u8],
    },
    /// An event stream that begins with an error event. It is looked for if [`Hold::FirstEvent`](super::Hold::FirstEvent) is set.
    ErrorEvent {
        /// The head of the response.
        head: &'a response::Parts,
        /// The event's data.
        data: &'a [u8],
    },
    /// A response whose body broke before any of it was released.
    Broken(&'a BoxError),
    /// The inner service's error.
    Error(&'a E),
    /// Nothing in [time](super::Builder::attempt_timeout).
    TimedOut,
}

/// What is to be done about the outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever judges has to know all that can be said")]
pub enum Verdict {
    /// It is the client's, whatever it says; but for a 401, 402, 403, 404 or 405 of [another
    /// upstream](super::Upstream), and what [credentials](super::Credentials) are refused with.
    Accept,
    /// Another attempt may do better.
    Retry(Cause),
    /// Another attempt won't do better here, but somebody else may.
    Fallback(Cause),
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "whoever judges has to know all that can be said")]
pub enum Cause {
    /// The upstream isn't well. This alone counts as a failure for the [breaker](super::Builder::breaker), and not with a 4xx.
    Failed,
    /// The upstream is well, and has no room for this client now. [Credentials](super::Credentials) have others take their turn.
    Throttled,
    /// The upstream is well, and refuses this credential: it is wrong, or what was paid for is used up. Another of the
    /// [credentials](super::Credentials) may do.
    Refused,
}

/// What is transient in HTTP.
///
/// | outcome | verdict |
/// |---|---|
/// | 408, 425, 500, 502, 503, 504, 529 | retry, failed |
/// | 429 | retry, throttled |
/// | 401, 402, 403 | accept; with [credentials](super::Credentials), the next |
/// | 401 to 405 of [another upstream](super::Upstream) | accept, which is no answer there: the chain goes on |
/// | any other response | accept |
/// | an error event at the beginning of a stream | retry, failed |
/// | an error, a body that broke, a timeout | retry, failed |
///
/// Which errors prove that nothing was sent it knows of `std::io::Error`, of [`BoxError`], and of whatever these have as their
/// source; with the feature `reqwest` of that client's errors, too. hyper-util's client has an error type of its own: make it a
/// [`BoxError`] inside of the layer (`ServiceBuilder::map_err(BoxError::from)`), or implement [`Classify::is_unsent`].
///
/// It can't tell where a client that follows redirects failed: a POST that was answered with a 303 looks unsent if nobody listens
/// where that leads, and is sent again. Let such a client follow none, as with `reqwest::redirect::Policy::none()`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transient;

impl<E: 'static> Classify<E> for Transient {
    fn classify(&self, _: &Asked, outcome: Outcome<'_, E>) -> Verdict {
        match outcome {
            Outcome::Response { head, .. } => of_status(head.status),
            Outcome::ErrorEvent { .. } | Outcome::Broken(_) | Outcome::Error(_) | Outcome::TimedOut => {
                Verdict::Retry(Cause::Failed)
            }
        }
    }

    fn is_unsent(&self, error: &E) -> bool {
        is_unsent(error)
    }
}

/// What [`Transient`] makes of a status.
#[must_use]
pub fn of_status(status: StatusCode) -> Verdict {
    match status.as_u16() {
        429 => Verdict::Retry(Cause::Throttled),
        408 | 425 | 500 | 502 | 503 | 504 | 529 => Verdict::Retry(Cause::Failed),
        _ => Verdict::Accept,
    }
}

/// Whether an error of a known type proves that nothing was sent; see [`Transient`].
#[must_use]
pub fn is_unsent<E: 'static>(error: &E) -> bool {
    let error: &dyn Any = error;
    if let Some(error) = error.downcast_ref::<BoxError>() {
        return chain_is_unsent(&**error);
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return chain_is_unsent(error);
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<reqwest_middleware::Error>() {
        // Its source is what its content has for a source.
        return match error {
            reqwest_middleware::Error::Middleware(error) => chain_is_unsent(error.as_ref()),
            reqwest_middleware::Error::Reqwest(error) => chain_is_unsent(error),
        };
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return chain_is_unsent(error);
    }
    false
}

fn chain_is_unsent(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        #[cfg(feature = "reqwest")]
        if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect) {
            return true;
        }
        next = error.source();
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if is_unsent_kind(error.kind()) {
                return true;
            }
            // What it wraps isn't its source: that is the source of what it wraps.
            next = error.get_ref().map(|wrapped| wrapped as _).or(next);
        }
    }
    false
}

/// What only connecting fails with.
fn is_unsent_kind(kind: io::ErrorKind) -> bool {
    // No host or network that is unreachable: a connection on which a request was sent ends so, too, when the way there is lost.
    matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;

    use super::*;

    fn asked() -> Asked {
        Asked::new(&http::Request::new(()).into_parts().0)
    }

    fn verdict(status: u16) -> Verdict {
        let (head, ()) = Response::builder().status(status).body(()).expect("a response").into_parts();
        let outcome: Outcome<'_, Infallible> = Outcome::Response { head: &head, body: &[] };
        Transient.classify(&asked(), outcome)
    }

    #[test]
    fn what_is_transient_is_tried_again_and_nothing_else() {
        for status in 100..=999 {
            let expected = match status {
                429 => Verdict::Retry(Cause::Throttled),
                408 | 425 | 500 | 502 | 503 | 504 | 529 => Verdict::Retry(Cause::Failed),
                _ => Verdict::Accept,
            };
            assert_eq!(verdict(status), expected, "{status}");
        }
        for outcome in [Outcome::TimedOut, Outcome::Error(&io::Error::other("?")), Outcome::Broken(&"cut".into())] {
            assert_eq!(Transient.classify(&asked(), outcome), Verdict::Retry(Cause::Failed));
        }
    }

    #[test]
    fn only_what_proves_it_counts_as_unsent() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(is_unsent(&refused()));
        assert!(is_unsent::<BoxError>(&refused().into()));
        assert!(is_unsent::<BoxError>(&io::Error::other(refused()).into()));
        // A connection on which a request was sent ends with the last two as well, if the way to the host is lost meanwhile.
        for kind in [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::TimedOut,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::NetworkUnreachable,
        ] {
            assert!(!is_unsent(&io::Error::from(kind)), "{kind}");
        }
        assert!(!is_unsent(&"anything else"));
    }
}
