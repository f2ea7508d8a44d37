//! Requests as clients send them: which parts of them make a key, and the keys that they have.
//!
//! A key that changes between releases is a lost cache. If one has to, raise `key::SCHEMA`, say so in the changelog, and write
//! the new keys with
//!
//! ```text
//! LARDER_GOLDEN=write cargo test --all-features --test it golden
//! ```

mod keys;
mod mutate;

use std::{fs, path::PathBuf};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, request::Parts};
use larder::{fingerprint::Fingerprint as _, key::Key, llm::Fingerprint};
use serde::Deserialize;
use serde_json::Value;

/// A request of the corpus.
#[derive(Clone, Deserialize)]
struct Sample {
    #[serde(skip)]
    name: String,
    uri: String,
    headers: serde_json::Map<String, Value>,
    body: Value,
}

impl Sample {
    fn head(&self) -> Parts {
        let mut request = Request::post(&self.uri);
        for (name, value) in &self.headers {
            request = request.header(name, value.as_str().expect("a field's value"));
        }
        request.body(()).expect("a request").into_parts().0
    }

    /// The key of the same head with another body.
    fn key_of(&self, body: impl Into<Bytes>) -> Option<Key> {
        Fingerprint::new().key(&self.head(), &body.into())
    }

    fn key(&self) -> Key {
        self.key_of(self.body.to_string()).expect("a key")
    }

    /// The key with another head.
    fn key_with(&self, change: impl FnOnce(&mut Parts)) -> Option<Key> {
        let mut head = self.head();
        change(&mut head);
        Fingerprint::new().key(&head, &self.body.to_string().into())
    }

    fn key_with_field(&self, name: &'static str, value: Option<&'static str>) -> Option<Key> {
        self.key_with(|head| {
            let name = HeaderName::from_static(name);
            match value {
                Some(value) => drop(head.headers.insert(name, HeaderValue::from_static(value))),
                None => drop(head.headers.remove(name)),
            }
        })
    }
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/llm/corpus")
}

/// All of them, by name.
fn samples() -> Vec<Sample> {
    let files = fs::read_dir(directory()).expect("the corpus").map(|file| file.expect("a file").path());
    let mut paths: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a file");
        let sample: Sample = serde_json::from_str(&text).expect("a sample");
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        Sample { name, ..sample }
    };
    let samples: Vec<_> = paths.into_iter().map(read).collect();
    assert!(samples.len() >= 13, "the corpus is there");
    samples
}
