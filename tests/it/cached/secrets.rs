//! Keys that are secrets are seen nowhere.

use larder::cached::{Cached, Secret};

use super::{Db, Kept, Place, Row, hears, redis, until};
use crate::support::Log;

const SECRET: &str = "sk-live-0123456789abcdef";

#[tokio::test]
async fn a_secret_is_neither_in_redis_nor_in_logs_nor_shown() {
    let place = Place::new(Kept::Both).await;
    let log = Log::new();
    let store = redis(&place.server().url());
    let builder = || Cached::<Secret<String>, Row>::builder("keys").store(store.clone());
    let [one, same] = [(); 2].map(|()| builder().secret("sixteen bytes ok").build());
    let other = builder().secret("another sixteen!").build();
    hears(&store).await;
    let (db, key) = (Db::default(), Secret::new(SECRET.to_owned()));
    one.get_or_try_insert(&key, || db.load()).await.expect("a row");
    until("it is far", async || same.get(&key).await.is_some()).await;
    assert!(other.get(&key).await.is_none(), "its keys are hashed under another secret");
    let mut seen = format!("{key:?} {one:?} {:?} {:?} {:?}", one.handle(), one.stats(), one.tiers());
    for name in place.server().keys("*").await {
        let value = place.server().command(&["DUMP", &name]).await;
        if let redis::Value::BulkString(bytes) = value {
            seen += &format!("{name} {}", String::from_utf8_lossy(&bytes));
        }
    }
    one.invalidate(&key).await.expect("an invalidation");
    seen += &log.text();
    for hidden in [SECRET, &SECRET[8..], "sixteen bytes"] {
        assert!(!seen.contains(hidden), "{hidden} is in {seen}");
    }
}
