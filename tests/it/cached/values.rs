//! Values as they lie in a store, and those that can't be read.

use std::{collections::BTreeMap, net::IpAddr};

use larder::cached::Cached;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Kept, Place, hears, redis, until};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Plan {
    Free,
    Paid { cents: i64, until: Option<u64> },
    Other(String),
}

/// What is awkward for formats without names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default)]
    plan: Option<Plan>,
    address: IpAddr,
    limits: BTreeMap<String, f64>,
    #[serde(flatten)]
    more: BTreeMap<String, serde_json::Value>,
}

async fn over<V: Serialize + DeserializeOwned + Send + Sync + 'static>(place: &Place, schema: u32) -> Cached<str, V> {
    let store = redis(&place.server().url());
    let cached = Cached::builder("users").schema(schema).entries(0).store(store.clone()).build();
    hears(&store).await;
    cached
}

#[tokio::test]
async fn values_come_back_as_they_were() {
    let place = Place::new(Kept::Redis).await;
    let cached = over::<User>(&place, 0).await;
    for plan in [None, Some(Plan::Free), Some(Plan::Paid { cents: -1, until: None }), Some(Plan::Other("x".into()))] {
        let user = User {
            id: u128::MAX,
            name: plan.is_some().then(|| "Ada".to_owned()),
            plan,
            address: "::1".parse().expect("an address"),
            limits: [("rpm".to_owned(), 0.5)].into(),
            more: [("flags".to_owned(), serde_json::json!({"beta": [1, null, "x"]}))].into(),
        };
        cached.insert("key", user.clone()).await.expect("kept");
        assert_eq!(cached.get("key").await.as_deref(), Some(&user));
    }
    assert_eq!(cached.stats().unreadable, 0);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Old {
    name: String,
    credits: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct New {
    name: String,
    cents: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wider {
    name: String,
    credits: u32,
    #[serde(default)]
    is_admin: bool,
}

#[tokio::test]
async fn a_value_of_another_schema_is_a_miss_counted_and_removed() {
    let place = Place::new(Kept::Redis).await;
    let [old, raised] = [over::<Old>(&place, 0).await, over::<Old>(&place, 1).await];
    let new = over::<New>(&place, 0).await;
    let load = || async { Ok::<_, &str>(Old { name: "Ada".to_owned(), credits: 5 }) };
    for reader in 0..2 {
        old.get_or_try_insert("key", load).await.expect("a user");
        until("it is far", async || !place.server().keys("larder:default:users:*").await.is_empty()).await;
        let stats = if reader == 0 {
            assert!(new.get("key").await.is_none(), "its fields are others");
            new.stats()
        } else {
            assert!(raised.get("key").await.is_none(), "its schema is said to be another");
            raised.stats()
        };
        assert_eq!((stats.unreadable, stats.misses), (1, 1));
        assert!(place.server().keys("larder:default:users:*").await.is_empty(), "it is removed");
        assert!(old.get("key").await.is_none());
    }
    let load = || async { Ok::<_, &str>(New { name: "Ada".to_owned(), cents: 500 }) };
    assert_eq!(new.get_or_try_insert("key", load).await.expect("a user").cents, 500);
}

#[tokio::test]
async fn a_field_that_is_new_and_has_a_default_costs_nothing() {
    let place = Place::new(Kept::Redis).await;
    let (old, wider) = (over::<Old>(&place, 0).await, over::<Wider>(&place, 0).await);
    old.insert("key", Old { name: "Ada".to_owned(), credits: 5 }).await.expect("kept");
    let read = wider.get("key").await.expect("it can be read");
    assert_eq!(*read, Wider { name: "Ada".to_owned(), credits: 5, is_admin: false });
}

/// Neither a key nor a value that can't be written keeps anyone from loading.
#[tokio::test]
async fn what_cannot_be_written_is_loaded_each_time_or_kept_near() {
    struct Never;
    impl Serialize for Never {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("never"))
        }
    }
    impl<'de> Deserialize<'de> for Never {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(serde::de::Error::custom("never"))
        }
    }
    let place = Place::new(Kept::Both).await;
    let keys = Cached::<Never, u32>::builder("keys").build();
    for _ in 0..2 {
        assert_eq!(keys.get_or_try_insert(&Never, || async { Ok::<_, &str>(1) }).await.map(|value| *value), Ok(1));
    }
    assert_eq!(keys.stats().unwritable, 2);
    let store = redis(&place.server().url());
    let values = Cached::<str, Never>::builder("values").store(store.clone()).build();
    hears(&store).await;
    values.get_or_try_insert("key", || async { Ok::<_, &str>(Never) }).await.map(drop).expect("loaded");
    until("it is tried", async || values.stats().unwritable == 1).await;
    assert!(values.get("key").await.is_some(), "it is near");
}
