//! Redis is gone, stuck or unwilling, and a layer does as it is told.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use larder::{
    RateLimitLayer,
    rate_limit::{Handle, Limit, OnFailure, Outcome, Quota, RateLimit, RateLimitStatus, limiter::Redis},
    redis::Client,
};
use serde_json::Value;
use tower::Layer as _;

use super::{runs, until};
use crate::support::{
    Script, ask, field, get,
    redis::{Fault, Relay, Server},
    text,
};

/// How long a call may take.
const DEADLINE: Duration = Duration::from_millis(250);

/// What any request may take: a few calls, when the machine is busy.
const WITHIN: Duration = Duration::from_secs(5);

const AMOUNT: u64 = 400;

/// More than the share of one of three.
const MANY: u64 = 300;

const POLICIES: [OnFailure; 3] = [OnFailure::Open, OnFailure::Closed, OnFailure::local(3)];

pub(super) struct Site {
    on_failure: OnFailure,
    service: RateLimit<Script, Redis>,
    inner: Script,
    pub(super) handle: Handle<Redis>,
}

impl Site {
    pub(super) fn new(url: &str, on_failure: OnFailure) -> Self {
        let client = Client::builder(url).response_timeout(DEADLINE).build().expect("a URL");
        let limit = Limit::new(Quota::per_hour(AMOUNT)).named("rph");
        let layer = RateLimitLayer::builder(Redis::new(client)).limit(limit).on_failure(on_failure).build();
        let inner = Script::statuses([200]);
        Self { on_failure, service: layer.layer(inner.clone()), inner, handle: layer.handle() }
    }

    /// What is decided of a request, and how much is used; the answer has to be the one that goes with it.
    pub(super) async fn ask(&self) -> (Outcome, Option<u64>) {
        let begin = Instant::now();
        let response = ask(&self.service, get("http://a/", &[])).await;
        assert!(begin.elapsed() < WITHIN, "{:?}", begin.elapsed());
        let RateLimitStatus { outcome, limits, .. } = response.extensions().get().cloned().expect("a status");
        let code = response.status().as_u16();
        let retry_after = field(&response, "retry-after").map(str::to_owned);
        let content_type = field(&response, "content-type").map(str::to_owned);
        let text = text(response).await;
        if matches!(outcome, Outcome::Allowed | Outcome::FailedOpen | Outcome::LocalAllowed) {
            assert_eq!((code, &*text, retry_after), (200, "200", None));
        } else if outcome == Outcome::FailedClosed {
            assert_eq!((code, retry_after.as_deref()), (503, Some("1")));
            assert_eq!(content_type.as_deref(), Some("application/problem+json"));
            let problem: Value = serde_json::from_str(&text).expect("JSON");
            let kind = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
            assert_eq!((&problem["type"], &problem["status"]), (&kind.into(), &503.into()));
            assert_eq!(problem["retryAfter"], 1);
        } else {
            assert_eq!((code, outcome), (429, Outcome::LocalDenied));
            assert!(retry_after.is_some_and(|time| time.parse::<u64>().is_ok_and(|time| time > 60)));
        }
        (outcome, limits.first().map(|(_, standing)| standing.used))
    }

    async fn warm(&self) {
        until("Redis decides", async || self.ask().await.0 == Outcome::Allowed).await;
    }

    /// How many requests it admits by itself.
    fn share(&self) -> Option<u64> {
        matches!(self.on_failure, OnFailure::Local { .. }).then_some(AMOUNT.div_ceil(3))
    }

    /// Requests while Redis is gone: a few find it out, the others make no call.
    async fn suffer(&self) {
        let (before, calls) = (self.handle.stats(), self.inner.calls());
        for number in 0..MANY {
            let outcome = self.ask().await.0;
            let expected = match self.share() {
                None if self.on_failure == OnFailure::Open => Outcome::FailedOpen,
                None => Outcome::FailedClosed,
                Some(share) if number < share => Outcome::LocalAllowed,
                Some(_) => Outcome::LocalDenied,
            };
            assert_eq!(outcome, expected, "request {number}");
        }
        let stats = self.handle.stats();
        let (errors, refused) =
            (stats.limiter_errors - before.limiter_errors, stats.limiter_refused - before.limiter_refused);
        assert!(errors + refused == MANY && errors <= 20, "{errors} and {refused}");
        let counted = [stats.failed_open, stats.failed_closed, stats.local_allowed, stats.local_denied];
        let expected = match self.share() {
            None if self.on_failure == OnFailure::Open => [MANY, 0, 0, 0],
            None => [0, MANY, 0, 0],
            Some(share) => [0, 0, share, MANY - share],
        };
        let old = [before.failed_open, before.failed_closed, before.local_allowed, before.local_denied];
        let risen: Vec<_> = counted.iter().zip(old).map(|(new, old)| new - old).collect();
        assert_eq!(risen, expected);
        let passed = expected[0] + expected[2];
        assert_eq!((self.inner.calls() - calls) as u64, passed, "what is refused isn't passed on");
    }

    /// Redis is back, and counts on.
    async fn recover(&self) {
        self.warm().await;
        until("two in a row are counted", async || {
            let ((_, one), (_, next)) = (self.ask().await, self.ask().await);
            one.zip(next).is_some_and(|(one, next)| next > one)
        })
        .await;
    }
}

async fn outage(url: &str, mut server: Server, breaks: impl AsyncFn(&mut Server), mends: impl AsyncFn(&mut Server)) {
    for on_failure in POLICIES {
        let site = Site::new(url, on_failure);
        site.warm().await;
        breaks(&mut server).await;
        // Whatever is wrong, the first is told, and nobody waits longer than is set.
        site.suffer().await;
        mends(&mut server).await;
        site.recover().await;
        server.command(&["FLUSHALL"]).await;
    }
}

#[tokio::test]
async fn a_killed_redis_is_noticed_at_once_and_used_again_when_it_is_back() {
    let server = Server::start().await;
    outage(&server.url(), server, async |server| server.kill(), async |server| server.restart().await).await;
}

#[tokio::test]
async fn a_stopped_redis_costs_a_few_calls_and_is_used_again_when_it_goes_on() {
    let server = Server::start().await;
    outage(&server.url(), server, async |server| server.stop(), async |server| server.cont()).await;
}

#[tokio::test]
async fn a_network_that_swallows_everything_costs_a_few_calls() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    outage(&relay.url(), server, async |_| relay.set(Fault::Hold), async |_| relay.set(Fault::Pass)).await;
}

#[tokio::test]
async fn replies_that_are_garbage_cost_a_few_calls() {
    let server = Server::start().await;
    let relay = Relay::to(server.port()).await;
    outage(&relay.url(), server, async |_| relay.set(Fault::Garbage), async |_| relay.set(Fault::Pass)).await;
}

/// None waits for the others: all have the same deadline.
#[tokio::test]
async fn a_crowd_that_finds_redis_stopped_waits_no_longer_than_one_call() {
    let server = Server::start().await;
    for on_failure in POLICIES {
        let site = Site::new(&server.url(), on_failure);
        site.warm().await;
        server.stop();
        let begin = Instant::now();
        let asked = (0..200).map(|_| async { ask(&site.service, get("http://a/", &[])).await.status() });
        let answered = join_all(asked).await.len();
        assert!(begin.elapsed() < WITHIN, "{answered} took {:?}", begin.elapsed());
        server.cont();
        server.command(&["FLUSHALL"]).await;
        site.recover().await;
        server.command(&["FLUSHALL"]).await;
    }
}

/// It isn't gone, and so it is asked each time; and nothing is charged by halves.
#[tokio::test]
async fn a_redis_that_refuses_to_write_decides_nothing_until_it_does() {
    let server = Server::start().await;
    let sites = POLICIES.map(|on_failure| Site::new(&server.url(), on_failure));
    for site in &sites {
        site.warm().await;
    }
    let keys = server.keys("*").await;
    let before = server.command(&["HGETALL", &keys[0]]).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    for site in &sites {
        for _ in 0..30 {
            let outcome = site.ask().await.0;
            assert!(!matches!(outcome, Outcome::Allowed | Outcome::LocalDenied), "{outcome:?}");
        }
        let stats = site.handle.stats();
        assert!(stats.limiter_errors >= 30, "{stats:?}");
    }
    assert_eq!(server.command(&["HGETALL", &keys[0]]).await, before);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    for site in &sites {
        site.recover().await;
    }
}

/// Redis was not there when the program began.
#[tokio::test]
async fn a_redis_that_comes_later_is_used_from_then_on() {
    let mut server = Server::start().await;
    server.kill();
    let sites = POLICIES.map(|on_failure| Site::new(&server.url(), on_failure));
    for site in &sites {
        site.suffer().await;
    }
    server.restart().await;
    for site in &sites {
        site.recover().await;
    }
    assert!(runs(&server).await.0 > 0);
}
