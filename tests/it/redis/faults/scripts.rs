//! Redis forgets the scripts while they are in use.

use std::time::Duration;

use larder::tag::{Selector, Tag};

use super::{Site, eventually};
use crate::support::redis::Server;

#[tokio::test]
async fn scripts_that_are_forgotten_all_the_time_are_not_missed() {
    let server = Server::start().await;
    for site in Site::patient(&server.url()) {
        let flushes = async {
            loop {
                server.command(&["SCRIPT", "FLUSH"]).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let works = async {
            for round in 0..3 {
                let asked = (0..20).map(|number| format!("/{round}/{number}"));
                let asked: Vec<_> = asked.collect();
                futures_util::future::join_all(asked.iter().map(|path| site.ask(path))).await;
                eventually("all of them", async || site.handle.stats().stored == 20 * (round + 1)).await;
                for path in &asked {
                    assert!(site.hits(path).await, "{path}");
                }
                let tag = Selector::Tag(Tag::new("all").expect("a tag"));
                assert_eq!(site.handle.purge(&tag).await.expect("a purge"), 20);
                assert!(server.keys(&site.entries()).await.is_empty());
            }
        };
        tokio::select! {
            () = works => {}
            () = flushes => {}
        }
        let (redis, stats) = (site.redis(), site.handle.stats());
        assert_eq!((redis.errors, redis.timeouts, redis.opened), (0, 0, 0), "{redis:?}");
        assert_eq!((stats.store_read_errors, stats.store_write_errors), (0, 0), "{stats:?}");
    }
}

/// Each of them is run anew.
#[tokio::test]
async fn every_script_is_brought_back() {
    use larder::{
        key::KeyBuilder,
        store::{Claim, Store as _},
    };

    let server = Server::start().await;
    let store = super::store(super::patient(&server.url()), "scripts");
    let key = KeyBuilder::new("test").finish();
    let forget = async || server.command(&["SCRIPT", "FLUSH"]).await;
    forget().await;
    store.get(&key).await.expect("a look-up, and the log");
    forget().await;
    let claim = store.claim(&key, None).await;
    assert!(matches!(claim, Claim::Held(_)), "{claim:?}");
    forget().await;
    drop(claim);
    eventually("the end of the lease", async || server.keys("*!lease").await.is_empty()).await;
    forget().await;
    assert!(!store.remove(&key).await.expect("a removal"));
    forget().await;
    assert_eq!(store.purge(&Selector::All).await.expect("a purge"), 0);
    assert_eq!(store.tiers()[0].errors, 0);
}
