//! [`LimiterError`]: why a limiter didn't answer.

use std::{error::Error, fmt, sync::Arc};

use crate::BoxError;

/// A limiter didn't answer. If it was [refused](Self::is_refused), nothing was counted; else it isn't known. Clones are one error, as
/// several may have waited for it.
#[derive(Clone, Debug)]
pub struct LimiterError(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Refused,
    Late,
    Failed(Arc<dyn Error + Send + Sync>),
}

impl LimiterError {
    /// It was not asked, for it is known to be out of order: nothing was counted.
    #[must_use]
    pub fn refused() -> Self {
        Self(Kind::Refused)
    }

    /// It didn't answer in time.
    #[must_use]
    pub fn late() -> Self {
        Self(Kind::Late)
    }

    /// It failed.
    #[must_use]
    pub fn failed(error: impl Into<BoxError>) -> Self {
        Self(Kind::Failed(Arc::from(error.into())))
    }

    /// Whether it was not asked at all, so that nothing was counted.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.0, Kind::Refused)
    }

    /// Whether it didn't answer in time.
    #[must_use]
    pub fn is_late(&self) -> bool {
        matches!(self.0, Kind::Late)
    }
}

impl fmt::Display for LimiterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Refused => "the limiter was not asked, for it is out of order",
            Kind::Late => "the limiter did not answer in time",
            Kind::Failed(_) => "the limiter failed",
        })
    }
}

impl Error for LimiterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Refused | Kind::Late => None,
            Kind::Failed(error) => Some(&**error),
        }
    }
}
