//! How much of an answer is left to chance.

use crate::{fingerprint::json, llm::Endpoint};

/// Which requests are cached, by how much their answers are left to chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Temperature {
    /// All: who asks the same again gets the same answer.
    #[default]
    All,
    /// Those that ask for a temperature of 0, and embeddings. One that says nothing of it is left to chance.
    DeterministicOnly,
}

impl Temperature {
    pub(super) fn allows(self, endpoint: Endpoint, request: &json::Value<'_>) -> bool {
        let config = request.get("generationConfig").unwrap_or(request);
        let is_zero = |number: json::Number<'_>| number.text().parse::<f64>().is_ok_and(|number| number == 0.0);
        self == Self::All
            || endpoint == Endpoint::Embeddings
            || config.get("temperature").and_then(json::Value::as_number).is_some_and(is_zero)
    }
}
