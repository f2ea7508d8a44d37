//! Which provider's prices hold, by the host that is asked.

use http::request::Parts;

use crate::header::host::authority;

/// LiteLLM's name for the provider that a request goes to, if its host is known.
pub(in crate::llm) fn provider_of(request: &Parts) -> Option<&'static str> {
    const HOSTS: [(&str, &str); 14] = [
        ("api.openai.com", "openai"),
        ("api.anthropic.com", "anthropic"),
        ("generativelanguage.googleapis.com", "gemini"),
        ("api.mistral.ai", "mistral"),
        ("api.deepseek.com", "deepseek"),
        ("openrouter.ai", "openrouter"),
        ("api.groq.com", "groq"),
        ("api.x.ai", "xai"),
        ("api.together.xyz", "together_ai"),
        ("api.fireworks.ai", "fireworks_ai"),
        ("api.perplexity.ai", "perplexity"),
        ("api.cerebras.ai", "cerebras"),
        ("api.deepinfra.com", "deepinfra"),
        ("api.cohere.com", "cohere"),
    ];
    const DOMAINS: [(&str, &str); 5] = [
        (".openai.azure.com", "azure"),
        (".cognitiveservices.azure.com", "azure"),
        (".services.ai.azure.com", "azure_ai"),
        ("aiplatform.googleapis.com", "vertex_ai"),
        (".api.openai.com", "openai"),
    ];
    let authority = authority(request).to_ascii_lowercase();
    let host = authority.rsplit_once(':').map_or(&*authority, |(host, _)| host);
    let by_name = HOSTS.iter().find(|(name, _)| *name == host);
    let by_domain = || DOMAINS.iter().find(|(domain, _)| host.ends_with(domain));
    by_name.or_else(by_domain).map(|(_, provider)| *provider)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_provider_is_known_by_its_host() {
        for (uri, expected) in [
            ("https://api.openai.com/v1/chat/completions", Some("openai")),
            ("https://eu.api.openai.com/v1/chat/completions", Some("openai")),
            ("https://API.Anthropic.com:443/v1/messages", Some("anthropic")),
            ("https://mine.openai.azure.com/openai/deployments/x/chat/completions", Some("azure")),
            ("https://europe-west1-aiplatform.googleapis.com/v1/x", Some("vertex_ai")),
            ("https://api.openai.com.example/v1", None),
            ("http://[::1]:8080/v1", None),
            ("/v1/chat/completions", None),
        ] {
            let (head, ()) = Request::post(uri).body(()).expect("a request").into_parts();
            assert_eq!(provider_of(&head), expected, "{uri}");
        }
    }
}
