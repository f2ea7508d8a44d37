//! Limits that are counted in Redis.

use futures_util::future::join_all;

use super::*;
use crate::support::redis::{Server, Tls};

/// The arguments of a proxy that counts in this Redis, which a busy machine does not make late.
fn on<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--limit-store-timeout=10s", "--limit-store", url], more].concat()
}

#[tokio::test]
async fn two_proxies_let_no_more_through_than_one() {
    let (origin, server) = (origin().await, Server::start().await);
    let url = server.url();
    let args = on(&url, &["--limit=70/min:key", "--limit=1000/min:all"]);
    let proxies = [Proxy::start(&origin, &args).await, Proxy::start(&origin, &args).await];
    let asked = (0..200).map(|index| {
        let proxy = &proxies[index % 2];
        async move { proxy.ask(get("/a", &[("X-Api-Key", "one"), ("Cache-Control", "no-store")])).await }
    });
    let given = join_all(asked).await;
    let passed = given.iter().filter(|given| given.status() == 200).count();
    assert_eq!(passed, 70);
    given.iter().filter(|given| given.status() != 200).for_each(|given| assert_denied(given, &["rpm-key"]));
    let other = proxies[0].ask(get("/a", &[("X-Api-Key", "two")])).await;
    assert_eq!(other.status(), 200);
    let limits = other.field("ratelimit").expect("how they stand");
    assert!(limits.contains(r#""rpm-key";r=69;"#), "{limits}");
    assert!(limits.contains(r#""rpm";r=929;"#), "what was denied was charged to no limit: {limits}");
}

#[tokio::test]
async fn a_key_is_nowhere_in_redis_and_its_hash_depends_on_the_secret() {
    let (origin, server) = (origin().await, Server::start().await);
    let (upstream, redis) = (origin.url(), server.url());
    let fields = [("Authorization", "Bearer s3cret-key"), ("X-Org-Id", "s3cret-org")];
    let ask = async |secret: &[(&str, &str)]| {
        let args = ["--upstream", &upstream, "--listen=127.0.0.1:0", "--store-prefix=mine", "--limit=5/min:key"];
        let args = on(&redis, &[&args[..], &["--limit=5/min:header=x-org-id"]].concat());
        let proxy = Proxy::launch(&args, secret).await;
        let left = proxy.ask(get("/a", &fields)).await.field("x-ratelimit-remaining").expect("a limit").to_owned();
        (left, proxy.log().all().iter().any(|line| line.contains("LARDER_LIMIT_SECRET")))
    };
    let secret = |text| [("LARDER_LIMIT_SECRET", text)];
    assert_eq!(ask(&secret("sixteen bytes or more")).await, ("4".into(), false));
    assert_eq!(ask(&secret("sixteen bytes or more")).await, ("3".into(), false), "the same secret, the same count");
    assert_eq!(ask(&secret("another secret of mine")).await, ("4".into(), false));
    assert_eq!(ask(&[]).await, ("4".into(), true), "it is told that there is no secret");
    let keys = server.keys("*").await;
    assert_eq!(keys.len(), 6, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("mine:limit:{key#") || key.starts_with("mine:limit:{header#"), "{key}");
        assert!(!key.contains("s3cret"), "{key}");
        assert!(server.pttl(&key).await > 0, "{key} would stay for ever");
    }
}

#[tokio::test]
async fn while_redis_is_down_it_is_done_as_told() {
    let origin = origin().await;
    // What is told, the statuses of four requests against a limit of two, and what the log says of the last.
    for (told, expected, said) in [
        (&["--limit-on-failure=open"][..], [200, 200, 200, 200], "failed-open"),
        (&["--limit-on-failure=closed"], [503, 503, 503, 503], "failed-closed"),
        (&["--limit-on-failure=local"], [200, 200, 429, 429], "local-denied"),
        (&["--limit-on-failure=local:2"], [200, 429, 429, 429], "local-denied"),
        (&[], [200, 200, 429, 429], "local-denied"),
    ] {
        let mut server = Server::start().await;
        let url = server.url();
        let proxy = Proxy::start(&origin, &on(&url, &[&["--limit=2/min:all"], told].concat())).await;
        // No denial, for that is good without Redis, too.
        let given = proxy.ask(get("/a", &[])).await;
        assert_eq!(given.field("x-ratelimit-remaining"), Some("1"), "{told:?}");
        server.kill();
        assert_eq!(statuses(&proxy, &[&[], &[], &[], &[]]).await, expected, "{told:?}");
        let last = proxy.ask(get("/last", &[])).await;
        if expected[3] == 503 {
            assert_eq!(last.field("retry-after"), Some("1"));
            let kind = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
            assert_eq!(last.json()["type"], kind);
        }
        let line = proxy.log().find(|line| line.contains("path=\"/last\"")).await;
        assert!(line.contains(&format!("limit=\"{said}\"")), "{told:?}: {line}");
    }
}

#[tokio::test]
async fn a_redis_that_comes_later_is_used_from_then_on() {
    let (origin, mut server) = (origin().await, Server::start().await);
    server.kill();
    let url = server.url();
    let proxy = Proxy::start(&origin, &on(&url, &["--limit-on-failure=open", "--limit=1/min:all"])).await;
    assert_eq!(statuses(&proxy, &[&[], &[]]).await, [200, 200]);
    server.restart().await;
    within(async { while proxy.ask(get("/a", &[])).await.status() != 429 {} }).await;
}

#[tokio::test]
async fn a_redis_with_tls_is_known_by_its_authority() {
    let (origin, tls) = (origin().await, Tls::start().await);
    let (url, ca) = (tls.url(), File::with(tls.ca_pem()));
    let args = on(&url, &["--limit=1/min:all", "--limit-on-failure=closed", "--limit-store-ca", ca.path()]);
    let proxy = Proxy::start(&origin, &args).await;
    assert_eq!(statuses(&proxy, &[&[], &[]]).await, [200, 429]);
    let other = File::with(tls.another_ca_pem());
    let args = on(&url, &["--limit=9/min:all", "--limit-on-failure=closed", "--limit-store-ca", other.path()]);
    assert_eq!(statuses(&Proxy::start(&origin, &args).await, &[&[]]).await, [503]);
}
