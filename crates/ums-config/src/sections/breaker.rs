//! When a provider is given up for a while.

use std::time::Duration;

use ums_core::ProviderKind;

use crate::reader::Reader;
use crate::values::ByProvider;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// Thresholds and times of one provider's breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Consecutive failures that open it.
    pub failures: u32,
    /// Share of failed calls within the window that opens it, in percent.
    pub failure_rate_percent: u32,
    /// Calls within the window below which the share says nothing.
    pub min_calls: u32,
    /// Length of the window.
    pub window: Duration,
    /// Time that it stays open at first; doubles with every failed probe.
    pub open: Duration,
    /// Longest time that it stays open.
    pub max_open: Duration,
    /// Consecutive successful probes that close it.
    pub probe_successes: u32,
    /// Time until a misconfigured provider is tried again at first; doubles.
    pub misconfigured_open: Duration,
    /// Longest time until a misconfigured provider is tried again.
    pub misconfigured_max_open: Duration,
    /// Time until an exhausted provider is tried again when it does not say when.
    pub exhausted_open: Duration,
}

pub(crate) fn read(reader: &mut Reader<'_>) -> ByProvider<BreakerSettings> {
    ByProvider::each(|provider| one(reader, provider))
}

fn one(reader: &mut Reader<'_>, provider: ProviderKind) -> BreakerSettings {
    let path = |reader: &Reader<'_>, key: &str| reader.path_for("breaker", provider, key);
    let number = |reader: &mut Reader<'_>, key: &str, most: u32| {
        let path = path(reader, key);
        reader.number(&path, 1..=most)
    };
    let span = |reader: &mut Reader<'_>, key: &str| {
        let path = path(reader, key);
        reader.span(&path, SECOND..=DAY)
    };
    let settings = BreakerSettings {
        failures: number(reader, "failures", 1_000),
        failure_rate_percent: number(reader, "failure_rate_percent", 100),
        min_calls: number(reader, "min_calls", 100_000),
        window: span(reader, "window"),
        open: span(reader, "open"),
        max_open: span(reader, "max_open"),
        probe_successes: number(reader, "probe_successes", 100),
        misconfigured_open: span(reader, "misconfigured_open"),
        misconfigured_max_open: span(reader, "misconfigured_max_open"),
        exhausted_open: span(reader, "exhausted_open"),
    };
    let order = [
        ("max_open", "open", settings.max_open < settings.open),
        (
            "misconfigured_max_open",
            "misconfigured_open",
            settings.misconfigured_max_open < settings.misconfigured_open,
        ),
    ];
    for (longest, first, _) in order.into_iter().filter(|(_, _, wrong)| *wrong) {
        let (longest, first_path) = (path(reader, longest), path(reader, first));
        if !reader.has_fault(&longest) && !reader.has_fault(&first_path) {
            reader.fault(longest, format!("must not be shorter than {first}"));
        }
    }
    settings
}
