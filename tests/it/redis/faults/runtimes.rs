//! A store outlives the runtime that it was first used on.

use std::sync::Arc;

use larder::store::TierState;
use tokio::runtime::{Builder, Runtime};

use super::{Site, eventually, patient};
use crate::support::redis::Server;

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Runs in a thread that has no runtime, as a program's own may be.
fn aside(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work).join().expect("no panic");
}

#[test]
fn a_store_that_is_built_and_used_on_one_runtime_works_on_the_next() {
    aside(|| {
        let servers = one_thread();
        let server = servers.block_on(Server::start());
        // Without a runtime.
        let sites = Arc::new(Site::patient(&server.url()));
        for round in 0..4 {
            let sites = sites.clone();
            let path = format!("/{round}");
            std::thread::spawn(move || {
                one_thread().block_on(async {
                    for site in &*sites {
                        site.warm(&path).await;
                        site.warm("/kept").await;
                        // One call at most finds out that the last runtime took the connection with it.
                        assert!(site.redis().errors + site.redis().timeouts <= 4 * (round + 1), "{:?}", site.redis());
                        assert_eq!(site.redis().state, TierState::Closed);
                    }
                });
            })
            .join()
            .expect("no panic");
        }
        // Entries are read from Redis all the while.
        let kept = servers.block_on(server.keys("larder:alone:*"));
        assert_eq!(kept.len(), 5, "{kept:?}");
        drop(server);
    });
}

#[test]
fn a_store_is_used_on_two_runtimes_at_once_and_survives_the_first() {
    aside(|| {
        let [first, second] = [(); 2].map(|()| one_thread());
        let server = second.block_on(Server::start());
        let [site, tiered] = Site::patient(&server.url());
        first.block_on(async {
            site.warm("/kept").await;
            tiered.warm("/kept").await;
        });
        // The first runtime has the connection, and nothing drives it for now; it goes on in a thread of its own.
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let drives = std::thread::spawn(move || first.block_on(async { drop(ended.await) }));
        second.block_on(async {
            for number in 0..20 {
                site.ask(&format!("/{number}")).await;
                assert!(site.hits("/kept").await);
                assert!(tiered.hits("/kept").await);
            }
        });
        drop(end);
        drives.join().expect("no panic");
        second.block_on(async {
            site.warm("/later").await;
            tiered.warm("/later").await;
            assert!(site.hits("/kept").await);
            eventually("a subscription of its own", async || tiered.redis().deafened > 0).await;
        });
    });
}

/// Else what other processes change would not be heard any more.
#[test]
fn the_next_runtime_hears_what_other_processes_change() {
    aside(|| {
        let servers = one_thread();
        let server = servers.block_on(Server::start());
        let [_, tiered] = Site::patient(&server.url());
        for round in 0..3 {
            let path = format!("/{round}");
            one_thread().block_on(async {
                tiered.warm(&path).await;
                tiered.warm_near(&path, &server).await;
                let other = Site::tiered(patient(&server.url()));
                assert!(other.handle.purge(&larder::tag::Selector::All).await.expect("a purge") >= 1);
                eventually("the purge", async || !tiered.hits(&path).await).await;
            });
        }
    });
}
