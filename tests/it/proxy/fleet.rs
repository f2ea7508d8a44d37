//! Several proxies on one Redis behave as one cache.

use std::{io, sync::Arc};

use redis::Value;
use tokio::{
    sync::Semaphore,
    time::{Duration, sleep},
};

use super::{
    llm::{CHAT, QUESTION, answer},
    message::{Message, chunk, get, post_json, request, response},
    origin::Origin,
    process::Proxy,
    within,
};
use crate::support::redis::Server;

const FRESH: (&str, &str) = ("Cache-Control", "max-age=600");

/// The profiles, and whether there is a memory in front of Redis.
const SETUPS: [(&str, bool); 4] = [("http", false), ("http", true), ("llm", false), ("llm", true)];

/// The arguments of a proxy on this Redis, which a busy machine does not make late.
pub(super) fn on(redis: &str, memory: bool, profile: &str) -> Vec<String> {
    let mut args = vec![format!("--profile={profile}"), "--store-timeout=10s".to_owned()];
    if memory {
        args.push("--store=memory:64MiB".to_owned());
    }
    args.push(format!("--store={redis}"));
    args
}

/// Two proxies in front of one origin, on one Redis.
pub(super) async fn two(origin: &Origin, redis: &str, memory: bool, profile: &str) -> [Proxy; 2] {
    let args = on(redis, memory, profile);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    [Proxy::start(origin, &args).await, Proxy::start(origin, &args).await]
}

/// Asks a proxy by its own address, as its clients do.
pub(super) async fn ask(proxy: &Proxy, target: &str, fields: &[(&str, &str)]) -> Message {
    let host = proxy.address().to_string();
    let fields: Vec<_> = [("Host", host.as_str())].into_iter().chain(fields.iter().copied()).collect();
    proxy.ask(get(target, &fields)).await
}

/// Asks until it is answered from the store: it is written behind the response.
pub(super) async fn kept(proxy: &Proxy, target: &str, fields: &[(&str, &str)]) -> Message {
    within(async {
        loop {
            let given = ask(proxy, target, fields).await;
            if given.is_hit() {
                return given;
            }
        }
    })
    .await
}

async fn post(proxy: &Proxy, target: &str, body: &str) -> Message {
    proxy.ask(post_json(target, &[("Host", &proxy.address().to_string())], body)).await
}

/// Waits until this many proxies hear what others change.
pub(super) async fn all_hear(server: &Server, proxies: i64) {
    within(async {
        loop {
            let heard = server.command(&["PUBSUB", "NUMSUB", "larder:responses!changes"]).await;
            if let Value::Array(heard) = heard
                && heard.last() == Some(&Value::Int(proxies))
            {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_one_proxy_fetched_another_has_byte_for_byte() {
    let every: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let bodies = [every, b"small".to_vec(), b"<p>compresses</p>".repeat(4000), Vec::new()];
    let answers = bodies.clone();
    let origin = Origin::answering(move |request, _| {
        let index: usize = request.target()[1..].parse().expect("a number");
        response(200, &[FRESH, ("X-One", "1"), ("Content-Encoding", "br")], &answers[index])
    })
    .await;
    for (calls, (profile, memory)) in (0..).step_by(4).zip(SETUPS) {
        let server = Server::start().await;
        let [one, other] = two(&origin, &server.url(), memory, profile).await;
        for (index, body) in bodies.iter().enumerate() {
            let target = format!("/{index}");
            let first = ask(&one, &target, &[]).await;
            assert!(first.cache().starts_with("fwd=uri-miss"), "{profile} {memory}: {}", first.cache());
            for proxy in [&other, &other, &one] {
                let given = ask(proxy, &target, &[]).await;
                assert!(given.is_hit(), "{profile} {memory} {target}: {}", given.cache());
                assert!(given.body == *body, "{profile} {memory} {target}: another body");
                let fields =
                    ["x-one", "content-encoding", "cache-control", "content-length"].map(|name| given.field(name));
                assert_eq!(fields, [Some("1"), Some("br"), Some(FRESH.1), Some(body.len().to_string().as_str())]);
            }
        }
        assert_eq!(origin.calls(), calls + bodies.len(), "{profile} {memory}");
    }
}

#[tokio::test]
async fn an_answer_that_one_proxy_paid_for_another_gives_as_it_was_kept() {
    const EVENTS: [&str; 3] = [
        "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"H\u{e9}\"}}]}\n\n",
        "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n",
        "data: [DONE]\n\n",
    ];
    let origin = Origin::answering(|request, number| {
        if !request.text().contains("stream") {
            return response(200, &[("Content-Type", "application/json")], answer(number));
        }
        let mut bytes = response(200, &[("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")], "");
        EVENTS.iter().for_each(|event| bytes.extend(chunk(event)));
        bytes.extend(chunk(""));
        bytes
    })
    .await;
    let other_question = QUESTION.replacen('{', r#"{"stream":true,"seed":1,"#, 1);
    for (round, memory) in [false, true].into_iter().enumerate() {
        let server = Server::start().await;
        let [one, other] = two(&origin, &server.url(), memory, "llm").await;
        for (body, kind, whole) in [
            (QUESTION, "application/json", answer(2 * round + 1)),
            (&other_question, "text/event-stream", EVENTS.concat()),
        ] {
            let first = post(&one, CHAT, body).await;
            assert!(!first.is_hit() && first.text() == whole, "{memory}: {}", first.cache());
            for proxy in [&other, &other, &one] {
                let given = post(proxy, CHAT, body).await;
                assert!(given.is_hit(), "{memory} {kind}: {}", given.cache());
                assert_eq!((given.text(), given.field("content-type")), (&*whole, Some(kind)), "{memory}");
            }
        }
        assert_eq!(origin.calls(), 2 * (round + 1), "{memory}");
        let given = post(&other, CHAT, &QUESTION.replacen('{', r#"{"stream":true,"#, 1)).await;
        assert!(given.is_hit() && given.cache().contains("converted"), "{memory}: {}", given.cache());
        assert!(given.text().starts_with("data: {") && given.text().ends_with("data: [DONE]\n\n"), "{}", given.text());
        assert_eq!(origin.calls(), 2 * (round + 1), "{memory}");
    }
}

/// An origin that answers as many requests as the semaphore has permits.
async fn held(gate: &Arc<Semaphore>) -> Origin {
    let gate = gate.clone();
    Origin::serving(move |mut conversation| {
        let gate = gate.clone();
        async move {
            while let Some((_, number)) = conversation.request().await? {
                gate.acquire().await.map_err(io::Error::other)?.forget();
                let fields = [FRESH, ("Content-Type", "application/json")];
                conversation.wire.send(response(200, &fields, answer(number))).await?;
            }
            Ok(())
        }
    })
    .await
}

#[tokio::test]
async fn five_hundred_identical_requests_over_two_proxies_are_one_call() {
    for (profile, memory) in SETUPS {
        let gate = Arc::new(Semaphore::new(0));
        let origin = held(&gate).await;
        let server = Server::start().await;
        let proxies = two(&origin, &server.url(), memory, profile).await;
        let mut clients = Vec::new();
        for index in 0..500 {
            let proxy = &proxies[index % 2];
            let host = proxy.address().to_string();
            let asked = match profile {
                "http" => get("/a", &[("Host", &host)]),
                _ => post_json(CHAT, &[("Host", &host)], QUESTION),
            };
            let mut client = proxy.connect().await;
            client.send(asked).await.expect("a live proxy");
            clients.push(client);
        }
        // One proxy fetches, and the other has said that it waits.
        within(async {
            loop {
                let leases = server.keys("*!lease").await;
                if let [lease] = &leases[..]
                    && server.command(&["HEXISTS", lease, "waited"]).await == Value::Int(1)
                {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        gate.add_permits(500);
        for client in &mut clients {
            let given = client.response().await.expect("a response");
            assert_eq!((given.status(), given.text()), (200, &*answer(1)), "{profile} {memory}");
        }
        assert_eq!(origin.calls(), 1, "{profile} {memory}");
    }
}

#[tokio::test]
async fn what_is_changed_through_one_proxy_is_not_served_by_another() {
    let origin =
        Origin::answering(|_, number| response(200, &[("Cache-Control", "public, max-age=600")], number.to_string()))
            .await;
    for memory in [false, true] {
        let server = Server::start().await;
        let proxies = two(&origin, &server.url(), memory, "http").await;
        all_hear(&server, 2).await;
        for (index, method) in ["PUT", "DELETE", "POST", "PATCH"].into_iter().enumerate() {
            let (changes, serves) = (&proxies[index % 2], &proxies[(index + 1) % 2]);
            let target = format!("/{index}");
            // Another credential's answer is of the same resource.
            let credentials: [&[(&str, &str)]; 2] = [&[], &[("Authorization", "Bearer two")]];
            let mut before = Vec::new();
            for fields in credentials {
                before.push(kept(serves, &target, fields).await.text().to_owned());
            }
            let host = changes.address().to_string();
            changes.ask(request(method, &target, &[("Host", &host)], b"x")).await;
            for (fields, before) in credentials.into_iter().zip(before) {
                // It is told behind the response.
                within(async { while ask(serves, &target, fields).await.text() == before {} }).await;
                assert_ne!(kept(serves, &target, fields).await.text(), before, "{method} {memory}");
            }
        }
    }
}

#[tokio::test]
async fn a_host_that_a_client_names_counts_and_none_is_made_up() {
    let heard = |request: &Message| {
        ["x-forwarded-host", "forwarded"].map(|name| request.field(name).unwrap_or("none")).join(" ")
    };
    let origin = Origin::answering(move |request, _| response(200, &[FRESH], heard(request))).await;
    for (profile, memory) in SETUPS {
        let server = Server::start().await;
        let [one, other] = two(&origin, &server.url(), memory, profile).await;
        let own = [&one, &other].map(|proxy| proxy.address().to_string());
        // Its own address is no name; what a client makes up besides is not passed on, and so not kept for others.
        let lies = [("X-Forwarded-Host", "evil.example"), ("Forwarded", "host=evil.example")];
        let kept = "none none";
        assert_eq!(ask(&one, "/a", &lies).await.text(), kept, "{profile}");
        let shared = ask(&other, "/a", &[]).await;
        assert_eq!((shared.text(), shared.is_hit()), (kept, true), "{profile}");
        // Any other host is a name, be it much like the proxy's address.
        let (_, port) = own[0].rsplit_once(':').expect("a port");
        let (no_port, another) = (own[0].replace(&format!(":{port}"), ""), format!("127.0.0.2:{port}"));
        for host in ["api.example", "evil.example", &no_port, &another, ""] {
            for (proxy, hit) in [(&one, false), (&other, true), (&one, true)] {
                let given = proxy.ask(get("/a", &[("Host", host)])).await;
                assert_eq!((given.text(), given.is_hit()), (&*format!("{host} none"), hit), "{profile} {host:?}");
            }
        }
        // So is the other proxy's address; none at all is as good as its own.
        let given = one.ask(get("/a", &[("Host", &own[1])])).await;
        assert_eq!((given.text(), given.is_hit()), (&*format!("{} none", own[1]), false), "{profile}");
        let given = one.ask("GET /a HTTP/1.0\r\n\r\n").await;
        assert_eq!((given.text(), given.is_hit()), (kept, true), "{profile}");
        for proxy in [&one, &other] {
            assert_eq!(ask(proxy, "/a", &[]).await.text(), kept, "{profile}");
        }
    }
}
