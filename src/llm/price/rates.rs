//! [`ModelPrice`]: what the tokens of one model cost.

use std::borrow::Cow;

use super::money::{AttoDollars, Cost, NanoDollars};
use crate::llm::Usage;

/// What the tokens of one model cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelPrice {
    pub(super) provider: Option<String>,
    /// `None`: said not to be known.
    rates: Vec<(Rate, Option<AttoDollars>)>,
}

/// What a price is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    kind: Kind,
    /// Holds if the input has more tokens than this.
    above: u64,
    /// The service tier; empty for the standard one.
    tier: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Input,
    Output,
    Reasoning,
    CacheRead,
    CacheCreation,
    CacheCreation1h,
}

impl Rate {
    /// What a member of LiteLLM's schema prices, if that is tokens of text.
    pub(super) fn named(member: &str) -> Option<Self> {
        const BASES: [(&str, Kind); 6] = [
            ("cache_creation_input_token_cost_above_1hr", Kind::CacheCreation1h),
            ("cache_creation_input_token_cost", Kind::CacheCreation),
            ("cache_read_input_token_cost", Kind::CacheRead),
            ("input_cost_per_token", Kind::Input),
            ("output_cost_per_token", Kind::Output),
            ("output_cost_per_reasoning_token", Kind::Reasoning),
        ];
        let (mut rest, kind) = BASES.into_iter().find_map(|(base, kind)| Some((member.strip_prefix(base)?, kind)))?;
        let mut above = 0;
        if let Some((thousands, after)) =
            rest.strip_prefix("_above_").and_then(|condition| condition.split_once("k_tokens"))
        {
            above = thousands.parse::<u64>().ok()?.checked_mul(1000)?;
            rest = after;
        }
        let tier = if rest.is_empty() { rest } else { rest.strip_prefix('_')? };
        // Other conditions are not understood, and what holds under them isn't what holds without.
        (!tier.starts_with("above_")).then(|| Self { kind, above, tier: tier.to_owned() })
    }
}

impl ModelPrice {
    pub(super) fn set(&mut self, rate: Rate, price: Option<AttoDollars>) {
        match self.rates.iter_mut().find(|(known, _)| *known == rate) {
            Some((_, known)) => *known = price,
            None => self.rates.push((rate, price)),
        }
    }

    /// The same with what the other says besides or otherwise.
    pub(super) fn update(&mut self, other: Self) {
        if other.provider.is_some() {
            self.provider = other.provider;
        }
        other.rates.into_iter().for_each(|(rate, price)| self.set(rate, price));
    }

    /// Whether any price is known.
    pub(super) fn is_known(&self) -> bool {
        self.rates.iter().any(|(_, price)| price.is_some())
    }

    /// The provider, by LiteLLM's name.
    #[must_use]
    pub fn provider(&self) -> Option<&str> {
        self.provider.as_deref()
    }

    /// What an answer cost that took so many tokens. `None` if something of it has no price.
    ///
    /// What was read from the provider's cache, written into it, or thought, costs as all input or output if it has no
    /// price of its own. A price for long inputs holds for all tokens of such a request. `tier` is the service tier
    /// that the answer names: one without prices of its own isn't taken for the standard one.
    #[must_use]
    pub fn cost(&self, usage: &Usage, tier: Option<&str>) -> Option<NanoDollars> {
        let tier = match tier.unwrap_or_default() {
            "default" | "standard" | "auto" | "on_demand" => "",
            tier => tier,
        };
        let price = |kinds: &[Kind]| kinds.iter().find_map(|kind| self.price(*kind, usage.input, tier));
        let cached = usage.cached_input.min(usage.input);
        let created = usage.cache_creation.min(usage.input - cached);
        let created_1h = usage.cache_creation_1h.min(created);
        let reasoning = usage.reasoning.min(usage.output);
        let parts: [(u64, &[Kind]); 6] = [
            (usage.input - cached - created, &[Kind::Input]),
            (cached, &[Kind::CacheRead, Kind::Input]),
            (created - created_1h, &[Kind::CacheCreation, Kind::Input]),
            (created_1h, &[Kind::CacheCreation1h, Kind::CacheCreation, Kind::Input]),
            (usage.output - reasoning, &[Kind::Output]),
            (reasoning, &[Kind::Reasoning, Kind::Output]),
        ];
        let used = parts.into_iter().filter(|(tokens, _)| *tokens > 0);
        let total = used
            .map(|(tokens, kinds)| Some(price(kinds)?.times(tokens)))
            .try_fold(Cost::default(), |sum, cost| sum.plus(cost?));
        total?.rounded().filter(|_| self.is_known())
    }

    fn price(&self, kind: Kind, input: u64, tier: &str) -> Option<AttoDollars> {
        let holds = |rate: &Rate| rate.kind == kind && rate.tier == tier && (rate.above == 0 || input > rate.above);
        let holding = self.rates.iter().filter(|(rate, price)| holds(rate) && price.is_some());
        holding.max_by_key(|(rate, _)| rate.above).and_then(|(_, price)| *price)
    }
}

/// The names under which the price of a model may be found, the best first: as it is, then without its date.
pub(super) fn names(model: &str) -> Vec<Cow<'_, str>> {
    // Gemini's resource names.
    let model = model.strip_prefix("models/").unwrap_or(model);
    let mut names = vec![Cow::Borrowed(model)];
    if let Some(base) = base_of_fine_tuned(model) {
        names.push(base);
    }
    for at in 0..names.len() {
        if let Some(undated) = without_date(&names[at]) {
            names.push(Cow::Owned(undated.to_owned()));
        }
    }
    names
}

/// `ft:gpt-4o-mini-2024-07-18:org:name:id` costs what all do that are tuned from the same model.
fn base_of_fine_tuned(model: &str) -> Option<Cow<'_, str>> {
    let (base, _) = model.strip_prefix("ft:")?.split_once(':')?;
    Some(Cow::Owned(format!("ft:{base}")))
}

/// Without a date (`-2024-08-06`, `-20241022`, `@20241022`), `-latest`, or Google's number of a version (`-001`).
fn without_date(model: &str) -> Option<&str> {
    if let Some(name) = model.strip_suffix("-latest") {
        return Some(name);
    }
    let shape = |from: usize| -> Option<(&str, String)> {
        let at = model.len().checked_sub(from)?;
        let (name, suffix) = (model.get(..at)?, model.get(at..)?);
        let shape = suffix.chars().map(|sign| if sign.is_ascii_digit() { '0' } else { sign }).collect();
        (!name.is_empty()).then_some((name, shape))
    };
    let dated = [11, 9].into_iter().find_map(|length| {
        let (name, shape) = shape(length)?;
        matches!(&*shape, "-0000-00-00" | "-00000000" | "@00000000").then_some(name)
    });
    let versioned =
        || shape(4).filter(|(name, shape)| name.contains("gemini") && shape == "-000").map(|(name, _)| name);
    dated.or_else(versioned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(rates: &[(&str, &str)]) -> ModelPrice {
        let mut model = ModelPrice::default();
        for (name, price) in rates {
            model.set(Rate::named(name).expect(name), AttoDollars::parse(price));
        }
        model
    }

    fn nano(cost: Option<NanoDollars>) -> Option<u64> {
        cost.map(NanoDollars::get)
    }

    const PLAIN: [(&str, &str); 2] = [("input_cost_per_token", "3e-06"), ("output_cost_per_token", "1.5e-05")];

    #[test]
    fn each_kind_of_token_has_its_price_and_none_is_paid_twice() {
        let usage = Usage {
            input: 1000,
            cached_input: 600,
            cache_creation: 300,
            cache_creation_1h: 100,
            output: 50,
            reasoning: 20,
        };
        assert_eq!(nano(model(&PLAIN).cost(&usage, None)), Some(1000 * 3000 + 50 * 15_000));
        let special = [
            ("cache_read_input_token_cost", "3e-07"),
            ("cache_creation_input_token_cost", "3.75e-06"),
            ("cache_creation_input_token_cost_above_1hr", "6e-06"),
            ("output_cost_per_reasoning_token", "2e-05"),
        ];
        let all = model(&[&PLAIN[..], &special].concat());
        let input = 100 * 3000 + 600 * 300 + 200 * 3750 + 100 * 6000;
        assert_eq!(nano(all.cost(&usage, None)), Some(input + 30 * 15_000 + 20 * 20_000));
        let absurd = Usage { cached_input: u64::MAX, reasoning: u64::MAX, ..usage };
        assert_eq!(nano(all.cost(&absurd, None)), Some(1000 * 300 + 50 * 20_000), "no more than there is");
    }

    #[test]
    fn what_has_no_price_is_not_free() {
        let usage = Usage { input: 10, output: 1, ..Usage::default() };
        assert_eq!(model(&PLAIN[..1]).cost(&usage, None), None);
        assert_eq!(nano(model(&PLAIN[..1]).cost(&Usage { output: 0, ..usage }, None)), Some(30_000), "embeddings");
        assert_eq!(ModelPrice::default().cost(&Usage::default(), None), None);
        assert_eq!(
            nano(model(&[("input_cost_per_token", "0.0"), ("output_cost_per_token", "0")]).cost(&usage, None)),
            Some(0)
        );
        assert_eq!(model(&PLAIN).cost(&Usage { input: u64::MAX, ..usage }, None), None, "beyond all amounts");
    }

    #[test]
    fn fractions_of_a_nano_dollar_add_up() {
        let price = model(&[("input_cost_per_token", "1.875e-08")]);
        for (input, expected) in [(1, 19), (2, 38), (4, 75), (1000, 18_750)] {
            assert_eq!(nano(price.cost(&Usage { input, ..Usage::default() }, None)), Some(expected));
        }
    }

    #[test]
    fn a_long_input_makes_the_whole_request_dearer() {
        let long = [
            ("input_cost_per_token_above_200k_tokens", "6e-06"),
            ("output_cost_per_token_above_200k_tokens", "2.25e-05"),
        ];
        let price = model(&[&PLAIN[..], &long].concat());
        let cost = |input| nano(price.cost(&Usage { input, output: 1, ..Usage::default() }, None));
        assert_eq!(cost(200_000), Some(200_000 * 3000 + 15_000));
        assert_eq!(cost(200_001), Some(200_001 * 6000 + 22_500));
    }

    #[test]
    fn another_service_tier_is_not_taken_for_the_standard_one() {
        let flex = [("input_cost_per_token_flex", "1e-06"), ("output_cost_per_token_flex", "2e-06")];
        let price = model(&[&PLAIN[..], &flex].concat());
        let usage = Usage { input: 1, output: 1, ..Usage::default() };
        for tier in [None, Some("default"), Some("standard"), Some("auto")] {
            assert_eq!(nano(price.cost(&usage, tier)), Some(18_000), "{tier:?}");
        }
        assert_eq!(nano(price.cost(&usage, Some("flex"))), Some(3000));
        assert_eq!(price.cost(&usage, Some("priority")), None);
    }

    #[test]
    fn what_is_not_for_tokens_of_text_is_left_out() {
        for member in [
            "input_cost_per_audio_token",
            "input_cost_per_token_above_xk_tokens",
            "cache_creation_input_token_cost_above_12hr",
            "output_cost_per_image",
            "max_tokens",
            "litellm_provider",
            "input_cost_per_tokens",
        ] {
            assert_eq!(Rate::named(member), None, "{member}");
        }
    }

    #[test]
    fn a_name_is_looked_for_as_it_is_before_its_date_is_left_out() {
        for (model, expected) in [
            ("gpt-4o", &["gpt-4o"][..]),
            ("gpt-4o-2024-08-06", &["gpt-4o-2024-08-06", "gpt-4o"]),
            ("claude-sonnet-4-5-20250929", &["claude-sonnet-4-5-20250929", "claude-sonnet-4-5"]),
            ("claude-sonnet-4-5@20250929", &["claude-sonnet-4-5@20250929", "claude-sonnet-4-5"]),
            ("mistral-large-latest", &["mistral-large-latest", "mistral-large"]),
            ("models/gemini-2.0-flash-001", &["gemini-2.0-flash-001", "gemini-2.0-flash"]),
            ("gpt-4-0613", &["gpt-4-0613"]),
            ("claude-sonnet-5", &["claude-sonnet-5"]),
            (
                "ft:gpt-4o-mini-2024-07-18:org::id",
                &["ft:gpt-4o-mini-2024-07-18:org::id", "ft:gpt-4o-mini-2024-07-18", "ft:gpt-4o-mini"],
            ),
            ("-latest", &["-latest", ""]),
            ("é", &["é"]),
            ("éééééé-001", &["éééééé-001"]),
        ] {
            assert_eq!(names(model), expected, "{model}");
        }
    }
}
