//! What the steps of a fallback chain cost, and save.

use http::{Response, Uri};
use larder::{
    RetryFallbackLayer,
    cache::CacheBody,
    clock::ManualClock,
    llm::{Cost, Ledger, Reason},
    retry::{Fallback, RetryBody, Upstream},
};
use tower::Layer as _;

use super::{COST, HOUR, USAGE, answer, ask_for, cache, nano, prices, sums};
use crate::{
    retry::{quick, within},
    support::{Body, Origin, ask, full, reply, text},
};

type Given = Response<CacheBody<RetryBody<Body>>>;

async fn cost(response: Given) -> (Reason, Option<u64>, Option<u64>) {
    let cost = Cost::of(&response).expect("a cost").clone();
    text(response).await;
    (cost.reason(), nano(cost.spent()), nano(cost.saved()))
}

fn retry(fallback: impl Into<Fallback>) -> RetryFallbackLayer {
    quick().attempts(1).repeatable(|_| true).fallback(fallback).build()
}

#[tokio::test(start_paused = true)]
async fn another_upstream_is_paid_for_as_a_fallback_whether_it_is_kept_or_not() {
    let clock = ManualClock::default();
    for (model, kept) in [(None, true), (Some("other"), false)] {
        let ledger = Ledger::new(prices());
        let origin = Origin::by_request(|request| match request.uri().host() {
            Some("b.example") => answer(USAGE),
            _ => reply(503, &[], full("down")),
        });
        let mut upstream = Upstream::to(Uri::from_static("https://b.example"));
        if let Some(model) = model {
            upstream = upstream.model(model);
        }
        let cache = cache(&clock).observer(ledger.clone()).build().layer(retry(upstream).layer(within(&origin)));
        assert_eq!(cost(ask(&cache, ask_for("hi")).await).await, (Reason::Fallback, Some(COST), Some(0)), "{model:?}");
        let again = cost(ask(&cache, ask_for("hi")).await).await;
        assert_eq!(again.0 == Reason::Hit, kept, "{model:?}: {again:?}");
        let spent = if kept { COST } else { 2 * COST };
        assert_eq!(ledger.balance().total.spent.get(), spent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_default_costs_nothing_and_saves_nothing() {
    let (clock, ledger) = (ManualClock::default(), Ledger::new(prices()));
    let origin = Origin::replies(|_| reply(503, &[], full("down")));
    let default = Fallback::answer(Response::new("{}".into()));
    let cache = cache(&clock).observer(ledger.clone()).build().layer(retry(default).layer(within(&origin)));
    assert_eq!(cost(ask(&cache, ask_for("hi")).await).await, (Reason::Fallback, Some(0), Some(0)));
    let sums_of = ledger.balance().reasons[&Reason::Fallback];
    assert_eq!((sums(Some(&sums_of)), sums_of.unknown()), ((1, 0, 0), 0));
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_that_the_chain_takes_saves_what_it_cost() {
    let (clock, ledger) = (ManualClock::default(), Ledger::new(prices()));
    let origin = Origin::replies(|number| match number {
        0 => answer(USAGE),
        _ => reply(503, &[], full("down")),
    });
    let cache = cache(&clock).observer(ledger.clone()).build().layer(retry(Fallback::stale()).layer(within(&origin)));
    text(ask(&cache, ask_for("hi")).await).await;
    clock.advance(5 * HOUR);
    assert_eq!(cost(ask(&cache, ask_for("hi")).await).await, (Reason::Fallback, Some(0), Some(COST)));
    let balance = ledger.balance();
    assert_eq!(sums(balance.reasons.get(&Reason::Fallback)), (1, COST, 0));
    assert_eq!(sums(Some(&balance.total)), (2, COST, COST));
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_from_a_cache_elsewhere_saves_what_it_cost_there() {
    let (clock, ledger) = (ManualClock::default(), Ledger::new(prices()));
    let elsewhere = cache(&clock).observer(ledger.clone()).build();
    text(ask(&elsewhere.layer(Origin::replies(|_| answer(USAGE))), ask_for("hi")).await).await;
    let origin = Origin::replies(|_| reply(503, &[], full("down")));
    let chain = retry(Fallback::stale_from(elsewhere.handle())).layer(origin);
    let given = ask(&chain, ask_for("hi")).await;
    assert_eq!(given.status(), 200);
    assert_eq!(sums(ledger.balance().reasons.get(&Reason::Fallback)), (1, COST, 0));
}
