//! The client goes away: nothing is left running.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use larder::{
    breaker::{Breaker, State},
    retry::{Backoff, Credentials, Hedge, Upstream},
};
use tokio::{runtime::Handle, time::Instant};
use tower::Layer as _;

use super::words::{MS, SECOND, half};
use crate::support::{Act, Script, ask, begun, counted, full, get, reply, settle};

/// Drops the request once the script was called so often and so much time has passed; then nothing may go on.
async fn nothing_is_left(builder: larder::retry::Builder, script: Script, calls: usize, millis: u32) {
    let service = builder.build().layer(script.clone());
    let tasks = Handle::current().metrics().num_alive_tasks();
    let request = ask(&service, get("http://a/", &[]));
    let cut = tokio::time::timeout(millis * MS, request).await;
    assert!(cut.is_err(), "it was still under way");
    assert_eq!(script.calls(), calls);
    assert_eq!((script.running(), Handle::current().metrics().num_alive_tasks()), (0, tasks));
    tokio::time::sleep(3600 * SECOND).await;
    settle().await;
    assert_eq!(script.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_all_that_was_done_for_it() {
    let hangs = || Script::new(|_, _| Act::hang());
    let fails = || Script::statuses([503]);
    let waiting = || half().backoff(Backoff::constant(SECOND));
    // During an attempt, a backoff, the attempt after it, and a wait for what the server said.
    nothing_is_left(waiting(), hangs(), 1, 500).await;
    nothing_is_left(waiting(), fails(), 1, 500).await;
    nothing_is_left(waiting().attempt_timeout(SECOND), hangs(), 2, 2500).await;
    nothing_is_left(half(), Script::new(|_, _| Act::with(429, &[("retry-after", "9")])), 1, 500).await;
    // During a hedge, and at another upstream.
    nothing_is_left(half().hedge(Hedge::after(100 * MS)), hangs(), 2, 500).await;
    let other = Upstream::to("http://b".parse().expect("a URI"));
    let script = Script::new(|_, seen| if seen.host() == "a" { Act::status(503) } else { Act::hang() });
    nothing_is_left(half().attempts(1).fallback(other), script, 2, 500).await;
    // With another key.
    let script = Script::new(|number, _| if number == 0 { Act::status(401) } else { Act::hang() });
    nothing_is_left(half().credentials(Credentials::bearer(["1", "2"]).expect("tokens")), script, 2, 500).await;
}

#[tokio::test(start_paused = true)]
async fn no_failed_answer_is_kept_alive_during_a_backoff() {
    let alive = Arc::<AtomicUsize>::default();
    let count = alive.clone();
    let script = Script::new(move |_, _| Act::answer(reply(503, &[], counted(full("no"), &count))));
    let service = half().backoff(Backoff::constant(SECOND)).build().layer(script.clone());
    let request = begun(ask(&service, get("http://a/", &[])));
    assert_eq!((script.calls(), alive.load(Ordering::SeqCst)), (1, 0));
    drop(request);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_cancelled_gives_its_seat_back() {
    let script = Script::new(|number, _| if (1..4).contains(&number) { Act::hang() } else { Act::status(200) });
    let breaker = Breaker::builder().open_for(SECOND).jitter(0.0).probes(1);
    let layer = half().breaker(breaker).build();
    let service = layer.layer(script.clone());
    ask(&service, get("http://a/", &[])).await;
    let breaker = layer.handle().breaker("a").expect("it was asked");
    breaker.trip(Instant::now().into_std());
    tokio::time::advance(SECOND).await;
    for calls in 2..5 {
        let probe = begun(ask(&service, get("http://a/", &[])));
        assert_eq!(ask(&service, get("http://a/", &[])).await.status(), 503, "the seat is taken");
        assert_eq!(script.calls(), calls);
        drop(probe);
        assert_eq!(breaker.state(Instant::now().into_std()), State::HalfOpen);
    }
    assert_eq!(ask(&service, get("http://a/", &[])).await.status(), 200);
    assert_eq!((breaker.state(Instant::now().into_std()), script.calls()), (State::Closed, 5));
    assert_eq!(breaker.snapshot(Instant::now().into_std()).failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_hedge_is_not_paid_for_or_wins_keeps_no_seat() {
    for (budget, status) in [(0, 200), (10, 200)] {
        let script = Script::new(move |_, _| Act::status(status).after(500));
        let layer = half().hedge(Hedge::after(100 * MS)).budget(0.0, budget);
        let layer = layer.breaker(Breaker::builder().open_for(SECOND).jitter(0.0).probes(2)).build();
        let service = layer.layer(script.clone());
        ask(&service, get("http://a/", &[])).await;
        let breaker = layer.handle().breaker("a").expect("it was asked");
        breaker.trip(Instant::now().into_std());
        tokio::time::advance(SECOND).await;
        for _ in 0..2 {
            assert_eq!(ask(&service, get("http://a/", &[])).await.status(), 200);
        }
        assert_eq!(breaker.state(Instant::now().into_std()), State::Closed, "{budget}");
    }
}
