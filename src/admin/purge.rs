//! `DELETE /api/cache`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State as Shared, response::Response};
use serde::{Deserialize, Serialize};

use super::{
    params::{Params, json, selector},
    problem::Problem,
    state::State,
};
use crate::{cache, cached, llm::embeddings, store, tag::Selector};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PurgeParams {
    pattern: Option<String>,
    tag: Option<String>,
    key: Option<String>,
    space: Option<String>,
    #[serde(default)]
    all: bool,
}

/// How many entries were removed, in all and in each space; of embeddings under their layer's name.
#[derive(Default, Serialize)]
pub(super) struct Purged {
    pub(super) purged: u64,
    spaces: BTreeMap<String, u64>,
}

pub(super) async fn purge(
    Shared(state): Shared<Arc<State>>,
    Params(params): Params<PurgeParams>,
) -> Result<Response, Problem> {
    let selector = selector(params.pattern.as_deref(), params.tag.as_deref(), params.key.as_deref())?;
    let stores = Purgeable::of(&state, params.space.as_deref())?;
    let selector = match (selector, params.all) {
        (Some(_), true) => {
            return Err(Problem::bad_request(
                "all=true says everything, and pattern, tag or key some; take one of them",
            ));
        }
        (Some(selector), false) => selector,
        (None, false) if params.space.is_none() => {
            let detail = "this would remove everything; say what is meant by pattern, tag, key or space, or all=true";
            return Err(Problem::bad_request(detail));
        }
        (None, _) => Selector::All,
    };
    purge_in(&stores, &selector).await.map(|purged| json(&purged))
}

/// What a purge is for.
pub(super) struct Purgeable<'a> {
    caches: &'a [(String, cache::Handle)],
    embeddings: &'a [(String, embeddings::Handle)],
    lookups: &'a [(String, cached::Handle)],
}

impl<'a> Purgeable<'a> {
    /// The cache of a space, or all that there is: layers that keep embeddings are in no space.
    pub(super) fn of(state: &'a State, space: Option<&str>) -> Result<Self, Problem> {
        let lookups = state.lookups.iter().position(|(name, _)| Some(name.as_str()) == space);
        match (space, lookups.and_then(|at| state.lookups.get(at..=at))) {
            (None, _) => Ok(Self { caches: &state.caches, embeddings: &state.embeddings, lookups: &state.lookups }),
            (Some(_), Some(lookups)) => Ok(Self { caches: &[], embeddings: &[], lookups }),
            (Some(_), None) => Ok(Self { caches: state.caches_in(space)?, embeddings: &[], lookups: &[] }),
        }
    }
}

/// Removes what is meant from these. Of those that fail the first is told, after all have been tried.
pub(super) async fn purge_in(stores: &Purgeable<'_>, selector: &Selector) -> Result<Purged, Problem> {
    let (mut purged, mut failed) = (Purged::default(), None);
    let mut note = |space: &str, result: store::Result<u64>| match result {
        Ok(count) => {
            tracing::info!(space, ?selector, purged = count, "purged by the admin router");
            purged.purged += count;
            *purged.spaces.entry(space.to_owned()).or_default() += count;
        }
        Err(error) => {
            tracing::warn!(space, ?selector, error = &error as &dyn std::error::Error, "a purge failed");
            failed.get_or_insert_with(|| Problem::of_store(space, &error));
        }
    };
    // First: what lies in a cache's store and in memory as well is counted once.
    for (space, lookups) in stores.lookups {
        note(space, lookups.purge(selector).await);
    }
    for (space, cache) in stores.caches {
        note(space, cache.purge(selector).await);
    }
    // Also where the store is a cache's: what is being asked for isn't kept then.
    for (name, kept) in stores.embeddings {
        note(name, kept.purge(selector).await);
    }
    match failed {
        Some(problem) if purged.spaces.is_empty() => Err(problem),
        Some(problem) => Err(problem.after(&format!("{} were removed elsewhere; ", purged.purged))),
        None => Ok(purged),
    }
}
