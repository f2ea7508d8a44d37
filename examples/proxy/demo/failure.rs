//! Refusals, in the error format of OpenAI; `messages` turns them into Anthropic's.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, Method, StatusCode, Uri, header::RETRY_AFTER};
use serde_json::{Value, json};

use super::fault::Fault;

/// How OpenAI names what is used up.
const USED_UP: &str = "insufficient_quota";

/// Why a call got no answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) message: String,
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Failure {
    /// 400: the request cannot be read; `param` names the field at fault.
    pub(super) fn invalid(param: Option<&'static str>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
            kind: "invalid_request_error",
            param,
            code: None,
        }
    }

    /// 400: a field is not there.
    pub(super) fn missing(param: &'static str) -> Self {
        Self {
            code: Some("missing_required_parameter"),
            ..Self::invalid(Some(param), format!("Missing required parameter: '{param}'."))
        }
    }

    /// 404 for a model that is not on the list.
    pub(super) fn unknown_model(model: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: Some("model_not_found"),
            ..Self::invalid(Some("model"), format!("The model '{model}' does not exist"))
        }
    }

    /// 404 for a path.
    pub(super) async fn unknown_path(method: Method, uri: Uri) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: Some("unknown_url"),
            ..Self::invalid(None, format!("Unknown request URL: {method} {}.", uri.path()))
        }
    }

    /// 405 for a known path.
    pub(super) async fn wrong_method(method: Method, uri: Uri) -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: Some("method_not_supported"),
            ..Self::invalid(None, format!("Not allowed to {method} on {}.", uri.path()))
        }
    }

    /// The refusal that call `number` asked for, if its fault is one.
    pub(super) fn asked_for(fault: Fault, number: u64) -> Option<Self> {
        let (status, kind, code, message) = match fault {
            Fault::RateLimit => (
                StatusCode::TOO_MANY_REQUESTS,
                "requests",
                Some("rate_limit_exceeded"),
                "Rate limit reached for requests. Limit: 60 / min. Please try again in 1.5s.",
            ),
            Fault::Quota => (
                StatusCode::TOO_MANY_REQUESTS,
                USED_UP,
                Some(USED_UP),
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            Fault::Overload => (
                StatusCode::SERVICE_UNAVAILABLE,
                "server_error",
                None,
                "The engine is currently overloaded, please try again later.",
            ),
            Fault::Crash => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                None,
                "The server had an error while processing your request. Sorry about that!",
            ),
            Fault::Reset
            | Fault::Hang
            | Fault::Cut
            | Fault::ErrorFirst
            | Fault::ErrorEvent
            | Fault::Length
            | Fault::Slow => return None,
        };
        Some(Self { status, message: format!("{message} (demo call #{number})"), kind, param: None, code })
    }

    /// Whether there is nothing to be had until somebody pays.
    pub(super) fn is_used_up(&self) -> bool {
        self.kind == USED_UP
    }

    /// The error that a stream carries when it fails in call `number`.
    pub(super) fn in_stream(number: u64) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: format!("The server had an error while answering. (demo call #{number})"),
            kind: "server_error",
            param: None,
            code: Some("server_error"),
        }
    }

    /// OpenAI's error object.
    pub(super) fn openai(&self) -> Value {
        json!({
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        const LIMITS: [(&str, &str); 6] = [
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1.5s"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6ms"),
        ];
        if self.status == StatusCode::TOO_MANY_REQUESTS && !self.is_used_up() {
            let limits = LIMITS.map(|(name, value)| (HeaderName::from_static(name), value));
            let after = [(RETRY_AFTER, "2"), (HeaderName::from_static("retry-after-ms"), "1500")];
            (self.status, after, limits, Json(self.openai())).into_response()
        } else {
            (self.status, Json(self.openai())).into_response()
        }
    }
}
