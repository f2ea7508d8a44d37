//! Near stores of several instances follow each other.

use http::StatusCode;
use larder::{
    entry::{Entry, Frames},
    key::Key,
    store::{Change, Peek, Store as _},
    tag::{Selector, Tag},
};

use tokio::time::timeout;

use super::instance::{Instance, Joining, Kept, SOON, answered, asking, next, purged, until};
use crate::support::{Origin, ask, full, get, redis::Server, reply, said, settle, text};

const TAGGED: &[(&str, &str)] = &[("cache-control", "public, max-age=3600"), ("surrogate-key", "t")];

fn numbered() -> Origin {
    Origin::replies(|number| reply(200, TAGGED, full(number.to_string())))
}

/// Two instances, and an entry that both have near.
async fn two(server: &Server, origin: &Origin) -> (Instance, Instance, Key) {
    let one = Joining::new(server.url(), Kept::InTiers).join(origin).await;
    let other = Joining::new(server.url(), Kept::InTiers).join(origin).await;
    text(ask(&one.cache, get("http://a/", &[])).await).await;
    until("the entry is in Redis", async || !server.keys("larder:default:*").await.is_empty()).await;
    let answer = ask(&other.cache, get("http://a/", &[])).await;
    assert!(said(&answer).contains("hit"), "a miss through one is a hit through the other: {}", said(&answer));
    text(answer).await;
    assert_eq!((one.nearby().await, other.nearby().await), (1, 1));
    let name = server.keys("larder:default:*").await.remove(0);
    let key = name.trim_start_matches("larder:default:").parse().expect("a key");
    assert!(other.trusts_its_memory(&key) && one.trusts_its_memory(&key));
    (one, other, key)
}

#[tokio::test]
async fn what_is_purged_on_one_is_gone_from_the_memory_of_the_other() {
    let server = Server::start().await;
    let origin = numbered();
    let (one, other, key) = two(&server, &origin).await;
    let tag = Selector::Tag(Tag::new("t").expect("a tag"));
    for (number, selector) in [Selector::Key(key), tag, Selector::label("*"), Selector::All].into_iter().enumerate() {
        assert_eq!(one.nearby().await + other.nearby().await, 2);
        let mut changes = other.changes();
        let count = one.layer.handle().purge(&selector).await.expect("a purge");
        assert_eq!(count, 1, "{selector:?} counts what lies in three places once");
        assert_eq!(one.nearby().await, 0, "{selector:?}");
        purged(&mut changes).await;
        assert_eq!(other.nearby().await, 0, "{selector:?}");
        for instance in [&other, &one] {
            let answer = ask(&instance.cache, get("http://a/", &[])).await;
            assert_eq!(text(answer).await, (number + 1).to_string(), "{selector:?}");
            until("the entry is in Redis", async || server.keys("larder:default:*").await.len() == 1).await;
        }
    }
}

#[tokio::test]
async fn what_one_replaces_or_removes_the_other_drops() {
    let server = Server::start().await;
    let (one, other, key) = two(&server, &numbered()).await;
    let old = one.store.get(&key).await.expect("an answer").expect("an entry");
    let entry = Entry::new(old.head().clone(), Frames::whole("replaced".into()));
    one.store.put(&key, entry).await.expect("a put");
    assert_eq!(one.nearby().await, 1, "its own is the new one");
    until("the other has dropped it", async || other.nearby().await == 0).await;
    assert_eq!(text(ask(&other.cache, get("http://a/", &[])).await).await, "replaced");
    assert_eq!(other.nearby().await, 1);
    assert!(other.store.remove(&key).await.expect("a removal"));
    until("the first has dropped it", async || one.nearby().await == 0).await;
    assert!(matches!(one.store.peek(&key), Peek::Unknown));
    assert!(one.store.get(&key).await.expect("an answer").is_none());
}

/// A fetch that one began before the other purged is not kept anywhere, and nobody joins it any more.
#[tokio::test]
async fn a_fetch_that_a_purge_elsewhere_overtook_is_not_kept() {
    let server = Server::start().await;
    let (origin, mut calls) = Origin::held();
    let one = Joining::new(server.url(), Kept::InTiers).join(&origin).await;
    let other = Joining::new(server.url(), Kept::InTiers).join(&origin).await;
    let before = asking(&one.cache, get("http://a/", &[]));
    let held = next(&mut calls).await;
    let mut changes = one.changes();
    other.layer.handle().purge(&Selector::All).await.expect("a purge");
    purged(&mut changes).await;
    let after = asking(&one.cache, get("http://a/", &[]));
    settle().await;
    held.answer(reply(200, TAGGED, full("old")));
    assert_eq!(answered(before).await, "old");
    next(&mut calls).await.answer(reply(200, TAGGED, full("new")));
    assert_eq!(answered(after).await, "new");
    until("one was not kept", async || one.layer.handle().stats().outdated == 1).await;
    until("the other was", async || one.layer.handle().stats().stored == 1).await;
    assert_eq!(answered(asking(&other.cache, get("http://a/", &[]))).await, "new");
}

/// The head of a HEAD and the answer of another credential are entries of their own.
#[tokio::test]
async fn what_an_unsafe_request_through_one_changed_the_other_does_not_serve_to_any_credential() {
    for kept in [Kept::InRedis, Kept::InTiers] {
        let server = Server::start().await;
        let origin = numbered();
        let one = Joining::new(server.url(), kept).join(&origin).await;
        let other = Joining::new(server.url(), kept).join(&origin).await;
        let users = [("authorization", "Bearer alice"), ("authorization", "Bearer bob")];
        for (number, user) in users.iter().enumerate() {
            assert_eq!(text(ask(&other.cache, get("http://a/", &[*user])).await).await, number.to_string());
            until("it is stored", async || other.layer.handle().stats().stored == number as u64 + 1).await;
            let again = ask(&other.cache, get("http://a/", &[*user])).await;
            assert!(said(&again).contains("hit"), "{}", said(&again));
            text(again).await;
        }
        for method in ["PUT", "DELETE"] {
            let mut changes = other.changes();
            let carol = [("authorization", "Bearer carol")];
            let changed = ask(&one.cache, crate::support::request(method, "http://a/", &carol)).await;
            assert_eq!(changed.status(), StatusCode::OK);
            let told = async {
                while !matches!(changes.recv().await.expect("the store is there"), Change::Invalidated(..)) {}
            };
            timeout(SOON, told).await.expect("it is told");
            for user in users {
                let answer = ask(&other.cache, get("http://a/", &[user])).await;
                assert!(!said(&answer).contains("hit"), "{kept:?} {method} {user:?}: {}", said(&answer));
                text(answer).await;
                let again = async || said(&ask(&other.cache, get("http://a/", &[user])).await).contains("hit");
                until("what is fetched after it is kept", again).await;
            }
        }
    }
}

#[tokio::test]
async fn what_was_being_fetched_while_another_instance_changed_it_is_not_kept() {
    for kept in [Kept::InRedis, Kept::InTiers] {
        let server = Server::start().await;
        let (origin, mut calls) = Origin::held();
        let one = Joining::new(server.url(), kept).join(&origin).await;
        let other = Joining::new(server.url(), kept).join(&origin).await;
        let cache = other.cache.clone();
        let alice = ("authorization", "Bearer alice");
        let fetching = tokio::spawn(async move { text(ask(&cache, get("http://a/", &[alice])).await).await });
        let held = next(&mut calls).await;
        let mut changes = other.changes();
        let cache = one.cache.clone();
        let put = tokio::spawn(async move { ask(&cache, crate::support::request("PUT", "http://a/", &[])).await });
        next(&mut calls).await.answer(reply(204, &[], full("")));
        put.await.expect("no panic");
        let told =
            async { while !matches!(changes.recv().await.expect("the store is there"), Change::Invalidated(..)) {} };
        timeout(SOON, told).await.expect("it is told");
        held.answer(reply(200, TAGGED, full("old")));
        assert_eq!(fetching.await.expect("no panic"), "old", "who asked before may have it");
        until("it was not kept", async || other.layer.handle().stats().outdated == 1).await;
        assert!(server.keys("larder:default:*").await.is_empty(), "{kept:?}");
    }
}
