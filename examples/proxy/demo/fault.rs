//! The ways in which the demo can be told to fail, and where in a request it is told.

use http::HeaderMap;

/// The request header that asks for a fault by name.
pub(super) const HEADER: &str = "x-demo-fault";

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// `429`: the call is refused, and may be made again in a second and a half.
    RateLimit,
    /// `quota`: the call is refused until somebody pays.
    Quota,
    /// `503`: the call is refused.
    Overload,
    /// `500`: the call is refused.
    Crash,
    /// `reset`: the connection closes before an answer.
    Reset,
    /// `hang`: there is no answer.
    Hang,
    /// `cut`: the connection closes half-way through the body.
    Cut,
    /// `error-first`: a stream carries nothing but an error. JSON answers are spared.
    ErrorFirst,
    /// `error-event`: half-way, a stream carries an error in place of tokens. JSON answers are spared.
    ErrorEvent,
    /// `length`: the answer ends early, as if at its token limit.
    Length,
    /// `slow`: ten seconds to the first token.
    Slow,
}

/// A fault that was asked for: `503` fails each time, `503*2` twice for the same request, which is then answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) fault: Fault,
    /// How many times, if not for ever.
    pub(super) times: Option<u8>,
}

impl Fault {
    /// Every fault with the name it is asked for by.
    pub(super) const ALL: [(&'static str, Self); 11] = [
        ("429", Self::RateLimit),
        ("quota", Self::Quota),
        ("503", Self::Overload),
        ("500", Self::Crash),
        ("reset", Self::Reset),
        ("hang", Self::Hang),
        ("cut", Self::Cut),
        ("error-first", Self::ErrorFirst),
        ("error-event", Self::ErrorEvent),
        ("length", Self::Length),
        ("slow", Self::Slow),
    ];

    fn named(name: &str) -> Option<Self> {
        let (_, fault) = Self::ALL.iter().find(|(known, _)| *known == name)?;
        Some(*fault)
    }
}

impl Wish {
    /// What a model's name asks for, as `demo-429` and `demo-429*2` do.
    ///
    /// # Errors
    ///
    /// How often a fault can be asked for, when the name says something else.
    pub(super) fn of_model(model: &str) -> Result<Option<Self>, String> {
        let Some(text) = model.strip_prefix("demo-") else { return Ok(None) };
        let name = text.split('*').next().unwrap_or_default();
        if Fault::named(name).is_none() {
            return Ok(None);
        }
        let wish = Self::parse(text);
        wish.map(Some).ok_or_else(|| format!("demo-{name} may be followed by *1 to *9: how many times it is to fail"))
    }

    /// What the headers ask for.
    ///
    /// # Errors
    ///
    /// The list of names, when what is in the header is none of them.
    pub(super) fn of_headers(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let Some(value) = headers.get(HEADER) else {
            return Ok(None);
        };
        let wish = value.to_str().ok().and_then(Self::parse);
        wish.map(Some).ok_or_else(|| {
            let names = Fault::ALL.map(|(name, _)| name).join(", ");
            format!("{HEADER} must be one of: {names}; after it may come *1 to *9: how many times it is to fail")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let Some((name, times)) = text.split_once('*') else {
            return Some(Self { fault: Fault::named(text)?, times: None });
        };
        let times = times.parse().ok().filter(|count| (1..=9).contains(count) && times.len() == 1)?;
        Some(Self { fault: Fault::named(name)?, times: Some(times) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_asks_for_a_fault_only_by_its_whole_name() {
        let always = |fault| Ok(Some(Wish { fault, times: None }));
        assert_eq!(Wish::of_model("demo-429"), always(Fault::RateLimit));
        assert_eq!(Wish::of_model("demo-error-first"), always(Fault::ErrorFirst));
        for model in ["demo-4290", "429", "demo", "demo-", "demo-embedding", "demo-embedding*2"] {
            assert_eq!(Wish::of_model(model), Ok(None), "{model}");
        }
    }

    #[test]
    fn a_fault_may_be_asked_for_a_number_of_times() {
        let twice = Wish { fault: Fault::Overload, times: Some(2) };
        assert_eq!(Wish::of_model("demo-503*2"), Ok(Some(twice)));
        let headers = |value: &str| {
            HeaderMap::from_iter([(http::HeaderName::from_static(HEADER), value.parse().expect("a value"))])
        };
        assert_eq!(Wish::of_headers(&headers("503*2")), Ok(Some(twice)));
        for text in ["503*", "503*0", "503*10", "503*02", "503*-1", "503*+1", "503*x", "503**2", "503*2*2", "503 * 2"] {
            assert!(Wish::of_headers(&headers(text)).expect_err(text).contains("*1 to *9"));
        }
        assert!(Wish::of_model("demo-503*0").is_err());
        assert!(Wish::of_headers(&headers("nothing*2")).expect_err("no fault").contains("error-first"));
    }
}
