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

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn keys(input: &str) -> Vec<String> {
        let request = Request::post("https://api.openai.com/v1/embeddings").header("content-type", "application/json");
        let head = request.body(()).expect("a request").into_parts().0;
        let body = Bytes::from(format!(r#"{{"model":"m","input":{input}}}"#));
        let asked = Asked::of(&Fingerprint::new(), &head, &body).expect("a batch");
        asked.order.iter().map(|at| asked.texts[*at].key.to_string()).collect()
    }

    #[test]
    fn a_text_has_one_key_alone_and_in_any_batch_however_it_is_written() {
        let alone = keys(r#""hi""#);
        assert_eq!(keys(r#"["a","h\u0069","hi"]"#)[1..], [alone.clone(), alone].concat());
        assert_eq!(keys("[[1,2],[3]]")[0], keys("[1, 2]")[0]);
        assert_ne!(keys(r#"["1"]"#), keys("[1]"));
    }

    /// A key that changes between releases is a lost cache: what changes them is named in the changelog.
    #[test]
    fn golden_keys_of_texts_do_not_change() {
        assert_eq!(
            keys(r#"["hi",  "ho"]"#),
            [
                "embeddings:m:e4426e6fbec463f26a0e8bc516bfc1ad1eb3e4dfd2eed9ab7c177e4a65ce57ec",
                "embeddings:m:8a60a4d91c7e13b7a328bde3f108adf1dae87b38803e6408ae5d06922408aa1c",
            ]
        );
    }
}
