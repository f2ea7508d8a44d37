//! [`ApiKey`]: the client's credential, of which nothing but a keyed hash is kept.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, request::Parts};
use sha2::Sha256;

use crate::{
    ConfigError,
    header::credential::{USUAL, credential},
};

/// The fewest bytes of a secret: as many as the hash has.
const MIN_SECRET: usize = 16;

/// Tells clients apart by their credentials.
///
/// The credential is looked for as a bearer token in `Authorization` ([RFC 6750 §2.1]), then in `x-api-key`, `api-key`
/// and `x-goog-api-key`, or in the [fields](Self::field) that you name. The first that isn't empty counts.
///
/// What is kept of it is its HMAC-SHA256 ([RFC 2104]) under a secret, cut to 128 bits: who sees the keys of a store
/// can't try out credentials against them without that secret. Processes that count together need the same one; with a
/// new one all counts begin anew. Neither the secret nor a credential is ever logged, or part of any `Debug` output.
///
/// **A credential here is a claim.** Who may send any gets a new limit with each that they make up; so check
/// credentials before they are counted, or limit [addresses](super::Address) too. And where only one field is checked,
/// name that field: a client with a valid `x-api-key` could else count as another with each `Authorization` that it
/// makes up.
///
/// ```
/// use http::{HeaderName, Request};
/// use larder::rate_limit::ApiKey;
///
/// let key = ApiKey::new("32 random bytes, e.g. from a vault").field(HeaderName::from_static("x-api-key"));
/// let (head, ()) = Request::get("/").header("x-api-key", "sk-1").body(()).unwrap().into_parts();
/// assert!(key.digest(&head).is_some());
/// ```
///
/// [RFC 6750 §2.1]: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
/// [RFC 2104]: https://www.rfc-editor.org/rfc/rfc2104
#[derive(Clone)]
#[must_use]
pub struct ApiKey {
    /// Has taken in the secret, and nothing else.
    mac: Hmac<Sha256>,
    /// `None`: the default ones.
    fields: Option<Vec<HeaderName>>,
}

impl ApiKey {
    /// Credentials in any of the usual fields, hashed under `secret`: 16 random bytes or more, the same in all
    /// processes.
    ///
    /// # Panics
    ///
    /// Where [`try_new`](Self::try_new) fails: the secret is too short.
    #[track_caller]
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        match Self::try_new(secret) {
            Ok(key) => key,
            Err(error) => panic!("{error}"),
        }
    }

    /// Credentials in any of the usual fields, hashed under `secret`: 16 random bytes or more, the same in all
    /// processes.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the secret has fewer than 16 bytes. The error doesn't show it.
    pub fn try_new(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        let refused = |problem: String| ConfigError::new("ApiKey secret", problem);
        let secret = secret.as_ref();
        if secret.len() < MIN_SECRET {
            let problem = format!(
                "{} bytes; takes {MIN_SECRET} or more, at random (`openssl rand -hex 32`), the same in all processes",
                secret.len()
            );
            return Err(refused(problem));
        }
        let mac = Hmac::new_from_slice(secret).map_err(|error| refused(error.to_string()))?;
        Ok(Self { mac, fields: None })
    }

    /// A field that has the credential, in place of the default ones; called again, one to look at if those before have
    /// none. In `Authorization` it is a bearer token, in any other field all of the value.
    pub fn field(mut self, name: HeaderName) -> Self {
        self.fields.get_or_insert_default().push(name);
        self
    }

    /// The keyed hash of the request's credential; `None` if it has none, or only empty ones.
    ///
    /// The same credential has the same hash in whichever field it came. Of a field in several lines the first counts
    /// that has one.
    #[must_use]
    pub fn digest(&self, head: &Parts) -> Option<[u8; 16]> {
        let credential = credential(&head.headers, self.fields.as_deref().unwrap_or(&USUAL))?;
        let digest: [u8; 32] = self.mac.clone().chain_update(credential).finalize().into_bytes().into();
        digest.first_chunk().copied()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields.as_deref().unwrap_or(&USUAL);
        f.debug_struct("ApiKey").field("fields", &fields).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request, header::AUTHORIZATION};
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "sixteen bytes ok";

    fn head<V: TryInto<HeaderValue>>(fields: impl IntoIterator<Item = (&'static str, V)>) -> Parts {
        let mut head = Request::new(()).into_parts().0;
        for (name, value) in fields {
            head.headers.append(name, value.try_into().unwrap_or_else(|_| panic!("a field value")));
        }
        head
    }

    fn digest(fields: &[(&'static str, &str)]) -> Option<[u8; 16]> {
        ApiKey::new(SECRET).digest(&head(fields.iter().copied()))
    }

    /// What `printf %s sk-test | openssl dgst -sha256 -hmac 'sixteen bytes ok'` begins with.
    const SK_TEST: u128 = 0x3648_ce65_818f_7a23_b302_f67d_81a1_5251;

    #[test]
    fn the_digest_of_a_credential_never_changes() {
        assert_eq!(digest(&[("x-api-key", "sk-test")]), Some(SK_TEST.to_be_bytes()));
    }

    #[test]
    fn a_credential_is_one_wherever_it_is_found() {
        for (name, value) in [
            ("authorization", "Bearer sk-test"),
            ("authorization", "bearer sk-test"),
            ("authorization", "BEARER \t sk-test "),
            ("x-api-key", " sk-test "),
            ("api-key", "sk-test"),
            ("x-goog-api-key", "sk-test"),
        ] {
            assert_eq!(digest(&[(name, value)]), Some(SK_TEST.to_be_bytes()), "{name}: {value}");
        }
    }

    #[test]
    fn the_fields_are_looked_at_in_their_order() {
        let all = [
            ("authorization", "Bearer sk-test"),
            ("x-api-key", "sk-test"),
            ("api-key", "sk-test"),
            ("x-goog-api-key", "sk-test"),
        ];
        for first in 0..all.len() {
            let mut fields = all.map(|(name, _)| (name, "Bearer other"));
            fields[first] = all[first];
            fields.reverse();
            assert_eq!(digest(&fields[..all.len() - first]), Some(SK_TEST.to_be_bytes()), "{first}");
        }
        assert_eq!(digest(&[("x-api-key", "sk-test"), ("x-api-key", "other")]), Some(SK_TEST.to_be_bytes()));
    }

    #[test]
    fn an_empty_credential_is_none() {
        for value in ["", " ", "Bearer", "Bearer ", "Bearer\t", "Bearersk-test", "Basic sk-test", "sk-test", "Bear"] {
            assert_eq!(digest(&[("authorization", value)]), None, "{value:?}");
            let fields = [("authorization", value), ("x-api-key", ""), ("x-api-key", "sk-test")];
            assert_eq!(digest(&fields), Some(SK_TEST.to_be_bytes()), "{value:?} hides no other");
        }
        assert_eq!(digest(&[("x-api-key", ""), ("api-key", "\t"), ("cookie", "sk-test")]), None);
        assert_eq!(digest(&[]), None);
    }

    #[test]
    fn a_field_that_is_named_is_the_only_one() {
        let key = ApiKey::new(SECRET).field(HeaderName::from_static("x-tenant-key"));
        assert_eq!(key.digest(&head([("authorization", "Bearer made-up"), ("x-api-key", "made-up")])), None);
        let fields = [("authorization", "Bearer made-up"), ("x-tenant-key", "sk-test")];
        assert_eq!(key.digest(&head(fields)), Some(SK_TEST.to_be_bytes()));
        let key = key.field(AUTHORIZATION);
        assert_eq!(key.digest(&head([("authorization", "Bearer sk-test")])), Some(SK_TEST.to_be_bytes()));
        assert_eq!(key.digest(&head(fields)), Some(SK_TEST.to_be_bytes()), "in their order");
    }

    #[test]
    fn another_secret_gives_other_digests() {
        let head = head([("x-api-key", "sk-test")]);
        let other = ApiKey::new("sixteen bytes OK").digest(&head).expect("a credential");
        assert_ne!(other, SK_TEST.to_be_bytes());
        assert_eq!(ApiKey::new(b"sixteen bytes ok").digest(&head), Some(SK_TEST.to_be_bytes()));
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_without_being_shown() {
        for secret in ["", "hunter2hunter2!"] {
            let error = ApiKey::try_new(secret).expect_err("too short");
            assert_eq!(error.setting(), "ApiKey secret");
            assert!(error.to_string().contains("16 or more") && !error.to_string().contains("hunter2"), "{error}");
        }
        assert!(ApiKey::try_new(SECRET).is_ok() && ApiKey::try_new([0; 1000]).is_ok());
    }

    #[test]
    fn neither_the_secret_nor_a_credential_is_shown() {
        let key = ApiKey::new(SECRET).field(HeaderName::from_static("x-tenant-key"));
        assert_eq!(format!("{key:?}"), r#"ApiKey { fields: ["x-tenant-key"], .. }"#);
        assert!(key.digest(&head([("x-tenant-key", "sk-test")])).is_some());
        let shown = format!("{key:?} {key:#?} {:?}", ApiKey::new(SECRET));
        for hidden in ["sixteen", "sk-test", "[115, 105, 120", "mac"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn any_credential_has_a_digest_of_its_own(a in "[!-~]{1,40}", b in "[!-~]{1,40}") {
            let of = |text: &str| digest(&[("authorization", &format!("Bearer {text}"))]);
            prop_assert!(of(&a).is_some());
            prop_assert_eq!(of(&a) == of(&b), a == b);
            prop_assert_eq!(of(&a), digest(&[("api-key", &a)]));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = ApiKey::new(SECRET).digest(&head([("authorization", value.clone()), ("x-api-key", value)]));
            }
        }
    }
}
