//! `POST /v1/embeddings`: vectors of unit length, near each other for texts that share words.

use std::time::Duration;

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    call::{Asked, seed},
    failure::Failure,
    playback, prompt,
};

const COMPUTING: Duration = Duration::from_millis(300);
const MOST_INPUTS: usize = 2048;
const FEWEST_DIMENSIONS: usize = 8;
const MOST_DIMENSIONS: usize = 1536;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    input: Option<Input>,
    dimensions: Option<usize>,
    encoding_format: Option<Encoding>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    Float,
    Base64,
}

/// One text or many, in letters or in a tokenizer's numbers.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string, an array of strings, or tokens as numbers")]
pub(super) enum Input {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

/// A text with its length in tokens.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) length: usize,
}

impl Input {
    pub(super) fn into_texts(self) -> Vec<Text> {
        match self {
            Self::Text(text) => vec![Text::new(text)],
            Self::Texts(texts) => texts.into_iter().map(Text::new).collect(),
            Self::Tokens(tokens) => vec![Text::of_tokens(&tokens)],
            Self::TokenLists(lists) => lists.iter().map(|tokens| Text::of_tokens(tokens)).collect(),
        }
    }
}

impl Text {
    fn new(text: String) -> Self {
        let length = prompt::pieces(&text).len();
        Self { text, length }
    }

    /// There is no vocabulary here to read them with: each number stands for a word of its own.
    fn of_tokens(tokens: &[u32]) -> Self {
        let words: Vec<String> = tokens.iter().map(u32::to_string).collect();
        Self { text: words.join(" "), length: tokens.len() }
    }
}

pub(super) async fn create(asked: Asked<Request>) -> Result<Response, Failure> {
    let Asked { call, request } = asked;
    let texts = request.input.ok_or_else(|| Failure::missing("input"))?.into_texts();
    if texts.is_empty() || texts.len() > MOST_INPUTS {
        let message = format!("'input' must hold from 1 to {MOST_INPUTS} texts.");
        return Err(Failure::invalid(Some("input"), message));
    }
    let dimensions = request.dimensions.unwrap_or(MOST_DIMENSIONS);
    if !(FEWEST_DIMENSIONS..=MOST_DIMENSIONS).contains(&dimensions) {
        let message = format!("'dimensions' must be from {FEWEST_DIMENSIONS} to {MOST_DIMENSIONS}.");
        return Err(Failure::invalid(Some("dimensions"), message));
    }
    let encoding = request.encoding_format.unwrap_or(Encoding::Float);
    let length: usize = texts.iter().map(|text| text.length).sum();
    let list = json!({
        "object": "list",
        "data": texts.iter().enumerate().map(|(index, text)| json!({
            "object": "embedding",
            "index": index,
            "embedding": encoding.encode(&embed(&call.model, &text.text, dimensions)),
        })).collect::<Vec<_>>(),
        "model": call.model,
        "usage": { "prompt_tokens": length, "total_tokens": length },
    });
    call.wait(COMPUTING).await;
    Ok(playback::json(&call, Duration::ZERO, &list))
}

impl Encoding {
    fn encode(self, vector: &[f32]) -> Value {
        match self {
            Self::Float => json!(vector),
            Self::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                Value::String(base64(&bytes))
            }
        }
    }
}

/// The sum of one direction for the model and one for each word, made one long.
fn embed(model: &str, text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0; dimensions];
    add_direction(&mut vector, seed(&model));
    for word in text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
        add_direction(&mut vector, seed(&(model, word.to_lowercase())));
    }
    let norm = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|number| *number /= norm);
    }
    vector
}

/// Adds numbers in -1..1 from the generator SplitMix64 (Steele, Lea and Flood, 2014).
fn add_direction(vector: &mut [f32], seed: u64) {
    let mut state = seed;
    for number in vector {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let [high, low, ..] = bits.to_be_bytes();
        *number += f32::from(i16::from_be_bytes([high, low])) / 32768.0;
    }
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let [first, second, third] = [0, 1, 2].map(|at| u32::from(group.get(at).copied().unwrap_or(0)));
        let bits = first << 16 | second << 8 | third;
        for sextet in 0..4 {
            if sextet <= group.len() {
                let index = bits >> (18 - 6 * sextet) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let encoded = texts.map(|text| base64(text.as_bytes()));
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }

    #[test]
    fn texts_that_share_words_are_nearer_than_others() {
        let near = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|text| embed("demo", text, 1536));
            one.iter().zip(&other).map(|(one, other)| one * other).sum::<f32>()
        };
        assert!((near("a cold larder", "a cold larder") - 1.0).abs() < 1e-4);
        assert!(near("a cold larder", "the larder is cold") > near("a cold larder", "rain on Tuesday"));
    }
}
