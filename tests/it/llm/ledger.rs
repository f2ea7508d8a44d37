//! What answers cost, and what is saved when they are given again.

use bytes::Bytes;
use http::Response;
use larder::{
    cache::CacheBody,
    clock::ManualClock,
    llm::{Cost, Ledger, Prices, Reason},
};
use tower::Layer as _;

use super::{CHAT, COST, HOUR, JSON, USAGE, answer, answer_of, ask_for, ask_with, cache, nano, prices, sums};
use crate::support::{
    Body, Origin, ask, begun, channel, data, field, full, get, memory, pieces, post, reply, said, settle, text,
};

/// Why, what was spent, and what was saved, when the body has ended.
async fn cost(response: Response<CacheBody<Body>>) -> (Reason, Option<u64>, Option<u64>) {
    let cost = Cost::of(&response).expect("a cost").clone();
    text(response).await;
    assert!(cost.is_final());
    (cost.reason(), nano(cost.spent()), nano(cost.saved()))
}

#[tokio::test]
async fn a_hit_saves_what_its_answer_cost_then_whatever_prices_are_now() {
    let clock = ManualClock::default();
    let store = memory(&clock);
    let origin = Origin::replies(|_| answer(USAGE));
    let layer = |prices| {
        let ledger = Ledger::new(prices);
        let cache = larder::llm::layer(store.clone(), HOUR).clock(clock.clone()).observer(ledger.clone()).build();
        (ledger, cache.layer(origin.clone()))
    };
    let (bought, cache) = layer(prices());
    let first = ask(&cache, ask_for("hi")).await;
    assert_eq!(nano(Cost::of(&first).expect("a cost").spent()), None, "its body is still to come");
    assert_eq!(cost(first).await, (Reason::Miss, Some(COST), Some(0)));

    let dearer = prices().with(Prices::from_json(r#"{"m": {"input_cost_per_token": 1}}"#).expect("prices"));
    let (given, cache) = layer(dearer);
    let hit = ask(&cache, ask_for("hi")).await;
    let said = Cost::of(&hit).expect("a cost");
    let usage = said.usage().expect("a usage");
    assert_eq!((usage.input, usage.cached_input, usage.output, said.model()), (1000, 400, 100, Some("m-2026-01-01")));
    assert_eq!(cost(hit).await, (Reason::Hit, Some(0), Some(COST)));

    let (bought, given) = (bought.balance(), given.balance());
    assert_eq!(sums(bought.reasons.get(&Reason::Miss)), (1, 0, COST));
    assert_eq!(sums(given.reasons.get(&Reason::Hit)), (1, COST, 0));
    assert_eq!((sums(Some(&bought.total)), sums(Some(&given.total))), ((1, 0, COST), (1, COST, 0)));
    assert_eq!(sums(given.models.get("m-2026-01-01")), (1, COST, 0));
    assert_eq!((given.total.net(), given.prices_as_of.as_deref()), (3_000_000, Some("2026-01-01")));
}

#[tokio::test]
async fn those_who_share_a_fetch_each_save_what_it_costs() {
    let (clock, ledger) = (ManualClock::default(), Ledger::new(prices()));
    let (origin, mut calls) = Origin::held();
    let cache = cache(&clock).observer(ledger.clone()).build().layer(origin);
    let mut requests: Vec<_> = (0..4).map(|_| begun(ask(&cache, ask_for("hi")))).collect();
    let (feed, body) = channel();
    calls.next().await.answer(reply(200, &[JSON], body));
    let leader = requests.remove(0).await;
    let mut followers = Vec::new();
    for request in requests {
        followers.push(request.await);
    }
    assert!(said(&followers[0]).contains("collapsed"));
    drop(followers.pop());
    assert_eq!(ledger.balance().total.requests, 0, "nobody knows yet what it costs");
    feed.data(answer_of("m", USAGE));
    drop(feed);
    assert_eq!(cost(leader).await, (Reason::Miss, Some(COST), Some(0)));
    for follower in followers {
        assert_eq!(cost(follower).await, (Reason::Coalesced, Some(0), Some(COST)));
    }
    let balance = ledger.balance();
    assert_eq!(sums(balance.reasons.get(&Reason::Coalesced)), (3, 3 * COST, 0), "who left would have paid, too");
    assert_eq!(sums(Some(&balance.total)), (4, 3 * COST, COST));
}

#[tokio::test]
async fn what_is_served_stale_saves_and_what_refreshes_it_is_overhead() {
    let (clock, ledger) = (ManualClock::default(), Ledger::new(prices()));
    let origin = Origin::replies(|number| match number {
        0 => answer(USAGE),
        1 => answer(r#"{"prompt_tokens":10,"completion_tokens":0}"#),
        _ => reply(503, &[], full("down")),
    });
    let cache = cache(&clock).observer(ledger.clone()).build().layer(origin);
    text(ask(&cache, ask_for("hi")).await).await;
    clock.advance(HOUR + HOUR / 2);
    assert_eq!(cost(ask(&cache, ask_for("hi")).await).await, (Reason::Stale, Some(0), Some(COST)));
    settle().await;
    clock.advance(5 * HOUR);
    assert_eq!(cost(ask(&cache, ask_for("hi")).await).await, (Reason::Stale, Some(0), Some(25_000)));
    let balance = ledger.balance();
    assert_eq!(sums(balance.reasons.get(&Reason::Refresh)), (1, 0, 25_000));
    assert_eq!(sums(balance.reasons.get(&Reason::Stale)), (2, COST + 25_000, 0));
    assert_eq!(balance.total.net(), i64::try_from(COST).expect("little"));
    assert_eq!(balance.reasons.get(&Reason::Bypass), None, "the error cost nothing, and answered nobody");
}

#[tokio::test]
async fn what_is_not_known_is_no_sum_and_not_zero() {
    let (clock, ledger) = (ManualClock::default(), Ledger::new(prices()));
    let origin = Origin::replies(|number| match number {
        0 => reply(200, &[JSON], full(answer_of("dear-model", USAGE))),
        1 => answer("null"),
        2 => reply(200, &[JSON, ("content-encoding", "gzip")], full("?")),
        _ => reply(429, &[JSON], full(answer_of("m", USAGE))),
    });
    let cache = cache(&clock).observer(ledger.clone()).build().layer(origin);
    for question in ["unpriced", "unmetered"] {
        assert_eq!(cost(ask(&cache, ask_for(question)).await).await, (Reason::Miss, None, Some(0)), "{question}");
        assert_eq!(cost(ask(&cache, ask_for(question)).await).await, (Reason::Hit, Some(0), None), "{question}");
    }
    assert_eq!(cost(ask(&cache, ask_for("unreadable")).await).await, (Reason::Miss, None, Some(0)));
    assert!(Cost::of(&ask(&cache, ask_for("failing")).await).is_none());
    let balance = ledger.balance();
    assert_eq!((sums(Some(&balance.total)), balance.total.unpriced, balance.total.unmetered), ((5, 0, 0), 2, 3));
    let named = ["dear-model", "m-2026-01-01", "m"].map(|model| balance.models.get(model).map(|sums| sums.unknown()));
    assert_eq!(named, [Some(2), Some(2), Some(1)], "by the answer's model, or that of the request");
}

#[tokio::test]
async fn an_entry_without_a_bill_is_given_for_a_sum_that_nobody_knows() {
    let clock = ManualClock::default();
    let store = memory(&clock);
    let origin = Origin::replies(|_| answer(USAGE));
    let layer = || larder::llm::layer(store.clone(), HOUR).clock(clock.clone());
    text(ask(&layer().build().layer(origin.clone()), ask_for("hi")).await).await;
    let ledger = Ledger::new(prices());
    let cache = layer().observer(ledger.clone()).build().layer(origin);
    assert_eq!(cost(ask(&cache, ask_for("hi")).await).await, (Reason::Hit, Some(0), None));
    assert_eq!(ledger.balance().models["m"].unmetered, 1);
}

#[tokio::test]
async fn a_stream_is_read_as_it_passes_and_one_that_breaks_off_is_not_known() {
    const EVENTS: [&str; 4] = [
        "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":100",
        "0,\"completion_tokens\":100,\"prompt_tokens_details\":{\"cached_tokens\":400}}}\n\n",
        "data: [DONE]\n\n",
    ];
    let (clock, ledger) = (ManualClock::default(), Ledger::new(prices()));
    let stream = ("content-type", "text/event-stream");
    let origin = Origin::replies(move |number| match number {
        0 => reply(200, &[stream], pieces(EVENTS)),
        _ => reply(200, &[stream], pieces(EVENTS[..3].iter().copied())),
    });
    let cache = cache(&clock).observer(ledger.clone()).build().layer(origin);
    assert_eq!(cost(ask(&cache, ask_for("whole")).await).await, (Reason::Miss, Some(COST), Some(0)));
    assert_eq!(cost(ask(&cache, ask_for("whole")).await).await, (Reason::Hit, Some(0), Some(COST)));
    assert_eq!(cost(ask(&cache, ask_for("cut")).await).await, (Reason::Miss, None, Some(0)));
    let mut left = ask(&cache, ask_for("left")).await;
    data(&mut left).await;
    drop(left);
    settle().await;
    let misses = ledger.balance().reasons[&Reason::Miss];
    assert_eq!((misses.requests, misses.spent.get(), misses.unmetered), (3, COST, 2));
}

#[tokio::test]
async fn what_passes_by_or_is_not_kept_is_paid_for_and_what_generates_nothing_is_not() {
    let (clock, ledger) = (ManualClock::default(), Ledger::new(prices()));
    let large = format!(r#"{{"x":"{}","model":"m","choices":[],"usage":{USAGE}}}"#, "x".repeat(2000));
    let origin = Origin::by_request(move |request| match request.uri().path() {
        "/v1/chat/completions" => answer(USAGE),
        _ => reply(200, &[JSON], full(large.clone())),
    });
    let cache = cache(&clock).max_body(1000).observer(ledger.clone()).build().layer(origin);
    let bypass = || post(CHAT, &[JSON], r#"{"model":"m","store":true}"#);
    let embeddings = post("https://api.openai.com/v1/embeddings", &[JSON], r#"{"model":"m"}"#);
    assert_eq!(cost(ask(&cache, bypass()).await).await, (Reason::Bypass, Some(COST), Some(0)));
    assert_eq!(cost(ask(&cache, embeddings).await).await, (Reason::Miss, Some(COST), Some(0)), "too large to be kept");
    for silent in [get("https://api.openai.com/v1/models", &[]), post("https://api.openai.com/v1/files", &[JSON], "{}")]
    {
        assert!(Cost::of(&ask(&cache, silent).await).is_none());
    }
    assert_eq!(sums(Some(&ledger.balance().total)), (2, 0, 2 * COST));
}

#[tokio::test]
async fn each_tenant_and_space_has_sums_of_its_own() {
    let clock = ManualClock::default();
    let tenant = |head: &http::request::Parts| head.headers.get("x-team")?.to_str().ok().map(str::to_owned);
    let ledger = Ledger::builder().prices(prices()).space("a").tenant(move |head| tenant(head).map(Into::into)).build();
    let caches = [ledger.clone(), ledger.in_space("b")].map(|ledger| {
        let cache = cache(&clock).observer(ledger).build();
        cache.layer(Origin::replies(|_| answer(USAGE)))
    });
    for (space, team) in [(0, "red"), (0, "red"), (0, "blue"), (1, "blue")] {
        text(ask(&caches[space], ask_with("hi", &[("x-team", team)])).await).await;
    }
    text(ask(&caches[1], ask_for("hi")).await).await;
    let balance = ledger.balance();
    assert_eq!(sums(balance.tenants.get("red")), (2, COST, COST));
    assert_eq!(sums(balance.tenants.get("blue")), (2, COST, COST));
    assert_eq!(balance.tenants.len(), 2, "who is nobody's is in no tenant's sums");
    assert_eq!((sums(balance.spaces.get("a")), sums(balance.spaces.get("b"))), ((3, 2 * COST, COST), (2, COST, COST)));
    let accounts: Vec<_> =
        balance.accounts.iter().map(|account| (&*account.space, account.tenant.as_deref())).collect();
    assert_eq!(accounts, [("a", Some("blue")), ("a", Some("red")), ("b", None), ("b", Some("blue"))]);
}

#[tokio::test]
async fn another_provider_s_price_is_not_taken() {
    let clock = ManualClock::default();
    for (provider, uri, expected) in [
        (None, CHAT, Some(COST)),
        (None, "https://gateway.example/v1/chat/completions", Some(COST)),
        (None, "https://openrouter.ai/api/v1/chat/completions", None),
        (Some("azure"), CHAT, None),
        (Some("openai"), "https://openrouter.ai/api/v1/chat/completions", Some(COST)),
    ] {
        let ledger = provider.map_or_else(Ledger::builder, |name| Ledger::builder().provider(name));
        let ledger = ledger.prices(prices()).build();
        let cache = cache(&clock).observer(ledger).build().layer(Origin::replies(|_| answer(USAGE)));
        let bought = ask(&cache, post(uri, &[JSON], r#"{"model":"m"}"#)).await;
        assert_eq!(cost(bought).await, (Reason::Miss, expected, Some(0)), "{provider:?} {uri}");
    }
}

#[tokio::test]
async fn fields_say_what_was_saved_if_they_are_asked_for_and_are_not_kept() {
    let clock = ManualClock::default();
    let upstream = || {
        let mut answer = answer(USAGE);
        answer.headers_mut().insert("larder-saved", "99".parse().expect("a value"));
        answer
    };
    for (fields, first, then) in
        [(true, (None, Some("0")), (Some("0"), Some("0.003"))), (false, (None, Some("99")), (None, None))]
    {
        let ledger = Ledger::builder().prices(prices()).fields(fields).build();
        let cache = cache(&clock).observer(ledger).build().layer(Origin::replies(move |_| upstream()));
        for expected in [first, then] {
            let answer = ask(&cache, ask_for("hi")).await;
            assert_eq!((field(&answer, "larder-cost"), field(&answer, "larder-saved")), expected, "{fields}");
            let whole: Bytes = text(answer).await.into();
            assert!(!whole.is_empty());
        }
    }
}
