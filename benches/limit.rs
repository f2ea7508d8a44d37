//! Decisions of `RateLimitLayer` by Redis beside bare calls of the same script on a connection of the same client.
//!
//! ```text
//! cargo bench --features redis --bench limit
//! ```
//!
//! Starts a `redis-server` of its own. What is compared takes turns within one run, so that the ratios mean something on a machine
//! that has other things to do, too.

mod server;
mod turns;

use std::{
    convert::Infallible,
    env,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use larder::{
    RateLimitLayer,
    rate_limit::{Fields, Limit, Quota, Subject, limiter::Redis},
    redis::Client,
};
use tower::{Layer as _, ServiceExt as _, service_fn};

use self::{
    server::Server,
    turns::{TURNS, median, rate, runtimes},
};

const SCRIPT: &str = include_str!("../src/rate_limit/limiter/redis/take.lua");

/// How many subjects take turns.
const SUBJECTS: usize = 256;

/// So much that nobody is ever denied.
const MUCH: u64 = 1 << 40;

/// Bare calls and decisions take turns; the medians of both rates and of their ratio.
async fn decisions(server: &Server, limits: usize, subjects: usize, callers: usize, fields: Fields) -> [f64; 3] {
    let mut bare = server.connect().await;
    redis::cmd("FLUSHALL").exec_async(&mut bare).await.expect("it runs");
    let client = Client::builder(&server.url()).response_timeout(Duration::from_secs(1)).build().expect("a URL");
    let quotas = [Quota::per_minute(MUCH), Quota::per_hour(MUCH), Quota::per_day(MUCH), Quota::per_second(MUCH)];
    let mut builder = RateLimitLayer::builder(Redis::builder(client).prefix("layer").build().expect("a limiter"));
    for quota in quotas.into_iter().take(limits) {
        builder = builder
            .limit(Limit::new(quota).per(|head: &http::request::Parts| Some(Subject::named("user", head.uri.path()))));
    }
    let served = Arc::new(AtomicUsize::new(0));
    let counted = served.clone();
    let service = builder.fields(fields).build().layer(service_fn(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    }));
    let decide = move |number: usize| {
        let service = service.clone();
        async move {
            let path = format!("/{}", number % subjects);
            let request = Request::get(path).body(Empty::<Bytes>::new()).expect("a request");
            let Ok(response) = service.oneshot(request).await;
            assert_eq!(response.status(), StatusCode::OK);
        }
    };
    let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query_async(&mut bare).await.expect("it loads");
    let widths = ["2000000", "120000000", "2880000000", "33334"];
    let names: Arc<[Vec<String>]> = (0..subjects)
        .map(|subject| (0..limits).map(|limit| format!("bare:limit:{{user:/{subject}}}:{limit}")).collect())
        .collect();
    let call = move |number: usize| {
        let (mut bare, sha, names) = (bare.clone(), sha.clone(), names.clone());
        async move {
            let mut cmd = redis::cmd("EVALSHA");
            let keys = &names[number % subjects];
            cmd.arg(sha).arg(keys.len());
            keys.iter().for_each(|key| {
                cmd.arg(key);
            });
            cmd.arg("1").arg("");
            for width in widths.iter().take(keys.len()) {
                for argument in ["b", width, "30", "0", "1099511627776", "1", "0"] {
                    cmd.arg(argument);
                }
            }
            let answer: Vec<i64> = cmd.query_async(&mut bare).await.expect("it runs");
            assert_eq!(answer.len(), 1 + 7 * keys.len());
        }
    };
    let (mut calls, mut decided, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let (bare, larder) = (rate(callers, call.clone()).await, rate(callers, decide.clone()).await);
        // The first is for warming up.
        if turn > 0 {
            calls.push(bare);
            decided.push(larder);
            ratios.push(larder / bare);
        }
    }
    assert!(served.load(Ordering::Relaxed) > 0);
    [calls, decided, ratios].map(median)
}

fn main() {
    // Not when it is run as a test.
    if !env::args().any(|arg| arg == "--bench") {
        return;
    }
    let server = Server::start();
    println!(
        "| limits | subjects | threads | callers | bare EVALSHA/s | decisions/s | decisions ÷ EVALSHA |\n|--:|--:|--:|--:|--:|--:|--:|"
    );
    for (limits, subjects) in [(1, SUBJECTS), (4, SUBJECTS), (1, 1)] {
        for (threads, runtime) in runtimes() {
            for callers in [1, 64] {
                let [bare, larder, ratio] =
                    runtime.block_on(decisions(&server, limits, subjects, callers, Fields::new()));
                println!("| {limits} | {subjects} | {threads} | {callers} | {bare:.0} | {larder:.0} | {ratio:.2} |");
            }
        }
    }
}
