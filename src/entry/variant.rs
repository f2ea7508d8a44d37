//! Which requests an entry answers, where `Vary` made that narrower than its key.

use http::{HeaderMap, HeaderName};

use crate::header::vary;

/// The request fields that a `Vary` field named when a response was stored, with the values they had (RFC 9111 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    fields: Box<[(HeaderName, Option<Vec<u8>>)]>,
    generation: u64,
    siblings: Box<[Sibling]>,
}

/// Another variant of the same answer, as the first of them knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sibling {
    values: Box<[Option<Vec<u8>>]>,
    etag: Option<Vec<u8>>,
}

impl Sibling {
    /// The values that its variant's fields had, in their order, and its `ETag`.
    pub(super) fn new(values: Box<[Option<Vec<u8>>]>, etag: Option<Vec<u8>>) -> Self {
        Self { values, etag }
    }

    /// The values of the fields; `None` where one was absent.
    pub(super) fn values(&self) -> &[Option<Vec<u8>>] {
        &self.values
    }

    /// Its `ETag`, as the origin wrote it.
    pub(crate) fn etag(&self) -> Option<&[u8]> {
        self.etag.as_deref()
    }
}

impl Variant {
    /// The variant that answers requests like this one.
    ///
    /// `generation` is shared by the variants of one key: those of a purged key can't be found under a later one.
    #[must_use]
    pub fn of(names: &[HeaderName], request: &HeaderMap, generation: u64) -> Self {
        let fields = names.iter().map(|name| (name.clone(), vary::normalized(request, name))).collect();
        Self::from_parts(fields, generation)
    }

    /// A variant without siblings.
    pub(super) fn from_parts(fields: Box<[(HeaderName, Option<Vec<u8>>)]>, generation: u64) -> Self {
        Self { fields, generation, siblings: Box::default() }
    }

    /// Whether a request's fields are those that the variant was stored for.
    #[must_use]
    pub fn answers(&self, request: &HeaderMap) -> bool {
        self.fields.iter().all(|(name, stored)| vary::normalized(request, name) == *stored)
    }

    /// The same fields with another request's values.
    #[must_use]
    pub fn like(&self, request: &HeaderMap) -> Self {
        let fields = self.fields.iter().map(|(name, _)| (name.clone(), vary::normalized(request, name))).collect();
        Self::from_parts(fields, self.generation)
    }

    /// The same fields with a sibling's values.
    pub(crate) fn beside(&self, sibling: &Sibling) -> Self {
        let names = self.fields.iter().map(|(name, _)| name.clone());
        let fields = names.zip(sibling.values().iter().cloned()).collect();
        Self::from_parts(fields, self.generation)
    }

    /// Whether the other is of the same generation, by the same fields.
    pub(crate) fn is_related(&self, other: &Self) -> bool {
        let names = |variant: &Self| variant.fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        self.generation == other.generation && names(self) == names(other)
    }

    /// The names of the fields, sorted, and the values that they had, normalised; `None` where the field was absent.
    #[must_use]
    pub fn fields(&self) -> &[(HeaderName, Option<Vec<u8>>)] {
        &self.fields
    }

    /// The generation that the variants of one key share.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The other variants, the oldest first, if this is the one that lies under the key itself; some may be gone.
    pub(crate) fn siblings(&self) -> &[Sibling] {
        &self.siblings
    }

    /// The same with these siblings.
    pub(crate) fn with_siblings(mut self, siblings: impl Into<Box<[Sibling]>>) -> Self {
        self.siblings = siblings.into();
        self
    }

    /// The same, and another variant is its newest sibling. Those that are more than `most` are returned, the oldest first.
    pub(crate) fn adopt(mut self, other: &Self, etag: Option<&[u8]>, most: usize) -> (Self, Vec<Sibling>) {
        let values: Box<[_]> = other.fields.iter().map(|(_, value)| value.clone()).collect();
        let mut siblings: Vec<_> = std::mem::take(&mut self.siblings).into_vec();
        siblings.retain(|sibling| sibling.values != values);
        siblings.push(Sibling::new(values, etag.map(Vec::from)));
        let excess = siblings.len().saturating_sub(most);
        let dropped = siblings.drain(..excess).collect();
        self.siblings = siblings.into();
        (self, dropped)
    }

    pub(super) fn size(&self) -> usize {
        let value = |value: &Option<Vec<u8>>| size_of_val(value) + value.as_ref().map_or(0, Vec::len);
        let fields = self.fields.iter().map(|(name, text)| size_of_val(name) + name.as_str().len() + value(text));
        let siblings = self.siblings.iter().map(|sibling| {
            size_of::<Sibling>() + sibling.values.iter().map(value).sum::<usize>() + value(&sibling.etag)
        });
        fields.sum::<usize>() + siblings.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_absent_field_is_not_an_empty_one() {
        let names = [HeaderName::from_static("x-flavour")];
        let mut request = HeaderMap::new();
        let absent = Variant::of(&names, &request, 1);
        assert!(absent.answers(&request));
        request.insert("x-flavour", HeaderValue::from_static(""));
        assert!(!absent.answers(&request));
        assert!(absent.like(&request).answers(&request));
    }

    #[test]
    fn the_newest_siblings_are_known_each_once() {
        let names = [HeaderName::from_static("x")];
        let variant = |value: &'static str| {
            let request = HeaderMap::from_iter([(names[0].clone(), HeaderValue::from_static(value))]);
            Variant::of(&names, &request, 1)
        };
        let mut first = variant("0");
        for (value, dropped) in [("1", 0), ("2", 0), ("1", 0), ("3", 1)] {
            let (next, gone) = first.adopt(&variant(value), Some(value.as_bytes()), 2);
            assert_eq!(gone.len(), dropped, "{value}");
            first = next;
        }
        let known: Vec<_> = first.siblings().iter().map(|sibling| first.beside(sibling)).collect();
        assert_eq!(known, [variant("1"), variant("3")]);
        assert!(first.is_related(&known[0]) && first.siblings()[0].etag() == Some(b"1"));
    }
}
