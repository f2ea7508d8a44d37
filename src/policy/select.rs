//! Two policies, and which of them is meant.

use http::{StatusCode, request};

use crate::ConfigError;

use super::{Admission, Exchange, Policy, Storage};

/// One policy for the requests that a predicate picks, another for the rest.
///
/// What is an error, and how an entry is used, is the same for both: by the entry's lifetime, and an error where one of
/// them says so.
#[derive(Clone, Copy, Debug)]
pub struct Select<W, A, B> {
    when: W,
    then: A,
    otherwise: B,
}

impl<W, A, B> Select<W, A, B>
where
    W: Fn(&request::Parts) -> bool + Send + Sync + 'static,
{
    /// `then` where `when` says so, `otherwise` elsewhere.
    pub fn new(when: W, then: A, otherwise: B) -> Self {
        Self { when, then, otherwise }
    }
}

impl<W, A, B> Policy for Select<W, A, B>
where
    W: Fn(&request::Parts) -> bool + Send + Sync + 'static,
    A: Policy,
    B: Policy,
{
    fn validate(&self) -> Result<(), ConfigError> {
        self.then.validate()?;
        self.otherwise.validate()
    }

    fn admit(&self, request: &request::Parts) -> Admission {
        if (self.when)(request) { self.then.admit(request) } else { self.otherwise.admit(request) }
    }

    fn storable(&self, exchange: &Exchange<'_>) -> Storage {
        if (self.when)(exchange.request) { self.then.storable(exchange) } else { self.otherwise.storable(exchange) }
    }

    fn storable_as_get(&self, exchange: &Exchange<'_>) -> Storage {
        if (self.when)(exchange.request) {
            self.then.storable_as_get(exchange)
        } else {
            self.otherwise.storable_as_get(exchange)
        }
    }

    fn invalidates(&self, request: &request::Parts, status: StatusCode) -> bool {
        if (self.when)(request) {
            self.then.invalidates(request, status)
        } else {
            self.otherwise.invalidates(request, status)
        }
    }

    fn is_error(&self, status: StatusCode) -> bool {
        self.then.is_error(status) || self.otherwise.is_error(status)
    }
}
