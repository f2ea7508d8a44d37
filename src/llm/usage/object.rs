//! [`Object`]: what providers call `usage`, each in its own words.

use serde::Deserialize;

use super::Usage;

/// All that providers name.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Object {
    // OpenAI: chat completions, completions, embeddings.
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    // DeepSeek.
    prompt_cache_hit_tokens: Option<u64>,
    // OpenAI's responses, and Anthropic, whose input leaves out what was cached.
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<Creation>,
    // Gemini, whose total has also what it thought.
    #[serde(rename = "promptTokenCount")]
    prompt_token_count: Option<u64>,
    #[serde(rename = "totalTokenCount")]
    total_token_count: Option<u64>,
    #[serde(rename = "toolUsePromptTokenCount")]
    tool_use_prompt_token_count: Option<u64>,
    #[serde(rename = "cachedContentTokenCount")]
    cached_content_token_count: Option<u64>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts_token_count: Option<u64>,
}

/// What OpenAI says of the input, or of the output, besides its length.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
}

/// What Anthropic says of what it cached.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Creation {
    ephemeral_1h_input_tokens: Option<u64>,
}

impl Object {
    pub(super) fn usage(&self) -> Option<Usage> {
        if let Some(total) = self.total_token_count {
            let prompt = [self.prompt_token_count, self.tool_use_prompt_token_count];
            let input = prompt.into_iter().flatten().fold(0, u64::saturating_add).min(total);
            return Some(Usage {
                input,
                output: total - input,
                cached_input: self.cached_content_token_count.unwrap_or(0),
                reasoning: self.thoughts_token_count.unwrap_or(0),
                ..Usage::default()
            });
        }
        if self.prompt_tokens.is_some() || self.completion_tokens.is_some() {
            let of_prompt = self.prompt_tokens_details.as_ref();
            let of_completion = self.completion_tokens_details.as_ref();
            let cached = of_prompt.and_then(|details| details.cached_tokens).or(self.prompt_cache_hit_tokens);
            return Some(Usage {
                input: self.prompt_tokens.unwrap_or(0),
                output: self.completion_tokens.unwrap_or(0),
                cached_input: cached.unwrap_or(0),
                cache_creation: of_prompt.and_then(|details| details.cache_write_tokens).unwrap_or(0),
                reasoning: of_completion.and_then(|details| details.reasoning_tokens).unwrap_or(0),
                ..Usage::default()
            });
        }
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let cached = [self.cache_creation_input_tokens, self.cache_read_input_tokens];
        let input = cached.into_iter().flatten().fold(self.input_tokens.unwrap_or(0), u64::saturating_add);
        let of_input = self.input_tokens_details.as_ref();
        let of_output = self.output_tokens_details.as_ref();
        let read = self.cache_read_input_tokens.or_else(|| of_input?.cached_tokens);
        let created = self.cache_creation_input_tokens.or_else(|| of_input?.cache_write_tokens);
        Some(Usage {
            input,
            output: self.output_tokens.unwrap_or(0),
            cached_input: read.unwrap_or(0),
            cache_creation: created.unwrap_or(0),
            cache_creation_1h: self
                .cache_creation
                .as_ref()
                .and_then(|kept| kept.ephemeral_1h_input_tokens)
                .unwrap_or(0),
            reasoning: of_output.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        })
    }
}
