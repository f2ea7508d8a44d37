//! [`Frame`]: what stands around the embeddings of an answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    item::Item,
    members::{Member, write_array, write_object},
    usage,
};

/// The most bytes that are kept with each embedding.
const LARGEST: usize = 4096;

/// The members of an answer, without the values of `data` and `usage`.
#[derive(Clone, Debug)]
pub(super) struct Frame(Vec<(String, Option<Box<RawValue>>)>);

/// A member as it is noted.
#[derive(Deserialize, Serialize)]
struct Noted<'a> {
    #[serde(borrow, rename = "n")]
    name: Cow<'a, str>,
    #[serde(borrow, rename = "v", default, skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
}

impl Frame {
    /// `None` if it is larger than is kept.
    pub(super) fn new(members: &[Member<'_>]) -> Option<Self> {
        let kept = |name: &str| !matches!(name, "data" | "usage");
        let sizes = members.iter().filter(|(name, _)| kept(name)).map(|(name, value)| name.len() + value.get().len());
        let own = |(name, value): &Member<'_>| (name.to_string(), kept(name).then(|| RawValue::to_owned(value)));
        (sizes.sum::<usize>() <= LARGEST).then(|| Self(members.iter().map(own).collect()))
    }

    /// The model that the answer names, as it was written. Embeddings of two models are no answer together.
    pub(super) fn model(&self) -> Option<&str> {
        let (_, model) = self.0.iter().find(|(name, _)| name == "model")?;
        model.as_deref().map(RawValue::get)
    }

    pub(super) fn to_raw(&self) -> Option<Box<RawValue>> {
        let noted = |(name, value)| Noted { name: Cow::Borrowed(name), value };
        let members = self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let members: Vec<_> = members.map(noted).collect();
        to_raw_value(&members).ok()
    }

    pub(super) fn of_raw(raw: &RawValue) -> Option<Self> {
        let members: Vec<Noted<'_>> = serde_json::from_str(raw.get()).ok()?;
        let own = |Noted { name, value }: Noted<'_>| (name.into_owned(), value.map(RawValue::to_owned));
        Some(Self(members.into_iter().map(own).collect()))
    }

    /// An answer with these embeddings.
    pub(super) fn around<'i>(&self, items: &(impl Iterator<Item = &'i Item> + Clone)) -> Vec<u8> {
        let usage = usage::sum(items.clone().map(|item| item.usage.as_ref()));
        let mut out = Vec::with_capacity(items.clone().map(Item::size).sum::<usize>() + LARGEST);
        let members = self.0.iter().filter(|(name, _)| name != "usage" || usage.is_some());
        let members = members.map(|(name, value)| (name.as_str(), (name.as_str(), value)));
        write_object(members, &mut out, |(name, value), out| match (name, value, &usage) {
            (_, Some(value), _) => out.extend_from_slice(value.get().as_bytes()),
            ("data", None, _) => write_array(items.clone(), out, |index, item, out| item.write(index, out)),
            ("usage", None, Some(usage)) => {
                let counts = usage.iter().map(|(name, count)| (name.as_str(), count));
                write_object(counts, out, |count, out| out.extend_from_slice(count.to_string().as_bytes()));
            }
            (_, None, _) => out.extend_from_slice(b"null"),
        });
        out
    }
}
