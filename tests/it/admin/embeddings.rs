//! The figures of layers that keep embeddings.

use std::time::Duration;

use larder::{admin, llm::EmbeddingsLayer, store::Memory};
use serde_json::{Value, json};
use tower::Layer as _;

use super::{Served, figures::samples, site};
use crate::support::{Act, Script, ask, full, post, reply, text};

const JSON: (&str, &str) = ("content-type", "application/json");

pub(super) fn layer() -> EmbeddingsLayer<Memory> {
    EmbeddingsLayer::new(Memory::new(1 << 20), Duration::from_secs(60))
}

/// Asks for embeddings of these texts.
pub(super) async fn embed(layer: &EmbeddingsLayer<Memory>, texts: &[&str]) {
    let provider = Script::new(|_, seen| {
        let asked: Value = serde_json::from_str(&seen.text()).expect("JSON");
        let count = asked["input"].as_array().expect("a list").len();
        let data: Vec<_> =
            (0..count).map(|index| json!({ "object": "embedding", "index": index, "embedding": [1] })).collect();
        let usage = json!({ "prompt_tokens": count, "total_tokens": count });
        let answer = json!({ "object": "list", "data": data, "model": "m", "usage": usage });
        Act::answer(reply(200, &[JSON], full(answer.to_string())))
    });
    let body = json!({ "model": "m", "input": texts }).to_string();
    text(ask(&layer.layer(provider), post("https://api.example/v1/embeddings", &[JSON], body)).await).await;
}

#[tokio::test]
async fn the_figures_of_embeddings_are_shown_as_those_of_the_other_layers() {
    let texts = layer();
    let served = Served::new(admin::Builder::new().embeddings("texts", texts.handle()).insecure().build()).await;
    embed(&texts, &["a", "b", "b"]).await;
    embed(&texts, &["a", "c"]).await;
    embed(&texts, &["c", "a"]).await;

    let stats = served.get("/api/cache/stats").await.json();
    let of = &stats["embeddings"][0];
    let shown = ["requests", "hits", "partial", "items_hit", "items_missed", "items_repeated", "items_stored"];
    assert_eq!(of["name"], "texts");
    assert_eq!(shown.map(|name| of[name].as_u64()), [3, 1, 2, 3, 3, 1, 3].map(Some), "{of}");

    let answer = served.get("/metrics").await;
    let metrics = samples(&answer.text);
    for (sample, value) in [
        ("larder_embeddings_requests_total{layer=\"texts\"}", 3.0),
        ("larder_embeddings_answers_total{layer=\"texts\",outcome=\"hit\"}", 1.0),
        ("larder_embeddings_answers_total{layer=\"texts\",outcome=\"partial\"}", 2.0),
        ("larder_embeddings_texts_total{layer=\"texts\",outcome=\"hit\"}", 3.0),
        ("larder_embeddings_texts_total{layer=\"texts\",outcome=\"miss\"}", 3.0),
        ("larder_embeddings_texts_total{layer=\"texts\",outcome=\"repeated\"}", 1.0),
        ("larder_embeddings_stored_total{layer=\"texts\"}", 3.0),
    ] {
        assert_eq!(metrics.get(sample), Some(&value), "{sample} in {}", answer.text);
    }
}

#[tokio::test]
async fn a_purge_of_no_space_is_of_embeddings_too() {
    let texts = layer();
    let (_site, handle) = site(Memory::new(1 << 20)).await;
    let served = Served::new(admin::router(handle).embeddings("texts", texts.handle()).insecure().build()).await;
    let kept = async || {
        embed(&texts, &["a", "b"]).await;
        texts.handle().stats().items_hit
    };
    assert_eq!((kept().await, kept().await), (0, 2));
    for (query, purged, hits) in [("space=default", 0, 4), ("pattern=chat:*", 0, 6), ("pattern=embeddings:*", 2, 6)] {
        let said = served.delete(&format!("/api/cache?{query}")).await.json();
        assert_eq!(
            (&said["purged"], said["spaces"]["texts"].as_u64().unwrap_or(0)),
            (&purged.into(), purged),
            "{said}"
        );
        assert_eq!(kept().await, hits, "{query}");
    }
}
