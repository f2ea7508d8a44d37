//! What `take.lua` and `settle.lua` say, against what `limiter::Local` says of the same trace. Both are told the same times.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    time::Duration,
};

use larder::rate_limit::{
    Algorithm, Charge, Correction, Limiter, Policy, Quota, Room, Standing, Taken, limiter::Local,
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};
use redis::{Connection, Script};
use tokio::{
    runtime::{Builder, Runtime},
    time::advance,
};

use super::asking::{charge, policy, shadow, take, user};
use crate::support::redis::Server;

const MOST: u64 = 1 << 50;

/// What a limit says, as the script numbers it.
const SAYS: usize = 7;

/// The scripts on a server, with a clock of the test's own.
pub(super) struct Scripts {
    take: Script,
    settle: Script,
    /// How many were named.
    slots: Cell<u32>,
    connection: RefCell<Connection>,
    _server: Server,
    /// Where the server was started.
    _runtime: Runtime,
}

/// One step of a trace.
#[derive(Clone, Debug)]
struct Step {
    /// So many 3000ths of the first limit's window, and so many microseconds.
    gap: (u64, u64),
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    Take(Vec<Asked>),
    /// What was taken at some time should have cost this.
    Settle(Index, u64),
}

/// Which limit, whose, how much, and how much they may use if it isn't the limit's own amount.
type Asked = (Index, bool, u64, Option<u64>);

/// A limit: how it counts, its amount, its window in milliseconds, whether it is a shadow.
type Kind = (Algorithm, u64, u64, bool);

/// A trace: when it begins, what is limited, what happens.
type Trace = (u64, Vec<Kind>, Vec<Step>);

impl Scripts {
    pub(super) fn load() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = runtime.block_on(Server::start());
        let client = redis::Client::open(server.unix_url()).expect("a URL");
        let connection = RefCell::new(client.get_connection().expect("it answers"));
        let take = clocked(include_str!("../../../src/rate_limit/limiter/redis/take.lua"));
        let settle = clocked(include_str!("../../../src/rate_limit/limiter/redis/settle.lua"));
        Self { take, settle, slots: Cell::new(0), connection, _server: server, _runtime: runtime }
    }

    /// What `take.lua` answers at a time.
    pub(super) fn take(&self, now: u64, alike: u64, keys: &[String], charges: &[Charge]) -> Vec<i64> {
        self.slots.set(self.slots.get() + 1);
        let mut call = self.take.prepare_invoke();
        call.arg(alike).arg(self.slots.get());
        for (key, charge) in keys.iter().zip(charges) {
            let (law, x, y, most) = law(&charge.policy);
            call.key(key).arg(law).arg(x).arg(y).arg(most);
            let shadow = u8::from(charge.policy.is_shadow());
            call.arg(charge.amount.min(MOST)).arg(charge.cost.min(MOST)).arg(shadow);
        }
        call.arg(now / 1_000_000).arg(now % 1_000_000);
        call.invoke(&mut *self.connection.borrow_mut()).expect("numbers")
    }

    pub(super) fn settle(&self, now: u64, key: &str, correction: &Correction) {
        let (law, x, y, _) = law(&correction.policy);
        let more = i128::from(correction.real) - i128::from(correction.charged);
        let mut call = self.settle.prepare_invoke();
        call.key(key).arg(law).arg(x).arg(y).arg(correction.bucket).arg(more.to_string());
        call.arg(now / 1_000_000).arg(now % 1_000_000);
        call.invoke::<()>(&mut *self.connection.borrow_mut()).expect("nothing");
    }

    pub(super) fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::Cmd::new();
        words.iter().for_each(|word| {
            command.arg(word);
        });
        command.query(&mut *self.connection.borrow_mut()).expect("an answer")
    }
}

/// A script that is told the time by its last two arguments, and whose keys outlive the test: a test's days take milliseconds.
fn clocked(script: &str) -> Script {
    let replaced = |script: &str, from: &str, to: &str| {
        assert_eq!(script.matches(from).count(), 1, "{from}");
        script.replacen(from, to, 1)
    };
    let script = replaced(script, "redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}");
    Script::new(&script.replace("redis.call('PEXPIRE', key, ", "redis.call('PEXPIRE', key, '999999' .. "))
}

/// A policy's law, as the script takes it.
pub(super) fn law(policy: &Policy) -> (&'static str, u64, u64, u64) {
    let quota = policy.quota();
    let window = u64::try_from(quota.window().as_micros()).expect("microseconds");
    let text = format!("{quota:?}");
    if text.contains("Concurrent") {
        ("s", 1 << 40, 0, 0)
    } else if text.contains("Log") {
        ("b", 1, window - 1, 0)
    } else if text.contains("Approximate") {
        let most = (quota.amount().max(1) * 1000).min(1 << 52);
        let scale = (u128::from(window) * u128::from(most)).div_ceil(1 << 52);
        ("w", window, u64::try_from(scale).expect("a scale").min(window), most)
    } else {
        let buckets = text.split("buckets: ").nth(1).and_then(|rest| rest.split(' ').next());
        let buckets: u64 = buckets.expect("a strict quota").parse().expect("a number");
        ("b", window.div_ceil(buckets), buckets, 0)
    }
}

/// The name of a charge's counter, in one of many traces on one server.
fn name(trace: &str, charge: &Charge) -> String {
    format!("{trace}:{}:{}", charge.policy.name(), charge.subject)
}

/// What a script of one request would say, if it were of one mind with a standing.
fn numbers(taken: &Taken) -> Vec<i64> {
    let number = |number: u64| i64::try_from(number).expect("a number that Redis can say");
    let time = |time: Duration| i64::try_from(time.as_micros()).expect("microseconds");
    let mut numbers = vec![i64::from(taken.is_allowed())];
    for Standing { used, room, refill, reset, bucket, .. } in &taken.standings {
        let fits = *room == Room::Now;
        let room = match room {
            Room::Now => -1,
            Room::In(wait) => time(*wait),
            Room::Unknown => -2,
            Room::Never => -3,
            _ => panic!("{room:?}"),
        };
        let charged = i64::from(fits && taken.is_allowed());
        numbers.extend([number(*used), room, time(*refill), time(*reset), number(*bucket), i64::from(fits), charged]);
    }
    numbers
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let algorithm = prop_oneof![
        select(vec![1, 2, 10, 30, 60, 1000]).prop_map(|buckets| Algorithm::Strict { buckets }),
        Just(Algorithm::Approximate),
        Just(Algorithm::Log),
    ];
    let amount = prop_oneof![3 => 0..=10u64, 2 => 10..=1000u64, 1 => 1000..=MOST, 1 => Just(MOST)];
    let day = 86_400_000;
    let window =
        prop_oneof![select(vec![1, 1000, 60_000, 3_600_000, day, 30 * day, 366 * day]), 1..100_000u64, 1..=366 * day,];
    vec((algorithm, amount, window, proptest::bool::weighted(0.2)), 1..=3)
}

/// A cost: small, or hundredths of a hundredth of the most.
fn costs() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..=3u64, 2 => 0..=500u64, 1 => 0..=MOST, 1 => select(vec![MOST, u64::MAX])]
}

fn asked() -> impl Strategy<Value = Asked> {
    let amount = prop_oneof![8 => Just(None), 1 => (0..=20u64).prop_map(Some), 1 => (0..=MOST).prop_map(Some)];
    (any::<Index>(), any::<bool>(), costs(), amount)
}

fn gaps() -> impl Strategy<Value = (u64, u64)> {
    let parts = prop_oneof![
        4 => Just(0),
        4 => select(vec![1, 100, 300, 1500, 2900, 3000, 3100, 6000]),
        2 => 0..4000u64,
    ];
    (parts, 0..=1u64)
}

fn beginnings() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..10_000_000u64, 1_700_000_000_000_000..1_900_000_000_000_000u64]
}

fn traces() -> impl Strategy<Value = Trace> {
    let taken = vec(asked(), 1..=4).prop_map(Act::Take);
    let settled = (any::<Index>(), costs()).prop_map(|(index, cost)| Act::Settle(index, cost));
    let step = (gaps(), prop_oneof![3 => taken, 1 => settled]).prop_map(|(gap, act)| Step { gap, act });
    (beginnings(), kinds(), vec(step, 1..40))
}

/// The policies, and the longest of their windows, in microseconds.
async fn prepare(kinds: &[Kind]) -> (Vec<Policy>, u64) {
    let mut policies = Vec::new();
    for (index, (algorithm, amount, window, is_shadow)) in kinds.iter().enumerate() {
        let quota = Quota::per(*amount, Duration::from_millis(*window)).algorithm(*algorithm);
        let name = format!("limit-{index}");
        policies.push(if *is_shadow { shadow(&name, quota).await } else { policy(&name, quota) });
    }
    (policies, kinds[0].2 * 1000)
}

fn charges(policies: &[Policy], asked: &[Asked]) -> Vec<Charge> {
    let charge = |(which, other, cost, amount): &Asked| {
        let mut charge = Charge::new(which.get(policies).clone(), user(if *other { "v" } else { "u" }), *cost);
        charge.amount = amount.unwrap_or(charge.amount);
        charge
    };
    asked.iter().map(charge).collect()
}

/// Runs this for so many random values, each in a runtime whose time stands still.
fn check<S: Strategy>(cases: u32, strategy: &S, run: &impl AsyncFn(&str, S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let count = RefCell::new(0);
    let result = TestRunner::new(config).run(strategy, |value| {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        *count.borrow_mut() += 1;
        let trace = format!("trace-{}", count.borrow());
        runtime.block_on(run(&trace, value))
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, value)) => panic!("{reason}\n{value:#?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn the_script_and_this_process_say_the_same_of_every_trace() {
    let scripts = Scripts::load();
    check(256, &traces(), &async |trace, (begun, kinds, steps)| {
        let (policies, window) = prepare(&kinds).await;
        let local = Local::new();
        advance(Duration::from_micros(begun)).await;
        let (mut now, mut open) = (begun, Vec::new());
        for Step { gap: (parts, more), act } in steps {
            let gap = window * parts / 3000 + more;
            advance(Duration::from_micros(gap)).await;
            now += gap;
            match act {
                Act::Take(asked) => {
                    let mut charges = charges(&policies, &asked);
                    let mut seen = HashSet::new();
                    charges.retain(|charge| seen.insert(name(trace, charge)));
                    let keys: Vec<_> = charges.iter().map(|charge| name(trace, charge)).collect();
                    let (here, there) = (take(&local, &charges), scripts.take(now, 1, &keys, &charges));
                    prop_assert_eq!(there, numbers(&here), "at {}: {:?}", now, charges);
                    if here.is_allowed() {
                        let charged = here.standings.iter().filter(|standing| standing.room == Room::Now);
                        open.extend(charged.map(|standing| (charges[standing.index].clone(), standing.bucket)));
                    }
                }
                Act::Settle(which, real) if !open.is_empty() => {
                    let (charge, bucket) = open.swap_remove(which.index(open.len()));
                    let correction = Correction::new(&charge, bucket, real);
                    local.settle(std::slice::from_ref(&correction)).await.expect("it never fails");
                    scripts.settle(now, &name(trace, &charge), &correction);
                }
                Act::Settle(..) => {}
            }
        }
        Ok(())
    });
}

#[test]
fn requests_alike_are_answered_as_if_they_came_one_after_another() {
    let scripts = Scripts::load();
    let steps = vec((gaps(), vec(asked(), 1..=3), 1..=20u64), 1..10);
    check(128, &(beginnings(), kinds(), steps), &async |trace, (begun, kinds, steps)| {
        let (policies, window) = prepare(&kinds).await;
        let mut now = begun;
        for ((parts, more), asked, alike) in steps {
            now += window * parts / 3000 + more;
            let charges = charges(&policies, &asked);
            let names = |kind: &str| -> Vec<_> {
                charges.iter().map(|charge| name(&format!("{trace}:{kind}"), charge)).collect()
            };
            let (together, apart) = (names("together"), names("apart"));
            let twice = together.iter().enumerate().any(|(index, key)| together[..index].contains(key));
            if twice && charges.iter().any(|charge| charge.policy.is_shadow()) {
                // A shadow that runs out of room makes some for the other: that is not foreseen.
                continue;
            }
            let all = scripts.take(now, alike, &together, &charges);
            let each: Vec<_> = (0..alike).map(|_| scripts.take(now, 1, &apart, &charges)).collect();
            let admitted: Vec<_> = each.iter().take_while(|one| one[0] == 1).collect();
            prop_assert_eq!(all[0], i64::try_from(admitted.len()).expect("few"), "{:?} {:?}", all, each);
            prop_assert!(each.iter().skip(admitted.len()).all(|one| one[0] == 0), "{:?}", each);
            let last = each.last().expect("one");
            for (limit, charge) in charges.iter().enumerate() {
                let says = |answer: &[i64]| answer[1 + limit * SAYS..][..SAYS].to_vec();
                let [used, room, refill, reset, bucket, fits, charged] = says(&all)[..] else { panic!("seven") };
                let one = says(last);
                prop_assert_eq!([used, refill, reset, bucket], [one[0], one[2], one[3], one[4]], "{:?}", charge);
                let sum: i64 = each.iter().map(|one| says(one)[6]).sum();
                prop_assert_eq!(charged, sum, "{:?} {:?}", all, each);
                prop_assert!(charged <= fits);
                if last[0] == 0 {
                    prop_assert_eq!(room, one[1], "{:?}", charge);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn charges_of_one_counter_are_admitted_as_in_this_process() {
    let scripts = Scripts::load();
    let steps = vec((gaps(), vec(0..=4u64, 2..=4)), 1..30);
    let kinds = kinds().prop_map(|mut kinds| {
        // A layer's limits differ in their names, so none of them is a shadow of another.
        kinds[0].3 = false;
        kinds
    });
    check(64, &(kinds, 1..12u64, steps), &async |trace, (kinds, amount, steps)| {
        let (policies, window) = prepare(&kinds).await;
        let (local, mut now) = (Local::new(), 0);
        for ((parts, more), costs) in steps {
            let gap = window * parts / 3000 + more;
            advance(Duration::from_micros(gap)).await;
            now += gap;
            let mut charges: Vec<_> = costs.iter().map(|cost| charge(&policies[0], *cost)).collect();
            charges.iter_mut().for_each(|charge| charge.amount = amount);
            let keys = vec![trace.to_owned(); charges.len()];
            let (here, there) = (take(&local, &charges), scripts.take(now, 1, &keys, &charges));
            prop_assert_eq!(here.is_allowed(), there[0] == 1, "{:?} {:?}", here, there);
            let mut look = charges[..1].to_vec();
            look[0].cost = 0;
            prop_assert_eq!(scripts.take(now, 1, &keys[..1], &look), numbers(&take(&local, &look)));
            let says_now = there[1..].chunks(SAYS).all(|says| says[1] == -1);
            prop_assert_eq!(here.is_allowed(), says_now, "a denial says who denies: {:?}", there);
        }
        Ok(())
    });
}

#[test]
fn slots_in_redis_are_counted_as_in_this_process() {
    let scripts = Scripts::load();
    let (slots, other) = (policy("concurrent", Quota::concurrent(2)), policy("rpm", Quota::per_minute(3)));
    let charges = [charge(&slots, 1), charge(&other, 1)];
    let keys = ["slots", "rpm"].map(str::to_owned);
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let (local, mut held) = (Local::new(), Vec::new());
        for turn in 0..6 {
            let (here, there) = (take(&local, &charges), scripts.take(0, 1, &keys, &charges));
            assert_eq!(there, numbers(&here), "{turn}");
            held.push(here);
            if turn == 2 {
                held.remove(0);
                scripts.command::<()>(&["ZREM", "slots", "1"]);
            }
        }
    });
}
