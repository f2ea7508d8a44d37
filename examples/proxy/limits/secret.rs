//! `LARDER_LIMIT_SECRET`: what the hashes of keys are made with.

use std::env;

use anyhow::Context as _;
use larder::rate_limit::ApiKey;

const VARIABLE: &str = "LARDER_LIMIT_SECRET";

/// In place of a secret. It is in the sources, so all that it does is keep keys from being read at a glance.
const NONE: &str = "larder's proxy has been given no secret";

/// The secret of this process; no message shows it.
pub(super) fn of_process(is_told: bool) -> anyhow::Result<ApiKey> {
    match env::var(VARIABLE) {
        Ok(secret) => ApiKey::try_new(&secret).with_context(|| {
            format!("{VARIABLE} takes 16 bytes or more, the same for all proxies that count together")
        }),
        Err(env::VarError::NotUnicode(_)) => anyhow::bail!("{VARIABLE} takes text"),
        Err(env::VarError::NotPresent) => {
            if is_told {
                tracing::warn!(
                    target: "proxy",
                    "{VARIABLE} isn't set: who can read what is in Redis can find out which of the keys they know are in use"
                );
            }
            Ok(ApiKey::new(NONE))
        }
    }
}
