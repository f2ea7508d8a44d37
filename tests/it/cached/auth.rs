//! Verdicts on credentials.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{Extension, Router, body::Body, response::Response, routing::get};
use futures_util::future::join_all;
use http::{HeaderName, Request, StatusCode};
use http_body_util::BodyExt as _;
use larder::{
    cached::{Cached, Secret, auth},
    clock::ManualClock,
};
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;

use super::{hears, redis, tag, until};
use crate::support::{Log, redis::Server};

#[derive(Debug, Serialize, Deserialize)]
struct User {
    id: u32,
}

/// The table of keys; it counts what it is asked, and fails while there is none.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<(Option<HashMap<String, u32>>, usize)>>);

impl Table {
    fn with(keys: &[(&str, u32)]) -> Self {
        let table = Self::default();
        table.set(Some(keys));
        table
    }

    fn set(&self, keys: Option<&[(&str, u32)]>) {
        let keys = keys.map(|keys| keys.iter().map(|(key, id)| ((*key).to_owned(), *id)).collect());
        self.0.lock().expect("no panic").0 = keys;
    }

    fn asked(&self) -> usize {
        self.0.lock().expect("no panic").1
    }

    fn find(&self, key: &Secret<String>) -> Result<Option<User>, &'static str> {
        let mut table = self.0.lock().expect("no panic");
        table.1 += 1;
        let keys = table.0.as_ref().ok_or("there is no table")?;
        Ok(keys.get(key.expose()).map(|id| User { id: *id }))
    }
}

fn app(users: &Cached<Secret<String>, User>, table: &Table) -> Router {
    let table = table.clone();
    let check = move |key: Secret<String>| {
        let table = table.clone();
        async move { table.find(&key) }
    };
    let who = |Extension(user): Extension<Arc<User>>| async move { user.id.to_string() };
    Router::new().route("/", get(who)).layer(auth::Authorizer::new(users.clone(), check).layer())
}

async fn ask(app: &Router, field: &str, value: &str) -> Response {
    let request = Request::get("/").header(field, value).body(Body::empty()).expect("a request");
    app.clone().oneshot(request).await.expect("an answer")
}

async fn told(app: &Router, key: &str) -> (StatusCode, String) {
    let response = ask(app, "authorization", &format!("Bearer {key}")).await;
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_key_is_checked_once_for_its_time_and_one_that_nobody_has_for_less() {
    let (clock, table) = (ManualClock::new(SystemTime::now()), Table::with(&[("sk-1", 1)]));
    let users = auth::cache("keys").jitter(0.0).clock(clock.clone()).build();
    let app = app(&users, &table);
    for _ in 0..3 {
        assert_eq!(told(&app, "sk-1").await, (StatusCode::OK, "1".to_owned()));
        assert_eq!(told(&app, "sk-2").await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(table.asked(), 2);
    clock.advance(Duration::from_secs(30));
    table.set(Some(&[("sk-1", 1), ("sk-2", 2)]));
    assert_eq!(told(&app, "sk-2").await.1, "2");
    clock.advance(Duration::from_secs(269));
    assert_eq!((told(&app, "sk-1").await.1.as_str(), table.asked()), ("1", 3));
    clock.advance(Duration::from_secs(1));
    assert_eq!((told(&app, "sk-1").await.1.as_str(), table.asked()), ("1", 4));
}

#[tokio::test]
async fn who_sends_no_credential_is_told_so_and_nobody_is_asked() {
    let table = Table::with(&[("sk-1", 1), ("", 2)]);
    let users = auth::cache("keys").build();
    let app = app(&users, &table);
    for (field, value) in
        [("accept", "*/*"), ("authorization", "Bearer "), ("authorization", "Basic sk-1"), ("x-api-key", "")]
    {
        let response = ask(&app, field, value).await;
        assert_eq!(
            (response.status(), &response.headers()["www-authenticate"]),
            (StatusCode::UNAUTHORIZED, &"Bearer".parse().expect("a value"))
        );
    }
    assert_eq!(table.asked(), 0);
    assert_eq!(ask(&app, "x-api-key", "sk-1").await.status(), StatusCode::OK);
    let refused = ask(&app, "x-api-key", "sk-2").await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
}

#[tokio::test]
async fn a_field_that_is_named_is_the_only_one() {
    let table = Table::with(&[("sk-1", 1)]);
    let check = move |key: Secret<String>| {
        let table = table.clone();
        async move { table.find(&key) }
    };
    let authorizer = auth::Authorizer::new(auth::cache::<User>("keys").build(), check);
    let layer = authorizer.field(HeaderName::from_static("x-key")).layer();
    let app = Router::new().route("/", get(|| async { "in" })).layer(layer);
    assert_eq!(ask(&app, "authorization", "Bearer sk-1").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&app, "x-key", "sk-1").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_check_that_fails_lets_nobody_in_and_is_not_kept() {
    let (log, clock, table) = (Log::new(), ManualClock::new(SystemTime::now()), Table::default());
    let builder = auth::cache("keys").jitter(0.0).clock(clock.clone());
    let users = builder.stale_if_error(Duration::from_secs(3600)).build();
    let app = app(&users, &table);
    for asked in 1..3 {
        let response = ask(&app, "x-api-key", "sk-1").await;
        assert_eq!((response.status().as_u16(), table.asked()), (503, asked));
        assert_eq!(response.headers()["retry-after"], "1");
    }
    assert!(log.text().contains("there is no table") && !log.text().contains("sk-1"), "{}", log.text());
    table.set(Some(&[("sk-1", 1)]));
    assert_eq!(told(&app, "sk-1").await.1, "1");
    table.set(None);
    clock.advance(Duration::from_secs(600));
    assert_eq!(told(&app, "sk-1").await.1, "1", "who was known before is let in for a while");
    assert_eq!(told(&app, "sk-2").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

/// A crowd behind one key must not be what a table that is down is asked by.
#[tokio::test(start_paused = true)]
async fn a_check_that_fails_is_made_once_for_all_who_wait_for_it() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let check = move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Err::<Option<User>, _>("there is no table")
        }
    };
    let layer = auth::Authorizer::new(auth::cache::<User>("keys").build(), check).layer();
    let app = Router::new().route("/", get(|| async { "in" })).layer(layer);
    let answers = join_all((0..100).map(|_| ask(&app, "x-api-key", "sk-1"))).await;
    assert!(answers.iter().all(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_user_who_is_revoked_is_refused_at_once_by_every_instance() {
    let server = Server::start().await;
    let table = Table::with(&[("sk-1", 1), ("sk-1b", 1), ("sk-2", 2)]);
    let stores = [(); 2].map(|()| redis(&server.url()));
    let instances = stores.each_ref().map(|store| {
        let builder = auth::cache::<User>("keys").tags(|user| vec![tag(&format!("user:{}", user.id))]);
        builder.store(store.clone()).secret("sixteen bytes ok").lookup_timeout(super::SOON).build()
    });
    for store in &stores {
        hears(store).await;
    }
    let apps = instances.each_ref().map(|users| app(users, &table));
    for app in &apps {
        for (key, id) in [("sk-1", "1"), ("sk-1b", "1"), ("sk-2", "2")] {
            assert_eq!(told(app, key).await.1, id);
        }
        until("they are far", async || server.keys("larder:default:keys:*").await.len() == 3).await;
    }
    assert_eq!(table.asked(), 3, "what one instance asked the other knows");
    table.set(Some(&[("sk-2", 2)]));
    instances[0].invalidate_tag(&tag("user:1")).await.expect("an invalidation");
    for key in ["sk-1", "sk-1b"] {
        assert_eq!(told(&apps[0], key).await.0, StatusCode::UNAUTHORIZED, "{key}");
        until("the other is told", async || told(&apps[1], key).await.0 == StatusCode::UNAUTHORIZED).await;
    }
    assert_eq!((told(&apps[0], "sk-2").await.1, told(&apps[1], "sk-2").await.1), ("2".to_owned(), "2".to_owned()));
}
