//! The spans of all layers, and that no secret is in any.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use larder::{
    CacheLayer, RateLimitLayer, RetryFallbackLayer,
    clock::ManualClock,
    llm::{self, Ledger, Prices},
    rate_limit::{ApiKey, Limit, Quota, limiter::Local},
    retry::{Backoff, Credentials, Fallback},
    store::Memory,
};
use tower::{BoxError, Layer as _, ServiceBuilder, ServiceExt as _, service_fn};
use tracing::{Instrument as _, field::Empty, info_span};
use tracing_subscriber::filter::LevelFilter;

use crate::support::{Act, Body, Origin, Refused, Script, Spans, ask, channel, full, get, post, reply, settle, text};

const OUTCOME: [&str; 4] =
    ["larder.cache.outcome", "larder.retry.outcome", "larder.rate_limit.decision", "http.response.status_code"];

fn quick() -> larder::retry::Builder {
    RetryFallbackLayer::builder().backoff(Backoff::constant(Duration::from_millis(1)))
}

#[tokio::test(start_paused = true)]
async fn each_layer_has_a_span_and_each_attempt_one_in_it() {
    let spans = Spans::new();
    let script = Script::new(|number, _| match number {
        0 => Act::status(503),
        1 => Act::reset(),
        _ => Act::with(200, &[("cache-control", "max-age=60")]),
    });
    let service = ServiceBuilder::new()
        .layer(RateLimitLayer::new(Quota::per_day(100)))
        .layer(CacheLayer::new(Memory::new(1 << 20)))
        .layer(quick().build())
        .service(script);
    text(ask(&service, get("http://user:secret@api.example.com:8080/path?query", &[])).await).await;
    let retry = "larder.rate_limit > larder.cache > larder.retry";
    let expected = [
        "larder.rate_limit allowed 200".to_owned(),
        "larder.rate_limit > larder.cache miss 200".to_owned(),
        format!("{retry} retried 200"),
        format!("{retry} > larder.retry.attempt 503"),
        format!("{retry} > larder.retry.attempt"),
        format!("{retry} > larder.retry.attempt 200"),
    ];
    assert_eq!(spans.shown(&OUTCOME), expected);
    let all = spans.all();
    let said = |at: usize, name: &str| all[at].fields.get(name).map(String::as_str);
    for at in 0..6 {
        assert_eq!(said(at, "http.request.method"), Some("GET"), "{at}");
        assert_eq!(said(at, "server.address"), Some("api.example.com"), "{at}");
    }
    assert_eq!(said(1, "larder.cache.label"), Some("get:api.example.com:8080/path"));
    let resent = [2, 3, 4, 5].map(|at| said(at, "http.request.resend_count"));
    assert_eq!(resent, [Some("2"), None, Some("1"), Some("2")]);
    let errors = [2, 3, 4, 5].map(|at| said(at, "error.type"));
    assert_eq!(errors, [None, Some("503"), Some("connection"), None]);

    // A hit adds nothing but the span of the layer outside.
    text(ask(&service, get("http://api.example.com:8080/path?query", &[])).await).await;
    assert_eq!(spans.shown(&OUTCOME)[6..], ["larder.rate_limit allowed 200"]);
}

#[tokio::test]
async fn a_span_is_over_when_the_head_is_there() {
    let spans = Spans::new();
    let (feed, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let origin = Script::new(move |_, _| {
        let body = body.lock().expect("no panic").take().expect("one request");
        Act::answer(reply(200, &[("cache-control", "max-age=60")], body))
    });
    let service = ServiceBuilder::new()
        .layer(RateLimitLayer::new(Quota::per_day(100)))
        .layer(CacheLayer::new(Memory::new(1 << 20)))
        .service(origin);
    let answer = ask(&service, get("http://a/", &[])).await;
    assert_eq!(spans.all().len(), 2);
    assert!(spans.all().iter().all(|span| span.is_over), "{:?}", spans.all());
    feed.data("the rest");
    drop(feed);
    assert_eq!(text(answer).await, "the rest");
}

#[tokio::test(start_paused = true)]
async fn how_a_request_was_answered_is_said_of_each() {
    let spans = Spans::new();
    let clock = ManualClock::default();
    let fields = [("cache-control", "max-age=60, stale-while-revalidate=60, stale-if-error=600"), ("etag", "\"1\"")];
    let origin = Origin::new(move |call| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match call.number {
            0 => Ok(reply(200, &fields, full("x"))),
            1 | 2 => Ok(reply(304, &fields, full(""))),
            3 => Ok(reply(404, &[], full("not kept"))),
            _ => Err(Refused("gone")),
        }
    });
    let cache = CacheLayer::builder(Memory::new(1 << 20)).clock(clock.clone()).build().layer(origin);
    let ask = |fields: &'static [(&'static str, &'static str)]| {
        let cache = cache.clone();
        async move { cache.oneshot(get("http://a/", fields)).await }
    };
    let (first, second) = tokio::join!(ask(&[]), ask(&[]));
    for answer in [first, second] {
        text(answer.expect("an answer")).await;
    }
    clock.advance(Duration::from_secs(70));
    text(ask(&[]).await.expect("stale")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    settle().await;
    clock.advance(Duration::from_secs(10));
    text(ask(&[("cache-control", "max-age=0")]).await.expect("confirmed")).await;
    text(ask(&[("cache-control", "no-store")]).await.expect("passed by")).await;
    clock.advance(Duration::from_secs(200));
    text(ask(&[]).await.expect("stale in place of an error")).await;
    assert!(ask(&[("cache-control", "no-store")]).await.is_err());
    text(ask(&[("cache-control", "only-if-cached")]).await.expect("504")).await;
    let expected = [
        "larder.cache miss 200",
        "larder.cache collapsed 200",
        "larder.cache stale_hit 200",
        "larder.cache refresh 200",
        "larder.cache revalidated 200",
        "larder.cache bypass 404",
        "larder.cache stale_on_error 200",
        "larder.cache bypass",
        "larder.cache only_if_cached 504",
    ];
    assert_eq!(spans.shown(&OUTCOME), expected);
    assert_eq!(spans.all()[7].fields["error.type"], "connection");
    assert!(spans.all().iter().all(|span| span.is_over));
}

#[tokio::test]
async fn what_a_model_was_asked_for_is_said_where_a_ledger_reads_it() {
    let spans = Spans::new();
    let origin = Origin::replies(|_| {
        let body = r#"{"id":"1","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"x"}}],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#;
        reply(200, &[("content-type", "application/json")], full(body))
    });
    let ledger = Ledger::new(Prices::builtin());
    let layer = llm::layer(Memory::new(1 << 20), Duration::from_secs(60)).observer(ledger).build();
    let cache = layer.layer(origin);
    let sent = || {
        let body = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}"#;
        let fields = [("content-type", "application/json")];
        post("https://api.openai.com/v1/chat/completions", &fields, body)
    };
    text(ask(&cache, sent()).await).await;
    text(ask(&cache, sent()).await).await;
    let all = spans.all();
    // A key that is made of a body is not there at once, so that this hit has a span.
    let said = |at: usize| {
        [
            "larder.cache.outcome",
            "operation.name",
            "provider.name",
            "request.model",
            "usage.input_tokens",
            "usage.output_tokens",
        ]
        .map(|name| {
            let name = if name.starts_with("larder") { name.to_owned() } else { format!("gen_ai.{name}") };
            all[at].fields.get(&*name).map(String::as_str)
        })
    };
    assert_eq!(said(0), [Some("miss"), Some("chat"), Some("openai"), Some("gpt-4o-mini"), None, None]);
    assert_eq!(said(1), [Some("hit"), Some("chat"), Some("openai"), Some("gpt-4o-mini"), Some("7"), Some("3")]);
}

#[tokio::test(start_paused = true)]
async fn a_span_of_the_application_is_not_written_in_where_a_filter_leaves_ours_out() {
    let spans = Spans::up_to(LevelFilter::INFO);
    let script = Script::new(|number, _| match number {
        0 => Act::status(503),
        _ => Act::with(200, &[("content-type", "application/json")]),
    });
    let service = ServiceBuilder::new()
        .layer(RateLimitLayer::new(Quota::per_day(100)))
        .layer(
            llm::layer(Memory::new(1 << 20), Duration::from_secs(60)).observer(Ledger::new(Prices::builtin())).build(),
        )
        .layer(quick().repeatable(|_| true).build())
        .service(script);
    // For it to be seen here it is called as ours are.
    let request = info_span!(
        target: "larder_application",
        "request",
        "http.response.status_code" = Empty,
        "http.request.resend_count" = Empty,
        "error.type" = Empty,
        "gen_ai.request.model" = Empty,
    );
    let sent = post("https://api.openai.com/v1/chat/completions", &[], r#"{"model":"gpt-4o-mini","messages":[]}"#);
    let answer = ask(&service, sent).instrument(request).await;
    assert_eq!(answer.status(), 200);
    let all = spans.all();
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].fields.is_empty(), "{:?}", all[0].fields);
}

/// What must not be anywhere. Each is a word of its own, so that it is seen which one leaked.
const MARKS: [&str; 9] = [
    "QUERYMARK",
    "PASSWORDMARK",
    "BEARERMARK",
    "COOKIEMARK",
    "PROMPTMARK",
    "TENANTMARK",
    "ANSWERMARK",
    "POOLMARK",
    "METHODMARK",
];

/// A service whose answers and errors are full of secrets, too.
async fn leaky(request: Request<impl http_body::Body<Data = Bytes>>) -> Result<Response<Body>, BoxError> {
    let case = request.headers()["case"].to_str().expect("a text").to_owned();
    let fields = [("content-type", "application/json"), ("set-cookie", "COOKIEMARK")];
    match &*case {
        "whole" => Ok(reply(200, &fields, full(r#"{"usage":{"prompt_tokens":1},"content":"ANSWERMARK"}"#))),
        "busy" => Ok(reply(429, &fields, full(r#"{"error":{"message":"ANSWERMARK"}}"#))),
        "refused" => Ok(reply(401, &fields, full(r#"{"error":{"message":"BEARERMARK"}}"#))),
        "stream" => {
            let (feed, body) = channel();
            feed.data("data: {\"delta\":\"ANSWERMARK\"}\n\n");
            feed.fail("the way to QUERYMARK broke");
            Ok(reply(200, &[("content-type", "text/event-stream")], body))
        }
        "error event" => {
            let event = "event: error\ndata: {\"error\":{\"message\":\"PROMPTMARK\"}}\n\n";
            Ok(reply(200, &[("content-type", "text/event-stream")], full(event)))
        }
        _ => Err("the request for QUERYMARK with BEARERMARK failed".into()),
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_in_any_span_or_event() {
    let spans = Spans::new();
    let ledger = Ledger::builder()
        .prices(Prices::builtin())
        .tenant(|head| Some(head.headers.get("tenant")?.to_str().ok()?.into()))
        .build();
    let cache = llm::layer(Memory::new(1 << 20), Duration::from_secs(60)).observer(ledger).build();
    let key = ApiKey::new("16 bytes or more, from a vault");
    let limits = RateLimitLayer::builder(Local::new()).limit(Limit::new(Quota::per_day(50)).per(key)).build();
    let retry = llm::retry()
        .backoff(Backoff::constant(Duration::from_millis(1)))
        .credentials(Credentials::bearer(["POOLMARK-1", "POOLMARK-2"]).expect("tokens"))
        .fallback(Fallback::answer_with(|_, _| None))
        .build();
    let service = ServiceBuilder::new().layer(limits).layer(cache).layer(retry).service(service_fn(leaky));
    for (number, case) in
        ["whole", "stream", "error event", "gone", "whole", "busy", "refused"].into_iter().cycle().take(70).enumerate()
    {
        let body = format!(r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":"PROMPTMARK {case}"}}]}}"#);
        let method = if number % 5 == 4 { "METHODMARK" } else { "POST" };
        let request = Request::builder()
            .method(method)
            .uri("https://user:PASSWORDMARK@api.openai.com/v1/chat/completions?key=QUERYMARK")
            .header("authorization", "Bearer BEARERMARK")
            .header("x-api-key", "BEARERMARK")
            .header("cookie", "COOKIEMARK")
            .header("tenant", "TENANTMARK")
            .header("content-type", "application/json")
            .header("cache-control", if number % 11 == 10 { "no-store" } else { "max-age=100" })
            .header("case", case);
        let answer = service.clone().oneshot(request.body(full(body)).expect("a request")).await;
        if let Ok(answer) = answer {
            drop(crate::support::read(answer).await);
        }
        // The credentials have rested, and the breaker is closed again.
        tokio::time::advance(Duration::from_secs(300)).await;
    }
    let text = spans.text();
    let leaked: Vec<_> = MARKS.iter().filter(|mark| text.contains(**mark)).collect();
    assert!(leaked.is_empty(), "{leaked:?} in {text}");
    // It has seen what there is to be seen.
    for name in ["larder.rate_limit", "larder.cache", "larder.retry", "larder.retry.attempt"] {
        assert!(spans.all().iter().any(|span| span.name == name), "{name}");
    }
    let outcomes = spans.shown(&OUTCOME).join("\n");
    for outcome in ["denied", "miss 200", "hit 200", "bypass", "problem", "broke off", "chat:gpt-4o"] {
        assert!(outcomes.contains(outcome) || text.contains(outcome), "{outcome} in {outcomes}");
    }
}
