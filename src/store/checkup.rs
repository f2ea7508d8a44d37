//! [`Checkup`]: how a tier is, asked now.

use std::time::Duration;

use tokio::time::Instant;

use super::{Health, Store, Usage};

/// How a tier of a store is, asked now.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checkup {
    /// What it is, such as `memory` or `redis`: the name that it has in [`Store::tiers`].
    pub name: &'static str,
    /// Whether it answers.
    pub health: Health,
    /// How long it took to say so.
    pub latency: Duration,
    /// How much it holds; `None` if it doesn't say.
    pub usage: Option<Usage>,
    /// The version of the server behind it, as the server calls it; `None` if there is none, or it doesn't say.
    pub version: Option<String>,
}

impl Checkup {
    /// What is in this process, and can't be down.
    pub(crate) fn up(name: &'static str, usage: Usage) -> Self {
        Self { name, health: Health::Up, latency: Duration::ZERO, usage: Some(usage), version: None }
    }

    /// Asks a store for its health, and how much it holds.
    pub async fn of<S: Store + ?Sized>(name: &'static str, store: &S) -> Self {
        let begun = Instant::now();
        let health = store.health().await;
        let latency = begun.elapsed();
        let usage = if health.is_up() { store.usage().await.ok() } else { None };
        Self { name, health, latency, usage, version: None }
    }
}
