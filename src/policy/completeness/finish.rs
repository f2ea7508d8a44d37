//! Why a model stopped, over all the providers' words for it.

use super::Reason;

/// Why a choice or a message ended, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finish {
    /// The model came to an end of its own, also to call a tool.
    Natural,
    /// A limit on tokens cut the text.
    Length,
    /// A filter cut or withheld the text.
    Filter,
    /// The provider gave up.
    Failure,
}

impl Finish {
    /// Reads a `finish_reason` or `stop_reason`; `None` for the empty one that some providers write
    /// in place of `null`.
    ///
    /// Unknown words are natural ends: providers add more of them, and the other words are old.
    pub(super) fn of(reason: &str) -> Option<Self> {
        let is_any_of = |words: &[&str]| words.iter().any(|word| reason.eq_ignore_ascii_case(word));
        if reason.is_empty() {
            None
        } else if is_any_of(&["length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"]) {
            Some(Self::Length)
        } else if is_any_of(&[
            "content_filter",
            "refusal",
            "safety",
            "sensitive",
            "recitation",
            "blocklist",
            "prohibited_content",
            "spii",
            "image_safety",
        ]) {
            Some(Self::Filter)
        } else if is_any_of(&[
            "error",
            "abort",
            "network_error",
            "insufficient_system_resource",
            "malformed_function_call",
            "unexpected_tool_call",
            "finish_reason_unspecified",
        ]) {
            Some(Self::Failure)
        } else {
            Some(Self::Natural)
        }
    }

    /// Whether an answer that ended so is worth keeping.
    pub(super) fn accept(self, keep_truncated: bool) -> Result<(), Reason> {
        match self {
            Self::Natural => Ok(()),
            Self::Length | Self::Filter if keep_truncated => Ok(()),
            Self::Length => Err("finish-length"),
            Self::Filter => Err("finish-content-filter"),
            Self::Failure => Err("finish-error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Finish;

    #[test]
    fn reasons_are_read_in_any_case() {
        for natural in ["stop", "tool_calls", "function_call", "end_turn", "STOP", "new-word"] {
            assert_eq!(Finish::of(natural), Some(Finish::Natural));
        }
        assert_eq!(Finish::of("MAX_TOKENS"), Some(Finish::Length));
        assert_eq!(Finish::of("content_filter"), Some(Finish::Filter));
        assert_eq!(Finish::of("error"), Some(Finish::Failure));
        assert_eq!(Finish::of(""), None);
    }

    #[test]
    fn a_failure_is_never_kept() {
        assert_eq!(Finish::Length.accept(true), Ok(()));
        assert_eq!(Finish::Filter.accept(true), Ok(()));
        assert_eq!(Finish::Failure.accept(true), Err("finish-error"));
    }
}
