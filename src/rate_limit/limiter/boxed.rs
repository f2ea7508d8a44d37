//! [`BoxLimiter`]: any limiter behind a pointer. The trait for users has `async` methods; its twin here is object-safe.

use std::{fmt, pin::Pin, sync::Arc};

use super::{Charge, Correction, Limiter, LimiterError, Taken};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, LimiterError>> + Send + 'a>>;

trait ErasedLimiter: Send + Sync + 'static {
    fn take<'a>(&'a self, charges: &'a [Charge]) -> BoxFuture<'a, Taken>;
    fn settle<'a>(&'a self, corrections: &'a [Correction]) -> BoxFuture<'a, ()>;
    fn settle_now(&self, corrections: &[Correction]) -> bool;
}

impl<L: Limiter> ErasedLimiter for L {
    fn take<'a>(&'a self, charges: &'a [Charge]) -> BoxFuture<'a, Taken> {
        Box::pin(Limiter::take(self, charges))
    }

    fn settle<'a>(&'a self, corrections: &'a [Correction]) -> BoxFuture<'a, ()> {
        Box::pin(Limiter::settle(self, corrections))
    }

    fn settle_now(&self, corrections: &[Correction]) -> bool {
        Limiter::settle_now(self, corrections)
    }
}

/// Any limiter, for where its type is only known at run time; clones share it.
#[derive(Clone)]
pub struct BoxLimiter(Arc<dyn ErasedLimiter>);

impl BoxLimiter {
    /// Hides a limiter's type.
    pub fn new(limiter: impl Limiter) -> Self {
        Self(Arc::new(limiter))
    }
}

impl Limiter for BoxLimiter {
    async fn take(&self, charges: &[Charge]) -> Result<Taken, LimiterError> {
        self.0.take(charges).await
    }

    async fn settle(&self, corrections: &[Correction]) -> Result<(), LimiterError> {
        self.0.settle(corrections).await
    }

    fn settle_now(&self, corrections: &[Correction]) -> bool {
        self.0.settle_now(corrections)
    }
}

impl fmt::Debug for BoxLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxLimiter").finish_non_exhaustive()
    }
}
