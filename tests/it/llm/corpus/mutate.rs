//! Each place in a body, and what can be changed there.

use serde_json::{Value, json};

/// A way from the body to a place in it.
pub(super) type Path = Vec<Step>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

/// A change of a body.
#[derive(Debug)]
pub(super) struct Mutant {
    /// What is changed, removed or added.
    pub(super) path: Path,
    pub(super) what: &'static str,
    pub(super) body: Value,
}

/// One change of each kind at each place.
pub(super) fn mutants(body: &Value) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for path in places(body) {
        let mut add = |path: Path, what, change: &dyn Fn(&mut Value)| {
            let mut changed = body.clone();
            change(&mut changed);
            mutants.push(Mutant { path, what, body: changed });
        };
        let value = at(body, &path);
        add(path.clone(), "changed", &|body| change(at_mut(body, &path)));
        if let Some((last, parent)) = path.split_last() {
            add(path.clone(), "removed", &|body| match (last, at_mut(body, parent)) {
                (Step::Member(name), Value::Object(members)) => drop(members.remove(name)),
                (Step::Element(index), Value::Array(elements)) => drop(elements.remove(*index)),
                _ => unreachable!("the way came from there"),
            });
        }
        if value.is_object() {
            let added = [&path[..], &[Step::Member("unheard_of".to_owned())]].concat();
            add(added, "added", &|body| at_mut(body, &path)["unheard_of"] = Value::Null);
        }
        if let Some(elements) = value.as_array() {
            let added = [&path[..], &[Step::Element(elements.len())]].concat();
            add(added, "added", &|body| at_mut(body, &path).as_array_mut().expect("an array").push(Value::Null));
            let turned: Vec<_> = elements.iter().rev().cloned().collect();
            if turned != *elements {
                add(path.clone(), "turned round", &|body| {
                    at_mut(body, &path).as_array_mut().expect("an array").reverse()
                });
            }
        }
    }
    mutants.retain(|mutant| !mutant.path.is_empty());
    mutants
}

/// The same value, written otherwise: members turned round, white space, escapes, and numbers with an exponent.
pub(super) fn rewritten(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
        Value::Number(number) => {
            out.push_str(&number.to_string());
            if !out.ends_with(|last: char| last.is_ascii_digit()) || !number.to_string().contains('e') {
                out.push_str("e0");
            }
        }
        Value::String(text) => {
            out.push('"');
            for unit in text.encode_utf16() {
                out.push_str(&format!("\\u{unit:04X}"));
            }
            out.push('"');
        }
        Value::Array(elements) => {
            out.push_str("[ ");
            for (index, element) in elements.iter().enumerate() {
                out.push_str(if index > 0 { " ,\n" } else { "" });
                rewritten(element, out);
            }
            out.push_str("\t]");
        }
        Value::Object(members) => {
            out.push_str("{ ");
            for (index, (name, value)) in members.iter().rev().enumerate() {
                out.push_str(if index > 0 { ",\r\n " } else { "" });
                rewritten(&Value::String(name.clone()), out);
                out.push_str(" : ");
                rewritten(value, out);
            }
            out.push_str(" }");
        }
    }
}

/// Another value of the same kind, if it is a plain one; nothing, if it holds others.
fn change(value: &mut Value) {
    *value = match value {
        Value::Null => json!(1),
        Value::Bool(truth) => json!(!*truth),
        Value::Number(number) => json!(number.as_f64().expect("a number") + 1.0),
        Value::String(text) => json!(format!("{text}x")),
        Value::Array(_) | Value::Object(_) => Value::Null,
    };
}

/// The ways to all values, the body itself first.
fn places(value: &Value) -> Vec<Path> {
    let inner: Vec<(Step, &Value)> = match value {
        Value::Array(elements) => elements.iter().enumerate().map(|(at, value)| (Step::Element(at), value)).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (Step::Member(name.clone()), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let below = inner
        .into_iter()
        .flat_map(|(step, value)| places(value).into_iter().map(move |path| [vec![step.clone()], path].concat()));
    [Path::new()].into_iter().chain(below).collect()
}

fn at<'v>(value: &'v Value, path: &[Step]) -> &'v Value {
    path.iter().fold(value, |value, step| match step {
        Step::Member(name) => &value[name],
        Step::Element(index) => &value[*index],
    })
}

fn at_mut<'v>(value: &'v mut Value, path: &[Step]) -> &'v mut Value {
    path.iter().fold(value, |value, step| match step {
        Step::Member(name) => &mut value[name],
        Step::Element(index) => &mut value[*index],
    })
}
