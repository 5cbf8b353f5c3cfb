//! Keeps the time: holds the clock against what the database knows of it, and mends what a wrong clock wrote.

use std::time::Duration;

use ums_core::{CLOCK_TOLERANCE, ClockGuard, LongestWaits, Monotonic, Purpose, StoreError};

use crate::breaker::Now;
use crate::desk::Desk;
use crate::health;
use crate::ports::Ports;

/// How often the trusted time is written into the database: a process that starts knows the time as exactly as that.
const KEEP: Duration = Duration::from_mins(1);
/// How often rows are looked for that are due too far ahead. Another process may have written them.
const MEND: Duration = Duration::from_mins(10);
/// Most rows of each kind that are mended at a look.
const AT_ONCE: usize = 500;

/// What this process has kept and mended.
#[derive(Debug, Default)]
pub(crate) struct Timekeeping {
    kept_at: Option<Monotonic>,
    mended_at: Option<Monotonic>,
    /// Of the clock, at the last mending.
    changes: u64,
    in_trouble: bool,
}

/// Holds the clock against what the database knows of the time. Nothing may be decided by the time before.
pub(crate) async fn begin(ports: &Ports) -> Result<(), StoreError> {
    let Some(guard) = ports.clock.guard() else { return Ok(()) };
    let kept = ports.store.kept_time().await?;
    guard.begin(kept.as_ref(), ports.store.database_time().await?);
    Ok(())
}

impl Timekeeping {
    /// One look. A wrong clock is told when it is seen, not when it would do harm.
    pub(crate) async fn look(&mut self, desk: &Desk) -> Result<(), StoreError> {
        let (clock, store) = (&desk.ports.clock, &desk.ports.store);
        if let Some(guard) = clock.guard() {
            let kept = store.kept_time().await?;
            guard.hear(kept.as_ref(), store.database_time().await?);
            self.tell(guard);
            let is_due = is_due(self.kept_at, KEEP, clock.uptime());
            if let Some(time) = guard.keep().filter(|_| is_due && store.is_owner()) {
                store.keep_time(&time).await?;
                self.kept_at = Some(clock.uptime());
            }
        }
        let changes = clock.guard().map_or(0, ClockGuard::changes);
        if store.is_owner() && (changes != self.changes || is_due(self.mended_at, MEND, clock.uptime())) {
            let mended = store.hasten(longest_waits(desk), desk.now(), AT_ONCE).await?;
            if mended > 0 {
                tracing::warn!(mended, "what was put off by a wrong clock is due now");
                desk.queue.wake();
            }
            if mended < AT_ONCE as u64 {
                (self.mended_at, self.changes) = (Some(clock.uptime()), changes);
            }
        }
        Ok(())
    }

    fn tell(&mut self, guard: &dyn ClockGuard) {
        let trouble = guard.view().trouble;
        match (&trouble, self.in_trouble) {
            (Some(reason), false) => tracing::error!(event = "clock.trouble", reason, "the clock is not trusted"),
            (None, true) => tracing::info!(event = "clock.well", "the clock is trusted"),
            (Some(_), true) | (None, false) => {}
        }
        self.in_trouble = trouble.is_some();
    }
}

fn is_due(last: Option<Monotonic>, every: Duration, now: Monotonic) -> bool {
    last.is_none_or(|last| now.since(last) >= every)
}

/// The longest times for which this process puts anything off: the waits of the rules, and until the last provider has room again.
fn longest_waits(desk: &Desk) -> LongestWaits {
    let rules = &desk.rules;
    let now = Now::read(&*desk.ports.clock);
    let report = health::report(&desk.chains, &desk.rates.verdicts(), &[], now);
    let providers = report.email_providers.iter().chain(&report.sms_providers);
    let reopening = providers.filter_map(|provider| Some(provider.reopens_at?.since(now.wall)));
    let by_purpose = [Purpose::Otp, Purpose::Transactional, Purpose::Bulk]
        .into_iter()
        .flat_map(|purpose| [rules.retry.slowest(purpose), rules.feedback_wait.of(purpose)]);
    LongestWaits {
        messages: by_purpose.chain(reopening).max().unwrap_or_default() + CLOCK_TOLERANCE,
        notices: rules.webhooks.retry.iter().max().copied().unwrap_or_default() + CLOCK_TOLERANCE,
        events: rules.feedback.give_up + CLOCK_TOLERANCE,
        tolerance: CLOCK_TOLERANCE,
    }
}
