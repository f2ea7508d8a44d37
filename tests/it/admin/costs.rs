//! What answers cost, as the router tells it.

use std::{borrow::Cow, time::Duration};

use http::{Request, StatusCode};
use larder::{
    admin,
    llm::{self, Ledger, Prices},
    store::Memory,
};
use tower::Layer as _;

use super::{Served, figures::samples, schema};
use crate::support::{Body, Origin, ask, full, post, reply, text};

const JSON: (&str, &str) = ("content-type", "application/json");

/// 1000 tokens in at 2,500 nano-dollars, and 100 out at 10,000.
const COST: u64 = 3_500_000;

fn question(model: &str, team: &str) -> Request<Body> {
    let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#);
    post("https://api.openai.com/v1/chat/completions", &[JSON, ("x-team", team)], body)
}

fn team(head: &http::request::Parts) -> Option<Cow<'_, str>> {
    head.headers.get("x-team")?.to_str().ok().map(Cow::from)
}

pub(super) fn ledger() -> Ledger {
    let json = r#"{"m":{"input_cost_per_token":2.5e-06,"output_cost_per_token":1e-05},"n":{"input_cost_per_token":0}}"#;
    Ledger::builder().prices(Prices::from_json(json).expect("prices")).space("chat").tenant(team).build()
}

/// A cache that counts in the ledger, in front of an upstream whose answers name the model that was asked for.
pub(super) async fn spend(ledger: &Ledger, questions: &[(&str, &str)]) {
    let origin = Origin::by_request(|request| {
        let model = request.uri().query().unwrap_or("m").to_owned();
        let choice = r#"{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Hi"}}"#;
        let usage = r#"{"prompt_tokens":1000,"completion_tokens":100}"#;
        let body = format!(r#"{{"object":"chat.completion","model":"{model}","choices":[{choice}],"usage":{usage}}}"#);
        reply(200, &[JSON], full(body))
    });
    let hour = Duration::from_secs(3600);
    let cache = llm::layer(Memory::new(64 << 20), hour).observer(ledger.clone()).build().layer(origin);
    for (model, team) in questions {
        let mut asked = question(model, team);
        let uri = format!("{}?{model}", asked.uri());
        *asked.uri_mut() = uri.parse().expect("a URI");
        let answer = ask(&cache, asked).await;
        assert_eq!(answer.status(), StatusCode::OK);
        text(answer).await;
    }
}

#[tokio::test]
async fn money_is_told_by_reason_model_space_and_tenant() {
    let ledger = ledger();
    spend(&ledger, &[("m", "a"), ("m", "a"), ("m", "b"), ("unheard-of", "b")]).await;
    let served = Served::new(admin::Builder::new().ledger(ledger).insecure().build()).await;
    let costs = served.get("/api/cache/costs").await.json();
    schema::check("/api/cache/costs", &costs);
    assert_eq!((&costs["counted"], &costs["total"]["requests"]), (&true.into(), &4.into()));
    let sums = |sums: &serde_json::Value| {
        let number = |name: &str| sums[name].as_u64().expect("a number");
        (number("requests"), number("saved_nano_usd"), number("spent_nano_usd"), number("unknown"))
    };
    assert_eq!(sums(&costs["total"]), (4, 2 * COST, COST, 1));
    assert_eq!((&costs["total"]["saved_usd"], &costs["total"]["net_usd"]), (&"0.007".into(), &"0.007".into()));
    assert_eq!(sums(&costs["reasons"]["hit"]), (2, 2 * COST, 0, 0));
    assert_eq!(sums(&costs["reasons"]["miss"]), (2, 0, COST, 1));
    assert_eq!((&costs["models"][0]["model"], sums(&costs["models"][0])), (&"m".into(), (3, 2 * COST, COST, 0)));
    assert_eq!((&costs["models"][1]["model"], sums(&costs["models"][1])), (&"unheard-of".into(), (1, 0, 0, 1)));
    assert_eq!((&costs["spaces"][0]["space"], sums(&costs["spaces"][0])), (&"chat".into(), (4, 2 * COST, COST, 1)));
    assert_eq!((&costs["tenants"][0]["tenant"], sums(&costs["tenants"][0])), (&"a".into(), (2, COST, COST, 0)));
    assert_eq!(costs["accounts"].as_array().map(Vec::len), Some(3));
    assert_eq!(costs["accounts"][0]["reasons"]["hit"]["saved_nano_usd"], COST);

    let one = served.get("/api/cache/costs?limit=1").await.json();
    assert_eq!((&one["total"], one["models"].as_array().map(Vec::len)), (&costs["total"], Some(1)));
    assert_eq!((&one["left_out"]["models"], &one["left_out"]["accounts"]), (&1.into(), &2.into()));
    for query in ["limit=0", "limit=10001", "limit=x", "model=m"] {
        served.get(&format!("/api/cache/costs?{query}")).await.problem(400);
    }

    let metrics = served.get("/metrics").await.text;
    let metrics = samples(&metrics);
    for (sample, value) in [
        ("larder_llm_requests_total{space=\"chat\",tenant=\"a\",model=\"m\",reason=\"hit\"}", Some(1.0)),
        ("larder_llm_saved_dollars_total{space=\"chat\",tenant=\"b\",model=\"m\",reason=\"hit\"}", Some(0.0035)),
        ("larder_llm_spent_dollars_total{space=\"chat\",tenant=\"a\",model=\"m\",reason=\"miss\"}", Some(0.0035)),
        ("larder_llm_spent_dollars_total{space=\"chat\",tenant=\"a\",model=\"m\",reason=\"hit\"}", None),
        (
            "larder_llm_unknown_total{space=\"chat\",tenant=\"b\",model=\"unheard-of\",reason=\"miss\",kind=\"unpriced\"}",
            Some(1.0),
        ),
    ] {
        assert_eq!(metrics.get(sample).copied(), value, "{sample} in {metrics:?}");
    }
}

#[tokio::test]
async fn without_a_ledger_no_sum_is_told_and_that_is_said() {
    let served = Served::new(admin::Builder::new().insecure().build()).await;
    let costs = served.get("/api/cache/costs").await.json();
    schema::check("/api/cache/costs", &costs);
    assert_eq!((&costs["counted"], &costs["total"]["saved_usd"]), (&false.into(), &"0".into()));
    assert!(!served.get("/metrics").await.text.contains("larder_llm_"));
}
