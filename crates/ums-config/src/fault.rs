//! What is wrong with a configuration: every fault at once, by name, never with a value.

use std::fmt;

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Fault {
    /// The setting: an environment name, a dotted name of the TOML file, or a file and line.
    pub setting: String,
    /// What is wrong with it and what to do; never its value.
    pub reason: String,
}

impl Fault {
    pub(crate) fn new(setting: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.reason)
    }
}

/// All that is wrong with the configuration. Nothing was started or sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration: {}", joined(.faults))]
pub struct ConfigError {
    /// The faults, in the order in which settings are read; never empty.
    pub faults: Vec<Fault>,
}

fn joined(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
}
