//! The ways in which the demo can be told to fail, and where in a request it is told.

use http::HeaderMap;

/// The request header that asks for a fault by name.
pub(super) const HEADER: &str = "x-demo-fault";

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// `429`: the call is refused, with `retry-after`.
    RateLimit,
    /// `503`: the call is refused.
    Overload,
    /// `500`: the call is refused.
    Crash,
    /// `cut`: the connection closes half-way through the body.
    Cut,
    /// `error-event`: half-way, a stream carries an error in place of tokens. JSON answers are spared.
    ErrorEvent,
    /// `length`: the answer ends early, as if at its token limit.
    Length,
    /// `slow`: ten seconds to the first token.
    Slow,
}

impl Fault {
    /// Every fault with the name it is asked for by.
    pub(super) const ALL: [(&'static str, Self); 7] = [
        ("429", Self::RateLimit),
        ("503", Self::Overload),
        ("500", Self::Crash),
        ("cut", Self::Cut),
        ("error-event", Self::ErrorEvent),
        ("length", Self::Length),
        ("slow", Self::Slow),
    ];

    /// The fault that a model's name asks for, as `demo-429` does.
    pub(super) fn of_model(model: &str) -> Option<Self> {
        Self::named(model.strip_prefix("demo-")?)
    }

    /// The fault that the headers ask for.
    ///
    /// # Errors
    ///
    /// The list of names, when the one in the header is none of them.
    pub(super) fn of_headers(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let Some(value) = headers.get(HEADER) else {
            return Ok(None);
        };
        let fault = value.to_str().ok().and_then(Self::named);
        fault.map(Some).ok_or_else(|| {
            let names = Self::ALL.map(|(name, _)| name).join(", ");
            format!("{HEADER} must be one of: {names}")
        })
    }

    fn named(name: &str) -> Option<Self> {
        let (_, fault) = Self::ALL.iter().find(|(known, _)| *known == name)?;
        Some(*fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_asks_for_a_fault_only_by_its_whole_name() {
        assert_eq!(Fault::of_model("demo-429"), Some(Fault::RateLimit));
        assert_eq!(Fault::of_model("demo-4290"), None);
        assert_eq!(Fault::of_model("429"), None);
    }
}
