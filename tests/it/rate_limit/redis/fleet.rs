//! Several processes, one Redis, and two thousand requests at once: not one too many passes, and none is charged in vain.

use futures_util::future::join_all;
use http::request::Parts;
use larder::{
    RateLimitLayer,
    rate_limit::{Charge, Limit, OnFailure, Policy, Quota, RateLimit, Subject, limiter::Redis},
};
use tower::Layer as _;

use super::{limiter, member::Member, used};
use crate::support::{
    Script, ask, get,
    redis::{Cluster, Server},
};

const PROCESSES: usize = 4;

/// Of each process: each has a connection, and asks by itself.
const LAYERS: usize = 5;

/// Through each layer.
const REQUESTS: usize = 100;

/// Whose limits they are.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Both are of one subject.
    One,
    /// Each is of another subject.
    Two,
    /// The same, and they are counted together.
    Grouped,
}

impl Shape {
    fn named(name: &str) -> Self {
        let all = [Self::One, Self::Two, Self::Grouped];
        all.into_iter().find(|shape| shape.name() == name).expect("a shape")
    }

    fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two",
            Self::Grouped => "grouped",
        }
    }

    /// The limits: names, amounts and subjects.
    fn limits(self) -> [(&'static str, u64, Subject); 2] {
        let alice = Subject::named("user", "alice");
        let acme = if matches!(self, Self::One) { alice.clone() } else { Subject::named("org", "acme") };
        [("wide", 100, acme), ("narrow", 70, alice)]
    }

    fn group(self) -> Option<Subject> {
        matches!(self, Self::Grouped).then(|| Subject::named("tenant", "acme"))
    }

    fn charges(self) -> [Charge; 2] {
        self.limits().map(|(name, amount, subject)| {
            let policy = Policy::try_new(name, Quota::per_hour(amount)).expect("a policy");
            let mut charge = Charge::new(policy, subject, 1);
            charge.group = self.group();
            charge
        })
    }

    fn service(self, url: &str) -> RateLimit<Script, Redis> {
        let mut builder = RateLimitLayer::builder(limiter(url)).on_failure(OnFailure::Closed);
        for (name, amount, subject) in self.limits() {
            let subject = move |_: &Parts| Some(subject.clone());
            builder = builder.limit(Limit::new(Quota::per_hour(amount)).named(name).per(subject));
        }
        builder.group(move |_: &Parts| self.group()).build().layer(Script::statuses([200]))
    }
}

/// The requests of a process.
pub(super) struct Crowd(Vec<RateLimit<Script, Redis>>);

impl Crowd {
    /// Waits until all layers are connected.
    pub(super) async fn gather(shape: &str, url: &str) -> Self {
        let shape = Shape::named(shape);
        for charge in shape.charges() {
            used(&limiter(url), &charge).await;
        }
        Self((0..LAYERS).map(|_| shape.service(url)).collect())
    }

    /// How many passed, how many were denied, and how many got no decision.
    pub(super) async fn rush(self) -> String {
        let asked =
            self.0.iter().flat_map(|service| (0..REQUESTS).map(move |_| service.clone())).map(|service| {
                tokio::spawn(async move { ask(&service, get("http://a/", &[])).await.status().as_u16() })
            });
        let asked: Vec<_> = asked.collect();
        let mut counts = [0; 3];
        for status in join_all(asked).await {
            let at = match status.expect("no panic") {
                200 => 0,
                429 => 1,
                503 => 2,
                other => panic!("{other}"),
            };
            counts[at] += 1;
        }
        counts.map(|count| count.to_string()).join(" ")
    }
}

async fn rush(shape: Shape, url: &str) {
    let job = format!("{} {url}", shape.name());
    let mut members = join_all((0..PROCESSES).map(|_| Member::start(&job))).await;
    for member in &mut members {
        member.go().await;
    }
    let mut sums = [0; 3];
    for member in &mut members {
        let said = member.said().await;
        let counts = said.split(' ').map(|count| count.parse::<usize>().expect("a number"));
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    assert_eq!(sums, [70, PROCESSES * LAYERS * REQUESTS - 70, 0], "{shape:?}");
    let redis = limiter(url);
    for charge in shape.charges() {
        assert_eq!(used(&redis, &charge).await, 70, "{shape:?} {charge:?}");
    }
}

#[tokio::test]
async fn several_processes_admit_exactly_what_both_limits_of_a_subject_have_room_for() {
    rush(Shape::One, &Server::start().await.url()).await;
}

#[tokio::test]
async fn several_processes_admit_exactly_what_both_limits_of_two_subjects_have_room_for() {
    rush(Shape::Two, &Server::start().await.url()).await;
}

/// In one slot, in two slots with what was charged in vain given back, and in one slot by their group.
#[tokio::test]
async fn several_processes_admit_exactly_what_both_limits_have_room_for_on_a_cluster() {
    for shape in [Shape::One, Shape::Two, Shape::Grouped] {
        let cluster = Cluster::start().await;
        rush(shape, &cluster.url()).await;
    }
}
