//! Who may use the router: whoever has the token.

use std::sync::Arc;

use axum::{
    extract::{Request, State as Shared},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS},
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{problem::Problem, state::State};
use crate::ConfigError;

/// Who is let in.
pub(super) enum Auth {
    /// Whoever has the token with this digest. What is compared is of one length so, and nothing of the token is kept.
    Token([u8; 32]),
    /// Everybody; there is nobody to be kept out.
    Nobody,
}

/// What a request lacks.
#[derive(Debug, PartialEq)]
enum Lacking {
    Token,
    RightToken,
}

impl Auth {
    pub(super) fn token(secret: &str) -> Result<Self, ConfigError> {
        if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            // The secret is not shown.
            let problem = "it can't be sent in a field; take a long random text of visible ASCII without spaces";
            return Err(ConfigError::new("admin token", problem));
        }
        Ok(Self::Token(Sha256::digest(secret).into()))
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Lacking> {
        let Self::Token(expected) = self else { return Ok(()) };
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else { return Err(Lacking::Token) };
        let (scheme, given) = field.as_bytes().split_at_checked(7).ok_or(Lacking::Token)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return Err(Lacking::Token);
        }
        let given: [u8; 32] = Sha256::digest(given.trim_ascii()).into();
        if bool::from(given.ct_eq(expected)) { Ok(()) } else { Err(Lacking::RightToken) }
    }
}

/// Whether a path is that of the page, which nothing else lies under.
pub(super) fn is_page(path: &str) -> bool {
    matches!(path, "" | "/")
}

/// Lets a request pass that has the token.
pub(super) async fn guard(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    // Nothing is on the page that is secret, and a browser that goes there has no token yet.
    let checked = if is_page(request.uri().path()) { Ok(()) } else { state.auth.check(request.headers()) };
    let mut response = match checked {
        Ok(()) => next.run(request).await,
        Err(lacking) => refuse(&lacking),
    };
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// As RFC 6750 has it.
fn refuse(lacking: &Lacking) -> Response {
    let (challenge, detail) = match lacking {
        Lacking::Token => {
            ("Bearer realm=\"larder\"", "this takes a token; send the field Authorization: Bearer, and the token")
        }
        Lacking::RightToken => (
            "Bearer realm=\"larder\", error=\"invalid_token\"",
            "the token is another one; send that which the router was given",
        ),
    };
    let mut response = Problem::unauthorized(detail).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_and_nothing_like_it_lets_in() {
        let auth = Auth::token("s3cret").expect("a token");
        let headers = |values: &[&'static str]| {
            values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        for values in [&["Bearer s3cret"][..], &["bearer s3cret"], &["BEARER  s3cret "]] {
            assert_eq!(auth.check(&headers(values)), Ok(()), "{values:?}");
        }
        let without = [&[][..], &["s3cret"], &["Basic s3cret"], &["Bearer"], &["Bearer s3cret", "Bearer s3cret"]];
        for values in without {
            assert_eq!(auth.check(&headers(values)), Err(Lacking::Token), "{values:?}");
        }
        for values in [&["Bearer "][..], &["Bearer s3cre"], &["Bearer s3crets"], &["Bearer S3cret"], &["Bearer x"]] {
            assert_eq!(auth.check(&headers(values)), Err(Lacking::RightToken), "{values:?}");
        }
        assert_eq!(Auth::Nobody.check(&headers(&[])), Ok(()));
    }
}
