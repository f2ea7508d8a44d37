//! The house has floors: a file may import from lower ranks or from its own module, never from above or beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lowest first; modules of one rank never import each other, but for those of rank 0.
const RANKS: &[&[&str]] = &[
    &["error", "clock", "key", "tag", "header", "entry", "body", "breaker", "problem", "trace"],
    &["fingerprint", "policy", "redis"],
    &["store"],
    &["coalesce", "stats"],
    &["cache", "cached", "retry", "rate_limit"],
    &["llm"],
    &["reqwest", "figures"],
    &["admin", "metrics"],
];

/// What stands above all ranks: the crate's page and its guide.
const ROOF: &[&str] = &["lib", "guide"];

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|rank| rank.contains(&module))
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a source directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The modules after each `crate::`, in paths and in groups, comments left out.
fn imports(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_members(group)),
            None => found.push(identifier(rest)),
        }
    }
    found
}

fn group_members(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut members) = (0, 0, Vec::new());
    for (at, sign) in group.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                members.push(identifier(group[start..at].trim_start()));
                start = at + 1;
                if sign == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    members
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|sign| sign.is_alphanumeric() || *sign == '_').collect()
}

/// Items that `lib.rs` re-exports, and the modules that they come from.
fn module_of(name: &str) -> &str {
    match name {
        "BoxError" | "ConfigError" => "error",
        "CacheLayer" => "cache",
        "RateLimitLayer" => "rate_limit",
        "RetryFallbackLayer" => "retry",
        other => other,
    }
}

fn upward(module: &str, text: &str) -> Vec<String> {
    let own = rank(module).unwrap_or_else(|| panic!("module `{module}` has no rank; give it one in RANKS"));
    let targets = imports(text).into_iter().map(|name| module_of(&name).to_owned()).filter(|target| target != module);
    targets.filter(|target| rank(target).is_some_and(|other| other > own || (other == own && own > 0))).collect()
}

#[test]
fn imports_point_down() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    assert!(found.len() > 20, "the sources are where they are looked for");
    let mut wrong = Vec::new();
    for file in found {
        let relative = file.strip_prefix(&source).expect("below the source directory");
        let top = relative.components().next().expect("a name").as_os_str().to_str().expect("UTF-8");
        let module = top.trim_end_matches(".rs");
        if ROOF.contains(&module) {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a readable file");
        wrong.extend(
            upward(module, &text).into_iter().map(|target| format!("{}: {module} -> {target}", relative.display())),
        );
    }
    assert!(wrong.is_empty(), "imports that point up or sideways: {wrong:#?}");
}

#[test]
fn the_check_sees_what_it_should() {
    assert_eq!(upward("policy", "use crate::cache::CacheLayer;"), ["cache"]);
    assert_eq!(
        upward("policy", "use crate::{BoxError, entry::{Entry, Head},\n store::Store, CacheLayer};"),
        ["store", "cache"]
    );
    assert_eq!(upward("policy", "use crate::fingerprint::Fingerprint;"), ["fingerprint"]);
    assert!(upward("policy", "// crate::cache\nuse crate::{key::Key, policy::Policy};").is_empty());
}

#[test]
fn no_file_has_grown_past_one_subject() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for directory in ["src", "tests", "examples"] {
        files(&root.join(directory), &mut found);
    }
    let long: Vec<_> = found
        .into_iter()
        .filter(|file| fs::read_to_string(file).expect("a readable file").lines().count() > 400)
        .collect();
    assert!(long.is_empty(), "files over 400 lines have two subjects: {long:#?}");
}
