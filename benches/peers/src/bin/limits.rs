//! Local limiters: decisions of `limiter::Local` beside governor's, of `RateLimitLayer` beside tower_governor's, and what a subject takes.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml --bin limits`; `ROUNDS` (15) from the environment.

use std::{
    convert::Infallible,
    fs,
    hint::black_box,
    net::IpAddr,
    num::NonZeroU32,
    pin::pin,
    sync::{Arc, Barrier},
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use governor::{DefaultKeyedRateLimiter, RateLimiter};
use http::{Request, Response};
use larder::{
    RateLimitLayer,
    rate_limit::{Algorithm, Charge, Limit, Limiter, Policy, Quota, Subject, limiter::Local},
};
use peers::{
    machine,
    rounds::{self, Costs},
};
use tower::{Layer, Service, service_fn};
use tower_governor::{GovernorLayer, governor::GovernorConfigBuilder, key_extractor::KeyExtractor};

const CALLS: usize = 100_000;
const SUBJECTS: usize = 1024;
const MANY: usize = 200_000;

/// Decides for a subject; `true` if there was room.
trait Decide: Send + Sync {
    fn decide(&self, subject: usize) -> bool;
}

struct Larder {
    local: Local,
    charges: Vec<[Charge; 1]>,
}

impl Larder {
    fn new(amount: u64, algorithm: Algorithm, subjects: usize) -> Self {
        let policy = Policy::try_new("bench", Quota::per_minute(amount).algorithm(algorithm)).expect("a policy");
        let charge = |number| [Charge::new(policy.clone(), Subject::address(address(number)), 1)];
        let local = Local::builder().max_subjects(subjects * 2).build();
        Self { local, charges: (0..subjects).map(charge).collect() }
    }
}

impl Decide for Larder {
    fn decide(&self, subject: usize) -> bool {
        now(self.local.take(&self.charges[subject])).expect("it is there").is_allowed()
    }
}

struct Governor {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    subjects: Vec<IpAddr>,
}

impl Governor {
    fn new(amount: u32, subjects: usize) -> Self {
        let quota = governor::Quota::per_minute(NonZeroU32::new(amount).expect("an amount"));
        Self { limiter: RateLimiter::keyed(quota), subjects: (0..subjects).map(address).collect() }
    }
}

impl Decide for Governor {
    fn decide(&self, subject: usize) -> bool {
        self.limiter.check_key(&self.subjects[subject]).is_ok()
    }
}

fn address(number: usize) -> IpAddr {
    u32::try_from(number).expect("few").to_be_bytes().into()
}

/// What a future gives that never waits.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it never waits"),
    }
}

/// So many threads decide at once; how long each took for all its calls, at most.
fn time(limiter: &dyn Decide, threads: usize, subjects: usize) -> Duration {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let begun = Instant::now();
                    for call in 0..CALLS {
                        black_box(limiter.decide((call + thread * 7) % subjects));
                    }
                    begun.elapsed()
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("it ends")).max().unwrap_or_default()
    })
}

fn decisions(rounds: u64) {
    println!(
        "| threads | subjects | | larder, strict | larder, approximate | governor | strict ÷ governor |\n|--:|--:|---|--:|--:|--:|--:|"
    );
    for (threads, subjects, outcome) in [
        (1, 1, "room"),
        (1, SUBJECTS, "room"),
        (2, 1, "room"),
        (2, SUBJECTS, "room"),
        (1, SUBJECTS, "none"),
        (2, 1, "none"),
    ] {
        let amount = if outcome == "room" { 4_000_000_000 } else { 1 };
        let contestants: [Box<dyn Decide>; 3] = [
            Box::new(Larder::new(amount, Algorithm::default(), subjects)),
            Box::new(Larder::new(amount, Algorithm::Approximate, subjects)),
            Box::new(Governor::new(amount as u32, subjects)),
        ];
        let mut costs = vec![Costs::default(); contestants.len()];
        for round in 0..=rounds {
            for (contestant, costs) in contestants.iter().zip(&mut costs) {
                let elapsed = time(&**contestant, threads, subjects);
                if round > 0 {
                    costs.record(CALLS as u64, elapsed);
                }
            }
        }
        let [strict, approximate, governor] = [0, 1, 2].map(|index: usize| costs[index].median());
        println!(
            "| {threads} | {subjects} | {outcome} | {strict:.0} ns | {approximate:.0} ns | {governor:.0} ns | {:.2} |",
            strict / governor
        );
    }
}

#[derive(Clone)]
struct One;

impl KeyExtractor for One {
    type Key = IpAddr;

    fn extract<T>(&self, _: &Request<T>) -> Result<IpAddr, tower_governor::GovernorError> {
        Ok(address(1))
    }
}

fn service<B: Send + 'static>()
-> impl Service<Request<B>, Response = Response<axum::body::Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    service_fn(|request: Request<B>| {
        drop(black_box(request));
        std::future::ready(Ok(Response::new(axum::body::Body::empty())))
    })
}

fn request() -> Request<axum::body::Body> {
    Request::new(axum::body::Body::empty())
}

fn call<S: Service<Request<axum::body::Body>>>(service: &mut S) -> Duration {
    let begun = Instant::now();
    for _ in 0..CALLS {
        let ready = now(std::future::poll_fn(|cx| service.poll_ready(cx)));
        assert!(ready.is_ok());
        drop(black_box(now(service.call(request()))));
    }
    begun.elapsed()
}

fn layers(rounds: u64) {
    let everyone = |_: &http::request::Parts| Some(Subject::address(address(1)));
    let limit = || Limit::new(Quota::per_minute(4_000_000_000)).per(everyone);
    let bare_fields = larder::rate_limit::Fields::none();
    let mut bare = service();
    let mut with_fields = RateLimitLayer::new(limit()).layer(service());
    let mut without = RateLimitLayer::builder(Local::new()).limit(limit()).fields(bare_fields).build().layer(service());
    let config =
        GovernorConfigBuilder::default().per_nanosecond(1).burst_size(1_000_000_000).key_extractor(One).finish();
    let mut governor = GovernorLayer::new(Arc::new(config.expect("a config"))).layer(service());
    let config = GovernorConfigBuilder::default()
        .per_nanosecond(1)
        .burst_size(1_000_000_000)
        .key_extractor(One)
        .use_headers()
        .finish();
    let mut governor_fields = GovernorLayer::new(Arc::new(config.expect("a config"))).layer(service());
    let mut costs = vec![Costs::default(); 5];
    for round in 0..=rounds {
        let times = [
            call(&mut bare),
            call(&mut without),
            call(&mut governor),
            call(&mut with_fields),
            call(&mut governor_fields),
        ];
        if round > 0 {
            costs.iter_mut().zip(times).for_each(|(costs, time)| costs.record(CALLS as u64, time));
        }
    }
    let bare = costs[0].median();
    println!("\n| a request through | ns | added |\n|---|--:|--:|\n| the service alone | {bare:.0} | |");
    for (name, costs) in [
        "RateLimitLayer, no fields",
        "GovernorLayer, no fields",
        "RateLimitLayer, five fields",
        "GovernorLayer, three fields",
    ]
    .into_iter()
    .zip(&costs[1..])
    {
        println!("| {name} | {:.0} | {:.0} |", costs.median(), costs.median() - bare);
    }
}

/// Bytes that the process holds.
fn resident() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn memory() {
    println!("\n| {MANY} subjects, one request each | bytes a subject |\n|---|--:|");
    let before = resident();
    let governor = Governor::new(100, MANY);
    let with_subjects = resident();
    (0..MANY).for_each(|subject| assert!(governor.decide(subject)));
    let governor_bytes = (resident() - with_subjects) / MANY;
    drop(governor);
    let larder = Larder::new(100, Algorithm::default(), MANY);
    let with_subjects = resident().max(before);
    (0..MANY).for_each(|subject| assert!(larder.decide(subject)));
    let larder_bytes = resident().saturating_sub(with_subjects) / MANY;
    println!("| larder, strict | {larder_bytes} |\n| governor | {governor_bytes} |");
}

fn main() {
    println!(
        "{}; governor {}, tower_governor {}\n",
        machine::description(),
        machine::version("governor"),
        machine::version("tower_governor")
    );
    memory();
    println!();
    let rounds = rounds::from_env("ROUNDS", 15);
    decisions(rounds);
    layers(rounds);
}
