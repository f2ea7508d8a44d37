//! [`Subject`]: whose use is counted, and [`SubjectOf`]: how it is found in a request.

mod address;
mod api_key;

use std::{fmt, net::IpAddr};

use http::request::Parts;

pub use self::{address::Address, api_key::ApiKey};

/// The longest name that is written out; longer ones are hashed.
const LONGEST: usize = 64;

/// Whose use is counted.
///
/// Its text, such as `org:acme` or `ip:192.0.2.7`, is a part of the counter's key in Redis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Everyone,
    Address(IpAddr),
    Hashed(&'static str, [u8; 16]),
    Named(&'static str, Box<str>),
}

impl Subject {
    /// All requests together.
    #[must_use]
    pub const fn everyone() -> Self {
        Self(Kind::Everyone)
    }

    /// A network address.
    #[must_use]
    pub const fn address(address: IpAddr) -> Self {
        Self(Kind::Address(address))
    }

    /// Whatever is not to be read by anybody, by its hash; `kind` says what it is.
    #[must_use]
    pub const fn hashed(kind: &'static str, hash: [u8; 16]) -> Self {
        Self(Kind::Hashed(kind, hash))
    }

    /// A user, an organisation, or whatever else `kind` says, by a name that may be read by whoever sees Redis's keys, or asks the
    /// admin router. A name of more than 64 bytes counts by its hash.
    #[must_use]
    pub fn named(kind: &'static str, name: &str) -> Self {
        if name.len() > LONGEST {
            return Self::hashed(kind, digest(name));
        }
        Self(Kind::Named(kind, name.into()))
    }
}

fn digest(name: &str) -> [u8; 16] {
    use sha2::{Digest as _, Sha256};
    let mut half = [0; 16];
    half.copy_from_slice(&Sha256::digest(name)[..16]);
    half
}

impl fmt::Display for Subject {
    /// Visible ASCII without braces; what a name has of anything else is percent-encoded.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Everyone => f.write_str("everyone"),
            Kind::Address(address) => write!(f, "ip:{address}"),
            Kind::Hashed(kind, hash) => {
                write!(f, "{kind}#")?;
                hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Kind::Named(kind, name) => {
                write!(f, "{kind}:")?;
                name.bytes().try_for_each(|byte| match byte {
                    b'{' | b'}' | b'%' | b'*' | b'?' | b'[' | b']' | b'\\' => write!(f, "%{byte:02X}"),
                    b'!'..=b'~' => write!(f, "{}", char::from(byte)),
                    _ => write!(f, "%{byte:02X}"),
                })
            }
        }
    }
}

/// Finds out whose use a request is. Closures are this, too.
///
/// ```
/// use larder::rate_limit::{Limit, Quota, Subject};
///
/// let per_organisation = Limit::new(Quota::per_minute(600)).per(|head: &http::request::Parts| {
///     let name = head.headers.get("x-org-id")?.to_str().ok()?;
///     Some(Subject::named("org", name))
/// });
/// # let _ = per_organisation;
/// ```
pub trait SubjectOf: Send + Sync + 'static {
    /// Whose use it is; `None` if the limit has nothing to do with the request, which then isn't counted by it.
    fn subject(&self, head: &Parts) -> Option<Subject>;
}

impl<F> SubjectOf for F
where
    F: Fn(&Parts) -> Option<Subject> + Send + Sync + 'static,
{
    fn subject(&self, head: &Parts) -> Option<Subject> {
        self(head)
    }
}

impl SubjectOf for Address {
    /// Clients whose address isn't known share one quota: a server that forgot to say the peer's address would limit nobody.
    fn subject(&self, head: &Parts) -> Option<Subject> {
        Some(self.client(head).map_or_else(|| Subject::named("ip", "unknown"), Subject::address))
    }
}

impl SubjectOf for ApiKey {
    fn subject(&self, head: &Parts) -> Option<Subject> {
        self.digest(head).map(|digest| Subject::hashed("key", digest))
    }
}

/// All requests together count against one quota.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everyone;

impl SubjectOf for Everyone {
    fn subject(&self, _: &Parts) -> Option<Subject> {
        Some(Subject::everyone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_told_from_every_other_by_its_text() {
        let long = "x".repeat(65);
        let subjects = [
            Subject::everyone(),
            Subject::address([192, 0, 2, 7].into()),
            Subject::named("org", "acme"),
            Subject::named("user", "acme"),
            Subject::named("org", "a{c}m e%"),
            Subject::named("org", "a%7Bc%7Dm e%"),
            Subject::named("org", &long),
            Subject::hashed("key", [7; 16]),
        ];
        let texts: std::collections::HashSet<_> = subjects.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), subjects.len());
        assert!(texts.contains("ip:192.0.2.7") && texts.contains("org:a%7Bc%7Dm%20e%25"), "{texts:?}");
        assert!(texts.iter().all(|text| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}".contains(&byte))));
    }
}
