//! [`ErrorKind`]: what kind of error an answer is.

use http::StatusCode;

/// What kind of error an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    RateLimited,
    Timeout,
    /// There was no answer: the inner service failed.
    Connection,
    /// The answer's body broke before any of it was released.
    Broken,
    Server,
    Client,
}

impl ErrorKind {
    /// As metrics and spans have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Broken => "broken",
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// The kind of error that a status tells of, if it does.
pub(crate) fn of_status(status: StatusCode) -> Option<ErrorKind> {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Some(ErrorKind::RateLimited),
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => Some(ErrorKind::Timeout),
        _ if status.is_server_error() => Some(ErrorKind::Server),
        _ if status.is_client_error() => Some(ErrorKind::Client),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_an_error_of_one_kind_or_none() {
        for (status, kind) in [
            (200, None),
            (304, None),
            (429, Some(ErrorKind::RateLimited)),
            (408, Some(ErrorKind::Timeout)),
            (504, Some(ErrorKind::Timeout)),
            (500, Some(ErrorKind::Server)),
            (529, Some(ErrorKind::Server)),
            (404, Some(ErrorKind::Client)),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(of_status(status), kind, "{status}");
        }
    }
}
