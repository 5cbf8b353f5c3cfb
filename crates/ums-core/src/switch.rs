//! Switches of provider accounts: what operators decide, for all processes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AccountId, ProviderKind, Timestamp};

/// An operator has taken a provider account out of service.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchedOff {
    /// The operator's reason, for people.
    pub reason: String,
    /// Who did it, by the operator's own word.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; none until an operator brings the account back.
    pub until: Option<Timestamp>,
}

impl SwitchedOff {
    /// Whether the account is out of service at that time.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// For people, in one line.
    pub fn describe(&self) -> String {
        let Self { reason, by, until, .. } = self;
        let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
        format!("disabled by {by}{until}: {reason}")
    }
}

impl fmt::Debug for SwitchedOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SwitchedOff(since {}, until {:?})", self.since, self.until)
    }
}

/// The switch of a provider account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderSwitch {
    /// The provider.
    pub provider: ProviderKind,
    /// The account at the provider.
    pub account: AccountId,
    /// Present while the account is out of service, and after its time until the next change.
    pub off: Option<SwitchedOff>,
    /// When an operator last had the provider tried, and the provider did not say no: its breaker lets the next message through.
    pub tried_at: Option<Timestamp>,
}
