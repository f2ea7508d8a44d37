//! What was asked: texts, turns of a conversation, and their length in make-believe tokens.

use serde::Deserialize;
use serde_json::Value;

/// No real tokenizer: a piece is at most this many letters or digits, with the space before them.
const LONGEST_PIECE: usize = 7;

/// What chat formats add to every turn, in tokens.
const TURN: usize = 4;

/// One message of a conversation, in any of the APIs.
#[derive(Debug, Deserialize)]
pub(super) struct Turn {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: Value,
}

/// The text of the last turn that is the user's, or nothing.
pub(super) fn question(turns: &[Turn]) -> String {
    let last = turns.iter().rfind(|turn| turn.role == "user");
    last.map(|turn| text(&turn.content)).unwrap_or_default()
}

/// The length of a whole conversation, in tokens.
pub(super) fn length(turns: &[Turn]) -> usize {
    turns.iter().map(|turn| TURN + pieces(&text(&turn.content)).len()).sum()
}

/// The text of a `content`, which is a string or an array of parts; a part that is no text is left out.
pub(super) fn text(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let parts = content.as_array().map(Vec::as_slice).unwrap_or_default();
    parts.iter().filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join("\n")
}

/// Cuts a text into pieces the size of tokens; joined, they are the text again.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut letters = 0;
    for (at, character) in text.char_indices() {
        let goes_on = if character.is_alphanumeric() {
            letters < LONGEST_PIECE && (letters > 0 || text[start..at] == *" ")
        } else {
            false
        };
        if !goes_on && at > start {
            pieces.push(&text[start..at]);
            start = at;
            letters = 0;
        }
        letters += usize::from(character.is_alphanumeric());
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_text() {
        let text = "  Größe: \"internationalization\"\n\n日本語 3.14 🦀";
        assert_eq!(pieces(text).concat(), text);
        assert_eq!(pieces("What is a larder?"), ["What", " is", " a", " larder", "?"]);
        assert!(pieces("").is_empty());
    }

    #[test]
    fn a_content_in_parts_is_read() {
        let content = serde_json::json!([{"type": "text", "text": "a"}, {"type": "image"}]);
        assert_eq!(text(&content), "a");
    }
}
