//! Which path leads where.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::Uri,
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, delete, get, post},
};
use http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE};

use super::{
    auth, costs, entries, explain, health, limits, metrics, page, problem::Problem, purge, state::State, stats,
};

/// The OpenAPI document.
const OPENAPI: &str = include_str!("openapi.json");

/// The largest body of a request, in bytes: two requests to be explained.
const MAX_BODY: usize = 16 << 20;

fn routes() -> [(&'static str, MethodRouter<Arc<State>>); 12] {
    [
        ("/", get(page::page)),
        ("/health", get(health::process)),
        ("/health/cache", get(health::stores)),
        ("/api/cache", delete(purge::purge)),
        ("/api/cache/stats", get(stats::stats)),
        ("/api/cache/costs", get(costs::costs)),
        ("/api/cache/entries", get(entries::list)),
        // A label may have slashes.
        ("/api/cache/entries/{*key}", get(entries::one).delete(entries::remove)),
        ("/api/cache/explain", post(explain::explain)),
        ("/api/limits", get(limits::limits)),
        ("/metrics", get(metrics::metrics)),
        ("/openapi.json", get(openapi)),
    ]
}

pub(super) fn router(state: Arc<State>) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    router
        .method_not_allowed_fallback(not_allowed)
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(state.clone(), auth::guard))
        .with_state(state)
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI).into_response()
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no {} here; see openapi.json", uri.path()))
}

async fn not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method} isn't for {}; the field Allow names what is", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use http::Request;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{CacheLayer, store::Memory};

    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

    fn document() -> Value {
        serde_json::from_str(OPENAPI).expect("JSON")
    }

    fn members(value: &Value) -> Vec<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    }

    #[test]
    fn every_path_is_documented_and_the_other_way_round() {
        let documented: BTreeSet<_> = members(&document()["paths"]).into_iter().collect();
        let paths = routes().into_iter().map(|(path, _)| path.replace("{*", "{"));
        assert_eq!(documented, paths.collect());
    }

    #[tokio::test]
    async fn every_method_is_documented_and_the_other_way_round() {
        let cache = CacheLayer::new(Memory::new(1 << 20));
        let router = super::super::router(cache.handle()).insecure().build();
        let document = document();
        for path in members(&document["paths"]) {
            let documented = &document["paths"][&path];
            for method in METHODS {
                let uri = path.replace("{key}", &format!("a/b:{}", "0".repeat(64)));
                let request = Request::builder().method(method.to_uppercase().as_str()).uri(&uri);
                let response = router.clone().oneshot(request.body(Body::empty()).expect("a request")).await;
                let response = response.expect("an answer");
                let is_documented = documented.get(method).is_some();
                let is_known = response.status() != StatusCode::METHOD_NOT_ALLOWED;
                assert_eq!(is_known, is_documented, "{method} {uri}: {}", response.status());
                if is_known {
                    let status = response.status().as_u16().to_string();
                    let is_said = documented[method]["responses"].get(&status).is_some();
                    assert!(is_said, "{method} {uri} answers {status}, which isn't documented");
                }
            }
        }
    }

    #[test]
    fn the_document_refers_to_nothing_that_is_not_there() {
        fn references(value: &Value, found: &mut Vec<String>) {
            if let Some(Value::String(to)) = value.get("$ref") {
                found.push(to.clone());
            }
            let members = value.as_object().into_iter().flat_map(serde_json::Map::values);
            let elements = value.as_array().into_iter().flatten();
            members.chain(elements).for_each(|value| references(value, found));
        }
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 10 && document["openapi"] == "3.1.0");
        for to in found {
            assert!(document.pointer(to.trim_start_matches('#')).is_some(), "{to}");
        }
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(document["info"]["version"], version);
    }
}
