//! Who may share an answer.

use std::{fmt, sync::Arc};

use http::{
    HeaderName,
    header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION},
    request::Parts,
};

use crate::key::KeyBuilder;

type TenantFn = Arc<dyn Fn(&Parts) -> Option<Vec<u8>> + Send + Sync>;

/// Whose answers a request may be given. The default is [`Scope::credential`]: nobody sees what another credential paid for.
///
/// Credentials and tenants become part of the key's digest and nothing else: no label, log or metric shows them.
#[derive(Clone)]
pub struct Scope(Kind);

#[derive(Clone)]
enum Kind {
    Credential(Arc<[HeaderName]>),
    Tenant(TenantFn),
    Shared,
}

impl Scope {
    /// Only requests with the same credentials share answers: the fields `Authorization`, `Proxy-Authorization`, `Cookie`,
    /// `X-Api-Key`, `Api-Key` and `X-Goog-Api-Key`.
    #[must_use]
    pub fn credential() -> Self {
        Self::credential_in([
            AUTHORIZATION,
            PROXY_AUTHORIZATION,
            COOKIE,
            HeaderName::from_static("x-api-key"),
            HeaderName::from_static("api-key"),
            HeaderName::from_static("x-goog-api-key"),
        ])
    }

    /// Only requests with the same values in these fields share answers.
    #[must_use]
    pub fn credential_in(fields: impl IntoIterator<Item = HeaderName>) -> Self {
        Self(Kind::Credential(fields.into_iter().collect()))
    }

    /// Requests of one tenant share answers; `tenant` names it from the request's head. A request without a tenant is passed
    /// by the cache.
    #[must_use]
    pub fn tenant<T: Into<Vec<u8>>>(tenant: impl Fn(&Parts) -> Option<T> + Send + Sync + 'static) -> Self {
        Self(Kind::Tenant(Arc::new(move |head| tenant(head).map(Into::into))))
    }

    /// Requests with the same value in this field share answers; one without it, or with two of it, is passed by the cache. The field has to
    /// come from a party that is trusted: whoever can set it can read that tenant's answers.
    #[must_use]
    pub fn tenant_in(field: HeaderName) -> Self {
        Self::tenant(move |head| {
            let mut values = head.headers.get_all(&field).iter();
            let first = values.next()?.as_bytes().to_vec();
            // Two tenants are none: who can add a line must not become another.
            values.next().is_none().then_some(first)
        })
    }

    /// Everybody shares answers.
    #[must_use]
    pub fn shared() -> Self {
        Self(Kind::Shared)
    }

    /// Adds the scope to a key; `None` if the request is to be passed by the cache.
    #[must_use]
    pub fn apply(&self, head: &Parts, mut key: KeyBuilder) -> Option<KeyBuilder> {
        self.add_to(head, &mut key).then_some(key)
    }

    /// As [`Self::apply`], in place; false if the request is to be passed by the cache.
    pub(super) fn add_to(&self, head: &Parts, key: &mut KeyBuilder) -> bool {
        match &self.0 {
            Kind::Shared => true,
            Kind::Tenant(tenant) => tenant(head).inspect(|tenant| key.add("tenant", tenant)).is_some(),
            // Most requests have few fields, and looking each credential up would hash its name.
            Kind::Credential(fields) if !head.headers.keys().any(|name| fields.contains(name)) => true,
            Kind::Credential(fields) => {
                for name in &**fields {
                    for value in head.headers.get_all(name) {
                        key.add("credential", name.as_str().as_bytes());
                        key.add("value", value.as_bytes());
                    }
                }
                true
            }
        }
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::credential()
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Credential(fields) => f.debug_tuple("Credential").field(fields).finish(),
            Kind::Tenant(_) => f.write_str("Tenant"),
            Kind::Shared => f.write_str("Shared"),
        }
    }
}
