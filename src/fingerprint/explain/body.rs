//! Differences between two JSON bodies, and how to make one of them.

use std::{borrow::Cow, collections::BTreeSet};

use super::{Found, MOST, Place, SECRET, is_secret, shown};
use crate::fingerprint::json;

/// One step from a value to a part of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

/// Finds where two values differ, as deep as can be said.
pub(super) fn compare(own: &json::Value<'_>, theirs: &json::Value<'_>, path: &mut Vec<Step>, found: &mut Vec<Found>) {
    if own == theirs || found.len() > MOST {
        return;
    }
    match (own, theirs) {
        (json::Value::Object(members), json::Value::Object(others)) => {
            let names: BTreeSet<&str> = members.iter().chain(others).map(|(name, _)| &**name).collect();
            for name in names {
                path.push(Step::Member(name.to_owned()));
                descend(own.get(name), theirs.get(name), path, found);
                path.pop();
            }
        }
        (json::Value::Array(elements), json::Value::Array(others)) => {
            for index in 0..elements.len().max(others.len()) {
                path.push(Step::Element(index));
                descend(elements.get(index), others.get(index), path, found);
                path.pop();
            }
        }
        _ => descend(Some(own), Some(theirs), path, found),
    }
}

fn descend(
    own: Option<&json::Value<'_>>,
    theirs: Option<&json::Value<'_>>,
    path: &mut Vec<Step>,
    found: &mut Vec<Found>,
) {
    use json::Value::{Array, Object};
    match (own, theirs) {
        (Some(own @ Object(_)), Some(theirs @ Object(_))) | (Some(own @ Array(_)), Some(theirs @ Array(_))) => {
            compare(own, theirs, path, found);
        }
        _ if own == theirs || found.len() > MOST => {}
        _ => {
            let is_secret = path.iter().any(|step| matches!(step, Step::Member(name) if is_secret(name)));
            let text = |value: &json::Value<'_>| {
                let mut text = String::new();
                render(value, true, &mut text);
                if is_secret { SECRET.to_owned() } else { shown(&text) }
            };
            found.push(Found { place: Place::In(path.clone()), shown: [own.map(text), theirs.map(text)] });
        }
    }
}

pub(super) fn value_at<'v, 'a>(value: &'v json::Value<'a>, steps: &[Step]) -> Option<&'v json::Value<'a>> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Element(index) => value.as_array()?.get(*index),
    })
}

/// Puts a value where the steps lead, or takes away what is there.
pub(super) fn put<'a>(value: &mut json::Value<'a>, steps: &[Step], new: Option<&json::Value<'a>>) {
    let Some((step, rest)) = steps.split_first() else {
        if let Some(new) = new {
            *value = new.clone();
        }
        return;
    };
    match (value, step) {
        (json::Value::Object(members), Step::Member(name)) => {
            let at = members.iter().position(|(other, _)| other == name);
            match (at, rest, new) {
                (Some(at), [], None) => {
                    members.remove(at);
                }
                (Some(at), ..) => put(&mut members[at].1, rest, new),
                (None, [], Some(new)) => {
                    let at = members.partition_point(|(other, _)| **other < **name);
                    members.insert(at, (Cow::Owned(name.clone()), new.clone()));
                }
                (None, ..) => {}
            }
        }
        (json::Value::Array(elements), Step::Element(index)) => match (elements.get_mut(*index), rest, new) {
            (Some(_), [], None) => elements.truncate(*index),
            (Some(element), ..) => put(element, rest, new),
            (None, [], Some(new)) => elements.push(new.clone()),
            (None, ..) => {}
        },
        _ => {}
    }
}

/// Writes a value as JSON, numbers as they came; `hides`: without what looks like a secret.
pub(super) fn render(value: &json::Value<'_>, hides: bool, out: &mut String) {
    let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
    match value {
        json::Value::Null => out.push_str("null"),
        json::Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        json::Value::Number(number) => out.push_str(number.text()),
        json::Value::String(string) => out.push_str(&text(string)),
        json::Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                render(element, hides, out);
            }
            out.push(']');
        }
        json::Value::Object(members) => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&text(name));
                out.push(':');
                if hides && is_secret(name) {
                    out.push_str(&text(SECRET));
                } else {
                    render(member, hides, out);
                }
            }
            out.push('}');
        }
    }
}
