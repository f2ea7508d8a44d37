//! Embeddings that are kept text by text.

use serde_json::{Value, json};

use super::{
    message::{Message, post_json, response},
    origin::Origin,
    process::Proxy,
};

const EMBEDDINGS: &str = "/v1/embeddings";

async fn provider() -> Origin {
    Origin::answering(|request, number| {
        let texts = request.json()["input"].as_array().expect("a batch").clone();
        let data = texts.iter().enumerate().map(|(index, text)| {
            json!({ "object": "embedding", "index": index, "embedding": [number, text.as_str().map(str::len)] })
        });
        // A token a letter.
        let count: usize = texts.iter().filter_map(|text| text.as_str().map(str::len)).sum();
        let usage = json!({ "prompt_tokens": count, "total_tokens": count });
        let answer = json!({ "object": "list", "data": data.collect::<Vec<_>>(), "model": "m", "usage": usage });
        response(200, &[("Content-Type", "application/json")], answer.to_string())
    })
    .await
}

async fn ask(proxy: &Proxy, texts: &[&str]) -> Message {
    proxy.ask(post_json(EMBEDDINGS, &[], &json!({ "model": "m", "input": texts }).to_string())).await
}

#[tokio::test]
async fn a_batch_asks_for_its_new_texts_only_if_it_is_told_so() {
    let origin = provider().await;
    let proxy = Proxy::start(&origin, &["--embeddings-per-item"]).await;
    ask(&proxy, &["a", "bb"]).await;
    let given = ask(&proxy, &["ccc", "bb", "d", "a", "ccc"]).await;
    let vectors: Vec<_> =
        given.json()["data"].as_array().expect("a list").iter().map(|element| element["embedding"].clone()).collect();
    assert_eq!(vectors, [json!([2, 3]), json!([1, 2]), json!([2, 1]), json!([1, 1]), json!([2, 3])]);
    assert_eq!(origin.requests()[1].json(), json!({ "model": "m", "input": ["ccc", "d"] }));
    let last = given.values("cache-status").last().copied();
    assert_eq!(last, Some("larder; fwd=partial; fwd-status=200; stored"));
    let again = ask(&proxy, &["d", "a"]).await;
    assert!(again.is_hit(), "{}", again.cache());
    assert_eq!(again.json()["usage"], json!({ "prompt_tokens": 2, "total_tokens": 2 }));
    assert_eq!(origin.calls(), 2);

    let plain = Proxy::start(&origin, &[]).await;
    for texts in [["a", "bb"], ["bb", "a"]] {
        ask(&plain, &texts).await;
    }
    assert_eq!(origin.requests()[3].json()["input"], Value::from(vec!["bb", "a"]), "as it came");
}
