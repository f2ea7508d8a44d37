//! The two error types that belong to no module: any body's error, and a configuration that makes no sense.

use std::{error::Error, fmt};

/// Any error that can cross threads: what bodies and far stores fail with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A setting that makes no sense, found while a layer or a store is built.
///
/// Its message names the setting, the value, and what the setting takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    setting: &'static str,
    problem: String,
}

impl ConfigError {
    pub(crate) fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self { setting, problem: problem.into() }
    }

    /// The name of the setting that was refused.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

impl Error for ConfigError {}
