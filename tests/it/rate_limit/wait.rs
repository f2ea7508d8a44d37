//! Clients that rather wait than fail.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt as _;
use larder::rate_limit::{Limit, Quota};
use tokio::time::{Instant, advance};
use tower::{Layer as _, ServiceExt as _};

use super::words::{MS, SECOND, by_user, head, is_denied, limited, retry_after};
use crate::support::{Act, Origin, Script, ask, begun, empty, get, poll_once, reply, settle, text};

/// One a second, with room again after a second and a thirtieth, rounded up.
const PACE: Duration = Duration::from_micros(1_033_354);

#[tokio::test(start_paused = true)]
async fn a_request_waits_until_there_is_room_and_no_longer() {
    let script = Script::statuses([200]);
    let layer = limited(Quota::per_second(1)).wait(5 * SECOND).build();
    let service = layer.layer(script.clone());
    for _ in 0..3 {
        assert_eq!(text(ask(&service, get("http://a/", &[])).await).await, "200");
    }
    let times: Vec<_> = script.seen().iter().map(|seen| seen.at).collect();
    assert!(times[1] >= PACE && times[1] < PACE + MS, "{times:?}");
    assert!(times[2] - times[1] >= SECOND && times[2] <= 2 * PACE + 2 * MS, "{times:?}");
    let stats = layer.handle().stats();
    assert_eq!((stats.allowed, stats.denied, stats.waited), (3, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_would_wait_too_long_is_denied_at_once() {
    let service = limited(Quota::per_minute(1)).wait(61 * SECOND).build().layer(Script::statuses([200]));
    ask(&service, get("http://a/", &[])).await;
    let begun = Instant::now();
    let denied = ask(&service, get("http://a/", &[])).await;
    assert!(is_denied(&denied));
    assert_eq!((retry_after(&denied), begun.elapsed()), (Some(62), Duration::ZERO));
    advance(SECOND).await;
    assert!(!is_denied(&ask(&service, get("http://a/", &[])).await));
    assert_eq!(begun.elapsed().as_secs(), 62);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_was_set() {
    let script = Script::statuses([200]);
    let layer = limited(Quota::per_second(1)).wait(3 * SECOND).build();
    let service = layer.layer(script.clone());
    let begun = Instant::now();
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { is_denied(&ask(&service, get("http://a/", &[])).await) })
        })
        .collect();
    let mut passed = 0;
    for task in tasks {
        passed += u32::from(!task.await.expect("no panic"));
    }
    assert!(begun.elapsed() <= 3 * SECOND, "{:?}", begun.elapsed());
    assert_eq!((passed, script.calls()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first() {
    let service = limited(Quota::per_second(1)).wait(60 * SECOND).build().layer(Script::statuses([200]));
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (service, order) = (service.clone(), order.clone());
        tasks.spawn(async move {
            assert!(!is_denied(&ask(&service, get("http://a/", &[])).await));
            order.lock().expect("no panic").push(number);
        });
        settle().await;
        // They come at odd times.
        advance(Duration::from_micros(77_777)).await;
    }
    tasks.join_all().await;
    assert_eq!(*order.lock().expect("no panic"), (0..20).collect::<Vec<_>>());
}

/// Or else whoever waits may starve while others come and go.
#[tokio::test(start_paused = true)]
async fn nobody_who_comes_later_takes_the_room_that_another_waits_for() {
    let script = Script::statuses([200]);
    let service = limited(Quota::per_second(1)).wait(60 * SECOND).build().layer(script.clone());
    ask(&service, get("http://a/", &[])).await;
    let mut first = begun(service.clone().oneshot(get("http://a/first", &[])).fuse());
    // There is room now, but the timer has not rung.
    advance(PACE).await;
    let mut second = begun(service.clone().oneshot(get("http://a/second", &[])).fuse());
    for _ in 0..3 {
        advance(SECOND).await;
        for future in [&mut first, &mut second] {
            let _ = poll_once(future);
        }
    }
    let paths: Vec<_> = script.seen().iter().map(|seen| seen.head.uri.path().to_owned()).collect();
    assert_eq!(paths, ["/", "/first", "/second"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_somebody_elses_room() {
    let limit = Limit::new(Quota::per_minute(1)).per(by_user);
    let service = limited(limit).wait(100 * SECOND).build().layer(Script::statuses([200]));
    ask(&service, get("http://a/", &[("x-user", "one")])).await;
    let waiting = begun(service.clone().oneshot(get("http://a/", &[("x-user", "one")])));
    let begun = Instant::now();
    assert!(!is_denied(&ask(&service, get("http://a/", &[("x-user", "two")])).await));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_the_room_of_another_limit() {
    let layer = limited(Limit::new(Quota::per_minute(1)).named("chat").on_path("/chat"))
        .limit(Limit::new(Quota::per_minute(1)).named("images").on_path("/images"))
        .wait(100 * SECOND)
        .build();
    let service = layer.layer(Script::statuses([200]));
    ask(&service, get("http://a/chat", &[])).await;
    let waiting = begun(service.clone().oneshot(get("http://a/chat", &[])));
    let begun = Instant::now();
    assert!(!is_denied(&ask(&service, get("http://a/images", &[])).await));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_leaves_nothing_behind() {
    let script = Script::statuses([200]);
    let layer = limited(Quota::per_second(1)).limit(Quota::concurrent(5)).wait(60 * SECOND).build();
    let service = layer.layer(script.clone());
    text(ask(&service, get("http://a/", &[])).await).await;
    let waiting: Vec<_> = (0..9).map(|_| begun(service.clone().oneshot(get("http://a/", &[])))).collect();
    let last = begun(service.clone().oneshot(get("http://a/", &[])));
    advance(500 * MS).await;
    drop(waiting);
    let begun = Instant::now();
    assert!(!is_denied(&last.await.expect("a response")));
    assert!(begun.elapsed() < 600 * MS, "it waits for those who are gone: {:?}", begun.elapsed());
    let standings = layer.handle().standings(&head("http://a/", &[])).await.expect("an answer");
    assert_eq!(standings.iter().map(|(_, standing)| standing.used).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(script.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_becomes_free_goes_to_who_waits_for_it() {
    for (wait, free_after) in [(SECOND, 300 * MS), (5 * MS, 3 * MS)] {
        let (origin, mut calls) = Origin::held();
        let service = limited(Quota::concurrent(1)).wait(wait).build().layer(origin);
        let first = tokio::spawn(service.clone().oneshot(get("http://a/", &[])));
        let held = calls.next().await;
        let second = tokio::spawn(service.clone().oneshot(get("http://a/", &[])));
        settle().await;
        assert!(calls.try_next().is_none());
        tokio::time::sleep(free_after).await;
        held.answer(reply(200, &[], empty()));
        let begun = Instant::now();
        first.await.expect("no panic").expect("a response");
        let next = tokio::time::timeout(SECOND, calls.next()).await.expect("a second call");
        assert_eq!(begun.elapsed(), Duration::ZERO, "the slot stood empty");
        next.answer(reply(200, &[], empty()));
        assert!(!is_denied(&second.await.expect("no panic").expect("a response")), "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_slot_while_another_limit_has_no_room_in_time() {
    let (origin, _calls) = Origin::held();
    let layer = limited(Quota::concurrent(1)).limit(Quota::per_minute(1)).wait(5 * SECOND).build();
    let service = layer.layer(origin);
    let held = begun(service.clone().oneshot(get("http://a/", &[])));
    let begun = Instant::now();
    assert!(is_denied(&ask(&service, get("http://a/", &[])).await));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn all_slots_are_in_use_as_long_as_anybody_waits() {
    let script = Script::new(|_, _| Act::status(200).after(5));
    let layer = limited(Quota::concurrent(4)).wait(60 * SECOND).build();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let service = layer.layer(script.clone());
        tasks.spawn(async move { text(ask(&service, get("http://a/", &[])).await).await });
    }
    assert!(tasks.join_all().await.iter().all(|text| text == "200"));
    assert!(script.now() < 200, "{} ms for 25 times 5", script.now());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_for_ever_where_others_come_and_go_on_many_threads() {
    let script = Script::statuses([200]);
    let layer = limited(Quota::concurrent(3)).limit(Limit::new(Quota::per_day(500))).wait(600 * SECOND).build();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500 {
        let service = layer.layer(script.clone());
        let asks = async move { text(ask(&service, get("http://a/", &[])).await).await };
        let task = tasks.spawn(asks);
        if number % 3 == 0 {
            task.abort();
        }
    }
    let ended = tokio::time::timeout(60 * SECOND, async { while tasks.join_next().await.is_some() {} }).await;
    assert!(ended.is_ok(), "somebody waits for ever");
    let standings = layer.handle().standings(&head("http://a/", &[])).await.expect("an answer");
    assert_eq!(standings[0].1.used, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_stays_taken_is_waited_for_no_longer_than_was_set() {
    let (origin, _calls) = Origin::held();
    let service = limited(Quota::concurrent(1)).wait(990 * MS).build().layer(origin);
    let held = begun(service.clone().oneshot(get("http://a/", &[])));
    let begun = Instant::now();
    assert!(is_denied(&ask(&service, get("http://a/", &[])).await));
    assert!(begun.elapsed() <= 991 * MS && begun.elapsed() >= 970 * MS, "{:?}", begun.elapsed());
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_never_sends_more_than_it_may() {
    let script = Script::statuses([200]);
    let layer = limited(Quota::per_second(10)).wait(3600 * SECOND).build();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let service = layer.layer(script.clone());
        tasks.spawn(async move { is_denied(&ask(&service, get("http://a/", &[])).await) });
    }
    assert!(!tasks.join_all().await.contains(&true));
    let times: Vec<_> = script.seen().iter().map(|seen| seen.at).collect();
    assert!(times.windows(11).all(|window| window[10] - window[0] >= SECOND), "{times:?}");
    assert!(times[99] <= 10 * PACE, "it was slower than it had to be: {:?}", times[99]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_all_time_is_no_overflow() {
    let service = limited(Quota::per_day(1)).wait(Duration::MAX).build().layer(Script::statuses([200]));
    for _ in 0..3 {
        assert!(!is_denied(&ask(&service, get("http://a/", &[])).await));
    }
}
