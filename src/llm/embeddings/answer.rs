//! What a provider answers to a batch, taken apart.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    frame::Frame,
    item::Item,
    members::{Members, write_object},
    usage,
};

/// The embeddings of an answer, in the order in which they were asked for; `None` if it isn't the answer to texts of so many
/// lengths.
pub(super) fn items(body: &[u8], lengths: &[u64]) -> Option<Vec<Item>> {
    let answer: Members<'_> = serde_json::from_slice(body).ok()?;
    if answer.get("error").is_some_and(|error| error.get() != "null") {
        return None;
    }
    let data: Vec<&RawValue> = serde_json::from_str(answer.get("data")?.get()).ok()?;
    if data.len() != lengths.len() {
        return None;
    }
    let frame = Arc::new(Frame::new(&answer.0)?);
    let usage = answer.get("usage").filter(|usage| usage.get().starts_with('{'));
    let mut shares = usage.map(|usage| usage::share_out(&usage::counts(usage), lengths));
    let mut items: Vec<Option<Item>> = vec![None; data.len()];
    for element in data {
        let (index, text, index_at) = taken_apart(element)?;
        let item = items.get_mut(index).filter(|item| item.is_none())?;
        let usage = shares.as_mut().map(|shares| std::mem::take(&mut shares[index]));
        *item = Some(Item::new(text.into(), index_at, frame.clone(), usage));
    }
    items.into_iter().collect()
}

/// An element of `data`: its index, and its text without that, and where it belongs.
fn taken_apart(element: &RawValue) -> Option<(usize, Vec<u8>, usize)> {
    let members: Members<'_> = serde_json::from_str(element.get()).ok()?;
    let index = members.get("index")?.get().parse().ok()?;
    let embedding = members.get("embedding")?.get();
    if !(embedding.starts_with(['[', '"']) && embedding.len() > 2) {
        return None;
    }
    let (mut text, mut index_at) = (Vec::with_capacity(element.get().len()), 0);
    let members = members.0.iter().map(|(name, value)| (&**name, (name == "index", *value)));
    write_object(members, &mut text, |(is_index, value), out| {
        if is_index { index_at = out.len() } else { out.extend_from_slice(value.get().as_bytes()) }
    });
    Some((index, text, index_at))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::entry::{Head, Lifetime};

    const ANSWER: &str = r#"{"object":"list","data":[{"object":"embedding","index":1,"embedding":[0.10,-2e-3]},
        { "embedding" : "AAAA/w==", "index" : 0 , "extra" : null }],"model":"m\u00e9","x":null,"usage":{"prompt_tokens":10,
        "total_tokens":10,"cost":0.5,"details":{"a":1}}}"#;

    fn whole(items: &[Item]) -> String {
        String::from_utf8(items[0].frame.around(&items.iter())).expect("text")
    }

    #[test]
    fn an_answer_is_put_together_as_it_was_digit_by_digit() {
        let items = items(ANSWER.as_bytes(), &[1, 3]).expect("an answer");
        let expected = r#"{"object":"list","data":[{"embedding":"AAAA/w==","index":0,"extra":null},{"object":"embedding","index":1,"embedding":[0.10,-2e-3]}],"model":"m\u00e9","x":null,"usage":{"prompt_tokens":10,"total_tokens":10}}"#;
        assert_eq!(whole(&items), expected);
        let other_way: Vec<_> = items.iter().rev().cloned().collect();
        assert!(whole(&other_way).contains(
            r#"[{"object":"embedding","index":0,"embedding":[0.10,-2e-3]},{"embedding":"AAAA/w==","index":1,"#
        ));
        assert!(whole(&items[..1]).contains(r#""usage":{"prompt_tokens":3,"total_tokens":3}"#), "its share");
    }

    #[test]
    fn an_item_is_kept_and_comes_back() {
        let items = items(ANSWER.as_bytes(), &[1, 3]).expect("an answer");
        let head = || {
            let lifetime = Lifetime::new(SystemTime::UNIX_EPOCH, Duration::from_secs(1));
            Head::new(StatusCode::OK, HeaderMap::new(), lifetime)
        };
        let again: Vec<_> =
            items.iter().map(|item| Item::of(&item.entry(head()).expect("an entry")).expect("an item")).collect();
        assert_eq!(whole(&again), whole(&items));
        let bare = crate::entry::Entry::new(head(), crate::entry::Frames::whole("x".into()));
        assert!(Item::of(&bare).is_none());
    }

    /// Entries outlive releases: what makes these unreadable raises the version.
    #[test]
    fn an_item_is_noted_byte_for_byte() {
        let items = items(ANSWER.as_bytes(), &[1, 3]).expect("an answer");
        let lifetime = Lifetime::new(SystemTime::UNIX_EPOCH, Duration::from_secs(1));
        let entry = items[1].entry(Head::new(StatusCode::OK, HeaderMap::new(), lifetime)).expect("an entry");
        assert_eq!(&**entry.body().data(), br#"{"object":"embedding","index":,"embedding":[0.10,-2e-3]}"#);
        let note = r#"{"v":1,"at":30,"frame":[{"n":"object","v":"list"},{"n":"data"},{"n":"model","v":"m\u00e9"},{"n":"x","v":null},{"n":"usage"}],"usage":[["prompt_tokens",7],["total_tokens",7]]}"#;
        assert_eq!(entry.head().noted().and_then(|note| note.text()).map(|text| &**text), Some(note.as_bytes()));
    }

    #[test]
    fn what_is_not_exactly_what_was_asked_for_is_no_answer() {
        let of = |data: &str| format!(r#"{{"object":"list","data":[{data}],"model":"m"}}"#);
        let element = |index: &str| format!(r#"{{"index":{index},"embedding":[1]}}"#);
        let two = |one: &str, other: &str| of(&format!("{},{}", element(one), element(other)));
        assert!(items(two("1", "0").as_bytes(), &[1, 1]).is_some());
        for answer in [
            of(&element("0")),
            two("0", "0"),
            two("0", "2"),
            two("0", "-1"),
            two("0", "1.0"),
            two("0", "\"1\""),
            of(&format!("{},{}", element("0"), r#"{"embedding":[1]}"#)),
            of(&format!("{},{}", element("0"), r#"{"index":1}"#)),
            of(&format!("{},{}", element("0"), r#"{"index":1,"embedding":[]}"#)),
            of(&format!("{},{}", element("0"), r#"{"index":1,"embedding":null}"#)),
            of(&format!("{},null", element("0"))),
            two("0", "1").replace("\"object\"", "\"error\""),
            two("0", "1").replace("\"data\"", "\"date\""),
            two("0", "1")[1..].to_owned(),
            two("0", "1") + "}",
            two("0", "1").replace("\"m\"", &format!("\"{}\"", "m".repeat(5000))),
        ] {
            assert!(items(answer.as_bytes(), &[1, 1]).is_none(), "{answer}");
        }
    }
}
