//! The admin port of the proxy.

use std::net::SocketAddr;

use serde_json::Value;

use super::{
    connection::Connection,
    llm::CHAT,
    message::{Message, get, post_json, response},
    origin::Origin,
    process::{Ended, Proxy, run},
};

const GOOD: [&str; 2] = ["--upstream=http://127.0.0.1:9", "--listen=127.0.0.1:0"];
const TOKEN: &str = "a-l0ng-s3cret";

/// Where it answers, by what it said.
async fn port(proxy: &Proxy) -> SocketAddr {
    let line = proxy.log().find(|line| line.starts_with("admin on http://")).await;
    let address = line.trim_start_matches("admin on http://").trim_end_matches('/');
    address.parse().unwrap_or_else(|_| panic!("no address: {line}"))
}

async fn ask(address: SocketAddr, method: &str, path: &str, fields: &[&str]) -> Message {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let request = format!("{method} {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
    Connection::open(address).await.ask(request).await
}

fn json(message: &Message) -> Value {
    serde_json::from_slice(&message.body).expect("JSON")
}

#[tokio::test]
async fn an_operator_sees_what_the_proxy_keeps_and_is_rid_of_it() {
    let origin = Origin::answering(|_, number| {
        response(200, &[("Cache-Control", "max-age=600")], format!("the body of {number}"))
    })
    .await;
    let url = origin.url();
    let args =
        ["--profile=http", "--upstream", &url, "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--limit=100/min:all"];
    let proxy = Proxy::launch(&args, &[("LARDER_ADMIN_TOKEN", TOKEN), ("LARDER_LOG", "trace")]).await;
    let admin = port(&proxy).await;
    let host = format!("Host: {admin}");
    let bearer = format!("Authorization: Bearer {TOKEN}");
    let operator = [&*host, &*bearer];
    for _ in 0..3 {
        assert_eq!(proxy.ask(get("/page", &[])).await.body, b"the body of 1");
    }
    assert_eq!(ask(admin, "GET", "/api/cache/stats", &[&host]).await.status(), 401);
    assert_eq!(ask(admin, "GET", "/", &[&host]).await.status(), 200);

    let stats = json(&ask(admin, "GET", "/api/cache/stats", &operator).await);
    let cache = &stats["caches"][0];
    assert_eq!((&cache["space"], &cache["hits"], &cache["misses"]), (&"responses".into(), &2.into(), &1.into()));
    assert_eq!(stats["retries"][0]["requests"], 1);
    assert_eq!(stats["rate_limits"][0]["name"], "clients");
    let entries = ask(admin, "GET", "/api/cache/entries", &operator).await;
    let listed = json(&entries)["entries"][0].clone();
    assert_eq!(listed["hits"], 2, "{listed}");
    assert!(!String::from_utf8_lossy(&entries.body).contains("the body of"));
    let health = json(&ask(admin, "GET", "/health/cache", &operator).await);
    assert_eq!(health["status"], "ok", "{health}");
    let metrics = ask(admin, "GET", "/metrics", &operator).await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("larder_cache_requests_total{space=\"responses\",outcome=\"hit\"} 2\n"), "{metrics}");
    let limits = json(&ask(admin, "GET", "/api/limits", &operator).await);
    assert_eq!(limits["limits"][0]["policies"][0]["amount"], 100, "{limits}");

    let key = listed["key"].as_str().expect("a text");
    let removed = ask(admin, "DELETE", &format!("/api/cache/entries/{key}"), &operator).await;
    assert_eq!((removed.status(), &json(&removed)["purged"]), (200, &1.into()));
    // The data port has none of it.
    assert_eq!(proxy.ask(get("/api/cache/stats", &[])).await.body, b"the body of 2");
    assert_eq!(proxy.ask(get("/page", &[])).await.body, b"the body of 3");
    assert_eq!(ask(admin, "DELETE", "/api/cache", &operator).await.status(), 400);
    assert_eq!(json(&ask(admin, "DELETE", "/api/cache?all=true", &operator).await)["purged"], 2);
    let log = proxy.log().all().join("\n");
    assert!(log.contains("purged by the admin router") && !log.contains(TOKEN), "{log}");
}

#[tokio::test]
async fn it_tells_what_answers_cost_where_it_knows_of_models() {
    for (profile, counted) in [("llm", true), ("http", false)] {
        let args = ["--demo", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--profile", profile];
        let proxy = Proxy::launch(&args, &[]).await;
        let admin = port(&proxy).await;
        let question = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"how much?"}]}"#;
        for _ in 0..2 {
            assert_eq!(proxy.ask(post_json(CHAT, &[], question)).await.status(), 200);
        }
        let costs = json(&ask(admin, "GET", "/api/cache/costs", &["Host: localhost"]).await);
        assert_eq!(costs["counted"], counted, "{profile}: {costs}");
        if counted {
            // What a hit saves is what the miss was paid with, in the space that the cache has here.
            let of = &costs["spaces"][0];
            assert_eq!((&of["space"], &of["requests"]), (&"responses".into(), &2.into()), "{costs}");
            assert!(of["saved_nano_usd"].as_u64() > Some(0) && of["saved_usd"] == of["spent_usd"], "{costs}");
        }
    }
}

#[tokio::test]
async fn it_explains_by_the_fingerprint_that_the_proxy_has() {
    let origin = Origin::answering(|_, _| response(200, &[], "{}")).await;
    for (profile, is_shared) in [("llm", true), ("http", false)] {
        let proxy = Proxy::start(&origin, &["--admin=127.0.0.1:0", "--profile", profile]).await;
        let admin = port(&proxy).await;
        let asked = |user: &str| {
            let body = serde_json::json!({"model": "m", "messages": [], "user": user});
            serde_json::json!({"uri": CHAT, "headers": {"content-type": "application/json"}, "body": body})
        };
        let body = serde_json::json!({"a": asked("ann"), "b": asked("bob")}).to_string();
        let said =
            Connection::open(admin).await.ask(post_json("/api/cache/explain", &[("Host", "localhost")], &body)).await;
        // A POST passes by the profile that knows nothing of generation.
        assert_eq!((said.status(), &json(&said)["is_shared"]), (200, &is_shared.into()), "{profile}: {said:?}");
    }
}

#[tokio::test]
async fn an_address_that_others_reach_takes_a_token() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.7:9090", "[::ffff:192.0.2.7]:9090"] {
        for (args, environment) in [(vec!["--admin", address], &[][..]), (vec![], &[("LARDER_ADMIN", address)][..])] {
            let args: Vec<_> = GOOD.iter().chain(&args).copied().collect();
            let Ended { code, errors, .. } = run(&args, environment).await;
            assert!(errors.contains("--admin-token") && errors.contains("127.0.0.1:9090"), "{address}: {errors}");
            assert!(code.is_some_and(|code| code != 0) && !errors.contains("listening"), "{address}: {errors}");
        }
    }
    let origin = Origin::answering(|_, _| response(200, &[], "")).await;
    let args = ["--upstream", &origin.url(), "--listen=127.0.0.1:0", "--admin=0.0.0.0:0", "--admin-token", TOKEN];
    let proxy = Proxy::launch(&args, &[]).await;
    let admin = SocketAddr::from(([127, 0, 0, 1], port(&proxy).await.port()));
    // With a token a name does no harm.
    let fields = ["Host: admin.example.com".to_owned(), format!("authorization: bearer {TOKEN}")];
    let answer = ask(admin, "GET", "/health", &[&fields[0], &fields[1]]).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn without_a_token_it_answers_to_no_name_that_leads_there() {
    let origin = Origin::answering(|_, _| response(200, &[], "")).await;
    let proxy = Proxy::start(&origin, &["--admin=127.0.0.1:0"]).await;
    let admin = port(&proxy).await;
    for host in [&*admin.to_string(), "localhost:9090", "LOCALHOST", "127.0.0.1", "[::1]:9090"] {
        let answer = ask(admin, "GET", "/health", &[&format!("Host: {host}")]).await;
        assert_eq!(answer.status(), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "localhost.evil.example", "a b", ""] {
        let answer = ask(admin, "DELETE", "/api/cache?all=true", &[&format!("Host: {host}")]).await;
        assert!(matches!(answer.status(), 400 | 421), "{host}: {answer:?}");
    }
    let answer = ask(admin, "GET", "http://evil.example/health", &[&format!("Host: {admin}")]).await;
    assert_eq!(answer.status(), 421, "the target is what counts");
}

#[tokio::test]
async fn a_bad_token_or_address_ends_the_program_and_no_token_is_said() {
    for (value, environment) in [("a s3cret", false), ("", false), ("s3crét", false), ("a s3cret", true), ("", true)] {
        let mut args: Vec<_> = GOOD.iter().chain(&["--admin=127.0.0.1:0"]).copied().collect();
        let variables = [("LARDER_ADMIN_TOKEN", value)];
        if !environment {
            args.extend(["--admin-token", value]);
        }
        let Ended { code, errors, out } = run(&args, if environment { &variables } else { &[] }).await;
        assert!(errors.contains("--admin-token") && !errors.contains("listening"), "{value}: {errors}");
        assert!(code.is_some_and(|code| code != 0) && !(out + &errors).contains("s3cr"), "{value}: {errors}");
    }
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let busy = busy.local_addr().map(|address| (busy, address.to_string())).expect("a bound socket");
    for address in ["9090", "localhost:9090", "", &busy.1] {
        let args: Vec<_> = GOOD.iter().copied().chain(["--admin", address]).collect();
        let Ended { code, errors, .. } = run(&args, &[]).await;
        assert!(errors.contains("--admin") && code.is_some_and(|code| code != 0), "{address}: {errors}");
    }
    let help = run(&["--help"], &[("LARDER_ADMIN_TOKEN", TOKEN)]).await;
    assert!(help.out.contains("--admin-token") && !(help.out + &help.errors).contains(TOKEN));
}

#[tokio::test]
async fn idle_connections_to_it_do_not_keep_the_proxy_from_ending() {
    let origin = Origin::answering(|_, _| response(200, &[], "")).await;
    let mut proxy = Proxy::start(&origin, &["--admin=127.0.0.1:0"]).await;
    let _idle = Connection::open(port(&proxy).await).await;
    proxy.signal("TERM").await;
    assert!(proxy.end().await.success());
}
