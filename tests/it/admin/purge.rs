//! What is removed, and what it takes to remove everything.

use larder::{admin, store::Memory};

use super::{Served, hits, site};

#[tokio::test]
async fn nothing_is_removed_that_was_not_said_to_be_meant() {
    let (site, handle) = site(Memory::new(64 << 20)).await;
    let served = Served::new(admin::router(handle).insecure().build()).await;
    hits(&site, "/a").await;
    let key = format!("a:{}", "0".repeat(64));
    let cases = [
        ("", 400, "all=true"),
        ("?all=false", 400, "all=true"),
        ("?all", 400, "openapi.json"),
        ("?all=yes", 400, "openapi.json"),
        ("?patern=*", 400, "patern"),
        ("?pattern=", 400, "glob"),
        ("?tag=", 400, "tag"),
        ("?tag=a%20b", 400, "tag"),
        ("?key=a", 400, "64 hexadecimal digits"),
        ("?pattern=*&tag=a", 400, "one of them"),
        (&format!("?pattern=*&key={key}"), 400, "one of them"),
        ("?pattern=*&all=true", 400, "one of them"),
        ("?space=other", 404, "there are: default"),
        ("?space=other&all=true", 404, "there are: default"),
    ];
    for (query, status, advice) in cases {
        let said = served.delete(&format!("/api/cache{query}")).await.problem(status);
        assert!(said.contains(advice), "{query}: {said}");
    }
    assert!(hits(&site, "/a").await, "it is still there");
}

#[tokio::test]
async fn what_is_said_is_removed_and_nothing_else() {
    let (site, handle) = site(Memory::new(64 << 20)).await;
    let (other, second) = super::site(Memory::new(64 << 20)).await;
    let served = Served::new(admin::router(handle).cache("second", second).insecure().build()).await;
    let fill = async || {
        hits(&site, "/a").await;
        hits(&other, "/a").await;
        assert!(hits(&site, "/a").await && hits(&other, "/a").await);
    };
    for (query, purged, left) in [
        ("all=true", (1, 1), (false, false)),
        ("tag=page", (1, 1), (false, false)),
        ("tag=other", (0, 0), (true, true)),
        ("pattern=*", (1, 1), (false, false)),
        ("pattern=no*", (0, 0), (true, true)),
        ("all=true&space=default", (1, 0), (false, true)),
        ("space=default", (1, 0), (false, true)),
        ("space=second&tag=page", (0, 1), (true, false)),
        ("space=second&tag=other", (0, 0), (true, true)),
    ] {
        fill().await;
        let said = served.delete(&format!("/api/cache?{query}")).await.json();
        assert_eq!(said["purged"], purged.0 + purged.1, "{query}: {said}");
        for (space, count) in [("default", purged.0), ("second", purged.1)] {
            assert_eq!(said["spaces"][space].as_u64().unwrap_or_default(), count, "{query}: {said}");
        }
        assert_eq!((hits(&site, "/a").await, hits(&other, "/a").await), left, "{query}");
    }
    fill().await;
    let listed = served.get("/api/cache/entries").await.json();
    let key = listed["entries"][0]["key"].as_str().expect("a text");
    assert_eq!(served.delete(&format!("/api/cache?key={key}")).await.json()["purged"], 1);
    assert_eq!((hits(&site, "/a").await, hits(&other, "/a").await), (false, true));
}
