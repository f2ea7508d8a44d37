//! On what, and of what, a table was made.

use std::{env, fs, process::Command};

/// One line: processor, cores, compiler.
pub fn description() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    format!("{model}, {cores} cores, {}", compiler())
}

/// The version of a crate in this benchmark's `Cargo.lock`.
pub fn version(name: &str) -> &'static str {
    include_str!("../Cargo.lock")
        .split("[[package]]")
        .find(|package| field(package, "name") == Some(name))
        .and_then(|package| field(package, "version"))
        .unwrap_or("?")
}

fn compiler() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Command::new(rustc)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown rustc".into(), |version| version.trim().to_owned())
}

fn field<'a>(package: &'a str, name: &str) -> Option<&'a str> {
    package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"'))
}
