//! `--prices`: what tokens cost, where that differs from what larder knows.

use std::fs;

use larder::llm::Prices;

const TAKES: &str = "takes a JSON file in LiteLLM's schema, such as {\"gpt-4o\": {\"input_cost_per_token\": 2.5e-06}}";

/// Reads a file.
///
/// # Errors
///
/// What is wrong with it, and what it takes.
pub(crate) fn read(path: &str) -> Result<Prices, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{TAKES}; {error}"))?;
    Prices::from_json(&text).map_err(|error| format!("{TAKES}; {error}"))
}
