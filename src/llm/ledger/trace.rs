//! What a span says of a request to a model, by OpenTelemetry's [conventions]. Never a prompt nor an answer.
//!
//! [conventions]: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/

use http::request::Parts;

use crate::{
    cache,
    llm::{Endpoint, Usage, price::provider_of, tokens::endpoint},
    trace,
};

/// Tells the current span what was asked for, if it is a cache's, and what it took, if that is known by now.
pub(super) fn tell(request: &Parts, model: &str, provider: Option<&str>, usage: impl FnOnce() -> Option<Usage>) {
    let span = trace::current(cache::SPAN);
    if span.is_none() {
        return;
    }
    if let Some(operation) = endpoint(request).map(operation) {
        span.record("gen_ai.operation.name", operation);
    }
    if !model.is_empty() {
        span.record("gen_ai.request.model", model);
    }
    if let Some(provider) = provider.or_else(|| provider_of(request)) {
        span.record("gen_ai.provider.name", named(provider));
    }
    if let Some(usage) = usage() {
        span.record("gen_ai.usage.input_tokens", usage.input);
        span.record("gen_ai.usage.output_tokens", usage.output);
    }
}

fn operation(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Responses | Endpoint::Messages => "chat",
        Endpoint::Completions => "text_completion",
        Endpoint::Embeddings => "embeddings",
        Endpoint::GenerateContent => "generate_content",
    }
}

/// The convention's name for a provider; price tables have others.
fn named(provider: &str) -> &str {
    match provider {
        "gemini" => "gcp.gemini",
        "vertex_ai" => "gcp.vertex_ai",
        "bedrock" => "aws.bedrock",
        "azure" => "azure.ai.openai",
        "azure_ai" => "azure.ai.inference",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        _ => provider,
    }
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_provider_has_the_convention_s_name_and_one_that_it_does_not_know_its_own() {
        let names = ["openai", "bedrock", "gemini", "xai", "vllm"].map(named);
        assert_eq!(names, ["openai", "aws.bedrock", "gcp.gemini", "x_ai", "vllm"]);
    }
}
