//! [`Meter`]: what a request costs, before and after.

use http::{request, response};

/// Says what a request costs in a unit that isn't simply requests.
///
/// What a request may cost at most is charged before it is sent; when its response has ended, the charge is corrected to what it did
/// cost. If that isn't known, because the response broke off or says nothing of it, the charge stays.
pub trait Meter: Send + Sync + 'static {
    /// How many bytes of the request's body are needed to say what it costs at most. Default: none.
    fn reads(&self, _head: &request::Parts) -> usize {
        0
    }

    /// What it costs at most. `body` is its body as far as that was [asked for](Self::reads) and is known: of a longer one there is
    /// nothing.
    fn reserve(&self, head: &request::Parts, body: &[u8]) -> u64;

    /// What finds out what it did cost, from the response; `reserved` is what was charged. Default: `None`, that stays charged.
    fn gauge(&self, _head: &response::Parts, _reserved: u64) -> Option<Box<dyn Gauge>> {
        None
    }
}

/// Reads a response's body as it passes, to say what the request cost.
pub trait Gauge: Send + Sync {
    /// Some more of the body.
    fn read(&mut self, data: &[u8]);

    /// What the request cost, now that the body has ended; `is_whole` is `false` if it broke off or nobody read it to its end. `None`:
    /// nobody knows.
    fn cost(&mut self, is_whole: bool) -> Option<u64>;
}

/// Any function of the head that says what a request costs, which is not corrected.
impl<F> Meter for F
where
    F: Fn(&request::Parts) -> u64 + Send + Sync + 'static,
{
    fn reserve(&self, head: &request::Parts, _: &[u8]) -> u64 {
        self(head)
    }
}

/// Bytes of bodies: what the request says of its length is charged before, and that of the response after it. At least one is, so
/// that nothing begins where nothing is left. A request that doesn't say its length (chunked, or HTTP/2 without `Content-Length`) costs
/// its response alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByteMeter;

impl Meter for ByteMeter {
    fn reserve(&self, head: &request::Parts, _: &[u8]) -> u64 {
        let length = head.headers.get(http::header::CONTENT_LENGTH);
        length.and_then(|value| value.to_str().ok()?.trim().parse().ok()).unwrap_or(0).max(1)
    }

    fn gauge(&self, _: &response::Parts, reserved: u64) -> Option<Box<dyn Gauge>> {
        // One may have been reserved for nothing.
        Some(Box::new(Count(if reserved > 1 { reserved } else { 0 })))
    }
}

/// Counts what passes: what did pass was used, whole or not.
struct Count(u64);

impl Gauge for Count {
    fn read(&mut self, data: &[u8]) {
        self.0 = self.0.saturating_add(data.len() as u64);
    }

    fn cost(&mut self, _: bool) -> Option<u64> {
        Some(self.0)
    }
}
