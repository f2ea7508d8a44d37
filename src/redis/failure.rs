//! [`Failure`]: why there is no answer.

use std::sync::Arc;

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is known that there will be none.
    Refused,
    /// It didn't come in time.
    Late,
    /// There is no connection, or it broke, or Redis says no.
    Failed(Arc<RedisError>),
}

/// Whether an error says that Redis doesn't work, rather than that it didn't like what it was asked.
pub(super) fn is_fault(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown};
    let kind = error.kind();
    if let ErrorKind::Server(kind) = kind {
        return matches!(kind, BusyLoading | MasterDown | ClusterDown);
    }
    kind != ErrorKind::Extension || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}
