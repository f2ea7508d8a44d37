//! Which requests ask a model for an answer.

use http::{Method, request::Parts};

use crate::header::media_type;

/// An endpoint that generates, by the end of its path; what stands before it (a provider's prefix) doesn't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/v1/chat/completions`, and Azure's `/deployments/{name}/chat/completions`.
    ChatCompletions,
    /// `/v1/completions`, and Azure's.
    Completions,
    /// `/v1/responses`.
    Responses,
    /// `/v1/embeddings`, and Azure's.
    Embeddings,
    /// `/v1/messages`.
    Messages,
    /// Gemini's `/models/{name}:generateContent` and `:streamGenerateContent`.
    GenerateContent,
}

impl Endpoint {
    /// The endpoint that a path names.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        const ENDS: [(&str, Endpoint); 5] = [
            ("/chat/completions", Endpoint::ChatCompletions),
            ("/completions", Endpoint::Completions),
            ("/responses", Endpoint::Responses),
            ("/embeddings", Endpoint::Embeddings),
            ("/messages", Endpoint::Messages),
        ];
        if let Some((model, verb)) = path.rsplit_once(':') {
            let named =
                model.rsplit_once('/').is_some_and(|(parent, name)| parent.ends_with("models") && !name.is_empty());
            let generates = matches!(verb, "generateContent" | "streamGenerateContent");
            return (named && generates).then_some(Self::GenerateContent);
        }
        let (end, endpoint) = ENDS.into_iter().find(|(end, _)| path.ends_with(end))?;
        // What lies deeper, such as /v1/threads/{id}/messages, is something else.
        let before = &path[..path.len() - end.len()];
        let deployment = before.rsplit_once('/').is_some_and(|(parent, _)| parent.ends_with("/deployments"));
        (before.ends_with("/v1") || deployment).then_some(endpoint)
    }

    /// What a key's label begins with.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Embeddings => "embeddings",
            Self::Messages => "messages",
            Self::GenerateContent => "generate",
        }
    }

    /// The model that a path names; `None` where the body does.
    #[must_use]
    pub fn model_in(path: &str) -> Option<&str> {
        let (model, _) = path.rsplit_once(':')?;
        model.rsplit_once('/').map(|(_, name)| name).filter(|_| Self::of(path).is_some())
    }
}

/// Whether a request asks a model for an answer: a POST with a JSON body to one of the [endpoints](Endpoint).
#[must_use]
pub fn is_generation(head: &Parts) -> bool {
    head.method == Method::POST && media_type::is_json(&head.headers) && Endpoint::of(head.uri.path()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_generates_is_an_endpoint() {
        let cases = [
            ("/v1/chat/completions", Some(Endpoint::ChatCompletions)),
            ("/openai/v1/chat/completions", Some(Endpoint::ChatCompletions)),
            ("/openai/deployments/gpt-4o/chat/completions", Some(Endpoint::ChatCompletions)),
            ("/openai/deployments/ada/embeddings", Some(Endpoint::Embeddings)),
            ("/v1/completions", Some(Endpoint::Completions)),
            ("/v1/messages", Some(Endpoint::Messages)),
            ("/v1/responses", Some(Endpoint::Responses)),
            ("/v1beta/models/gemini-2.0-flash:generateContent", Some(Endpoint::GenerateContent)),
            ("/v1/publishers/google/models/gemini:streamGenerateContent", Some(Endpoint::GenerateContent)),
            ("/v1beta/models/gemini:countTokens", None),
            ("/v1beta/models/:generateContent", None),
            ("/v1beta/files/a:generateContent", None),
            ("/v1/messages/batches", None),
            ("/v1/threads/abc/messages", None),
            ("/v1/files", None),
            ("/v1/responses/abc/cancel", None),
            ("/messages", None),
            ("/", None),
        ];
        for (path, expected) in cases {
            assert_eq!(Endpoint::of(path), expected, "{path}");
        }
    }

    #[test]
    fn a_path_names_a_model_where_the_body_does_not() {
        assert_eq!(Endpoint::model_in("/v1beta/models/gemini-2.0-flash:generateContent"), Some("gemini-2.0-flash"));
        for path in ["/v1/chat/completions", "/v1beta/models/gemini:countTokens", "/a:b"] {
            assert_eq!(Endpoint::model_in(path), None, "{path}");
        }
    }
}
