//! The page at `/`, for people.

use std::borrow::Cow;

use axum::{
    extract::OriginalUri,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY},
};

/// One file, which needs nothing from elsewhere. Its links are relative, so that it may be mounted anywhere.
const PAGE: &str = include_str!("page.html");

/// What it may do: run what is in it, and ask the router that it came from.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
     connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn page(OriginalUri(uri): OriginalUri) -> Response {
    let fields = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (fields.map(|(name, value)| (name, HeaderValue::from_static(value))), at(uri.path())).into_response()
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
}
