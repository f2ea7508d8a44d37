//! What things are called in Redis.
//!
//! | what | name |
//! |---|---|
//! | an entry | `{prefix}:{space}:{label}:{digest}` |
//! | a lease on it | the same in braces, so that a Cluster keeps both together, and `!lease` |
//! | the entries that bear a tag | `{prefix}:{space}!tag:{tag}` |
//! | the last purges | `{prefix}:{space}!purges` |
//! | the channel for changes | `{prefix}:{space}!changes` |

use crate::{ConfigError, key::Key, tag::Tag};

/// The longest prefix, and the longest space.
const MAX: usize = 128;

/// The length of a digest in hexadecimal.
const HEX: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Names {
    /// `{prefix}:{space}`
    base: String,
}

impl Names {
    pub(super) fn new(prefix: &str, space: &str) -> Result<Self, ConfigError> {
        for (text, setting) in [(prefix, "store::Redis prefix"), (space, "store::Redis space")] {
            let plain = |byte: u8| byte.is_ascii_graphic() && !b"*?[]{}\\\"!:".contains(&byte);
            if !(1..=MAX).contains(&text.len()) || !text.bytes().all(plain) {
                let problem = format!(
                    "{text:?} can't be part of a key; take 1 to {MAX} visible ASCII characters without any of *?[]{{}}\\\"!:"
                );
                return Err(ConfigError::new(setting, problem));
            }
        }
        Ok(Self { base: format!("{prefix}:{space}") })
    }

    pub(super) fn entry(&self, key: &Key) -> String {
        let mut name = String::with_capacity(self.base.len() + key.label().len() + HEX + 2);
        name.push_str(&self.base);
        name.push(':');
        push_member(&mut name, key);
        name
    }

    /// An entry by what its tag's index holds.
    pub(super) fn of_member(&self, member: &[u8]) -> Option<String> {
        Some(format!("{}:{}", self.base, std::str::from_utf8(member).ok()?))
    }

    /// What a tag's index holds of an entry.
    pub(super) fn member(key: &Key) -> String {
        let mut name = String::with_capacity(key.label().len() + HEX + 1);
        push_member(&mut name, key);
        name
    }

    /// The label in an entry's name, if it is one.
    pub(super) fn label<'a>(&self, name: &'a str) -> Option<&'a str> {
        let (label, digest) = name.strip_prefix(&self.base)?.strip_prefix(':')?.rsplit_once(':')?;
        (digest.len() == HEX && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(label)
    }

    /// The key of an entry's name, if it is one.
    pub(super) fn key(&self, name: &str) -> Option<Key> {
        name.strip_prefix(&self.base)?.strip_prefix(':')?.parse().ok()
    }

    pub(super) fn lease(&self, key: &Key) -> String {
        format!("{{{}}}!lease", self.entry(key))
    }

    pub(super) fn tag(&self, tag: &Tag) -> String {
        format!("{}!tag:{tag}", self.base)
    }

    pub(super) fn log(&self) -> String {
        format!("{}!purges", self.base)
    }

    pub(super) fn channel(&self) -> String {
        format!("{}!changes", self.base)
    }

    /// A glob that every entry's name matches whose label begins so.
    pub(super) fn entries(&self, label: &str) -> String {
        format!("{}:{label}*", self.base)
    }
}

/// `label:digest`, as [`Key`] is displayed, but faster.
fn push_member(name: &mut String, key: &Key) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    name.push_str(key.label());
    name.push(':');
    for byte in key.digest() {
        name.push(char::from(DIGITS[usize::from(byte >> 4)]));
        name.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyBuilder;

    #[test]
    fn names_are_readable_and_read_back() {
        let names = Names::new("larder", "responses").expect("names");
        let key = KeyBuilder::new("test").label("chat:gpt-4o").finish();
        let name = names.entry(&key);
        assert_eq!(name, format!("larder:responses:{key}"));
        assert_eq!(names.label(&name), Some("chat:gpt-4o"));
        assert_eq!(names.key(&name), Some(key.clone()));
        assert_eq!(names.of_member(Names::member(&key).as_bytes()), Some(name.clone()));
        assert_eq!(names.lease(&key), format!("{{{name}}}!lease"));
        for other in
            ["larder:responses!tag:x", "larder:responsesx:a:b", "x", &names.lease(&key), &name[..name.len() - 1]]
        {
            assert_eq!((names.label(other), names.key(other)), (None, None), "{other}");
        }
    }

    #[test]
    fn a_name_that_would_be_misread_is_refused() {
        for (prefix, space) in
            [("", "a"), ("a", ""), ("a*", "b"), ("a", "{b}"), ("a b", "c"), ("a", "b!c"), ("a", "b:c"), ("a:b", "c")]
        {
            let error = Names::new(prefix, space).expect_err(prefix);
            assert!(error.to_string().contains("take"), "{error}");
        }
        assert!(Names::new("my-app", "b").is_ok());
    }
}
