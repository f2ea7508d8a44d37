//! `Tiered`, over stores that fail, wait and tell as they are told to.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use larder::{
    CacheLayer,
    clock::{Clock as _, ManualClock},
    entry::{Entry, Frames, Head, Lifetime},
    key::{Key, KeyBuilder},
    store::{Change, Fence, Memory, Peek, Store, Tiered},
    tag::{Selector, Tag},
};
use tower::Layer as _;

use super::gate::Gate;
use crate::support::{Far, Fault, Origin, ask, begun, field, full, get, memory, poll_once, reply, said, settle, text};

const SECOND: Duration = Duration::from_secs(1);

fn key() -> Key {
    KeyBuilder::new("test").label("a:b").finish()
}

fn entry(clock: &ManualClock, body: &'static str) -> Entry {
    let head = Head::new(StatusCode::OK, HeaderMap::new(), Lifetime::new(clock.now(), 60 * SECOND));
    let head = head.tags(vec![Tag::new("t").expect("a tag")]);
    Entry::new(head, Frames::whole(Bytes::from_static(body.as_bytes())))
}

/// What means the entry.
fn selectors() -> [Selector; 4] {
    let tag = Tag::new("t").expect("a tag");
    [Selector::Key(key()), Selector::Tag(tag), Selector::label("a:*"), Selector::All]
}

async fn has<S: Store>(store: &S) -> bool {
    store.get(&key()).await.expect("an answer").is_some()
}

#[tokio::test]
async fn what_is_promoted_lives_for_what_is_left_of_its_time() {
    let clock = ManualClock::default();
    let far = Far::new(memory(&clock));
    let origin = Origin::replies(|number| reply(200, &[("cache-control", "max-age=60")], full(number.to_string())));
    let layer = |store: Tiered<Memory, Far>| CacheLayer::builder(store).clock(clock.clone()).build();
    let first = layer(Tiered::new(memory(&clock), far.clone())).layer(origin.clone());
    let near = memory(&clock);
    let other = layer(Tiered::new(near.clone(), far.clone())).layer(origin.clone());
    text(ask(&first, get("http://a/", &[])).await).await;
    settle().await;
    clock.advance(40 * SECOND);
    let looked_up = far.got();
    for tier in ["far", "near"] {
        let answer = ask(&other, get("http://a/", &[])).await;
        assert_eq!((said(&answer), field(&answer, "age")), ("larder; hit; ttl=20", Some("40")), "{tier}");
        assert_eq!(text(answer).await, "0");
    }
    assert_eq!((far.got() - looked_up, origin.calls()), (1, 1), "the second comes from near");
    clock.advance(20 * SECOND);
    let answer = ask(&other, get("http://a/", &[])).await;
    assert!(!said(&answer).contains("hit"), "its time is over: {}", said(&answer));
    assert_eq!(text(answer).await, "1");
}

#[tokio::test]
async fn a_near_store_that_fails_is_passed_by() {
    let clock = ManualClock::default();
    let (near, far) = (Far::new(memory(&clock)), Far::new(memory(&clock)));
    let store = Tiered::new(near.clone(), far.clone());
    near.gets(Fault::Fail);
    near.writes(Fault::Fail);
    store.put(&key(), entry(&clock, "kept")).await.expect("the far store keeps it");
    settle().await;
    let found = store.get(&key()).await.expect("the far store answers").expect("an entry");
    assert_eq!(found.body().data(), "kept");
    assert_eq!((near.got(), far.got()), (1, 1));
}

/// Stores bound their calls themselves; if one doesn't, the cache does.
#[tokio::test(start_paused = true)]
async fn a_near_store_that_hangs_delays_a_request_by_the_look_ups_deadline_and_no_longer() {
    let clock = ManualClock::default();
    let (near, far) = (Far::new(memory(&clock)), Far::new(memory(&clock)));
    near.gets(Fault::Hang);
    let layer = CacheLayer::builder(Tiered::new(near, far)).lookup_timeout(Duration::from_millis(100)).build();
    let cache = layer.layer(Origin::replies(|_| reply(200, &[], full("x"))));
    let begin = tokio::time::Instant::now();
    assert_eq!(text(ask(&cache, get("http://a/", &[])).await).await, "x");
    assert!((100..=110).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_far_store_that_hangs_holds_no_response_up_and_what_it_has_no_room_for_is_still_near() {
    let clock = ManualClock::default();
    let (near, far) = (memory(&clock), Gate::new(&clock));
    let store = Tiered::builder(near, far.clone()).queue(64 << 10).build().expect("a queue");
    let layer = CacheLayer::builder(store).clock(clock.clone()).build();
    let body = "x".repeat(10 << 10);
    let answer = body.clone();
    let origin = Origin::replies(move |_| reply(200, &[("cache-control", "max-age=60")], full(answer.clone())));
    let cache = layer.layer(origin.clone());
    let held = far.hold_puts();
    let begin = tokio::time::Instant::now();
    for number in 0..20 {
        let request = get(&format!("http://a/{number}"), &[]);
        assert_eq!(text(ask(&cache, request).await).await, body);
        settle().await;
    }
    assert_eq!(begin.elapsed(), Duration::ZERO, "no response waits");
    let (tiers, under_way) = (layer.handle().tiers(), far.waiting());
    assert_eq!(tiers.iter().map(|tier| tier.name).collect::<Vec<_>>(), ["memory", "gate"]);
    assert!((4..=6).contains(&under_way), "{under_way} of 10 KiB and a head in 64 KiB");
    assert_eq!((tiers[0].writes_dropped, tiers[1].writes_dropped), (0, 20 - under_way as u64));
    for number in 0..20 {
        let again = ask(&cache, get(&format!("http://a/{number}"), &[])).await;
        assert_eq!(said(&again), "larder; hit; ttl=60", "{number} is near");
    }
    assert_eq!((origin.calls(), far.entries().await), (20, 0));
    drop(held);
    settle().await;
    assert_eq!(far.entries().await, under_way as u64, "those under way arrive");
    text(ask(&cache, get("http://a/more", &[])).await).await;
    settle().await;
    assert_eq!(far.entries().await, under_way as u64 + 1, "there is room again");
}

#[tokio::test]
async fn writes_dropped_are_counted_for_a_far_store_that_counts_nothing_itself() {
    let clock = ManualClock::default();
    let far = Far::new(memory(&clock));
    let store = Tiered::builder(memory(&clock), far.clone()).queue(1).build().expect("a queue");
    far.writes(Fault::Hang);
    let large = Entry::new(
        Head::new(StatusCode::OK, HeaderMap::new(), Lifetime::new(clock.now(), SECOND)),
        Frames::whole(vec![0; 2000].into()),
    );
    store.put(&key(), large).await.expect("dropped");
    assert_eq!(store.tiers().iter().map(|tier| tier.writes_dropped).sum::<u64>(), 1);
}

#[tokio::test]
async fn three_tiers_fill_from_the_farthest_and_are_purged_as_one() {
    let clock = ManualClock::default();
    for selector in selectors() {
        let (first, second, third) = (memory(&clock), memory(&clock), Far::new(memory(&clock)));
        let store = Tiered::new(first.clone(), Tiered::new(second.clone(), third.clone()));
        third.put(&key(), entry(&clock, "kept")).await.expect("a put");
        assert!(has(&store).await);
        assert!(has(&first).await && has(&second).await, "on its way back it is kept in both");
        assert!(has(&store).await && third.got() == 1, "and found there");
        assert_eq!(store.purge(&selector).await.expect("a purge"), 1, "{selector:?} counts once");
        assert!(!has(&first).await && !has(&second).await && !has(&third).await, "{selector:?}");
        assert_eq!(store.tiers().len(), 3, "the third one too, which says nothing of itself");
    }
}

/// It was read from the far store before the purge, and comes after it.
#[tokio::test]
async fn a_purge_that_overtakes_a_promotion_leaves_nothing_near() {
    let clock = ManualClock::default();
    for selector in selectors() {
        let (near, far) = (memory(&clock), Gate::new(&clock));
        let store = Tiered::new(near.clone(), far.clone());
        far.put(&key(), entry(&clock, "old")).await.expect("a put");
        let held = far.hold_gets();
        let key = key();
        let found = begun(store.get(&key));
        assert_eq!(store.purge(&selector).await.expect("a purge"), 1);
        drop(held);
        assert!(found.await.expect("an answer").is_some(), "it was there when it was looked up");
        assert!(!has(&near).await && !has(&store).await, "{selector:?}");
    }
}

#[tokio::test]
async fn what_others_change_while_it_is_promoted_leaves_nothing_near() {
    let clock = ManualClock::default();
    let purges = selectors().map(Change::Purged);
    for change in purges.into_iter().chain([Change::Removed(key()), Change::Hearing]) {
        let (near, far) = (memory(&clock), Gate::new(&clock));
        let store = Tiered::new(near.clone(), far.clone());
        far.put(&key(), entry(&clock, "old")).await.expect("a put");
        far.tell(&if matches!(change, Change::Hearing) { Change::Deaf } else { Change::Hearing });
        let held = far.hold_gets();
        let key = key();
        let found = begun(store.get(&key));
        far.tell(&change);
        drop(held);
        assert!(found.await.expect("an answer").is_some());
        assert!(!has(&near).await, "{change:?}");
    }
}

/// The far store is still at it when the entry comes near again.
#[tokio::test]
async fn a_removal_leaves_nothing_near_that_came_while_the_far_store_was_at_it() {
    let clock = ManualClock::default();
    for selector in [None, Some(Selector::All)] {
        let (near, far) = (memory(&clock), Gate::new(&clock));
        let store = Tiered::new(near.clone(), far.clone());
        store.put(&key(), entry(&clock, "old")).await.expect("a put");
        let held = far.hold_purges();
        let (key, removing) = (key(), store.clone());
        let mut removed = begun(async move {
            match &selector {
                Some(selector) => removing.purge(selector).await.expect("a purge"),
                None => u64::from(removing.remove(&key).await.expect("a removal")),
            }
        });
        assert!(has(&store).await && has(&near).await, "it is read from the far store and kept near");
        drop(held);
        assert_eq!(removed.as_mut().await, 1);
        assert!(!has(&near).await);
    }
}

#[tokio::test]
async fn what_the_far_store_refuses_because_it_was_purged_elsewhere_is_not_near_either() {
    let clock = ManualClock::default();
    let (near, far) = (memory(&clock), Gate::new(&clock));
    let store = Tiered::new(near.clone(), far.clone());
    far.refuse();
    let kept = store.put_fenced(&key(), entry(&clock, "purged"), Fence::default()).await;
    assert!(!kept.expect("an answer"));
    assert!(!has(&near).await);
}

/// The far store refuses it, and the purge is heard before that answer is there.
#[tokio::test]
async fn what_is_refused_and_known_to_be_purged_is_outdated_once() {
    let clock = ManualClock::default();
    let far = Gate::new(&clock);
    let layer = CacheLayer::builder(far.clone()).clock(clock).build();
    let cache = layer.layer(Origin::replies(|_| reply(200, &[("cache-control", "max-age=60")], full("x"))));
    far.refuse();
    let held = far.hold_puts();
    text(ask(&cache, get("http://a/", &[])).await).await;
    settle().await;
    assert_eq!(far.waiting(), 1, "it is being written");
    far.tell(&Change::Purged(Selector::All));
    drop(held);
    settle().await;
    let stats = layer.handle().stats();
    assert_eq!((stats.stored, stats.outdated), (0, 1));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_its_write_along() {
    let clock = ManualClock::default();
    let far = Gate::new(&clock);
    let store = Tiered::new(memory(&clock), far.clone());
    let held = far.hold_puts();
    let key = key();
    let mut put = Box::pin(store.put(&key, entry(&clock, "kept")));
    assert!(poll_once(&mut put).is_pending());
    drop(put);
    drop(held);
    settle().await;
    assert!(has(&far).await);
}

#[tokio::test]
async fn while_changes_may_be_missed_the_far_store_has_the_last_word() {
    let clock = ManualClock::default();
    let (near, far) = (memory(&clock), Gate::new(&clock));
    let store = Tiered::new(near.clone(), far.clone());
    store.put(&key(), entry(&clock, "old")).await.expect("a put");
    assert!(matches!(store.peek(&key()), Peek::Found(_)));
    far.tell(&Change::Deaf);
    // Purged elsewhere, and nobody hears it.
    far.purge(&Selector::All).await.expect("a purge");
    assert!(matches!(store.peek(&key()), Peek::Unknown));
    assert!(!has(&store).await, "the far store says that there is none");
    far.tell(&Change::Hearing);
    assert!(!has(&near).await, "it is emptied before it is trusted");
    store.put(&key(), entry(&clock, "new")).await.expect("a put");
    assert!(matches!(store.peek(&key()), Peek::Found(_)));
}

/// Emptying it took longer than the connection lasted.
#[tokio::test]
async fn a_near_store_that_was_emptied_too_late_is_not_trusted() {
    let clock = ManualClock::default();
    let (near, far) = (Gate::near(&clock), Gate::new(&clock));
    let store = Tiered::new(near.clone(), far.clone());
    store.put(&key(), entry(&clock, "old")).await.expect("a put");
    let trusted = || matches!(store.peek(&key()), Peek::Found(_));
    far.tell(&Change::Deaf);
    let held = near.hold_purges();
    far.tell(&Change::Hearing);
    far.tell(&Change::Deaf);
    drop(held);
    settle().await;
    near.put(&key(), entry(&clock, "old")).await.expect("a put");
    assert!(!trusted(), "nothing has been heard since it was emptied");
    far.tell(&Change::Hearing);
    settle().await;
    store.put(&key(), entry(&clock, "new")).await.expect("a put");
    assert!(trusted());
}
