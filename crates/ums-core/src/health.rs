//! The health report: the guide's shape, with a reason beside every state.

use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::{FailureClass, ProviderKind, SwitchedOff, Timestamp, Trouble};

words! {
    /// A breaker's state, as people see it.
    BreakerStateWord {
        /// The breaker serves: calls go through.
        Closed = "closed",
        /// The breaker refuses: the provider is skipped.
        Open = "open",
        /// The breaker probes: one call at a time goes through.
        HalfOpen = "half_open",
    }
}

words! {
    /// A provider's health.
    HealthStatus {
        /// The last calls succeeded.
        Healthy = "healthy",
        /// The breaker probes or pauses, some calls failed, or few receipts come.
        Degraded = "degraded",
        /// The breaker is open after failures, or an operator has disabled the provider.
        Down = "down",
        /// The provider was not called yet.
        Unknown = "unknown",
        /// The account or its settings need mending.
        Misconfigured = "misconfigured",
        /// The provider's allowance is used up.
        Exhausted = "exhausted",
    }
}

words! {
    /// A provider's place in its chain.
    Priority {
        /// First.
        Primary = "PRIMARY",
        /// Second.
        Secondary = "SECONDARY",
        /// Third.
        Tertiary = "TERTIARY",
        /// Any later one.
        Fallback = "FALLBACK",
    }
}

impl Priority {
    /// The priority of a place, counted from 0.
    pub const fn of_place(place: usize) -> Self {
        match place {
            0 => Self::Primary,
            1 => Self::Secondary,
            2 => Self::Tertiary,
            _ => Self::Fallback,
        }
    }
}

/// The last failure of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// Time of the failure.
    pub at: Timestamp,
    /// Class of the failure.
    pub class: FailureClass,
    /// The provider's code.
    pub code: String,
    /// The provider's text, for people; redacted.
    pub detail: String,
}

/// One provider in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderHealth {
    /// The guide's class name.
    pub name: String,
    /// The provider, by our word.
    pub provider: ProviderKind,
    /// The provider's place in the chain.
    pub priority: Priority,
    /// The breaker's state.
    pub circuit_breaker: BreakerStateWord,
    /// False only if the provider takes no message now: its breaker is open, its limit is reached, or an operator has disabled it.
    pub is_healthy: bool,
    /// Counted failures since the last success.
    pub failure_count: u32,
    /// The provider's health.
    pub status: HealthStatus,
    /// The reason, if the provider is not healthy.
    pub reason: Option<String>,
    /// Present if an operator has taken the provider out of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<SwitchedOff>,
    /// When the open breaker lets a probe through, or the limit of a day has room again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopens_at: Option<Timestamp>,
    /// When the provider last took a message.
    pub last_success_at: Option<Timestamp>,
    /// The provider's last failure.
    pub last_failure: Option<LastFailure>,
}

/// A provider that is left out of its chain, because settings are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotConfigured {
    /// The provider.
    pub provider: ProviderKind,
    /// Names of the missing settings.
    pub missing: Vec<String>,
}

/// The report of `get_provider_health`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthReport {
    /// E-mail providers in the order of their chain.
    pub email_providers: Vec<ProviderHealth>,
    /// SMS providers in the order of their chain.
    pub sms_providers: Vec<ProviderHealth>,
    /// Providers that are left out.
    pub not_configured: Vec<NotConfigured>,
    /// What ails the service itself, and no provider; empty while all is well.
    #[serde(default)]
    pub troubles: Vec<Trouble>,
}
