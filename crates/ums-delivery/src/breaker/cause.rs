//! Why a breaker refuses, in its three forms: for the flow, for people, and as it is saved.

use ums_core::SkipReason;

/// Why a breaker refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Calls failed.
    Failures {
        /// Code of the failure that tripped the breaker.
        code: String,
        /// For people.
        detail: String,
    },
    /// The account or its settings need mending.
    Misconfigured {
        /// Code of the failure.
        code: String,
        /// For people.
        detail: String,
    },
    /// The allowance is used up.
    Exhausted {
        /// Code of the failure.
        code: String,
        /// For people.
        detail: String,
    },
    /// The provider asked for a pause.
    Throttled,
    /// A probe is out.
    Probing,
}

impl Cause {
    /// Why a provider is passed over for it.
    pub const fn reason(&self) -> SkipReason {
        match self {
            Self::Failures { .. } => SkipReason::Open,
            Self::Misconfigured { .. } => SkipReason::Misconfigured,
            Self::Exhausted { .. } => SkipReason::Quota,
            Self::Throttled => SkipReason::Throttled,
            Self::Probing => SkipReason::Probing,
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Self::Failures { code, detail } => format!("{detail} (last: {code})"),
            Self::Misconfigured { code, detail } => format!("needs mending: {code} {detail}").trim_end().to_owned(),
            Self::Exhausted { code, detail } => format!("allowance used up: {code} {detail}").trim_end().to_owned(),
            Self::Throttled => "the provider asked for a pause".to_owned(),
            Self::Probing => "recovering; one call at a time".to_owned(),
        }
    }

    /// The cause as it is saved: word, code and detail.
    pub(super) fn parts(&self) -> (&'static str, &str, &str) {
        match self {
            Self::Failures { code, detail } | Self::Misconfigured { code, detail } | Self::Exhausted { code, detail } => {
                (self.reason().as_str(), code, detail)
            }
            Self::Throttled | Self::Probing => (self.reason().as_str(), "", ""),
        }
    }

    /// Reads a saved cause; none for a word that is no cause of an open breaker.
    pub(super) fn from_parts(word: &str, code: &str, detail: &str) -> Option<Self> {
        let (code, detail) = (code.to_owned(), detail.to_owned());
        match word.parse() {
            Ok(SkipReason::Open) => Some(Self::Failures { code, detail }),
            Ok(SkipReason::Misconfigured) => Some(Self::Misconfigured { code, detail }),
            Ok(SkipReason::Quota) => Some(Self::Exhausted { code, detail }),
            Ok(_) | Err(_) => None,
        }
    }
}
