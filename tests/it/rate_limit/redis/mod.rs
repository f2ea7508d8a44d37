//! `limiter::Redis`, against real servers.

mod calls;
mod changes;
mod cluster;
mod crowd;
mod denials;
mod faults;
mod fleet;
mod keys;
mod member;
mod moving;
mod once;
mod sentinel;
mod settle;
mod slots;

use std::time::{Duration, Instant};

use larder::{
    rate_limit::{
        Charge, Limiter, Policy, Quota, Subject, Taken,
        limiter::{Redis, RedisBuilder},
    },
    redis::Client,
};

use crate::support::redis::Server;

/// A deadline that a busy machine meets, for tests that are not about deadlines.
const PATIENT: Duration = Duration::from_secs(20);

/// A client of its own, as each process has one.
fn client(url: &str) -> Client {
    let client = Client::builder(url).response_timeout(PATIENT).connect_timeout(PATIENT);
    client.build().expect("a URL")
}

fn builder(url: &str) -> RedisBuilder {
    Redis::builder(client(url))
}

/// A limiter as another process has it: with a client of its own.
fn limiter(url: &str) -> Redis {
    builder(url).build().expect("a limiter")
}

fn policy(name: &str, quota: Quota) -> Policy {
    Policy::try_new(name, quota).expect("a policy")
}

fn user(name: &str) -> Subject {
    Subject::named("user", name)
}

/// One request of a user.
fn one(policy: &Policy, name: &str) -> Charge {
    Charge::new(policy.clone(), user(name), 1)
}

/// The same of another amount.
fn of_amount(charge: &Charge, amount: u64) -> Charge {
    let mut charge = charge.clone();
    charge.amount = amount;
    charge
}

/// The same at another cost.
fn at_cost(charge: &Charge, cost: u64) -> Charge {
    let mut charge = charge.clone();
    charge.cost = cost;
    charge
}

async fn take(limiter: &Redis, charges: &[Charge]) -> Taken {
    limiter.take(charges).await.expect("an answer")
}

async fn is_allowed(limiter: &Redis, charges: &[Charge]) -> bool {
    take(limiter, charges).await.is_allowed()
}

/// How much of a limit is used, without using any.
async fn used(limiter: &Redis, charge: &Charge) -> u64 {
    take(limiter, &[at_cost(charge, 0)]).await.standings[0].used
}

/// How often scripts were run so far: by their hashes, and by their code.
async fn runs(server: &Server) -> (u64, u64) {
    let stats = server.commandstats().await;
    let of = |name: &str| stats.get(name).copied().unwrap_or_default();
    (of("evalsha"), of("eval"))
}

/// Waits for what is to come on its own, by looking again and again, but not for ever.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < end, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
