//! The health report: what breakers and rates know about each provider, in words for people. Decides nothing.

use ums_core::{BreakerStateWord, HealthReport, HealthStatus, NotConfigured, Priority, ProviderHealth, SwitchedOff, Timestamp};

use crate::breaker::{Cause, Now, Snapshot};
use crate::chain::{Chain, Chains};
use crate::rates::Verdicts;

/// Makes the report of the providers; troubles of the service itself are the engine's to add.
pub(crate) fn report(chains: &Chains, verdicts: &Verdicts, not_configured: &[NotConfigured], now: Now) -> HealthReport {
    HealthReport {
        email_providers: providers(&chains.email, now, verdicts),
        sms_providers: providers(&chains.sms, now, verdicts),
        not_configured: not_configured.to_vec(),
        troubles: Vec::new(),
    }
}

fn providers<M: 'static>(chain: &Chain<M>, now: Now, verdicts: &Verdicts) -> Vec<ProviderHealth> {
    let rows = chain.links.iter().enumerate().map(|(index, link)| {
        let seen = link.breaker.snapshot(now);
        let by_calls = status(&seen);
        let by_reports = verdicts.reason(link.kind, &link.account);
        let (status, reason) = joined(by_calls, reason(&seen, by_calls), by_reports);
        let row = ProviderHealth {
            name: link.kind.guide_name().to_owned(),
            provider: link.kind,
            priority: Priority::of_place(index),
            circuit_breaker: seen.state,
            is_healthy: seen.state != BreakerStateWord::Open
                && !matches!(status, HealthStatus::Down | HealthStatus::Misconfigured | HealthStatus::Exhausted),
            failure_count: seen.failure_count,
            status,
            reason,
            disabled: None,
            reopens_at: seen.reopens_at,
            last_success_at: seen.last_success_at,
            last_failure: seen.last_failure,
        };
        let row = match link.pacer.day_is_used_up(now.mono) {
            Some(wait) => used_up(row, now.wall + wait),
            None => row,
        };
        match link.share.off(now.wall) {
            Some(off) => disabled(row, off),
            None => row,
        }
    });
    rows.collect()
}

/// The account has reached its own limit of a day. A breaker that refuses says why by itself.
fn used_up(row: ProviderHealth, room_at: Timestamp) -> ProviderHealth {
    if !row.is_healthy || row.circuit_breaker != BreakerStateWord::Closed {
        return row;
    }
    ProviderHealth {
        is_healthy: false,
        status: HealthStatus::Exhausted,
        reason: Some(format!("its limit of recipients a day is reached; it has room again at {room_at}")),
        reopens_at: Some(room_at),
        ..row
    }
}

/// An operator has taken the account out of service, whatever its breaker knows.
fn disabled(row: ProviderHealth, off: SwitchedOff) -> ProviderHealth {
    ProviderHealth {
        is_healthy: false,
        status: HealthStatus::Down,
        reason: Some(off.describe()),
        reopens_at: off.until,
        disabled: Some(off),
        ..row
    }
}

fn status(seen: &Snapshot) -> HealthStatus {
    match (seen.state, &seen.cause) {
        (BreakerStateWord::Closed, None) if seen.failure_count > 0 => HealthStatus::Degraded,
        (BreakerStateWord::Closed, None) if seen.last_success_at.is_some() => HealthStatus::Healthy,
        (BreakerStateWord::Closed, None) => HealthStatus::Unknown,
        (BreakerStateWord::Open, Some(Cause::Misconfigured { .. })) => HealthStatus::Misconfigured,
        (BreakerStateWord::Open, Some(Cause::Exhausted { .. })) => HealthStatus::Exhausted,
        (BreakerStateWord::Open, _) => HealthStatus::Down,
        (BreakerStateWord::HalfOpen, _) | (BreakerStateWord::Closed, Some(_)) => HealthStatus::Degraded,
    }
}

fn reason(seen: &Snapshot, status: HealthStatus) -> Option<String> {
    match (&seen.cause, status) {
        (Some(cause), _) => Some(cause.describe()),
        (None, HealthStatus::Degraded) => Some(format!("{} failures since the last success", seen.failure_count)),
        (None, HealthStatus::Unknown) => Some("nothing was sent by it yet".to_owned()),
        (None, _) => None,
    }
}

/// Joins what calls and what feedback say about a provider. Feedback may add a warning, but never says that a provider is down.
fn joined(by_calls: HealthStatus, reason: Option<String>, by_reports: Option<String>) -> (HealthStatus, Option<String>) {
    match (by_calls, by_reports) {
        (by_calls, None) => (by_calls, reason),
        (HealthStatus::Healthy | HealthStatus::Unknown, Some(by_reports)) => (HealthStatus::Degraded, Some(by_reports)),
        (by_calls, Some(by_reports)) => {
            let reasons: Vec<String> = reason.into_iter().chain([by_reports]).collect();
            (by_calls, Some(reasons.join("; ")))
        }
    }
}
