//! What has to hold for every document, checked on random ones.

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};
use serde_json::Value as Tree;

use super::{Invalid, parse, write_canonical};

fn canonical(body: &[u8]) -> Result<Vec<u8>, Invalid> {
    let mut bytes = Vec::new();
    write_canonical(&parse(body)?, &mut |part: &[u8]| bytes.extend_from_slice(part));
    Ok(bytes)
}

fn canonical_tree(tree: &Tree) -> Vec<u8> {
    canonical(tree.to_string().as_bytes()).expect("serde_json writes valid JSON")
}

/// Documents out of few letters and digits, so that two random ones are often nearly the same.
fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::from),
        (-12i64..12).prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        "[ab\\\\\"\n/é\u{301}😀]{0,3}".prop_map(Tree::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Tree::from),
            btree_map("[abé\"]{0,2}", inner, 0..4).prop_map(|members| Tree::Object(members.into_iter().collect())),
        ]
    })
}

/// Writes one document in many ways: each choice is drawn from a seed.
struct Scribe {
    seed: u64,
    out: String,
}

impl Scribe {
    fn write(tree: &Tree, seed: u64) -> String {
        let mut scribe = Self { seed: seed | 1, out: String::new() };
        scribe.value(tree);
        scribe.out
    }

    fn draw(&mut self, below: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 33) as usize % below
    }

    fn value(&mut self, tree: &Tree) {
        self.space();
        match tree {
            Tree::Null | Tree::Bool(_) => self.out += &tree.to_string(),
            Tree::Number(number) => {
                let spelling = match self.draw(5) {
                    0 => format!("{number}.0"),
                    1 => format!("{number}e0"),
                    2 if number.as_i64() == Some(0) => "-0".to_owned(),
                    2 => format!("{number}00E-2"),
                    3 => format!("{number}.000e+00"),
                    _ => number.to_string(),
                };
                self.out += &spelling;
            }
            Tree::String(text) => self.string(text),
            Tree::Array(elements) => {
                self.out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    self.out += if index > 0 { "," } else { "" };
                    self.value(element);
                }
                self.out.push(']');
            }
            Tree::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                self.out.push('{');
                while !members.is_empty() {
                    let (key, value) = members.swap_remove(self.draw(members.len()));
                    self.space();
                    self.string(key);
                    self.space();
                    self.out.push(':');
                    self.value(value);
                    self.out += if members.is_empty() { "}" } else { "," };
                }
                if self.out.ends_with('{') {
                    self.out.push('}');
                }
            }
        }
        self.space();
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            let must_escape = matches!(character, '"' | '\\' | '\0'..='\u{1F}');
            match self.draw(3) {
                0 if matches!(character, '"' | '\\' | '/') => {
                    self.out.push('\\');
                    self.out.push(character);
                }
                0 if character == '\n' => self.out += "\\n",
                1 if !must_escape => self.out.push(character),
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        self.out += &format!("\\u{unit:04x}");
                    }
                }
            }
        }
        self.out.push('"');
    }

    fn space(&mut self) {
        let space = ["", "", " ", "\r\n", "\t "][self.draw(5)];
        self.out += space;
    }
}

/// The values without children; an empty array or object is one too.
fn leaves(tree: &mut Tree) -> Vec<&mut Tree> {
    let is_leaf = tree.as_array().is_none_or(Vec::is_empty) && tree.as_object().is_none_or(serde_json::Map::is_empty);
    if is_leaf {
        return vec![tree];
    }
    match tree {
        Tree::Array(elements) => elements.iter_mut().flat_map(leaves).collect(),
        Tree::Object(members) => members.values_mut().flat_map(leaves).collect(),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) => Vec::new(),
    }
}

/// Serde's verdict is ours, but for the three differences that are documented.
fn agrees_with_serde(body: &[u8]) -> Result<(), TestCaseError> {
    match (parse(body), serde_json::from_slice::<Tree>(body)) {
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
        (Err(invalid), Ok(_)) => {
            prop_assert!(invalid.is_duplicate_key() || invalid.is_too_deep(), "{invalid}");
        }
        (Ok(_), Err(error)) => {
            let message = error.to_string();
            let is_known = message.contains("number out of range") || message.contains("recursion");
            prop_assert!(is_known, "{message}");
        }
    }
    Ok(())
}

/// Pieces of documents, right and wrong ones.
fn fragments() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\"a\"",
        "\"b\"",
        "\\",
        "\\u00e9",
        "\\ud83d",
        "\\ude00",
        "\"\\ud83d\\ude00\"",
        "\"\\udead\"",
        "\u{1}",
        "\u{feff}",
        "é",
        " ",
        "\n",
        "\u{b}",
        "0",
        "1",
        "12",
        "-",
        "+",
        ".",
        "e",
        "E",
        "1.5",
        "-0",
        "1e5",
        "1e999",
        "01",
        "true",
        "false",
        "null",
        "nul",
        "NaN",
        "\"a\":1",
        "\"a\":{\"b\":[1,2]}",
        "//",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn loose_fragments_are_accepted_as_serde_accepts_them(parts in vec(fragments(), 0..8)) {
        agrees_with_serde(parts.concat().as_bytes())?;
    }

    #[test]
    fn damaged_documents_are_accepted_as_serde_accepts_them(
        tree in trees(),
        seed in any::<u64>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        damage in 0..4,
    ) {
        let mut body = Scribe::write(&tree, seed).into_bytes();
        let at = at.index(body.len());
        match damage {
            0 => body[at] = byte,
            1 => body.insert(at, byte),
            2 => drop(body.remove(at)),
            _ => body.truncate(at),
        }
        agrees_with_serde(&body)?;
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in vec(any::<u8>(), 0..64)) {
        agrees_with_serde(&body)?;
    }

    #[test]
    fn strings_mean_what_serde_says(text in any::<String>(), seed in any::<u64>()) {
        let body = Scribe::write(&Tree::from(text.as_str()), seed);
        let value = parse(body.as_bytes()).expect("valid JSON");
        prop_assert_eq!(value.as_str(), Some(text.as_str()));
    }

    #[test]
    fn every_way_to_write_a_document_has_one_form(tree in trees(), seed in any::<u64>()) {
        let written = Scribe::write(&tree, seed);
        prop_assert_eq!(canonical(written.as_bytes()), Ok(canonical_tree(&tree)), "{}", written);
    }

    #[test]
    fn a_changed_leaf_changes_the_form(
        tree in trees(),
        at in any::<prop::sample::Index>(),
        other in trees(),
    ) {
        let mut changed = tree.clone();
        let mut leaves = leaves(&mut changed);
        let index = at.index(leaves.len());
        *leaves[index] = other;
        prop_assert_eq!(changed == tree, canonical_tree(&changed) == canonical_tree(&tree));
    }

    #[test]
    fn no_form_is_another_or_begins_it(left in trees(), right in trees()) {
        let (left_form, right_form) = (canonical_tree(&left), canonical_tree(&right));
        prop_assert_eq!(left == right, left_form.starts_with(&right_form));
        prop_assert_eq!(left == right, right_form.starts_with(&left_form));
    }

    #[test]
    fn numbers_are_equal_when_their_doubles_are_exact_and_equal(
        left in -300i32..300, left_shift in -3i32..4, right in -300i32..300, right_shift in -3i32..4,
    ) {
        // Scaled by 1000 both values are whole numbers: an independent way to compare them.
        let exact = |digits: i32, shift: i32| i64::from(digits) * 10i64.pow((shift + 3) as u32);
        let are_equal = exact(left, left_shift) == exact(right, right_shift);
        let left = canonical(format!("{left}e{left_shift}").as_bytes());
        let right = canonical(format!("{right}e{right_shift}").as_bytes());
        prop_assert_eq!(are_equal, left == right);
    }
}
