//! An axum server that looks up users by their API keys, and keeps what it found.
//!
//! ```text
//! cargo run --example axum_auth --features auth
//! ```
//!
//! The table takes 50 ms a query, as PostgreSQL in another zone may; here it is a map and a timer. The server asks itself: a first
//! request, which waits for the table, a second, which doesn't, a crowd, a key that nobody has, and one that was revoked.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{Extension, Router, routing::get};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use larder::{
    cached::{Secret, auth},
    tag::{InvalidTag, Tag},
};
use tokio::net::TcpListener;

/// How long a query takes.
const QUERY: Duration = Duration::from_millis(50);

struct User {
    name: String,
    tag: Tag,
}

/// `SELECT … FROM users JOIN keys ON … WHERE keys.hash = $1`, and what it would find.
#[derive(Clone, Default)]
struct Table {
    owners: Arc<Mutex<HashMap<String, String>>>,
}

impl Table {
    async fn owner(self, key: Secret<String>) -> Result<Option<User>, InvalidTag> {
        tokio::time::sleep(QUERY).await;
        let owner = self.owners().get(key.expose()).cloned();
        owner.map(|name| Ok(User { tag: tag(&name)?, name })).transpose()
    }

    fn owners(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes a user's keys.
    fn revoke(&self, name: &str) {
        self.owners().retain(|_, owner| owner != name);
    }
}

fn tag(name: &str) -> Result<Tag, InvalidTag> {
    Tag::new(&format!("user:{name}"))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let table = Table::default();
    for (key, name) in [("sk-ada-1", "ada"), ("sk-ada-2", "ada"), ("sk-bob", "bob")] {
        table.owners().insert(key.to_owned(), name.to_owned());
    }

    // 5 minutes for who is known, 30 seconds for who isn't. Several servers: `.store(Redis::new(url)?).secret(secret)`.
    let users = auth::cache::<User>("users").tags(|user| vec![user.tag.clone()]).try_build()?;
    let authorizer = auth::Authorizer::new(users.clone(), {
        let table = table.clone();
        move |key| table.clone().owner(key)
    });
    let app = Router::new()
        .route("/", get(|Extension(user): Extension<Arc<User>>| async move { user.name.clone() }))
        .layer(authorizer.layer());

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let site = Site { address: listener.local_addr()?, client: Client::builder(TokioExecutor::new()).build_http() };
    tokio::spawn(async move { axum::serve(listener, app).await });

    let first = site.ask("first request", "sk-ada-1").await?;
    assert_eq!((first.0, first.1.as_str()), (StatusCode::OK, "ada"));
    let second = site.ask("second request", "sk-ada-1").await?;
    assert_eq!(second.1, "ada");

    let crowd = (0..100).map(|_| site.send("sk-bob"));
    let begin = Instant::now();
    for answer in futures_util::future::join_all(crowd).await {
        assert_eq!(answer?.1, "bob");
    }
    println!("{:<28} {:>9.3?}  {} queries so far", "100 at once, another key", begin.elapsed(), users.stats().loads);
    assert_eq!(users.stats().loads, 2, "one query for all of them");

    assert_eq!(site.ask("a key that nobody has", "sk-eve").await?.0, StatusCode::UNAUTHORIZED);
    assert_eq!(site.ask("the same again", "sk-eve").await?.0, StatusCode::UNAUTHORIZED);

    // Whoever changes the table says so. The next request is refused, here and wherever the store is shared.
    table.revoke("ada");
    users.invalidate_tag(&tag("ada")?).await?;
    assert_eq!(site.ask("revoked", "sk-ada-1").await?.0, StatusCode::UNAUTHORIZED);
    assert_eq!(site.ask("not revoked", "sk-bob").await?.0, StatusCode::OK);

    let stats = users.stats();
    println!(
        "{} look-ups, {} queries, {:.0} % hits",
        stats.lookups(),
        stats.loads,
        stats.hit_ratio().unwrap_or(0.0) * 100.0
    );
    Ok(())
}

struct Site {
    address: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Site {
    async fn ask(&self, what: &str, key: &str) -> anyhow::Result<(StatusCode, String)> {
        let begin = Instant::now();
        let (status, text) = self.send(key).await?;
        println!("{what:<28} {:>9.3?}  {status} {text}", begin.elapsed());
        Ok((status, text))
    }

    async fn send(&self, key: &str) -> anyhow::Result<(StatusCode, String)> {
        let request =
            Request::get(format!("http://{}/", self.address)).header("authorization", format!("Bearer {key}"));
        let response = self.client.request(request.body(Empty::new())?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}
