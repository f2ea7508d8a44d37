//! [`Prices`]: what tokens cost, by model.

mod money;
mod provider;
mod rates;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, OnceLock},
};

use serde::Deserialize;
use serde_json::value::RawValue;

pub(super) use self::provider::provider_of;
use self::{
    money::AttoDollars,
    rates::{Rate, names},
};
pub use self::{money::NanoDollars, rates::ModelPrice};
use crate::ConfigError;

/// What ships with the crate.
const BUILTIN: &str = include_str!("builtin.json");

/// Providers whose models are known by their bare names; the first of them that has a model is meant.
const FIRST_PARTY: [&str; 5] = ["openai", "anthropic", "gemini", "mistral", "deepseek"];

/// What tokens cost, by model. Clones share the table.
///
/// The crate ships with a table of well-known models of OpenAI, Anthropic, Google, Mistral and DeepSeek, as of a
/// [date](Self::date). Prices change, and yours may be others: check them against your providers' price lists before
/// you rely on sums of money, and put what differs into a file of your own. It has the schema of LiteLLM's
/// [model_prices_and_context_window.json], which can be used as it is:
///
/// ```
/// use larder::llm::{NanoDollars, Prices, Usage};
///
/// let mine = r#"{
///     "gpt-4o": { "input_cost_per_token": 2e-06 },
///     "my-own-model": { "litellm_provider": "vllm", "input_cost_per_token": 5e-08, "output_cost_per_token": 1.5e-07 }
/// }"#;
/// let prices = Prices::builtin().with(Prices::from_json(mine)?);
///
/// let mut usage = Usage::default();
/// (usage.input, usage.output) = (1000, 100);
/// let cost = prices.find("gpt-4o-2024-08-06", None).and_then(|price| price.cost(&usage, None));
/// assert_eq!(cost, Some(NanoDollars::new(1000 * 2_500 + 100 * 10_000)), "a snapshot with a price of its own");
/// let cost = prices.find("my-own-model", None).and_then(|price| price.cost(&usage, None));
/// assert_eq!(cost.map(|cost| cost.to_string()).as_deref(), Some("0.000065"));
/// # Ok::<_, larder::ConfigError>(())
/// ```
///
/// Of the schema are used, in US dollars per token: `input_cost_per_token`, `output_cost_per_token`,
/// `output_cost_per_reasoning_token`, `cache_read_input_token_cost`, `cache_creation_input_token_cost` (and its
/// `_above_1hr`); each of them with `_above_200k_tokens` or another such number, and with a service tier such as
/// `_flex` or `_priority` at the end; and `litellm_provider`. Numbers are read as decimals, to 10⁻¹⁸ dollars. Other
/// members are left out: pictures, sound, searches and batches aren't priced.
///
/// [model_prices_and_context_window.json]: https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json
#[derive(Clone, Default)]
#[must_use]
pub struct Prices(Arc<Table>);

#[derive(Clone, Default)]
struct Table {
    about: About,
    /// By names in lower case.
    models: HashMap<String, ModelPrice>,
}

/// Where a table comes from: the member `_about`, which LiteLLM's files don't have.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct About {
    date: Option<String>,
    source: Option<String>,
}

impl Prices {
    /// No prices at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// The table that ships with the crate.
    ///
    /// # Panics
    ///
    /// Never: that it can be read is tested.
    pub fn builtin() -> Self {
        static TABLE: OnceLock<Prices> = OnceLock::new();
        TABLE.get_or_init(|| Self::from_json(BUILTIN).expect("the table that ships with the crate can be read")).clone()
    }

    /// The prices in a file with LiteLLM's schema: an object with an object for each model.
    ///
    /// A price may be a number or a string; `null` says that it isn't known. What stands under `sample_spec` is left
    /// out.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if it is no JSON object of objects, or a price is none; it names the model.
    pub fn from_json(json: &str) -> Result<Self, ConfigError> {
        let problem = |at: &str, problem: String| ConfigError::new("llm::Prices", format!("{at}{problem}"));
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(json)
            .map_err(|error| problem("takes an object with an object for each model; ", error.to_string()))?;
        let mut table = Table::default();
        for (name, value) in members {
            match &*name {
                "sample_spec" => {}
                "_about" => {
                    table.about = serde_json::from_str(value.get())
                        .map_err(|error| problem("_about takes a date and a source; ", error.to_string()))?;
                }
                _ => {
                    let model = read_model(value.get()).map_err(|error| problem(&format!("{name}: "), error))?;
                    table.models.insert(name.to_ascii_lowercase(), model);
                }
            }
        }
        Ok(Self(Arc::new(table)))
    }

    /// These, and over them the others: a member that the others name takes the place of the same member here, the rest
    /// stays. Date and source are those of the others, if they have any.
    pub fn with(self, others: Self) -> Self {
        let mut table = Arc::unwrap_or_clone(self.0);
        let others = Arc::unwrap_or_clone(others.0);
        table.about.date = others.about.date.or(table.about.date);
        table.about.source = others.about.source.or(table.about.source);
        for (name, price) in others.models {
            table.models.entry(name).or_default().update(price);
        }
        Self(Arc::new(table))
    }

    /// As of when they are, such as `2026-11-21`, if they say so.
    #[must_use]
    pub fn date(&self) -> Option<&str> {
        self.0.about.date.as_deref()
    }

    /// Where they come from, if they say so.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.0.about.source.as_deref()
    }

    /// How many models have prices.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.models.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.models.is_empty()
    }

    /// The price of a model, by its name and, if it is known, by the provider's (LiteLLM's name for it, such as
    /// `openai`, `azure` or `openrouter`).
    ///
    /// As LiteLLM does, it is looked for as `provider/model`, as it is, and without a provider that stands before it;
    /// then the same without the date, `-latest` or number of a version at its end; a fine-tuned model costs what all
    /// do with the same base. With a provider, what another provider takes is not meant. Case doesn't matter.
    #[must_use]
    pub fn find(&self, model: &str, provider: Option<&str>) -> Option<&ModelPrice> {
        let model = model.to_ascii_lowercase();
        names(&model).iter().find_map(|name| self.find_name(name, provider))
    }

    fn find_name(&self, name: &str, provider: Option<&str>) -> Option<&ModelPrice> {
        let named = |name: &str, provider: Option<&str>| {
            self.0.models.get(name).filter(|price| price.is_known() && is_of(price, provider))
        };
        if let Some(provider) = provider
            && let Some(price) = named(&format!("{provider}/{name}"), None)
        {
            return Some(price);
        }
        if let Some(price) = named(name, provider) {
            return Some(price);
        }
        if let Some((prefix, bare)) = name.split_once('/') {
            // What a gateway takes for another's model isn't what the other takes.
            return (provider.is_none_or(|provider| provider == prefix)).then(|| named(bare, Some(prefix)))?;
        }
        let of_first_party = || FIRST_PARTY.iter().find_map(|maker| named(&format!("{maker}/{name}"), None));
        if provider.is_none() { of_first_party() } else { None }
    }
}

/// Whether a price is this provider's, as LiteLLM has it: some have several names.
fn is_of(price: &ModelPrice, provider: Option<&str>) -> bool {
    let (Some(known), Some(wanted)) = (price.provider(), provider) else { return true };
    let family = |name: &str| known.starts_with(name) && wanted.starts_with(name);
    known == wanted
        || family("vertex_ai")
        || family("bedrock")
        || family("fireworks_ai")
        || (wanted == "openai" && known == "text-completion-openai")
}

fn read_model(json: &str) -> Result<ModelPrice, String> {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(json).map_err(|error| format!("takes an object; {error}"))?;
    let mut model = ModelPrice::default();
    for (name, value) in members {
        if name == "litellm_provider" {
            model.provider =
                serde_json::from_str(value.get()).map_err(|error| format!("{name} takes a name; {error}"))?;
        } else if let Some(rate) = Rate::named(&name) {
            let price = read_price(value.get()).ok_or_else(|| {
                format!("{name} takes a number of dollars for one token, such as 2.5e-06, and not {}", value.get())
            })?;
            model.set(rate, price);
        }
    }
    Ok(model)
}

/// A price as JSON; `Some(None)` for one that isn't known.
fn read_price(json: &str) -> Option<Option<AttoDollars>> {
    if json == "null" {
        return Some(None);
    }
    let text: Option<String> = serde_json::from_str(json).ok();
    AttoDollars::parse(text.as_deref().unwrap_or(json)).map(Some)
}

impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { about: About { date, source }, models } = &*self.0;
        f.debug_struct("Prices").field("date", date).field("source", source).field("models", &models.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Usage;

    fn prices(json: &str) -> Prices {
        Prices::from_json(json).expect("prices")
    }

    /// What one token in and one out cost, in nano-dollars.
    fn pair(prices: &Prices, model: &str, provider: Option<&str>) -> Option<u64> {
        let usage = Usage { input: 1, output: 1, ..Usage::default() };
        Some(prices.find(model, provider)?.cost(&usage, None)?.get())
    }

    #[test]
    fn every_price_that_ships_can_be_read_and_says_when_it_held() {
        let builtin = Prices::builtin();
        assert!(builtin.len() > 60, "{builtin:?}");
        let date = builtin.date().expect("a date");
        assert!(date.len() == 10 && date.starts_with("20") && builtin.source().is_some(), "{builtin:?}");
        for (name, price) in &builtin.0.models {
            let usage = Usage { input: 1_000_000, cached_input: 10, cache_creation: 10, ..Usage::default() };
            let cost = price.cost(&usage, None).unwrap_or_else(|| panic!("{name} has no price"));
            let dollars = cost.get() / 1_000_000_000;
            assert!(cost > NanoDollars::new(1_000_000) && dollars < 500, "a million tokens of {name} cost {cost}");
            assert!(price.provider().is_some_and(|provider| FIRST_PARTY.contains(&provider)), "{name}");
            let out = price.cost(&Usage { output: 1_000_000, ..Usage::default() }, None);
            assert!(name.contains("embed") || out.is_some(), "{name}");
        }
    }

    #[test]
    fn well_known_models_are_found_by_the_names_that_answers_give() {
        let builtin = Prices::builtin();
        for (model, provider, expected) in [
            ("gpt-4o-2024-08-06", Some("openai"), Some(12_500)),
            ("gpt-4o-2024-05-13", None, Some(20_000)),
            ("gpt-4o-2099-01-01", None, Some(12_500)),
            ("GPT-4o", None, Some(12_500)),
            ("openai/gpt-4o", None, Some(12_500)),
            ("gpt-4o", Some("azure"), None),
            ("azure/gpt-4o", None, None),
            ("openrouter/openai/gpt-4o", None, None),
            ("claude-haiku-4-5-20251001", Some("anthropic"), Some(6_000)),
            ("gemini-2.5-flash", None, Some(2_800)),
            ("models/gemini-2.5-flash", Some("gemini"), Some(2_800)),
            ("gpt-99", None, None),
            ("", None, None),
        ] {
            assert_eq!(pair(&builtin, model, provider), expected, "{model} {provider:?}");
        }
        let embedding = builtin.find("text-embedding-3-small", Some("openai")).expect("a price");
        let cost = embedding.cost(&Usage { input: 3, ..Usage::default() }, None);
        assert_eq!(cost, Some(NanoDollars::new(60)));
    }

    #[test]
    fn a_file_of_the_user_s_goes_over_what_ships_member_by_member() {
        let mine = prices(
            r#"{ "sample_spec": {"max_tokens": "LEGACY", "input_cost_per_token": "none"},
                 "GPT-4o": {"input_cost_per_token": 2e-06, "max_tokens": "many", "supports_vision": true},
                 "gpt-4.1": {"output_cost_per_token": null},
                 "azure/gpt-4o": {"litellm_provider": "azure", "input_cost_per_token": "1e-06", "output_cost_per_token": 0} }"#,
        );
        assert_eq!((mine.len(), mine.date()), (3, None));
        let builtin = Prices::builtin();
        let all = builtin.clone().with(mine);
        assert_eq!(pair(&all, "gpt-4o", None), Some(12_000));
        assert_eq!(pair(&all, "gpt-4.1", None), None, "said not to be known");
        assert_eq!(pair(&all, "gpt-4o", Some("azure")), Some(1000));
        assert_eq!((all.date(), pair(&builtin, "gpt-4o", None)), (builtin.date(), Some(12_500)));
    }

    #[test]
    fn a_price_that_is_none_is_told_by_its_model() {
        for (json, parts) in [
            ("", &["object for each model"][..]),
            ("[]", &["object for each model"]),
            (r#"{"m": 1}"#, &["m: ", "object"]),
            (r#"{"m": {"input_cost_per_token": -1e-6}}"#, &["m: input_cost_per_token", "-1e-6"]),
            (r#"{"m": {"output_cost_per_token_flex": "cheap"}}"#, &["m: output_cost_per_token_flex", "cheap"]),
            (r#"{"m": {"input_cost_per_token": 1e9}}"#, &["m: input_cost_per_token", "1e9"]),
            (r#"{"m": {"litellm_provider": 1}}"#, &["m: litellm_provider"]),
        ] {
            let error = Prices::from_json(json).expect_err(json).to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
