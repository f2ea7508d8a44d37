//! What is done when the upstream fails, by the flags: further tries, a stale answer, other upstreams, a default answer, a problem.

use http::response;
use larder::{
    RetryFallbackLayer, llm,
    retry::{Asked, Builder, Classify, FailureKind, Fallback, Outcome, Transient, Verdict},
};

use crate::{forward::Failure, options::Options};

/// Judges as `C` does, and knows which of the client's errors prove that nothing was sent.
#[derive(Debug)]
pub(crate) struct Judge<C>(C);

impl<C: Classify<Failure>> Classify<Failure> for Judge<C> {
    fn classify(&self, asked: &Asked, outcome: Outcome<'_, Failure>) -> Verdict {
        self.0.classify(asked, outcome)
    }

    fn reads(&self, head: &response::Parts) -> usize {
        self.0.reads(head)
    }

    fn is_unsent(&self, error: &Failure) -> bool {
        error.is_unsent()
    }
}

/// For an LLM API.
pub(crate) fn llm(options: &Options, prefix: &str) -> anyhow::Result<RetryFallbackLayer<Judge<llm::Classify>>> {
    build(llm::retry().classify(Judge(llm::Classify)), Fallback::stale(), options, prefix)
}

/// For HTTP of any kind. What the upstream said last is handed on: an error page is the upstream's own, and may be kept if it
/// says so. A stale answer stands in for the errors of RFC 5861 §4, and for no other status.
pub(crate) fn http(options: &Options, prefix: &str) -> anyhow::Result<RetryFallbackLayer<Judge<Transient>>> {
    let stale = Fallback::stale().when(|failure| {
        let status = failure.last_status.map(|status| status.as_u16());
        failure.kind != FailureKind::Response || matches!(status, Some(500 | 502 | 503 | 504))
    });
    build(RetryFallbackLayer::builder().classify(Judge(Transient)).problem(None), stale, options, prefix)
}

fn build<C>(
    builder: Builder<C>,
    stale: Fallback,
    options: &Options,
    prefix: &str,
) -> anyhow::Result<RetryFallbackLayer<C>> {
    let mut builder = builder
        .attempts(options.retries + 1)
        .attempt_timeout(options.attempt_timeout)
        .deadline(options.deadline.0)
        .fallback(stale);
    for fallback in &options.fallback {
        builder = builder.fallback(fallback.upstream(prefix));
    }
    if let Some(default) = &options.default_response {
        builder = builder.fallback(Fallback::answer(default.response()));
    }
    Ok(builder.try_build()?)
}
