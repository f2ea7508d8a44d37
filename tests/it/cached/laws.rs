//! The law of invalidation: after it has returned, this process serves no value that was loaded before it; nor does another, once it
//! has been told.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use larder::{
    cached::Cached,
    key::KeyBuilder,
    store::{Change, Redis, Store as _},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokio::task::JoinHandle;

use super::{Gate, KINDS, Kept, Place, Row, hears, redis, tag};
use crate::support::settle;

const KEYS: [&str; 3] = ["a1", "a2", "b1"];

#[derive(Clone, Debug)]
enum Step {
    /// Somebody looks up, and the load ends at once.
    Look { who: usize, key: usize },
    /// Somebody looks up, and the load ends later.
    Begin { who: usize, key: usize },
    /// Somebody loads whatever is kept.
    Refresh { who: usize, key: usize },
    /// The oldest load under way ends.
    End,
    /// Somebody writes a new version of what is meant, and invalidates it.
    Change { who: usize, what: What },
    /// Somebody writes a new version, and inserts it.
    Insert { who: usize, key: usize },
}

#[derive(Clone, Debug)]
enum What {
    Key(usize),
    Group(char),
    Pattern(char),
    All,
}

impl What {
    fn means(&self, key: &str) -> bool {
        match self {
            Self::Key(index) => KEYS[*index] == key,
            Self::Group(first) | Self::Pattern(first) => key.starts_with(*first),
            Self::All => true,
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (who, key, first) = (|| 0..2_usize, || 0..KEYS.len(), || prop_oneof![Just('a'), Just('b')]);
    let what = prop_oneof![
        key().prop_map(What::Key),
        first().prop_map(What::Group),
        first().prop_map(What::Pattern),
        Just(What::All)
    ];
    let step = prop_oneof![
        3 => (who(), key()).prop_map(|(who, key)| Step::Look { who, key }),
        3 => (who(), key()).prop_map(|(who, key)| Step::Begin { who, key }),
        1 => (who(), key()).prop_map(|(who, key)| Step::Refresh { who, key }),
        3 => Just(Step::End),
        3 => (who(), what).prop_map(|(who, what)| Step::Change { who, what }),
        1 => (who(), key()).prop_map(|(who, key)| Step::Insert { who, key }),
    ];
    proptest::collection::vec(step, 1..40)
}

fn row(versions: &[AtomicU64; 3], key: usize) -> Row {
    Row { version: versions[key].load(Ordering::SeqCst), group: KEYS[key][..1].to_owned() }
}

/// Two processes over the same place; in memory there is one, which has both names.
struct World {
    instances: [Cached<str, Row>; 2],
    stores: Option<[Redis; 2]>,
    versions: Arc<[AtomicU64; 3]>,
    under_way: Vec<(Gate, JoinHandle<u64>, u64)>,
}

impl World {
    async fn new(place: &Place, space: u64) -> Self {
        let builder = || {
            let builder = Cached::<str, Row>::builder(format!("space-{space}")).label(str::to_owned);
            let builder = builder.tags(|row| vec![tag(&row.group)]).lookup_timeout(super::SOON);
            if place.kept == Kept::Redis { builder.entries(0) } else { builder }
        };
        let (instances, stores) = match &place.server {
            None => {
                let one = builder().build();
                ([one.clone(), one], None)
            }
            Some(server) => {
                let stores = [redis(&server.url()), redis(&server.url())];
                let instances = stores.each_ref().map(|store| builder().store(store.clone()).build());
                hears(&stores[0]).await;
                hears(&stores[1]).await;
                (instances, Some(stores))
            }
        };
        Self { instances, stores, versions: Arc::default(), under_way: Vec::new() }
    }

    fn version(&self, key: usize) -> u64 {
        self.versions[key].load(Ordering::SeqCst)
    }

    /// What is served is what the last invalidation was followed by, or later; before this begins all have been told.
    async fn step(&mut self, step: Step) {
        match step {
            Step::Look { who, key } => {
                // What is being loaded may be waited for; the test ends it.
                let (cached, versions) = (self.instances[who].clone(), self.versions.clone());
                let asked = tokio::spawn(async move {
                    let load = || async move { Ok::<_, Infallible>(row(&versions, key)) };
                    cached.get_or_try_insert(KEYS[key], load).await.map(|row| row.version)
                });
                settle().await;
                while !asked.is_finished() && !self.under_way.is_empty() {
                    self.end().await;
                }
                let seen = asked.await.expect("no panic").expect("a row");
                assert_eq!(seen, self.version(key), "{}", KEYS[key]);
            }
            Step::Begin { who, key } => self.begin(who, key, false).await,
            Step::Refresh { who, key } => self.begin(who, key, true).await,
            Step::End => self.end().await,
            Step::Change { who, what } => {
                for (key, version) in KEYS.iter().zip(self.versions.iter()) {
                    version.fetch_add(u64::from(what.means(key)), Ordering::SeqCst);
                }
                let cached = self.instances[who].clone();
                let invalidate = async {
                    match what {
                        What::Key(key) => cached.invalidate(KEYS[key]).await.map(u64::from),
                        What::Group(first) => cached.invalidate_tag(&tag(&first.to_string())).await,
                        What::Pattern(first) => cached.invalidate_matching(&format!("{first}*")).await,
                        What::All => cached.invalidate_all().await,
                    }
                };
                self.tell(who, invalidate).await.expect("an invalidation");
            }
            // Another process's load may be put over it.
            Step::Insert { .. } if self.stores.is_some() => {}
            Step::Insert { who, key } => {
                self.versions[key].fetch_add(1, Ordering::SeqCst);
                let (row, cached) = (row(&self.versions, key), self.instances[who].clone());
                let insert = cached.insert(KEYS[key], row);
                self.tell(who, insert).await.expect("an insertion");
            }
        }
    }

    /// Does something and waits until the other has been told.
    async fn tell<T>(&self, who: usize, act: impl Future<Output = T>) -> T {
        let Some(stores) = &self.stores else { return act.await };
        let done = act.await;
        // What is told later is heard later.
        let last = KeyBuilder::new("last").finish();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let heard = last.clone();
        stores[1 - who].listen(Arc::new(move |change| {
            if matches!(change, Change::Removed(key) if *key == heard) {
                let _ = tell.send(());
            }
        }));
        stores[who].announce(&Change::Removed(last));
        tokio::time::timeout(super::SOON, told.recv()).await.expect("it is told").expect("the store is there");
        done
    }

    async fn begin(&mut self, who: usize, key: usize, refresh: bool) {
        let (cached, versions, gate) = (self.instances[who].clone(), self.versions.clone(), Gate::new());
        let (least, held) = (self.version(key), gate.clone());
        let asked = tokio::spawn(async move {
            let load = || async move {
                let row = row(&versions, key);
                held.opened().await;
                Ok::<_, Infallible>(row)
            };
            let loaded = match refresh {
                true => cached.refresh(KEYS[key], load).await,
                false => cached.get_or_try_insert(KEYS[key], load).await,
            };
            loaded.expect("a row").version
        });
        settle().await;
        self.under_way.push((gate, asked, least));
    }

    async fn end(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let (gate, asked, least) = self.under_way.remove(0);
        gate.open();
        settle().await;
        // It may follow one that is still under way.
        if asked.is_finished() {
            let seen = asked.await.expect("no panic");
            assert!(seen >= least, "{seen} is older than {least}, when it asked");
        }
    }
}

#[test]
fn nothing_loaded_before_an_invalidation_is_served_after_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for kept in KINDS {
        let place = runtime.block_on(Place::new(kept));
        let cases = if kept == Kept::Memory { 200 } else { 24 };
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
        let spaces = AtomicU64::new(0);
        let run = |steps: Vec<Step>| {
            runtime.block_on(async {
                let mut world = World::new(&place, spaces.fetch_add(1, Ordering::Relaxed)).await;
                for step in steps {
                    world.step(step).await;
                }
                for (_, asked, _) in world.under_way.drain(..) {
                    asked.abort();
                }
            });
            Ok(())
        };
        if let Err(error) = TestRunner::new(config).run(&steps(), run) {
            panic!("{kept:?}: {error}");
        }
    }
}

/// The same with threads, which find the moments between two steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_moment_lets_an_old_value_through() {
    for kept in KINDS {
        let place = Place::new(kept).await;
        let cached = place.cached().await;
        let (written, settled, over) =
            (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (cached, written) = (cached.clone(), written.clone());
                let (settled, over) = (settled.clone(), over.clone());
                tokio::spawn(async move {
                    let mut reads = 0_u64;
                    while !over.load(Ordering::SeqCst) {
                        let least = settled.load(Ordering::SeqCst);
                        let written = written.clone();
                        let load = || async move {
                            let row = super::row(written.load(Ordering::SeqCst));
                            tokio::task::yield_now().await;
                            Ok::<_, Infallible>(row)
                        };
                        let seen = cached.get_or_try_insert("key", load).await.expect("a row").version;
                        assert!(seen >= least, "{seen} was served after {least} was invalidated");
                        reads += 1;
                        if reads.is_multiple_of(64) {
                            tokio::task::yield_now().await;
                        }
                    }
                    reads
                })
            })
            .collect();
        for round in 0..if kept == Kept::Memory { 3000 } else { 300 } {
            let version = written.fetch_add(1, Ordering::SeqCst) + 1;
            match round % 3 {
                0 => cached.invalidate("key").await.map(u64::from),
                1 => cached.invalidate_tag(&tag("all")).await,
                _ => cached.invalidate_matching("*").await,
            }
            .expect("an invalidation");
            settled.fetch_max(version, Ordering::SeqCst);
        }
        over.store(true, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.await.expect("no old value") > 0, "{kept:?}");
        }
    }
}
