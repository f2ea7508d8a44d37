//! Short words for asking a limiter without a layer.

use http::Response;
use larder::rate_limit::{
    Charge, Correction, Limit, Limiter, Policy, Quota, RateLimitLayer, Subject, Taken,
    limiter::{LimiterError, Local},
};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};
use tower::{Layer as _, service_fn};

use crate::support::{Body, ask, empty, get};

pub(super) fn policy(name: &str, quota: Quota) -> Policy {
    Policy::try_new(name, quota).expect("a policy")
}

/// A policy that denies nothing. Only layers make such.
pub(super) async fn shadow(name: &str, quota: Quota) -> Policy {
    struct Listens(Arc<Mutex<Vec<Policy>>>);

    impl Limiter for Listens {
        async fn take(&self, charges: &[Charge]) -> Result<Taken, LimiterError> {
            let policies = charges.iter().map(|charge| charge.policy.clone());
            self.0.lock().expect("no panic").extend(policies);
            Err(LimiterError::refused())
        }

        async fn settle(&self, _: &[Correction]) -> Result<(), LimiterError> {
            Ok(())
        }
    }

    let heard = Arc::default();
    let limit = Limit::new(quota).named(name).shadow(true);
    let layer = RateLimitLayer::builder(Listens(Arc::clone(&heard))).limit(limit).build();
    let service = layer.layer(service_fn(async |_| Ok::<_, Infallible>(Response::<Body>::new(empty()))));
    ask(&service, get("/", &[])).await;
    let policy = heard.lock().expect("no panic").pop();
    policy.expect("the layer asked")
}

pub(super) fn user(name: &str) -> Subject {
    Subject::named("user", name)
}

/// A charge of a user called `u`.
pub(super) fn charge(policy: &Policy, cost: u64) -> Charge {
    Charge::new(policy.clone(), user("u"), cost)
}

/// The same, of another user.
pub(super) fn of(name: &str, mut charge: Charge) -> Charge {
    charge.subject = user(name);
    charge
}

/// Takes from a limiter in this process, which never makes anybody wait.
pub(super) fn take(local: &Local, charges: &[Charge]) -> Taken {
    let mut taken = Box::pin(local.take(charges));
    match crate::support::poll_once(&mut taken) {
        std::task::Poll::Ready(taken) => taken.expect("it never fails"),
        std::task::Poll::Pending => panic!("it never waits"),
    }
}

/// How much of each policy user `u` has used.
pub(super) fn used<const N: usize>(local: &Local, policies: [&Policy; N]) -> [u64; N] {
    policies.map(|policy| take(local, &[charge(policy, 0)]).standings[0].used)
}
