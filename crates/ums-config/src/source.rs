//! Where settings come from: the process, `.env`, the configuration file, a map in tests.

use std::collections::BTreeMap;
use std::fmt;

use crate::Fault;

/// A place that settings are read from, by their environment name.
pub trait Source: Send + Sync {
    /// The value of a setting, when the place has it.
    fn get(&self, name: &str) -> Option<String>;

    /// The names that the place has; used to point out misspelt ones.
    fn names(&self) -> Vec<String>;

    /// What is wrong with the place itself, such as lines that cannot be read.
    fn faults(&self) -> Vec<Fault> {
        Vec::new()
    }
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Built in.
    Default,
    /// The TOML file.
    File,
    /// `.env` in the working directory.
    DotEnv,
    /// The process environment.
    Environment,
    /// The files that `aws configure` writes.
    AwsFiles,
    /// Set by `ums dev`.
    Dev,
    /// Given on the command line or by the program that embeds the library.
    Caller,
}

impl Origin {
    /// The origin as `ums config show` prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::DotEnv => ".env",
            Self::Environment => "environment",
            Self::AwsFiles => "aws files",
            Self::Dev => "ums dev",
            Self::Caller => "caller",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

impl Source for ProcessEnv {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }

    fn faults(&self) -> Vec<Fault> {
        let ours = |name: &str| crate::env::find(name).is_some();
        std::env::vars_os()
            .filter(|(_, value)| value.to_str().is_none())
            .filter_map(|(name, _)| name.into_string().ok().filter(|name| ours(name)))
            .map(|name| Fault::new(name, "is not valid UTF-8"))
            .collect()
    }
}

/// Settings held in memory: for tests, and for programs that embed the library.
#[derive(Clone, Default)]
pub struct MapSource(BTreeMap<String, String>);

impl MapSource {
    /// Sets one value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for MapSource {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Source for MapSource {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl fmt::Debug for MapSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MapSource({} settings)", self.0.len())
    }
}
