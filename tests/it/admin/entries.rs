//! What is kept, as it is listed.

use larder::{
    admin,
    entry::Entry,
    key::Key,
    store::{Memory, Result, Store, Usage},
    tag::Selector,
};
use serde_json::Value;

use super::{Served, hits, site};
use crate::support::{Far, Fault};

fn labels(page: &Value) -> Vec<&str> {
    let entries = page["entries"].as_array().expect("a list");
    entries.iter().map(|entry| entry["label"].as_str().expect("a text")).collect()
}

#[tokio::test]
async fn entries_are_listed_page_by_page_and_never_their_bodies() {
    let (site, handle) = site(Memory::new(64 << 20)).await;
    let served = Served::new(admin::router(handle).insecure().build()).await;
    for number in 0..25 {
        assert!(!hits(&site, &format!("/page/{number}")).await);
    }
    assert!(hits(&site, "/page/7").await && hits(&site, "/page/7").await);

    let (mut path, mut found, mut pages) = ("/api/cache/entries?limit=10".to_owned(), Vec::new(), 0);
    loop {
        let answer = served.get(&path).await;
        assert!(!answer.text.contains("the body of"), "{}", answer.text);
        let page = answer.json();
        assert_eq!(page["partial"], false);
        found.extend(page["entries"].as_array().expect("a list").clone());
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/cache/entries?limit=10&cursor={next}");
    }
    assert_eq!((found.len(), pages), (25, 3));
    let mut hits: Vec<_> = found.iter().map(|entry| entry["hits"].as_u64().expect("memory counts")).collect();
    hits.sort_unstable();
    assert_eq!(hits[23..], [0, 2]);

    let entry = &found[0];
    let key = entry["key"].as_str().expect("a text");
    assert!(key.parse::<Key>().is_ok_and(|key| entry["label"] == key.label()), "{entry}");
    assert_eq!(
        (&entry["space"], &entry["status"], &entry["tags"]),
        (&"default".into(), &200.into(), &serde_json::json!(["page"]))
    );
    assert_eq!(entry["tiers"], serde_json::json!(["memory"]));
    let ttl = entry["ttl"].as_i64().expect("a number");
    assert!((500..=600).contains(&ttl) && entry["age"].as_f64().is_some_and(|age| age < 100.0), "{entry}");
    let fresh = entry["fresh_until"].as_f64().expect("a time") - entry["received_at"].as_f64().expect("a time");
    assert!((fresh - 600.0).abs() < 0.01, "{entry}");
    assert!(entry["size"].as_u64().is_some_and(|size| size > 100), "{entry}");
}

#[tokio::test]
async fn a_listing_is_narrowed_and_one_entry_is_shown_and_removed_by_its_key() {
    let (site, handle) = site(Memory::new(64 << 20)).await;
    let (other, second) = super::site(Memory::new(64 << 20)).await;
    let served = Served::new(admin::router(handle).cache("second", second).insecure().build()).await;
    hits(&site, "/a/1").await;
    hits(&site, "/b/1").await;
    hits(&other, "/a/1").await;
    // The two sites have ports of their own, and so labels.
    let all = served.get("/api/cache/entries?limit=1000").await.json();
    let next = all["next"].as_str().expect("another space");
    let rest = served.get(&format!("/api/cache/entries?cursor={next}")).await.json();
    assert_eq!((labels(&all).len(), labels(&rest).len(), &rest["next"]), (2, 1, &Value::Null));
    assert_eq!(labels(&served.get("/api/cache/entries?space=second").await.json()), labels(&rest));
    for (query, count) in [("pattern=*", 2), ("pattern=nothing*", 0), ("tag=page", 2), ("tag=other", 0)] {
        let page = served.get(&format!("/api/cache/entries?{query}&space=default")).await.json();
        assert_eq!(labels(&page).len(), count, "{query}: {page}");
    }
    let key = all["entries"][0]["key"].as_str().expect("a text").to_owned();
    let escaped = key.replace('/', "%2F").replace(':', "%3A");
    assert_eq!(labels(&served.get(&format!("/api/cache/entries?key={escaped}")).await.json()).len(), 1);
    for path in [&key, &escaped] {
        let entry = served.get(&format!("/api/cache/entries/{path}")).await.json();
        assert_eq!((entry["key"].as_str(), &entry["space"]), (Some(&*key), &"default".into()));
    }
    served.get(&format!("/api/cache/entries/{key}?space=second")).await.problem(404);
    let removed = served.delete(&format!("/api/cache/entries/{escaped}")).await.json();
    assert_eq!(removed["purged"], 1);
    assert!(served.delete(&format!("/api/cache/entries/{key}")).await.problem(404).contains(&key));
    served.get(&format!("/api/cache/entries/{key}")).await.problem(404);
    let left = served.get("/api/cache/entries?space=default").await.json();
    assert_eq!(labels(&left).len(), 1, "the other is still there");
}

#[tokio::test]
async fn a_label_with_slashes_is_found_with_and_without_escapes() {
    let store = Memory::new(1 << 20);
    let (_site, handle) = site(store.clone()).await;
    let served = Served::new(admin::router(handle).insecure().build()).await;
    let key = larder::key::KeyBuilder::new("test").label("get:host:80/a/b?c").finish();
    let lifetime = larder::entry::Lifetime::new(std::time::SystemTime::now(), std::time::Duration::from_secs(60));
    let head = larder::entry::Head::new(http::StatusCode::OK, http::HeaderMap::new(), lifetime);
    let entry = Entry::new(head, larder::entry::Frames::whole("x".into()));
    store.put(&key, entry).await.expect("put");
    let plain = key.to_string();
    for path in [plain.replace('?', "%3F"), plain.replace('?', "%3F").replace('/', "%2F")] {
        let found = served.get(&format!("/api/cache/entries/{path}")).await.json();
        assert_eq!(found["key"].as_str(), Some(&*plain), "{path}");
    }
}

#[tokio::test]
async fn nonsense_is_told_what_to_do() {
    let (_site, handle) = site(Memory::new(1 << 20)).await;
    let served = Served::new(admin::router(handle).insecure().build()).await;
    let cases = [
        ("/api/cache/entries?limit=0", 400, "1 to 1000"),
        ("/api/cache/entries?limit=many", 400, "openapi.json"),
        ("/api/cache/entries?patern=a", 400, "patern"),
        ("/api/cache/entries?pattern=", 400, "glob"),
        ("/api/cache/entries?pattern=a&tag=b", 400, "one of them"),
        ("/api/cache/entries?tag=a%2Cb", 400, "comma"),
        ("/api/cache/entries?key=a", 400, "64 hexadecimal digits"),
        ("/api/cache/entries?cursor=xyz", 400, "begin again"),
        ("/api/cache/entries?cursor=64656661756c742f78", 400, "begin again"),
        ("/api/cache/entries?cursor=6e6f7768657265", 400, "begin again"),
        ("/api/cache/entries?space=other", 404, "default"),
        ("/api/cache/entries/a", 400, "64 hexadecimal digits"),
        ("/api/cache/entries/%FF", 400, "UTF-8"),
    ];
    for (path, status, advice) in cases {
        let said = served.get(path).await.problem(status);
        assert!(said.contains(advice), "{path}: {said}");
    }
}

#[tokio::test]
async fn a_store_that_fails_or_cannot_list_says_so() {
    struct Plain;
    impl Store for Plain {
        async fn get(&self, _: &Key) -> Result<Option<Entry>> {
            Ok(None)
        }
        async fn put(&self, _: &Key, _: Entry) -> Result<()> {
            Ok(())
        }
        async fn remove(&self, _: &Key) -> Result<bool> {
            Ok(false)
        }
        async fn purge(&self, _: &Selector) -> Result<u64> {
            Ok(0)
        }
        async fn usage(&self) -> Result<Usage> {
            Ok(Usage::default())
        }
    }
    let far = Far::new(Memory::new(1 << 20));
    let ((_one, plain), (_other, failing)) = (site(Plain).await, site(far.clone()).await);
    let served = Served::new(admin::router(plain).cache("far", failing).insecure().build()).await;
    let said = served.get("/api/cache/entries").await.problem(501);
    assert!(said.contains("by its key") && said.contains("default"), "{said}");
    far.gets(Fault::Fail);
    far.writes(Fault::Fail);
    let key = format!("a:{}", "0".repeat(64));
    for said in [
        served.get("/api/cache/entries?space=far").await.problem(503),
        served.get(&format!("/api/cache/entries/{key}")).await.problem(503),
        served.delete("/api/cache?all=true").await.problem(503),
        served.delete(&format!("/api/cache/entries/{key}")).await.problem(503),
    ] {
        assert!(said.contains("\"far\"") && said.contains("told to"), "{said}");
    }
}
