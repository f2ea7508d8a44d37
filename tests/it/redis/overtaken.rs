//! What a purge, or the origin, says while others wait or look.

use std::time::Duration;

use larder::{
    clock::ManualClock,
    store::{Change, Store as _},
    tag::Selector,
};

use super::instance::{FRESH, Instance, Joining, Kept, SOON, answered, asking, purged, until, waits};
use crate::support::{Origin, ask, empty, full, get, redis::Server, reply, text};

const KINDS: [Kept; 2] = [Kept::InRedis, Kept::InTiers];

async fn two(server: &Server, kept: Kept, clock: &ManualClock, origin: &Origin) -> [Instance; 2] {
    let join = async || Joining::new(server.url(), kept).clock(clock.clone()).join(origin).await;
    [join().await, join().await]
}

/// Leases and waits are longer than any test here: who waits for an outdated fetch waits in vain.
#[tokio::test]
async fn who_comes_after_a_purge_waits_for_no_fetch_from_before_it() {
    for kept in KINDS {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let instances = two(&server, kept, &ManualClock::default(), &origin).await;
        let before = asking(&instances[0].cache, get("http://a/", &[]));
        let outdated = calls.next().await;
        let mut changes = instances[0].changes();
        instances[1].layer.handle().purge(&Selector::All).await.expect("a purge");
        // Redis may answer who purges before it tells the others.
        purged(&mut changes).await;
        let after: Vec<_> = (0..10).map(|n| asking(&instances[n % 2].cache, get("http://a/", &[]))).collect();
        let newer = tokio::time::timeout(SOON, calls.next()).await.expect("a fetch of its own");
        newer.answer(reply(200, FRESH, full("after")));
        for asked in after {
            assert_eq!(answered(asked).await, "after", "{kept:?}");
        }
        outdated.answer(reply(200, FRESH, full("before")));
        assert_eq!(answered(before).await, "before");
        assert_eq!(text(ask(&instances[0].cache, get("http://a/", &[])).await).await, "after", "{kept:?}");
        assert_eq!(origin.calls(), 2, "{kept:?}");
    }
}

#[tokio::test]
async fn a_purge_is_told_again_when_its_entries_are_gone() {
    let server = Server::start().await;
    let origin = Origin::replies(|_| reply(200, FRESH, full("body")));
    let instances = two(&server, Kept::InTiers, &ManualClock::default(), &origin).await;
    text(ask(&instances[0].cache, get("http://a/", &[])).await).await;
    until("it is kept", async || server.keys("larder:default:*").await.len() == 1).await;
    let mut changes = instances[1].changes();
    instances[0].store.purge(&Selector::All).await.expect("a purge");
    for _ in 0..2 {
        let purged = async { while !matches!(changes.recv().await, Some(Change::Purged(Selector::All))) {} };
        tokio::time::timeout(SOON, purged).await.expect("told twice: what was read in between is dropped");
    }
    assert!(server.keys("larder:default:*").await.is_empty());
}

#[tokio::test]
async fn what_the_origin_confirms_for_one_it_need_not_confirm_for_the_others() {
    let fields = &[("cache-control", "public, max-age=60"), ("etag", "\"1\"")];
    for kept in KINDS {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let clock = ManualClock::new(std::time::SystemTime::now());
        let instances = two(&server, kept, &clock, &origin).await;
        let first = asking(&instances[0].cache, get("http://a/", &[]));
        // Large, so that the renewed entry takes its time to be written.
        calls.next().await.answer(reply(200, fields, full("0123456789".repeat(50_000))));
        answered(first).await;
        // Not only when it is kept: who still joins the fetch, or waits for its lease, doesn't ask for another.
        until("it is over", async || instances[0].layer.handle().stats().stored == 1).await;
        until("its lease is given back", async || server.keys("*!lease").await.is_empty()).await;
        clock.advance(Duration::from_secs(90));
        let asked: Vec<_> = (0..10).map(|n| asking(&instances[n % 2].cache, get("http://a/", &[]))).collect();
        let question = calls.next().await;
        waits(&server, 1).await;
        question.answer(reply(304, fields, empty()));
        for asked in asked {
            assert_eq!(answered(asked).await.len(), 500_000, "{kept:?}");
        }
        assert_eq!(origin.calls(), 2, "{kept:?}");
    }
}
