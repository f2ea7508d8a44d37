//! [`Asked`]: which texts a request asks for, each once, by their keys.

use std::collections::HashMap;

use bytes::Bytes;
use http::request::Parts;

use super::batch::Batch;
use crate::{fingerprint::Fingerprint as _, key::Key, llm::Fingerprint};

/// Keeps the keys of embeddings apart from those of answers.
const SCHEME: &str = "llm-embedding";

/// A request for embeddings.
pub(super) struct Asked<'a> {
    pub(super) batch: Batch<'a>,
    /// Its texts, each once.
    pub(super) texts: Vec<Text>,
    /// Which of them stands where.
    pub(super) order: Vec<usize>,
}

/// A text.
pub(super) struct Text {
    pub(super) key: Key,
    /// Where it stands first.
    pub(super) part: usize,
}

impl<'a> Asked<'a> {
    /// `None` if it isn't one that is taken apart, or has no key.
    pub(super) fn of(fingerprint: &Fingerprint, head: &Parts, body: &'a Bytes) -> Option<Self> {
        let batch = Batch::parse(body)?;
        let (mut texts, mut order) = (Vec::with_capacity(batch.parts.len()), Vec::with_capacity(batch.parts.len()));
        let mut known = HashMap::with_capacity(batch.parts.len());
        for (part, text) in batch.parts.iter().enumerate() {
            let key = fingerprint.key(head, &batch.alone(*text))?.derive(SCHEME).finish();
            let at = *known.entry(key.clone()).or_insert(texts.len());
            if at == texts.len() {
                texts.push(Text { key, part });
            }
            order.push(at);
        }
        Some(Self { batch, texts, order })
    }

    /// The request's body for some of the texts.
    pub(super) fn body_for(&self, texts: &[usize]) -> Bytes {
        self.batch.of(texts.iter().map(|at| self.texts[*at].part))
    }

    /// How long some of the texts are.
    pub(super) fn lengths(&self, texts: &[usize]) -> Vec<u64> {
        texts.iter().map(|at| self.batch.parts[self.texts[*at].part].length).collect()
    }
}
