//! What the services of a layer share: the store, and how it is asked.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{asked::Text, flights::Flights, item::Item, stats::Stats};
use crate::{
    clock::{Clock, SystemClock},
    entry::{Entry, Head, Lifetime},
    fingerprint::{BodyUse, Fingerprint as _},
    header::cache_control::RequestDirectives,
    key::Key,
    llm::{Endpoint, Fingerprint, endpoint::is_generation},
    policy::{Policy as _, Reuse, Ttl},
    store::{Fence, Peek, Recent, Result, Seen, Store, Writes},
    tag::Tag,
};
use futures_util::{StreamExt as _, stream};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
    request, response,
};

/// How many look-ups or writes of one request are under way at once.
const AT_ONCE: usize = 128;

/// Fields that hold for a body as it is: signatures and digests of it.
const SEALS: [&str; 7] =
    ["content-digest", "content-md5", "digest", "repr-digest", "signature", "signature-input", "x-amz-content-sha256"];

type Tags = dyn Fn(&request::Parts, &response::Parts) -> Vec<Tag> + Send + Sync;

pub(super) struct Settings {
    pub(super) ttl: Duration,
    pub(super) fingerprint: Fingerprint,
    pub(super) when: Option<Box<dyn Fn(&request::Parts) -> bool + Send + Sync>>,
    pub(super) tags: Option<Box<Tags>>,
    pub(super) max_body: usize,
    pub(super) coalesce: bool,
    pub(super) lookup_timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
}

impl Settings {
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            fingerprint: Fingerprint::new(),
            when: None,
            tags: None,
            max_body: 64 << 20,
            coalesce: true,
            lookup_timeout: Duration::from_millis(250),
            clock: Arc::new(SystemClock),
        }
    }
}

pub(super) struct Shared<St> {
    pub(super) store: St,
    pub(super) settings: Settings,
    pub(super) flights: Arc<Flights>,
    pub(super) purges: Recent,
    pub(super) stats: Arc<Stats>,
    policy: Ttl,
    writes: Writes,
}

/// An embedding that is kept.
pub(super) struct Found {
    pub(super) item: Item,
    pub(super) received_at: SystemTime,
    pub(super) age: Duration,
    /// For how many seconds it is fresh.
    pub(super) ttl: i64,
}

/// How far purges were when a request came.
#[derive(Clone, Copy)]
pub(super) struct Began {
    seen: Seen,
    fence: Fence,
}

impl<St: Store> Shared<St> {
    pub(super) fn new(store: St, settings: Settings) -> Self {
        Self {
            store,
            policy: Ttl::new(settings.ttl),
            settings,
            flights: Arc::default(),
            purges: Recent::default(),
            stats: Arc::default(),
            writes: Writes::default(),
        }
    }

    /// How much of a request's body is read to take it apart; `None` if it passes.
    pub(super) fn reads(&self, head: &request::Parts) -> Option<usize> {
        let is_meant = is_generation(head)
            && Endpoint::of(head.uri.path()) == Some(Endpoint::Embeddings)
            && !head.headers.contains_key(CONTENT_ENCODING)
            && !SEALS.iter().any(|name| head.headers.contains_key(*name))
            && !RequestDirectives::parse(&head.headers).no_store
            && self.settings.when.as_ref().is_none_or(|when| when(head));
        match self.settings.fingerprint.body(head) {
            BodyUse::Buffer { limit } if is_meant => Some(limit),
            BodyUse::Buffer { .. } | BodyUse::Empty | BodyUse::Ignore => None,
        }
    }

    pub(super) fn began(&self) -> Began {
        Began { seen: self.purges.seen(), fence: self.store.fence() }
    }

    /// What is kept of these texts. What isn't found in time is taken not to be kept.
    pub(super) async fn look_up(&self, texts: &[Text], directives: &RequestDirectives) -> Vec<Option<Found>> {
        let (mut found, mut unknown) = (Vec::with_capacity(texts.len()), Vec::new());
        for (at, text) in texts.iter().enumerate() {
            found.push(match self.store.peek(&text.key) {
                Peek::Found(entry) => self.usable(&entry, directives),
                Peek::Absent => None,
                Peek::Unknown => {
                    unknown.push(self.get(at, &text.key));
                    None
                }
            });
        }
        if unknown.is_empty() {
            return found;
        }
        let mut late = pin!(tokio::time::sleep(self.settings.lookup_timeout));
        let mut gets = stream::iter(unknown).buffer_unordered(AT_ONCE);
        loop {
            tokio::select! {
                biased;
                got = gets.next() => match got {
                    Some((at, Ok(entry))) => found[at] = entry.and_then(|entry| self.usable(&entry, directives)),
                    Some((_, Err(error))) => {
                        self.stats.store_read_errors.increment();
                        tracing::debug!(%error, "a look-up failed");
                    }
                    None => return found,
                },
                () = &mut late => {
                    self.stats.store_read_errors.increment();
                    tracing::debug!(timeout = ?self.settings.lookup_timeout, "look-ups took too long");
                    return found;
                }
            }
        }
    }

    async fn get(&self, at: usize, key: &Key) -> (usize, Result<Option<Entry>>) {
        (at, self.store.get(key).await)
    }

    fn usable(&self, entry: &Entry, directives: &RequestDirectives) -> Option<Found> {
        let (now, lifetime) = (self.settings.clock.now(), entry.head().lifetime());
        let serves =
            lifetime.kept_in(now).is_some() && self.policy.reuse(directives, entry.head(), now) == Reuse::Serve;
        let item = serves.then(|| Item::of(entry)).flatten()?;
        Some(Found { item, received_at: lifetime.received_at, age: lifetime.age(now), ttl: lifetime.ttl(now) })
    }

    /// What is kept of new embeddings.
    pub(super) fn entries<'i>(
        &self,
        items: impl Iterator<Item = (&'i Key, &'i Item)>,
        request: &request::Parts,
        response: &response::Parts,
    ) -> Vec<(Key, Entry)> {
        let mut tags = Tag::of(&response.headers);
        tags.extend(self.settings.tags.iter().flat_map(|own| own(request, response)));
        let lifetime = Lifetime::new(self.settings.clock.now(), self.settings.ttl);
        let json = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let head = Head::new(StatusCode::OK, json, lifetime).tags(tags);
        items.filter_map(|(key, item)| Some((key.clone(), item.entry(head.clone())?))).collect()
    }

    /// Writes entries, unless they were purged since. A store that answers at once has them when this returns; for another the
    /// writes go on behind the response.
    pub(super) fn write(self: &Arc<Self>, entries: Vec<(Key, Entry)>, began: Began) {
        let shared = self.clone();
        let write = async move {
            let writes: Vec<_> = entries.iter().map(|(key, entry)| shared.keep(key, entry, began)).collect();
            stream::iter(writes).buffer_unordered(AT_ONCE).for_each(std::future::ready).await;
        };
        let stats = self.stats.clone();
        if !self.writes.begin(write, move || stats.store_write_errors.increment()) {
            self.stats.store_writes_dropped.increment();
        }
    }

    async fn keep(&self, key: &Key, entry: &Entry, began: Began) {
        let is_purged = || self.purges.any_since(began.seen, |selector| selector.matches(key, entry.head().tag_list()));
        if is_purged() {
            return;
        }
        match self.store.put_fenced(key, entry.clone(), began.fence).await {
            Ok(true) => self.stats.items_stored.increment(),
            Ok(false) => {}
            Err(error) => {
                self.stats.store_write_errors.increment();
                tracing::debug!(%error, "a write failed");
            }
        }
        // A purge that came while this was written may have missed it.
        if is_purged() && self.store.remove(key).await.is_err() {
            self.stats.store_write_errors.increment();
        }
    }
}
