//! Keys of look-ups: any that serde can write, and secrets, of which only a keyed hash is kept.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroize;

use crate::{
    BoxError, ConfigError,
    key::{Key, KeyBuilder, MAX_LABEL},
    tag::Selector,
};

/// The fewest bytes of a secret under which keys are hashed.
const MIN_SECRET: usize = 16;

/// The longest name of a space.
const MAX_SPACE: usize = 64;

/// Room for most keys, so that a secret one isn't left behind where a buffer grew.
const ROOM: usize = 512;

/// What a value is looked up by.
///
/// Everything that serde can write is a key: `str`, numbers, tuples, your own structs. Two keys that are written alike are one
/// key, also in another process; so don't use maps, whose order is by chance. What isn't to be seen anywhere is a [`Secret`].
pub trait LookupKey {
    /// Whether the bytes are a secret, of which only a keyed hash may be kept.
    const SECRET: bool = false;

    /// Appends the bytes that tell this key from all others.
    ///
    /// # Errors
    ///
    /// If it has none; then the value is loaded each time, and not kept.
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), BoxError>;
}

impl<K: Serialize + ?Sized> LookupKey for K {
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(rmp_serde::encode::write(bytes, self)?)
    }
}

/// A key that is a secret: an API key, a session's id, a token.
///
/// What a cache keeps of it, and what it is called in stores, is its HMAC-SHA256 ([RFC 2104]) under a
/// [secret](super::Builder::secret) of the cache's own: who sees the keys of a store can't try out credentials against them
/// without that. It is never shown by `Debug`, and its memory is overwritten when it is dropped, as far as `K` can do that.
///
/// ```
/// use larder::cached::Secret;
///
/// let key = Secret::new("sk-123".to_owned());
/// assert_eq!(format!("{key:?}"), "Secret(..)");
/// assert_eq!(key.expose(), "sk-123");
/// ```
///
/// [RFC 2104]: https://www.rfc-editor.org/rfc/rfc2104
#[derive(Clone)]
pub struct Secret<K: Zeroize>(K);

impl<K: Zeroize> Secret<K> {
    /// A secret.
    #[must_use]
    pub fn new(key: K) -> Self {
        Self(key)
    }

    /// What it is, for who has to ask a database for it.
    #[must_use]
    pub fn expose(&self) -> &K {
        &self.0
    }
}

impl<K: Zeroize> Drop for Secret<K> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<K: Zeroize> fmt::Debug for Secret<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<K: Zeroize> From<K> for Secret<K> {
    fn from(key: K) -> Self {
        Self::new(key)
    }
}

impl<K: Serialize + Zeroize> LookupKey for Secret<K> {
    const SECRET: bool = true;

    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), BoxError> {
        Ok(rmp_serde::encode::write(bytes, &self.0)?)
    }
}

/// What a user says of a key that people may read.
pub(super) type Labeller<K> = dyn Fn(&K) -> String + Send + Sync;

/// Makes the keys of a cache.
///
/// A label is `{space}:{detail}:{mark}`. The mark is four digits that depend on the key: a purge of one key means, in stores that
/// others write to, all that have its label, for an HTTP response's variants have it too. Without the mark each invalidation of one
/// value would keep every load of its space that is under way from being kept.
pub(super) struct Keys<K: ?Sized> {
    /// `{space}:`
    prefix: String,
    label: Option<Arc<Labeller<K>>>,
    /// Has taken in the secret, and nothing else.
    mac: Option<Hmac<Sha256>>,
}

/// The names that a space has in stores.
pub(super) struct Space(pub(super) String);

impl Space {
    pub(super) fn new(name: String) -> Result<Self, ConfigError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=MAX_SPACE).contains(&name.len()) || !name.bytes().all(plain) {
            let problem = format!("{name:?} can't be a space; take 1 to {MAX_SPACE} letters, digits, -, _ and .");
            return Err(ConfigError::new("cached space", problem));
        }
        Ok(Self(name))
    }

    /// All that lies in it.
    pub(super) fn all(&self) -> Selector {
        Selector::label(&format!("{}:*", self.0))
    }

    /// What of it is meant by a selector that may mean other spaces, too.
    pub(super) fn part(&self, selector: &Selector) -> Vec<Selector> {
        let beginning = format!("{}:", self.0);
        match selector {
            Selector::Key(key) if !key.label().starts_with(&beginning) => Vec::new(),
            Selector::Key(_) | Selector::Tag(_) => vec![selector.clone()],
            Selector::Label(pattern) => pattern.within(&beginning).into_iter().map(Selector::Label).collect(),
            Selector::All => vec![self.all()],
        }
    }

    /// What has a detail like this.
    pub(super) fn matching(&self, pattern: &str) -> Selector {
        Selector::label(&format!("{}:{pattern}:????", self.0))
    }
}

impl<K: LookupKey + ?Sized> Keys<K> {
    pub(super) fn new(
        space: &Space,
        label: Option<Arc<Labeller<K>>>,
        secret: Option<&[u8]>,
        is_shared: bool,
    ) -> Result<Self, ConfigError> {
        let refused = |problem: String| ConfigError::new("cached secret", problem);
        let mac = |secret: &[u8]| Hmac::new_from_slice(secret).map_err(|error| refused(error.to_string()));
        let mac = match secret {
            _ if !K::SECRET => None,
            Some(secret) if secret.len() < MIN_SECRET => {
                return Err(refused(format!(
                    "{} bytes; take {MIN_SECRET} or more, at random (`openssl rand -hex 32`), the same in all processes",
                    secret.len()
                )));
            }
            Some(secret) => Some(mac(secret)?),
            None if is_shared => {
                return Err(refused(format!(
                    "there is none, and other processes couldn't find what this one keeps; take {MIN_SECRET} random bytes or more"
                )));
            }
            // Nobody else has to know it.
            None => Some(mac(&[*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat())?),
        };
        Ok(Self { prefix: format!("{}:", space.0), label, mac })
    }

    /// The key as stores know it; `None` if it can't be written.
    pub(super) fn of(&self, key: &K) -> Option<Key> {
        let mut bytes = Vec::with_capacity(if K::SECRET { ROOM } else { ROOM / 8 });
        let written = key.write(&mut bytes);
        let made = written.map(|()| match &self.mac {
            Some(mac) => {
                let digest: [u8; 32] = mac.clone().chain_update(&bytes).finalize().into_bytes().into();
                self.make(key, "keyed hash", &digest)
            }
            None => self.make(key, "key", &bytes),
        });
        if K::SECRET {
            bytes.zeroize();
        }
        // What it says may have the key in it.
        made.map_err(|_| tracing::warn!(space = self.prefix.trim_end_matches(':'), "a key can't be written")).ok()
    }

    fn make(&self, key: &K, name: &str, bytes: &[u8]) -> Key {
        // In place: moved from call to call, a builder costs more than what it hashes.
        let mut builder = KeyBuilder::new("cached");
        builder.add(name, bytes);
        builder.add_label(&self.prefix);
        if let Some(label) = &self.label {
            let mut detail = label(key);
            // The mark has to have room.
            while self.prefix.len() + detail.len() + MARK > MAX_LABEL {
                detail.pop();
            }
            builder.add_label(&detail);
        }
        builder.add_label(mark(bytes).as_str());
        builder.make()
    }
}

/// `:` and four digits.
const MARK: usize = 5;

struct Mark([u8; MARK]);

impl Mark {
    fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// FNV-1a, folded: the same in all processes.
fn mark(bytes: &[u8]) -> Mark {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let folded = (hash ^ (hash >> 32)) ^ (hash >> 16);
    let digit = |shift: u32| DIGITS[(folded >> shift) as usize & 15];
    Mark([b':', digit(12), digit(8), digit(4), digit(0)])
}

impl<K: ?Sized> fmt::Debug for Keys<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("space", &self.prefix.trim_end_matches(':')).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys<K: LookupKey + ?Sized>(secret: Option<&[u8]>) -> Keys<K> {
        Keys::new(&Space::new("users".to_owned()).expect("a space"), None, secret, false).expect("settings")
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    /// A key that changes between releases is a lost cache. These were made by another program.
    #[test]
    fn golden_vectors() {
        let plain = keys::<str>(None).of("alice").expect("written");
        assert_eq!(plain.to_string(), GOLDEN_PLAIN);
        let hashed = keys(Some(b"sixteen bytes ok")).of(&secret("sk-test")).expect("written");
        assert_eq!(hashed.to_string(), GOLDEN_SECRET);
    }

    const GOLDEN_PLAIN: &str = "users::66fc:4809ed5ec92383412d3baea3cc48d504a15b39d8d9f4464c7b0063fb6f150113";
    const GOLDEN_SECRET: &str = "users::3521:36238234b0b0524dc15dee98168888ee396e17d6138f976057c74daa6f71aa74";

    #[test]
    fn a_secret_has_another_key_under_another_secret_and_is_shown_nowhere() {
        let of = |key: &[u8]| keys(Some(key)).of(&secret("sk-test")).expect("written");
        let (one, other) = (of(b"sixteen bytes ok"), of(b"sixteen bytes OK"));
        assert_ne!(one, other);
        assert_eq!(one, of(b"sixteen bytes ok"));
        let random = || keys(None).of(&secret("sk-test")).expect("written");
        assert_ne!(random(), random(), "each cache has a secret of its own");
        let shown =
            format!("{one} {one:?} {:?} {:?}", secret("sk-test"), keys::<Secret<String>>(Some(b"sixteen bytes ok")));
        for hidden in ["sk-test", "sixteen"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }

    #[test]
    fn a_secret_that_others_lack_or_can_guess_is_refused() {
        let space = Space::new("users".to_owned()).expect("a space");
        let try_new = |secret, is_shared| Keys::<Secret<String>>::new(&space, None, secret, is_shared);
        for error in [try_new(Some(b"hunter2"), false), try_new(Some(b"hunter2"), true), try_new(None, true)] {
            let error = error.expect_err("refused");
            assert_eq!(error.setting(), "cached secret");
            assert!(error.to_string().contains("take 16") && !error.to_string().contains("hunter2"), "{error}");
        }
        assert!(try_new(None, false).is_ok() && Keys::<str>::new(&space, None, None, true).is_ok());
    }

    #[test]
    fn selectors_mean_one_space_alone() {
        let space = Space::new("users".to_owned()).expect("a space");
        let label: Arc<Labeller<str>> = Arc::new(|key: &str| key.to_owned());
        let keys = Keys::<str>::new(&space, Some(label), None, false).expect("settings");
        let key = keys.of("openai").expect("written");
        assert!(space.all().matches(&key, &[]) && space.matching("open*").matches(&key, &[]));
        assert!(!space.matching("open").matches(&key, &[]));
        let other = Space::new("user".to_owned()).expect("a space");
        assert!(!other.all().matches(&key, &[]) && !other.matching("*").matches(&key, &[]));
        let long = keys.of(&"é".repeat(500)).expect("written");
        assert!(long.label().len() <= MAX_LABEL && space.matching("*").matches(&long, &[]), "{long}");
        for name in ["", "a b", "a:b", "a*", &"x".repeat(65)] {
            assert_eq!(Space::new(name.to_owned()).err().expect(name).setting(), "cached space");
        }
    }

    #[test]
    fn what_is_meant_by_others_selectors_is_cut_to_the_space() {
        let space = |name: &str| Space::new(name.to_owned()).expect("a space");
        let users = space("users");
        let key = keys::<str>(None).of("alice").expect("written");
        assert!(space("user").part(&Selector::Key(key.clone())).is_empty());
        assert!(users.part(&Selector::Key(key.clone())).iter().all(|part| part.matches(&key, &[])));
        let other = KeyBuilder::new("test").label("chat:gpt-4o").finish();
        for (selector, meant) in
            [(Selector::All, true), (Selector::label("*"), true), (Selector::label("chat:*"), false)]
        {
            let parts = users.part(&selector);
            assert_eq!(parts.iter().any(|part| part.matches(&key, &[])), meant, "{selector:?}");
            assert!(!parts.iter().any(|part| part.matches(&other, &[])), "{selector:?}");
        }
    }

    proptest! {
        #[test]
        fn other_keys_are_other_keys(a: (u32, String), b: (u32, String)) {
            let keys = keys::<(u32, String)>(None);
            prop_assert_eq!(keys.of(&a) == keys.of(&b), a == b);
            let (hidden, secrets) = (Secret::new(a.clone()), Keys::<Secret<(u32, String)>>::new(
                &Space::new("users".to_owned()).expect("a space"), None, Some(&[7; 16]), true).expect("settings"));
            prop_assert_eq!(secrets.of(&hidden) == secrets.of(&Secret::new(b.clone())), a == b);
        }
    }
}
