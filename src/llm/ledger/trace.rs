//! What a span says of a request to a model, by OpenTelemetry's [conventions]. Never a prompt nor an answer.
//!
//! [conventions]: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/

use http::request::Parts;
use tracing::Span;

use crate::llm::{Endpoint, Usage, price::provider_of, tokens::endpoint};

/// Tells the current span what was asked for, if it has a place for that, and what it took, if that is known by now.
pub(super) fn tell(request: &Parts, model: &str, provider: Option<&str>, usage: impl FnOnce() -> Option<Usage>) {
    let span = Span::current();
    if !span.has_field("gen_ai.request.model") {
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
        "azure" => "azure.ai.openai",
        "azure_ai" => "azure.ai.inference",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        _ => provider,
    }
}
