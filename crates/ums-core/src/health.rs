//! The health report: the guide's shape, with the reason beside every state.

use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::{FailureClass, ProviderKind, Timestamp};

words! {
    /// A breaker's state as it is shown.
    BreakerStateWord {
        /// Serving.
        Closed = "closed",
        /// Refusing.
        Open = "open",
        /// Probing.
        HalfOpen = "half_open",
    }
}

words! {
    /// How a provider does.
    HealthStatus {
        /// Its last calls went well.
        Healthy = "healthy",
        /// It works, but not well: probing, paused, or some calls failed.
        Degraded = "degraded",
        /// Its breaker is open after failures.
        Down = "down",
        /// Nothing was sent by it yet, so nothing is known.
        Unknown = "unknown",
        /// Its account or settings need mending.
        Misconfigured = "misconfigured",
        /// Its allowance is used up.
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
    /// When.
    pub at: Timestamp,
    /// Its class.
    pub class: FailureClass,
    /// The provider's code.
    pub code: String,
    /// For people; redacted.
    pub detail: String,
}

/// One provider in the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderHealth {
    /// The guide's class name.
    pub name: String,
    /// Our word.
    pub provider: ProviderKind,
    /// Its place in the chain.
    pub priority: Priority,
    /// Its breaker's state.
    pub circuit_breaker: BreakerStateWord,
    /// False only for an open breaker, down, misconfigured or exhausted.
    pub is_healthy: bool,
    /// Counted failures since the last success.
    pub failure_count: u32,
    /// How it does.
    pub status: HealthStatus,
    /// Why, when it is not healthy.
    pub reason: Option<String>,
    /// When it is tried again, when its breaker is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopens_at: Option<Timestamp>,
    /// When it last took a message.
    pub last_success_at: Option<Timestamp>,
    /// Its last failure.
    pub last_failure: Option<LastFailure>,
}

/// A provider that is left out, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotConfigured {
    /// Which provider.
    pub provider: ProviderKind,
    /// The settings that are missing, by name.
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
}
