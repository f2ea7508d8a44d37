//! [`Handle`]: figures and invalidations, whatever the types of keys and values.

use std::{fmt, iter, pin::Pin, sync::Arc};

use super::{Snapshot, shared::Shared};
use crate::{
    store::{Checkup, Result, Store, Tier, Usage},
    tag::{Selector, Tag},
};

/// What this process's memory is called among tiers.
const NEAR: &str = "values";

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A way to look into a [`Cached`](super::Cached), and to invalidate what it has, without its types; clones share it.
#[derive(Clone)]
pub struct Handle(Arc<dyn Control>);

impl Handle {
    pub(super) fn new<V: Send + Sync + 'static>(shared: Arc<Shared<V>>) -> Self {
        Self(Arc::new(shared))
    }

    /// The name of its space.
    #[must_use]
    pub fn space(&self) -> &str {
        self.0.space()
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> Snapshot {
        self.0.stats()
    }

    /// What its tiers went through, this process's memory first.
    #[must_use]
    pub fn tiers(&self) -> Vec<Tier> {
        self.0.tiers()
    }

    /// What this process's memory holds; bytes and capacity are known where it is counted in bytes.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.usage()
    }

    /// How each tier is, asked now, this process's memory first.
    pub async fn checkup(&self) -> Vec<Checkup> {
        self.0.checkup().await
    }

    /// As [`Cached::invalidate_tag`](super::Cached::invalidate_tag).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn invalidate_tag(&self, tag: &Tag) -> Result<u64> {
        self.0.invalidate(Which::Tag(tag.clone())).await
    }

    /// As [`Cached::invalidate_matching`](super::Cached::invalidate_matching).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn invalidate_matching(&self, pattern: &str) -> Result<u64> {
        self.0.invalidate(Which::Matching(pattern.to_owned())).await
    }

    /// As [`Cached::invalidate_all`](super::Cached::invalidate_all).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn invalidate_all(&self) -> Result<u64> {
        self.0.invalidate(Which::All).await
    }

    /// Removes all values of this space that are meant, in all processes; how many there were. A pattern is over whole labels, with the
    /// space before the [detail](super::Builder::label): `users:*`. By a tag also what else lies in the same store and has it.
    ///
    /// # Errors
    ///
    /// As [`Cached::invalidate`](super::Cached::invalidate).
    pub async fn purge(&self, selector: &Selector) -> Result<u64> {
        self.0.invalidate(Which::Meant(selector.clone())).await
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("space", &self.space()).finish_non_exhaustive()
    }
}

enum Which {
    Tag(Tag),
    Matching(String),
    All,
    Meant(Selector),
}

/// A cache without its types.
trait Control: Send + Sync {
    fn space(&self) -> &str;
    fn stats(&self) -> Snapshot;
    fn tiers(&self) -> Vec<Tier>;
    fn usage(&self) -> Usage;
    fn checkup(&self) -> BoxFuture<'_, Vec<Checkup>>;
    fn invalidate(&self, which: Which) -> BoxFuture<'_, Result<u64>>;
}

impl<V: Send + Sync + 'static> Control for Arc<Shared<V>> {
    fn space(&self) -> &str {
        &self.space.0
    }

    fn stats(&self) -> Snapshot {
        self.stats.snapshot()
    }

    fn tiers(&self) -> Vec<Tier> {
        let mut tiers = vec![Tier::new(NEAR)];
        if let Some(far) = &self.far {
            let known = far.store.tiers();
            tiers.extend(if known.is_empty() { vec![Tier::new("far")] } else { known });
        }
        tiers
    }

    fn usage(&self) -> Usage {
        self.near.usage(&self.settings.weigh)
    }

    fn checkup(&self) -> BoxFuture<'_, Vec<Checkup>> {
        Box::pin(async move {
            let near = Checkup::up(NEAR, self.near.usage(&self.settings.weigh));
            match &self.far {
                Some(far) => iter::once(near).chain(far.store.checkup().await).collect(),
                None => vec![near],
            }
        })
    }

    fn invalidate(&self, which: Which) -> BoxFuture<'_, Result<u64>> {
        let selectors = match which {
            Which::Tag(tag) => vec![Selector::Tag(tag)],
            Which::Matching(pattern) => vec![self.space.matching(&pattern)],
            Which::All => vec![self.space.all()],
            Which::Meant(selector) => self.space.part(&selector),
        };
        Box::pin(async move {
            let mut removed = 0;
            for selector in selectors {
                removed += Shared::invalidate(self, selector).await?;
            }
            Ok(removed)
        })
    }
}
