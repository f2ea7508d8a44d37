//! A caching reverse proxy: larder in front of one upstream.
//!
//! ```text
//! cargo run --release --example proxy -- --demo
//! cargo run --release --example proxy -- --upstream https://api.openai.com
//! ```
//!
//! `--help` lists the flags; each can be given in the environment too. The way of a request:
//!
//! 1. `server`: accepts connections (HTTP/1.1 and h2c), writes a line to the log for each request, shuts down gracefully.
//! 2. `larder::RateLimitLayer`, as `limits` sets it up: answers those who use too much.
//! 3. `larder::llm::EmbeddingsLayer`, if told: answers the texts of requests for embeddings that are kept.
//! 4. `larder::CacheLayer`: answers what is kept.
//! 5. `larder::RetryFallbackLayer`, as `retry` sets it up: tries again what is worth it, and falls back if that doesn't help.
//! 6. `forward`: sends the rest to the upstream, and makes a message of what it sends into one of the proxy's own.
//!
//! `admin` answers those who look after it, on a port of its own.

mod access_log;
mod admin;
mod default_response;
mod demo;
mod fallback;
mod forward;
mod interim;
mod limits;
mod options;
mod prices;
mod problem;
mod retry;
mod server;
mod stores;

use std::{io::IsTerminal as _, process::ExitCode};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderName, Request, header::HOST};
use larder::{
    CacheLayer, RateLimitLayer,
    fingerprint::{Fingerprint, RequestFingerprint, Scope, explain},
    llm,
    policy::{Policy, Rfc9111},
    store::Store,
};
use tokio::runtime;
use tracing_subscriber::EnvFilter;

use self::{
    admin::Admin,
    fallback::FallbackUrl,
    forward::Forward,
    options::{Options, Profile},
    server::Stack,
};

fn main() -> ExitCode {
    let options = Options::of_process();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&options.log).context("--log takes a level or tracing directives, such as warn")?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let mut builder = match options.threads {
        1 => runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    builder.enable_all().build().context("the runtime could not be started")?.block_on(serve(options))
}

/// What a shared cache keeps by: RFC 9111 says what `Authorization` forbids, but nothing of other fields that carry keys. The
/// host that the client named counts, for the upstream hears of it and may answer by it.
fn http_fingerprint() -> RequestFingerprint {
    let keys = ["proxy-authorization", "x-api-key", "api-key", "x-goog-api-key"];
    let scope = Scope::credential_in(keys.map(HeaderName::from_static));
    RequestFingerprint::new().header(HOST).scope(scope)
}

/// Answers on the admin port, if there is one.
fn show<St, F, P, C>(
    admin: Option<Admin>,
    stack: &Stack<St, F, P, C>,
    keeps_embeddings: bool,
    ledger: Option<llm::Ledger>,
    fingerprint: impl Fingerprint,
) -> anyhow::Result<()>
where
    St: Store,
    F: Fingerprint,
    P: Policy,
{
    let Some(admin) = admin else { return Ok(()) };
    let limits = stack.limits.as_ref().map(RateLimitLayer::handle);
    let explain = move |a: &Request<Bytes>, b: &Request<Bytes>| explain(&fingerprint, a, b);
    let embeddings = keeps_embeddings.then(|| stack.embeddings.handle());
    admin.serve(stack.cache.handle(), stack.retry.handle(), limits, embeddings, ledger, explain)
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let signals = server::Signals::hear().context("signals can't be heard")?;
    let listener = server::bind(options.listen).with_context(|| {
        format!("--listen {} can't be bound; take another address, or port 0 for a free one", options.listen)
    })?;
    let address = listener.local_addr()?;
    let upstream = match &options.upstream {
        Some(upstream) => upstream.clone(),
        None => demo::start().await.context("the demo upstream could not be started")?.url().parse()?,
    };
    fallback::check(&upstream, &options.fallback, address)?;
    let others: Vec<_> = options.fallback.iter().map(FallbackUrl::url).collect();
    let forward = Forward::new(&upstream, &others, options.profile)?;
    let prefix = forward.target().prefix().to_owned();
    let store = stores::open(&options.store, &options.stores())?;
    // The demo has a limit to run into, where nothing else that it shows goes.
    let shows_limit = options.demo && options.limit.is_empty();
    let limits =
        if shows_limit { vec![demo::LIMIT.parse().map_err(anyhow::Error::msg)?] } else { options.limit.clone() };
    let limits = limits::layer(&limits, options, &prefix)?;
    let admin = admin::open(options)?;
    eprintln!("listening on http://{address}");
    if options.demo {
        println!("{}", demo::curl_lines(address, options.default_response.is_some(), shows_limit));
    }
    match options.profile {
        Profile::Llm => {
            let policy = llm::policy(options.ttl, options.stale_while_revalidate, options.stale_if_error);
            let fingerprint = || llm::Fingerprint::new().rest(http_fingerprint());
            let prices = options.prices.clone().unwrap_or_else(llm::Prices::none);
            let prices = llm::Prices::builtin().with(prices);
            let ledger = llm::Ledger::builder().space(admin::SPACE).prices(prices).fields(options.cost_fields);
            let ledger = ledger.try_build()?;
            let per_item = options.embeddings_per_item;
            let embeddings = llm::EmbeddingsLayer::builder(store.clone(), options.ttl)
                .fingerprint(fingerprint())
                .when(move |_| per_item)
                .lookup_timeout(options.lookup_timeout())
                .try_build()?;
            let cache = llm::layer(store, options.ttl)
                .fingerprint(fingerprint())
                .policy(policy)
                .observer(ledger.clone())
                .max_body(options.max_body)
                .lookup_timeout(options.lookup_timeout())
                .try_build()?;
            let stack = Stack { limits, embeddings, cache, retry: retry::llm(options, &prefix)? };
            show(admin, &stack, per_item, Some(ledger), fingerprint())?;
            server::run(listener, signals, stack, forward).await
        }
        Profile::Http => {
            let policy = Rfc9111::shared()
                .stale_while_revalidate(options.stale_while_revalidate)
                .stale_if_error(options.stale_if_error);
            let embeddings = llm::EmbeddingsLayer::builder(store.clone(), options.ttl).when(|_| false).try_build()?;
            let cache = CacheLayer::builder(store)
                .fingerprint(http_fingerprint())
                .policy(policy)
                .max_body(options.max_body)
                .lookup_timeout(options.lookup_timeout())
                .try_build()?;
            let stack = Stack { limits, embeddings, cache, retry: retry::http(options, &prefix)? };
            show(admin, &stack, false, None, http_fingerprint())?;
            server::run(listener, signals, stack, forward).await
        }
    }
}
