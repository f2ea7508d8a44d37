//! What is answered and what is asked, over many batches.

use std::collections::HashSet;

use larder::clock::ManualClock;
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::Layer as _;

use super::{HOUR, answer, asked, given, layer, provider, texts};
use crate::support::{Act, Script, full, reply};

/// Few texts, so that they come again: in letters, or in tokens.
fn input() -> impl Strategy<Value = Value> {
    let letters = prop::sample::select(vec!["a", "b", "bc", "\"é\n", "[1]", ""]).prop_map(Value::from);
    let numbers = prop::sample::select(vec![json!([1]), json!([1, 2]), json!([2, 1])]);
    let list = |part: BoxedStrategy<Value>| prop::collection::vec(part, 1..7).prop_map(Value::from);
    prop_oneof![
        1 => letters.clone(), 1 => numbers.clone(), 4 => list(letters.boxed()), 2 => list(numbers.boxed()),
    ]
}

proptest! {
    #[test]
    fn every_answer_is_the_provider_s_own_and_no_text_is_bought_twice(
        batches in prop::collection::vec(input(), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let script = provider();
            let service = layer(&ManualClock::default()).build().layer(script.clone());
            let mut known = HashSet::new();
            for batch in batches {
                let before = asked(&script).len();
                let (said, given) = given(&service, batch.clone()).await;
                assert_eq!(given, answer(&batch), "{batch}");
                let mut missing = texts(&batch);
                let had = missing.len();
                missing.retain(|text| known.insert(text.to_string()));
                let now = asked(&script).split_off(before);
                let bought: Vec<_> = now.iter().flat_map(texts).collect();
                assert_eq!(bought, missing, "{batch}: each missing one, in order");
                assert_eq!(now.len(), usize::from(!missing.is_empty()), "{batch}: in one request");
                let found = texts(&batch).iter().any(|text| known.contains(&text.to_string()) && !missing.contains(text));
                let expected = match (missing.len(), found) {
                    (0, _) => "larder; hit; ttl=3600".to_owned(),
                    (_, true) => "larder; fwd=partial; fwd-status=200; stored".to_owned(),
                    _ => "larder; fwd=uri-miss; fwd-status=200; stored".to_owned(),
                };
                assert_eq!(said, expected, "{batch}: {had} texts");
            }
        });
    }
}

#[tokio::test]
async fn a_batch_that_comes_again_has_the_usage_that_it_had() {
    let script = Script::new(|_, seen| {
        let mut answer = answer(&super::input_of(seen));
        // Not in proportion to the lengths.
        answer["usage"] = json!({ "prompt_tokens": 11, "total_tokens": 13, "cost": 0.25 });
        super::json_reply(&answer)
    });
    let service = layer(&ManualClock::default()).build().layer(script);
    let batch = json!(["a", "bcd", "efghijk"]);
    let first = given(&service, batch.clone()).await.1;
    assert_eq!(first["usage"], json!({ "prompt_tokens": 11, "total_tokens": 13, "cost": 0.25 }), "as it came");
    let again = given(&service, batch.clone()).await.1;
    assert_eq!(again["usage"], json!({ "prompt_tokens": 11, "total_tokens": 13 }), "what can be shared out");
    assert_eq!(given(&service, json!(["a"])).await.1["usage"], json!({ "prompt_tokens": 1, "total_tokens": 1 }));
    let partial = given(&service, json!(["a", "xyz", "a"])).await.1;
    assert_eq!(partial["usage"], json!({ "prompt_tokens": 13, "total_tokens": 15 }), "bought alone: exact");
}

#[tokio::test]
async fn an_embedding_is_given_digit_by_digit_as_it_was_bought() {
    let written = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-1.0e-3,1E5]},{"object":"embedding","index":1,"embedding":"AAAA/w=="}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    let script = Script::new(move |_, _| Act::answer(reply(200, &[super::JSON, ("etag", "\"e\"")], full(written))));
    let service = layer(&ManualClock::default()).build().layer(script);
    for said in ["uri-miss", "hit"] {
        let response = crate::support::ask(&service, super::request(&json!(["a", "b"]))).await;
        let field = crate::support::said(&response).to_owned();
        assert!(field.contains(said), "{field}");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(crate::support::text(response).await, written, "{said}");
    }
    let other = crate::support::ask(&service, super::request(&json!(["b"]))).await;
    let expected = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AAAA/w=="}],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}"#;
    assert_eq!(crate::support::text(other).await, expected);
}

#[tokio::test]
async fn a_text_is_found_alone_and_in_a_batch_until_its_time_is_over() {
    let (clock, script) = (ManualClock::default(), provider());
    let layer = layer(&clock).build();
    let service = layer.layer(script.clone());
    let both = [json!("one"), json!(["one", "two"]), json!("two"), json!([7, 8]), json!([[7, 8], [9]]), json!([9])];
    for input in &both {
        assert_eq!(given(&service, input.clone()).await.1, answer(input), "{input}");
    }
    assert_eq!(asked(&script), [json!("one"), json!(["two"]), json!([7, 8]), json!([[9]])]);
    let stats = layer.handle().stats();
    assert_eq!((stats.requests, stats.hits, stats.partial, stats.misses), (6, 2, 2, 2));
    assert_eq!((stats.items_hit, stats.items_missed, stats.items_stored, stats.items_repeated), (4, 4, 4, 0));
    clock.advance(HOUR / 2);
    assert_eq!(given(&service, json!("one")).await.0, "larder; hit; ttl=1800");
    clock.advance(HOUR / 2);
    assert!(given(&service, json!("one")).await.0.contains("fwd=uri-miss"));
}
