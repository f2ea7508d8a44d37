//! The page at `/`, for people: a dashboard.

use std::{borrow::Cow, sync::LazyLock};

use axum::{
    extract::OriginalUri,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY},
};
use sha2::{Digest as _, Sha256};

macro_rules! style {
    () => {
        include_str!("page.css")
    };
}

macro_rules! script {
    () => {
        concat!(
            "\"use strict\";\n",
            include_str!("show.js"),
            include_str!("chart.js"),
            include_str!("panels.js"),
            include_str!("purge.js"),
            include_str!("live.js"),
        )
    };
}

/// One document, which needs nothing from elsewhere. Its links are relative, so that it may be mounted anywhere.
const PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>larder</title>\n",
    "<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Cpath ",
    "fill='%231f8a5b' d='M7 2h10v3H7zM6 6h12c1.7 1.4 2.5 3 2.5 5v8.5A2.5 2.5 0 0 1 18 22H6a2.5 2.5 0 0 ",
    "1-2.5-2.5V11c0-2 .8-3.6 2.5-5z'/%3E%3C/svg%3E\">\n<style>",
    style!(),
    "</style>\n</head>\n<body>\n",
    include_str!("body.html"),
    "<script>",
    script!(),
    "</script>\n</body>\n</html>\n",
);

/// What it may do: run what is in it and nothing else, make no markup out of texts, and ask the router that it came from.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    let (script, style) = (hash(script!()), hash(style!()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; connect-src 'self'; \
         base-uri 'self'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    // It is all visible ASCII; were it not, the page might do nothing.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

pub(super) async fn page(OriginalUri(uri): OriginalUri) -> Response {
    let fields = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (CONTENT_SECURITY_POLICY, POLICY.clone()),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (fields, at(uri.path())).into_response()
}

/// The page at a path. One that doesn't end with a slash, as where a router is nested, would lead its links astray.
fn at(path: &str) -> Cow<'static, str> {
    match path.rsplit('/').next() {
        Some(last) if !last.is_empty() => {
            let last = last.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
            PAGE.replacen("<head>", &format!("<head>\n<base href=\"./{last}/\">"), 1).into()
        }
        _ => PAGE.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_below_the_path_that_the_page_is_at() {
        assert!(!at("/").contains("<base") && !at("/admin/").contains("<base"));
        assert!(at("/ops/admin").contains("<head>\n<base href=\"./admin/\">"));
        assert!(at("/a\"><script>").contains("<base href=\"./a&quot;>&lt;script>/\">"));
    }

    /// One that isn't known is shown as it comes, and in grey.
    #[test]
    fn every_state_of_a_breaker_has_its_colour() {
        use crate::{breaker::State, store::TierState};
        let upstreams = [State::Closed, State::Open, State::HalfOpen].map(serde_json::to_value);
        let tiers = [TierState::Closed, TierState::Open, TierState::HalfOpen].map(serde_json::to_value);
        let line = PAGE.lines().find(|line| line.starts_with("const STATES")).expect("it is there");
        for state in upstreams.into_iter().chain(tiers) {
            let state = state.expect("JSON");
            let name = state.as_str().expect("a text");
            let is_known = [format!(" {name}: "), format!("\"{name}\": ")].iter().any(|member| line.contains(member));
            assert!(is_known, "{name} in {line}");
        }
    }

    /// What is shown has parts that clients choose: labels, models, tags.
    #[test]
    fn no_text_can_become_markup_and_nothing_comes_from_elsewhere() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "DOMParser",
            "localStorage",
            "cookie",
        ] {
            assert!(!PAGE.contains(way), "{way}");
        }
        let links = PAGE.split("http").skip(1).filter(|rest| rest.starts_with("://") || rest.starts_with("s://"));
        // The name of a vocabulary is no address.
        assert!(links.clone().count() == 2 && links.into_iter().all(|rest| rest.starts_with("://www.w3.org/2000/svg")));
        let policy = POLICY.to_str().expect("printable");
        assert!(policy.matches("'sha256-").count() == 2 && !policy.contains("unsafe"), "{policy}");
        assert_eq!(
            PAGE.matches("<script>").count() + PAGE.matches("<style>").count(),
            2,
            "one of each, as the hashes have it"
        );
    }
}
