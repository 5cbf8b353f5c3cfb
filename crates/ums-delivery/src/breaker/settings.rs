//! When a breaker trips, how long it stays open, and what closes it.

use std::time::Duration;

/// Settings of one provider's breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that trip it.
    pub failures: u32,
    /// Share of failed calls within the window that trips it, in percent; none to count only failures in a row.
    pub rate_percent: Option<u8>,
    /// Fewest calls within the window for the share to mean anything.
    pub min_calls: u32,
    /// The window.
    pub window: Duration,
    /// First open time; doubles with each failed probe.
    pub open: Duration,
    /// Longest open time.
    pub open_max: Duration,
    /// Successful probes that close it.
    pub successes: u32,
    /// First wait of a misconfigured provider; doubles.
    pub misconfigured: Duration,
    /// Longest wait of a misconfigured provider.
    pub misconfigured_max: Duration,
    /// Wait of a provider whose allowance is used up, if the provider names no time.
    pub exhausted: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            rate_percent: Some(50),
            min_calls: 10,
            window: Duration::from_mins(1),
            open: Duration::from_secs(30),
            open_max: Duration::from_mins(5),
            successes: 2,
            misconfigured: Duration::from_mins(1),
            misconfigured_max: Duration::from_mins(15),
            exhausted: Duration::from_hours(1),
        }
    }
}
