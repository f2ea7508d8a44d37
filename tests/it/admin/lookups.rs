//! Caches of look-ups, beside those of responses.

use std::convert::Infallible;

use larder::{
    admin,
    cached::Cached,
    store::{Memory, Store as _},
    tag::Tag,
};
use serde_json::json;

use super::{Served, figures::samples, hits, schema, site};
use crate::support::{Far, Fault};

/// A cache over the same store as responses.
pub(super) fn users(store: &Memory) -> Cached<str, u32> {
    let tags = |user: &u32| vec![Tag::new(&format!("user:{user}")).expect("a tag")];
    Cached::builder("users").label(str::to_owned).tags(tags).store(store.clone()).build()
}

pub(super) async fn look(users: &Cached<str, u32>, key: &str, user: u32) -> u32 {
    *users.get_or_try_insert(key, || async move { Ok::<_, Infallible>(user) }).await.expect("a user")
}

#[tokio::test]
async fn the_figures_of_lookups_are_shown_as_those_of_the_other_caches() {
    let users = users(&Memory::new(1 << 20));
    let served = Served::new(admin::Builder::new().lookups("users", users.handle()).insecure().build()).await;
    for (key, user) in [("a", 1), ("b", 2), ("a", 3), ("a", 3)] {
        look(&users, key, user).await;
    }
    users.get_or_try_insert("c", || async { Err::<u32, _>("no table") }).await.expect_err("told to");
    users.invalidate("a").await.expect("memory");

    let stats = served.get("/api/cache/stats").await.json();
    schema::check("/api/cache/stats", &stats);
    let of = &stats["lookups"][0];
    let shown =
        ["lookups", "answered", "hits", "misses", "loads", "load_errors", "sets", "invalidations", "invalidated"];
    assert_eq!((&of["space"], &of["hit_ratio"]), (&json!("users"), &json!(0.4)));
    assert_eq!(shown.map(|name| of[name].as_u64()), [5, 2, 2, 3, 3, 1, 2, 1, 1].map(Some), "{of}");
    assert_eq!((&of["tiers"][0]["name"], &of["tiers"][0]["usage"]["entries"]), (&json!("values"), &json!(1)));
    assert!(of["tiers"][1]["usage"]["entries"].is_u64(), "the store behind: {of}");

    let answer = served.get("/metrics").await;
    let metrics = samples(&answer.text);
    for (sample, value) in [
        ("larder_lookups_total{space=\"users\",outcome=\"hit\"}", 2.0),
        ("larder_lookups_total{space=\"users\",outcome=\"miss\"}", 3.0),
        ("larder_lookups_loads_total{space=\"users\"}", 3.0),
        ("larder_lookups_load_errors_total{space=\"users\",kind=\"failed\"}", 1.0),
        ("larder_lookups_values_total{space=\"users\",outcome=\"stored\"}", 2.0),
        ("larder_lookups_invalidated_total{space=\"users\"}", 1.0),
        ("larder_tier_up{space=\"users\",tier=\"values\",place=\"0\"}", 1.0),
        ("larder_tier_entries{space=\"users\",tier=\"values\",place=\"0\"}", 1.0),
    ] {
        assert_eq!(metrics.get(sample), Some(&value), "{sample} in {}", answer.text);
    }
}

#[tokio::test]
async fn a_purge_means_lookups_by_their_labels_and_nothing_else_of_the_store_by_their_space() {
    let store = Memory::new(1 << 20);
    let (site, handle) = site(store.clone()).await;
    let users = users(&store);
    let served = Served::new(admin::router(handle).lookups("people", users.handle()).insecure().build()).await;
    let key = async || {
        let listed = served.get("/api/cache/entries?pattern=users:ada:*").await.json();
        listed["entries"][0]["key"].as_str().expect("a key").replace(':', "%3A")
    };
    hits(&site, "/page").await;
    for (number, query) in [
        "space=people",
        "space=people&pattern=*",
        "space=people&pattern=u*rs:a?a:*",
        "pattern=users:ada:*",
        "tag=user:1",
        "space=people&tag=user:1",
        "space=people&key=",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(look(&users, "ada", 1).await, 1, "before {query}");
        let query = if query.ends_with('=') { format!("{query}{}", key().await) } else { query.to_owned() };
        let said = served.delete(&format!("/api/cache?{query}")).await.json();
        assert_eq!(said["purged"], 1, "{number}: {query}: {said}");
        assert!(users.get("ada").await.is_none(), "{query}");
        assert!(hits(&site, "/page").await, "{query} doesn't mean the page");
    }
    look(&users, "ada", 1).await;
    for query in ["space=people&pattern=GET*", "space=default&tag=nobody", "pattern=user:*"] {
        assert_eq!(served.delete(&format!("/api/cache?{query}")).await.json()["purged"], 0, "{query}");
    }
    assert_eq!(served.delete(&format!("/api/cache/entries/{}", key().await)).await.json()["purged"], 1);
    assert!(users.get("ada").await.is_none());
    look(&users, "ada", 1).await;
    served.delete("/api/cache?all=true").await.json();
    assert!(users.get("ada").await.is_none() && !hits(&site, "/page").await);
    let problem = served.delete("/api/cache?space=users").await.problem(404);
    assert!(problem.contains("default, people"), "{problem}");
    let problem = served.get("/api/cache/entries?space=people").await.problem(404);
    assert!(problem.contains("aren't listed"), "{problem}");
}

#[tokio::test]
async fn lookups_are_in_health_and_not_down_without_their_store() {
    let far = Far::new(Memory::new(1 << 20));
    let users = Cached::<str, u32>::builder("users").store(far.clone()).build();
    let served = Served::new(admin::Builder::new().lookups("users", users.handle()).insecure().build()).await;
    let health = served.get("/health/cache").await.json();
    schema::check("/health/cache", &health);
    assert_eq!((&health["status"], &health["spaces"][0]["space"]), (&json!("ok"), &json!("users")));
    let tiers = health["spaces"][0]["tiers"].as_array().expect("a list");
    assert_eq!((tiers.len(), &tiers[0]["name"]), (2, &json!("values")));
    users.insert("a", 1).await.expect("memory");
    far.writes(Fault::Fail);
    let problem = served.delete("/api/cache?space=users").await.problem(503);
    assert!(problem.contains("users") && users.get("a").await.is_none(), "{problem}");
    assert!(far.health().await.is_up());
}
