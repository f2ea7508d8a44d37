//! Verdicts on credentials, kept: an [`Authorizer`] for tower-http's [`AsyncRequireAuthorizationLayer`].
//!
//! ```
//! use std::convert::Infallible;
//!
//! use axum::{Extension, Router, body::Body, routing::get};
//! use http::{Request, StatusCode};
//! use larder::{
//!     cached::{Secret, auth},
//!     tag::Tag,
//! };
//! use std::sync::Arc;
//! use tower::ServiceExt;
//!
//! struct User {
//!     id: u32,
//! }
//!
//! /// Stands for a query that takes 50 ms.
//! async fn user_of(key: Secret<String>) -> Result<Option<User>, Infallible> {
//!     Ok((key.expose() == "sk-1").then_some(User { id: 1 }))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let tag = |id: u32| Tag::new(&format!("user:{id}")).unwrap();
//! let users = auth::cache::<User>("keys").tags(move |user| vec![tag(user.id)]).build();
//! let app: Router = Router::new()
//!     .route("/", get(|Extension(user): Extension<Arc<User>>| async move { user.id.to_string() }))
//!     .layer(auth::Authorizer::new(users.clone(), user_of).layer());
//!
//! let ask = |key: &str| {
//!     let request = Request::get("/").header("authorization", format!("Bearer {key}")).body(Body::empty()).unwrap();
//!     app.clone().oneshot(request)
//! };
//! assert_eq!(ask("sk-1").await.unwrap().status(), StatusCode::OK);
//! assert_eq!(ask("sk-2").await.unwrap().status(), StatusCode::UNAUTHORIZED);
//! assert_eq!(users.stats().loads, 2);
//!
//! // All keys of this user are looked at again, here and in all processes that share a store.
//! users.invalidate_tag(&tag(1)).await.unwrap();
//! # });
//! ```

use std::{fmt, marker::PhantomData, pin::Pin, sync::Arc, time::Duration};

use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use tower_http::auth::{AsyncAuthorizeRequest, AsyncRequireAuthorizationLayer};

use super::{Builder, Cached, Secret};
use crate::{
    BoxError,
    header::credential::{USUAL, credential},
};

/// For how long it is believed that a credential is good.
pub const POSITIVE: Duration = Duration::from_secs(5 * 60);

/// For how long it is believed that a credential is none.
pub const NEGATIVE: Duration = Duration::from_secs(30);

/// The settings of a cache of verdicts: [5 minutes](POSITIVE) for who is known, [30 seconds](NEGATIVE) for who isn't. Give it
/// [tags](Builder::tags), so that a user can be revoked with all keys; and with a [store](Builder::store), a
/// [secret](Builder::secret).
pub fn cache<V: Send + Sync + 'static>(space: impl Into<String>) -> Builder<Secret<String>, V> {
    Cached::builder(space).ttl(POSITIVE).negative_ttl(NEGATIVE)
}

/// Asks who a credential belongs to, once for a while.
///
/// The credential is a bearer token in `Authorization` ([RFC 6750 §2.1]), or in `x-api-key`, `api-key` or `x-goog-api-key`, or in the
/// [fields](Self::field) that you name. Whoever it belongs to is in the request's extensions as an `Arc<V>`. Who sends none, or one
/// that nobody has, is answered with 401 ([§3]). If the check fails, nobody can be let in: 503, with `Retry-After`, and the error is
/// logged; a [`stale_if_error`](Builder::stale_if_error) window lets in those who were known before.
///
/// Of the credential nothing is kept but a keyed hash; see [`Secret`].
///
/// [RFC 6750 §2.1]: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
/// [§3]: https://www.rfc-editor.org/rfc/rfc6750#section-3
pub struct Authorizer<V, C, B> {
    cached: Cached<Secret<String>, V>,
    check: C,
    /// `None`: the usual ones.
    fields: Option<Arc<[HeaderName]>>,
    _response: PhantomData<fn() -> B>,
}

impl<V, C, B> Authorizer<V, C, B> {
    /// Keeps in `cached` what `check` says: who a credential belongs to, or `None`.
    #[must_use]
    pub fn new<F, E>(cached: Cached<Secret<String>, V>, check: C) -> Self
    where
        C: Fn(Secret<String>) -> F,
        F: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        Self { cached, check, fields: None, _response: PhantomData }
    }

    /// A field that has the credential, in place of the usual ones; called again, one to look at if those before have none. In
    /// `Authorization` it is a bearer token, in any other field all of the value.
    #[must_use]
    pub fn field(mut self, name: HeaderName) -> Self {
        let fields = self.fields.iter().flat_map(|fields| fields.iter().cloned());
        self.fields = Some(fields.chain([name]).collect());
        self
    }

    /// The layer that lets in who is known: `AsyncRequireAuthorizationLayer::new(self)`, of tower-http 0.7.
    #[must_use]
    pub fn layer(self) -> AsyncRequireAuthorizationLayer<Self> {
        AsyncRequireAuthorizationLayer::new(self)
    }
}

impl<R, V, C, F, E, B> AsyncAuthorizeRequest<R> for Authorizer<V, C, B>
where
    R: Send + 'static,
    V: Send + Sync + 'static,
    C: Fn(Secret<String>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Option<V>, E>> + Send + 'static,
    E: Into<BoxError> + Send + 'static,
    B: Default + 'static,
{
    type RequestBody = R;
    type ResponseBody = B;
    type Future = Pin<Box<dyn Future<Output = Result<Request<R>, Response<B>>> + Send>>;

    fn authorize(&mut self, mut request: Request<R>) -> Self::Future {
        let fields = self.fields.as_deref().unwrap_or(&USUAL);
        let text = credential(request.headers(), fields).and_then(|bytes| str::from_utf8(bytes).ok());
        let secret = text.map(|text| Secret::new(text.to_owned()));
        let (cached, check) = (self.cached.clone(), self.check.clone());
        Box::pin(async move {
            let Some(secret) = secret else { return Err(unauthorized("Bearer")) };
            let asked = || {
                let asked = check(secret.clone());
                // Shared, so that a table that is down isn't asked by each who waits.
                async move { asked.await.map_err(|error| Arc::<BoxError>::new(error.into())) }
            };
            match cached.get_or_try_find_shared(&secret, asked).await {
                Ok(Some(owner)) => {
                    request.extensions_mut().insert(owner);
                    Ok(request)
                }
                Ok(None) => Err(unauthorized("Bearer error=\"invalid_token\"")),
                Err(error) => {
                    tracing::warn!(error = &**error, space = cached.handle().space(), "a credential can't be checked");
                    let mut response = Response::new(B::default());
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                    Err(response)
                }
            }
        })
    }
}

impl<V, C: Clone, B> Clone for Authorizer<V, C, B> {
    fn clone(&self) -> Self {
        Self {
            cached: self.cached.clone(),
            check: self.check.clone(),
            fields: self.fields.clone(),
            _response: PhantomData,
        }
    }
}

impl<V, C, B> fmt::Debug for Authorizer<V, C, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").field("cached", &self.cached).finish_non_exhaustive()
    }
}

fn unauthorized<B: Default>(challenge: &'static str) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}
