//! [`Limiter`]: where use is counted.

mod boxed;
mod error;
mod local;
#[cfg(feature = "redis")]
mod redis;

#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use self::redis::{Redis, RedisBuilder};
pub use self::{
    boxed::BoxLimiter,
    error::LimiterError,
    local::{Local, LocalBuilder},
};
use super::{Charge, Correction, Taken};

/// Where use is counted: [`Local`], in this process, or `Redis`, for a fleet.
///
/// Limiters of your own are welcome. A limiter that fails is never waited for longer than its own deadline; what then happens is the
/// layer's [`OnFailure`](super::OnFailure).
pub trait Limiter: Send + Sync + 'static {
    /// Charges all of this, or, if there is no room for any of it in a limit that isn't a shadow, nothing.
    ///
    /// A shadow that has no room is not charged. A charge of nothing is a look at the counter.
    ///
    /// # Errors
    ///
    /// If it isn't known whether anything was charged. It is never tried again.
    fn take(&self, charges: &[Charge]) -> impl Future<Output = Result<Taken, LimiterError>> + Send;

    /// Corrects charges, each where it was made; those that don't count any more are passed over.
    ///
    /// # Errors
    ///
    /// If it isn't known whether they were corrected. It is never tried again.
    fn settle(&self, corrections: &[Correction]) -> impl Future<Output = Result<(), LimiterError>> + Send;

    /// Corrects charges without waiting, if that is possible; `false` if nothing was done. Default: it is not.
    fn settle_now(&self, _corrections: &[Correction]) -> bool {
        false
    }
}
