//! The kit for LLM APIs over scripted origins.

mod corpus;
mod embeddings;
mod ledger;
mod ledger_retry;
mod renderings;

use std::time::Duration;

use http::{Request, Response};
use larder::{
    cache::Builder,
    clock::ManualClock,
    llm::{self, NanoDollars, Prices, Sums},
    store::Memory,
};

use crate::support::{Body, full, memory, post, reply};

const JSON: (&str, &str) = ("content-type", "application/json");
const CHAT: &str = "https://api.openai.com/v1/chat/completions";
const HOUR: Duration = Duration::from_secs(3600);

/// What an answer with [`USAGE`] costs: 1000 tokens in, of which 400 were cached, and 100 out.
const COST: u64 = 600 * 2_500 + 400 * 1_250 + 100 * 10_000;
const USAGE: &str = r#"{"prompt_tokens":1000,"completion_tokens":100,"prompt_tokens_details":{"cached_tokens":400}}"#;

type Cache = Builder<Memory, llm::Fingerprint, llm::Policy>;

/// A cache that keeps answers for an hour, and serves them stale for another while it refreshes them.
fn cache(clock: &ManualClock) -> Cache {
    llm::layer(memory(clock), HOUR).policy(llm::policy(HOUR, HOUR, 10 * HOUR)).clock(clock.clone())
}

/// A table with the model `m`, and with no other.
fn prices() -> Prices {
    let json = r#"{ "_about": {"date": "2026-01-01"}, "m": { "litellm_provider": "openai", "input_cost_per_token": 2.5e-06,
        "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06 } }"#;
    Prices::from_json(json).expect("prices")
}

fn ask_for(content: &str) -> Request<Body> {
    ask_with(content, &[])
}

fn ask_with(content: &str, fields: &[(&str, &str)]) -> Request<Body> {
    let fields: Vec<_> = [JSON].iter().chain(fields).copied().collect();
    post(CHAT, &fields, format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{content}"}}]}}"#))
}

/// A whole answer, with what it says of its usage.
fn answer(usage: &str) -> Response<Body> {
    reply(200, &[JSON], full(answer_of("m-2026-01-01", usage)))
}

fn answer_of(model: &str, usage: &str) -> String {
    let choice = r#"{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Hi"}}"#;
    format!(r#"{{"object":"chat.completion","model":"{model}","choices":[{choice}],"usage":{usage}}}"#)
}

/// Requests, and what they saved and spent, in nano-dollars.
fn sums(sums: Option<&Sums>) -> (u64, u64, u64) {
    let Sums { requests, saved, spent, .. } = sums.copied().unwrap_or_default();
    (requests, saved.get(), spent.get())
}

fn nano(amount: Option<NanoDollars>) -> Option<u64> {
    amount.map(NanoDollars::get)
}
