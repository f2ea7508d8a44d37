//! `GET /api/cache/entries`, `GET` and `DELETE /api/cache/entries/{key}`.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{extract::State as Shared, response::Response};
use serde::{Deserialize, Serialize};

use super::{
    params::{KeyOfPath, Params, json, selector},
    problem::Problem,
    purge::{Purgeable, Purged, purge_in},
    state::State,
};
use crate::{
    store::{Cursor, Listed, Listing, MAX_PAGE},
    tag::{Selector, Tag},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    space: Option<String>,
    pattern: Option<String>,
    tag: Option<String>,
    key: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpaceParam {
    space: Option<String>,
}

#[derive(Serialize)]
struct Entries {
    entries: Vec<Shown>,
    /// For `cursor`; absent on the last page.
    next: Option<String>,
    /// Whether a tier could not be asked.
    partial: bool,
}

/// An entry without its body.
#[derive(Serialize)]
struct Shown {
    key: String,
    label: String,
    space: String,
    status: Option<u16>,
    received_at: f64,
    age: f64,
    fresh_until: Option<f64>,
    ttl: Option<i64>,
    size: u64,
    hits: Option<u64>,
    tags: Vec<String>,
    tiers: Vec<&'static str>,
}

impl Shown {
    fn of(space: &str, listed: &Listed, now: SystemTime) -> Self {
        let age = match &listed.lifetime {
            Some(lifetime) => lifetime.age(now),
            None => now.duration_since(listed.received_at).unwrap_or_default(),
        };
        let fresh_until = listed.lifetime.as_ref().and_then(|lifetime| {
            let fresh_for = lifetime.fresh_for.saturating_sub(lifetime.initial_age);
            lifetime.received_at.checked_add(fresh_for)
        });
        Self {
            key: listed.key.to_string(),
            label: listed.key.label().to_owned(),
            space: space.to_owned(),
            status: listed.status.map(|status| status.as_u16()),
            received_at: unix(listed.received_at),
            age: age.as_secs_f64(),
            fresh_until: fresh_until.map(unix),
            ttl: listed.lifetime.as_ref().map(|lifetime| lifetime.ttl(now)),
            size: listed.size,
            hits: listed.hits,
            tags: listed.tags.iter().map(Tag::to_string).collect(),
            tiers: listed.tiers.clone(),
        }
    }
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

pub(super) async fn list(
    Shared(state): Shared<Arc<State>>,
    Params(params): Params<ListParams>,
) -> Result<Response, Problem> {
    let selector = selector(params.pattern.as_deref(), params.tag.as_deref(), params.key.as_deref())?;
    let caches = state.caches_in(params.space.as_deref())?;
    let limit = params.limit.unwrap_or(100);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("limit takes 1 to {MAX_PAGE}")));
    }
    let place = params.cursor.map(|text| {
        Place::parse(&text)
            .ok_or_else(|| Problem::bad_request("the cursor is none that this router gave; begin again without one"))
    });
    let place = place.transpose()?;
    let begun = place.as_ref().map_or(Some(0), |place| caches.iter().position(|(name, _)| *name == place.space));
    let Some(begun) = begun else {
        return Err(Problem::bad_request("the cursor is one of another space; begin again without one"));
    };
    let Some((space, cache)) = caches.get(begun) else {
        return Ok(json(&Entries { entries: Vec::new(), next: None, partial: false }));
    };
    let after = place.and_then(|place| place.after).map(Cursor::new);
    let listing = Listing::new(selector.unwrap_or(Selector::All)).limit(limit).after(after);
    let page = cache.list(&listing).await.map_err(|error| Problem::of_store(space, &error))?;
    let now = cache.now();
    let next = match page.next {
        Some(next) => Some(Place { space: space.clone(), after: Some(next.to_string()) }),
        None => caches.get(begun + 1).map(|(space, _)| Place { space: space.clone(), after: None }),
    };
    Ok(json(&Entries {
        entries: page.entries.iter().map(|listed| Shown::of(space, listed, now)).collect(),
        next: next.map(|place| place.text()),
        partial: page.is_partial,
    }))
}

pub(super) async fn one(
    Shared(state): Shared<Arc<State>>,
    KeyOfPath(key): KeyOfPath,
    Params(params): Params<SpaceParam>,
) -> Result<Response, Problem> {
    for (space, cache) in state.caches_in(params.space.as_deref())? {
        let found = cache.entry(&key).await.map_err(|error| Problem::of_store(space, &error))?;
        if let Some(listed) = found {
            return Ok(json(&Shown::of(space, &listed, cache.now())));
        }
    }
    Err(Problem::not_found(format!("nothing is kept under {key}")))
}

pub(super) async fn remove(
    Shared(state): Shared<Arc<State>>,
    KeyOfPath(key): KeyOfPath,
    Params(params): Params<SpaceParam>,
) -> Result<Response, Problem> {
    let purged: Purged =
        purge_in(&Purgeable::of(&state, params.space.as_deref())?, &Selector::Key(key.clone())).await?;
    if purged.purged == 0 {
        return Err(Problem::not_found(format!("nothing is kept under {key}")));
    }
    Ok(json(&purged))
}

/// Where a page ended.
#[derive(Debug, PartialEq)]
struct Place {
    space: String,
    after: Option<String>,
}

impl Place {
    /// Hexadecimal digits, which need no escaping in a URL.
    fn text(&self) -> String {
        let plain = match &self.after {
            Some(after) => format!("{}/{after}", self.space),
            None => self.space.clone(),
        };
        plain.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn parse(hex: &str) -> Option<Self> {
        let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
        let byte = |pair: &[u8; 2]| {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            u8::try_from(high? << 4 | low?).ok()
        };
        let plain = String::from_utf8(pairs.iter().map(byte).collect::<Option<_>>()?).ok()?;
        Some(match plain.split_once('/') {
            Some((space, after)) => Self { space: space.to_owned(), after: Some(after.to_owned()) },
            None => Self { space: plain, after: None },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_from_its_text(space in "[a-z.-]{1,9}", after in prop::option::of(".{0,40}")) {
            let place = Place { space, after };
            let text = place.text();
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_hexdigit()));
            prop_assert_eq!(Place::parse(&text), Some(place));
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,40}") {
            let _ = Place::parse(&text);
        }
    }
}
