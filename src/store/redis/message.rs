//! What stores tell each other through Redis, and what the log of purges holds.

use std::time::{Duration, SystemTime};

use crate::{
    key::Key,
    tag::{Pattern, Selector, Tag},
};

/// Who sent a message: it need not hear it.
pub(super) type Origin = [u8; 8];

/// What is told.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// A record of the log.
    Purged(Vec<u8>),
    Removed(Key),
    /// The lease on this key; whether what there is to be had is there.
    Released([u8; 32], bool),
    Invalidated([u64; 2], SystemTime),
}

impl Message {
    /// The beginning of a message about a purge, whose record follows.
    pub(super) fn purged(origin: &Origin) -> Vec<u8> {
        begun(origin, b'P')
    }

    pub(super) fn encode(&self, origin: &Origin) -> Vec<u8> {
        match self {
            Self::Purged(record) => [&begun(origin, b'P')[..], record].concat(),
            Self::Removed(key) => [begun(origin, b'R'), key.to_string().into_bytes()].concat(),
            Self::Released(digest, settled) => [&begun(origin, b'L')[..], digest, &[u8::from(*settled)]].concat(),
            Self::Invalidated(marks, at) => {
                let nanos = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
                let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
                let mut text = begun(origin, b'I');
                [marks[0], marks[1], nanos].iter().for_each(|number| text.extend_from_slice(&number.to_le_bytes()));
                text
            }
        }
    }

    pub(super) fn decode(text: &[u8]) -> Option<(Origin, Self)> {
        let (origin, text) = text.split_first_chunk()?;
        let (kind, text) = text.split_first()?;
        let message = match kind {
            b'P' => Self::Purged(text.to_vec()),
            b'R' => Self::Removed(std::str::from_utf8(text).ok()?.parse().ok()?),
            b'L' => {
                let (digest, [settled]) = text.split_first_chunk()? else { return None };
                Self::Released(*digest, *settled != 0)
            }
            b'I' => {
                let (numbers, []) = text.as_chunks::<8>() else { return None };
                let &[first, second, nanos] = numbers else { return None };
                let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::from_le_bytes(nanos));
                Self::Invalidated([u64::from_le_bytes(first), u64::from_le_bytes(second)], at)
            }
            _ => return None,
        };
        Some((*origin, message))
    }
}

fn begun(origin: &Origin, kind: u8) -> Vec<u8> {
    [&origin[..], &[kind]].concat()
}

/// A selector as text; `None` for one that is younger than this format.
pub(super) fn selector_text(selector: &Selector) -> String {
    match selector {
        Selector::Key(key) => format!("K{key}"),
        Selector::Tag(tag) => format!("T{tag}"),
        Selector::Label(pattern) => format!("L{pattern}"),
        Selector::All => "A".into(),
    }
}

/// A record of the log: its number and selector. One of another version, whose selector can't be read, is taken to mean all.
pub(super) fn record(text: &[u8]) -> Option<(u64, Selector)> {
    let (number, text) = std::str::from_utf8(text).ok()?.split_once(':')?;
    let number = number.parse().ok()?;
    let selector = match text.split_at_checked(1) {
        Some(("K", key)) => key.parse().ok().map(Selector::Key),
        Some(("T", tag)) => Tag::new(tag).ok().map(Selector::Tag),
        Some(("L", pattern)) => Some(Selector::Label(Pattern::new(pattern))),
        Some(_) | None => None,
    };
    Some((number, selector.unwrap_or(Selector::All)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyBuilder;

    #[test]
    fn what_is_told_is_heard() {
        let key = KeyBuilder::new("test").label("a:b").finish();
        let origin = [7; 8];
        let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_780_000_000_123_456_789);
        let messages = [
            Message::Purged(b"12:A".to_vec()),
            Message::Removed(key.clone()),
            Message::Released(*key.digest(), true),
            Message::Released(*key.digest(), false),
            Message::Invalidated([1, u64::MAX], at),
        ];
        for message in messages {
            let (from, heard) = Message::decode(&message.encode(&origin)).expect("it is a message");
            assert_eq!((from, format!("{heard:?}")), (origin, format!("{message:?}")));
        }
        for nonsense in
            [&b""[..], b"short", b"12345678", b"12345678X", b"12345678Lx", b"12345678R\xff", b"12345678Iabc"]
        {
            assert!(Message::decode(nonsense).is_none(), "{nonsense:?}");
        }
    }

    #[test]
    fn selectors_come_back_from_the_log() {
        let key = KeyBuilder::new("test").label("a:b").finish();
        let selectors = [
            Selector::Key(key),
            Selector::Tag(Tag::new("t:1").expect("tag")),
            Selector::label("a:*[é\\"),
            Selector::All,
        ];
        for selector in selectors {
            let text = format!("17:{}", selector_text(&selector));
            let (number, back) = record(text.as_bytes()).expect("a record");
            assert_eq!((number, format!("{back:?}")), (17, format!("{selector:?}")));
        }
        assert!(matches!(record(b"1:Zfuture"), Some((1, Selector::All))));
        assert!(record(b"x:A").is_none() && record(b"").is_none());
    }
}
