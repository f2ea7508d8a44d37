//! What is left in Redis: names, memory, and for how long.

use std::{slice::from_ref, time::Duration};

use futures_util::{StreamExt as _, stream};
use larder::{
    RateLimitLayer,
    rate_limit::{Algorithm, ApiKey, Correction, Limit, Limiter as _, Quota, Subject, Unit},
};
use tower::Layer as _;

use super::{at_cost, builder, is_allowed, limiter, of_amount, one, policy, take, until, used};
use crate::support::{Script, ask, get, redis::Server};

/// Each kind of limit, and for how many milliseconds a use of it can count.
fn quotas(window: Duration) -> [(Quota, u64); 5] {
    let millis = u64::try_from(window.as_millis()).expect("a short time");
    let quota = Quota::per(100, window);
    [
        (quota, millis + millis.div_ceil(30)),
        (quota.algorithm(Algorithm::Strict { buckets: 1 }), 2 * millis),
        (quota.algorithm(Algorithm::Approximate), 2 * millis),
        (quota.algorithm(Algorithm::Log), millis),
        // The lease.
        (Quota::concurrent(100), 30_000),
    ]
}

async fn number(server: &Server, command: &[&str]) -> i64 {
    redis::from_redis_value(server.command(command).await).expect("a number")
}

#[tokio::test]
async fn every_key_has_a_time_to_live_no_longer_than_its_window_and_a_bucket() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    for window in [Duration::from_millis(500), Duration::from_secs(60), Duration::from_secs(30 * 86_400)] {
        for (quota, longest) in quotas(window) {
            server.command(&["FLUSHALL"]).await;
            let charge = at_cost(&one(&policy("limit", quota), "alice"), 5);
            let check = async || {
                let keys = server.keys("*").await;
                let time = server.pttl(&keys[0]).await;
                let is_right = u64::try_from(time).is_ok_and(|time| time <= longest + 1000);
                assert!(keys.len() == 1 && is_right, "{keys:?} {time} {quota:?}");
            };
            let taken = take(&redis, from_ref(&charge)).await;
            check().await;
            let _second = take(&redis, from_ref(&charge)).await;
            check().await;
            let standing = &taken.standings[0];
            redis.settle(&[Correction::new(&charge, standing.bucket, 7)]).await.expect("an answer");
            check().await;
            // Settled into a counter that is gone.
            if quota.unit() != Unit::Concurrent && window > Duration::from_secs(1) {
                server.command(&["FLUSHALL"]).await;
                redis.settle(&[Correction::new(&charge, standing.bucket, 7)]).await.expect("an answer");
                check().await;
            }
        }
    }
}

#[tokio::test]
async fn a_counter_is_gone_when_its_window_is_over() {
    let server = Server::start().await;
    let redis = builder(&server.url()).lease(Duration::from_millis(200)).build().expect("a limiter");
    for (quota, _) in quotas(Duration::from_millis(300)) {
        let charge = one(&policy("limit", quota), "alice");
        let held = take(&redis, from_ref(&charge)).await;
        assert!(held.is_allowed());
        drop(held);
    }
    until("all keys are gone", async || number(&server, &["DBSIZE"]).await == 0).await;
}

#[tokio::test]
async fn counters_that_others_wrote_into_are_read_as_far_as_they_make_sense() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    for quota in [Quota::per_hour(10), Quota::per_hour(10).algorithm(Algorithm::Approximate), Quota::concurrent(10)] {
        let charge = one(&policy("limit", quota), "alice");
        let held = take(&redis, from_ref(&charge)).await;
        let key = server.keys("*").await.remove(0);
        if quota.unit() != Unit::Concurrent {
            for (field, value) in [("x", "1"), ("7", "y"), ("-1", "5"), ("1e300", "5"), ("1.5", "5"), ("8", "-4")] {
                server.command(&["HSET", &key, field, value]).await;
            }
            assert_eq!(used(&redis, &charge).await, 1);
            assert!(is_allowed(&redis, from_ref(&charge)).await);
            assert_eq!(number(&server, &["HLEN", &key]).await, 1, "what can't be read is cleared away");
        }
        // Something else altogether.
        server.set(&key, b"text").await;
        assert!(is_allowed(&redis, from_ref(&charge)).await);
        assert!(server.pttl(&key).await > 0);
        drop(held);
        server.command(&["FLUSHALL"]).await;
    }
}

#[tokio::test]
async fn keys_hold_the_subject_in_a_hash_tag_and_no_secret() {
    let server = Server::start().await;
    let secret = "sk-proj-very-secret";
    let key = ApiKey::new("a secret of this test's");
    let organisation =
        |head: &http::request::Parts| Some(Subject::named("org", head.headers.get("x-org")?.to_str().ok()?));
    let layer = RateLimitLayer::builder(limiter(&server.url()))
        .limit(Limit::new(Quota::per_hour(10)).per(key.clone()))
        .limit(Limit::new(Quota::per_day(10)).per(organisation))
        .limit(Limit::new(Quota::concurrent(10)).per(key))
        .build();
    let service = layer.layer(Script::statuses([200]));
    let request = get("http://a/", &[("x-api-key", secret), ("x-org", "a}{b c*%")]);
    let held = ask(&service, request).await;
    assert_eq!(held.status(), 200);
    let keys = server.keys("*").await;
    assert_eq!(keys.len(), 3, "{keys:?}");
    for key in &keys {
        assert!(!key.contains("secret") && key.starts_with("larder:limit:{"), "{key}");
        let (open, close) = (key.matches('{').count(), key.matches('}').count());
        assert_eq!((open, close), (1, 1), "{key}");
    }
    assert!(keys[1].starts_with("larder:limit:{key#") && keys[2].starts_with("larder:limit:{org:a%7D%7Bb"), "{keys:?}");
    let dump = format!("{:?}", server.command(&["HGETALL", &keys[2]]).await);
    assert!(!dump.contains("secret"), "{dump}");
}

/// Ten million subjects then take less than 3 GiB, and only for as long as their windows.
#[tokio::test]
async fn a_subject_takes_less_than_300_bytes_and_not_for_ever() {
    const SUBJECTS: usize = 20_000;
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let policy = policy("rph", Quota::per_hour(10));
    assert!(is_allowed(&redis, &[one(&policy, "first")]).await);
    let before = memory(&server).await;
    let admitted = stream::iter(0..SUBJECTS)
        .map(|number| {
            let (redis, charge) = (&redis, [one(&policy, &format!("subject-{number}"))]);
            async move { is_allowed(redis, &charge).await }
        })
        .buffer_unordered(200)
        .filter(|is_allowed| std::future::ready(*is_allowed))
        .count()
        .await;
    assert_eq!(admitted, SUBJECTS);
    let each = (memory(&server).await - before) / SUBJECTS as u64;
    assert!(each < 300, "{each} bytes");
    let keyspace = info(&server, "keyspace").await;
    assert!(keyspace.contains(&format!("keys={0},expires={0}", SUBJECTS + 1)), "{keyspace}");
}

#[tokio::test]
async fn many_subjects_leave_nothing_behind_when_their_window_is_over() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let policy = policy("limit", Quota::per(10, Duration::from_millis(500)));
    let takes = (0..2000).map(|number| one(&policy, &format!("subject-{number}")));
    stream::iter(takes).for_each_concurrent(100, async |charge| assert!(is_allowed(&redis, &[charge]).await)).await;
    until("all keys are gone", async || number(&server, &["DBSIZE"]).await == 0).await;
}

/// Each of the thirty buckets and the one that is being filled were charged.
#[tokio::test]
async fn a_busy_subject_takes_less_than_a_kilobyte() {
    let server = Server::start().await;
    let redis = limiter(&server.url());
    let charge = of_amount(&one(&policy("rps", Quota::per_second(1)), "alice"), 1 << 40);
    let mut fields = 0;
    until("every bucket was charged", async || {
        assert!(is_allowed(&redis, from_ref(&charge)).await);
        let key = server.keys("*").await.remove(0);
        fields = fields.max(number(&server, &["HLEN", &key]).await);
        assert!(number(&server, &["MEMORY", "USAGE", &key]).await < 1024);
        fields >= 31
    })
    .await;
    for _ in 0..200 {
        assert!(is_allowed(&redis, from_ref(&charge)).await);
        let key = server.keys("*").await.remove(0);
        assert!(number(&server, &["HLEN", &key]).await <= 31, "what doesn't count any more is cleared away");
    }
}

async fn info(server: &Server, section: &str) -> String {
    let answer = server.command(&["INFO", section]).await;
    redis::from_redis_value(answer).expect("text")
}

async fn memory(server: &Server) -> u64 {
    let text = info(server, "memory").await;
    let used = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.and_then(|used| used.trim().parse().ok()).expect("Redis says it")
}
