//! The task that saves the counts: adds them to the store, reads the counts of other processes, and has all of them judged.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{Monotonic, StoreError};

use super::Rates;
use super::judgement::{Account, AccountSender, judge, looks_back};
use crate::ports::Ports;

/// How often counts are added to the store and judged.
const KEEP: Duration = Duration::from_secs(5);
/// Time between two reads of the counts of the store, with and without other processes that send from it.
const READ_SHARED: Duration = Duration::from_secs(10);
const READ_ALONE: Duration = Duration::from_mins(1);

/// Saves and judges the counts until the engine closes.
pub(crate) async fn run(ports: Arc<Ports>, rates: Arc<Rates>) {
    let mut read_at = None;
    loop {
        if let Err(error) = turn(&ports, &rates, &mut read_at).await {
            tracing::warn!(%error, "the counts of bounces, complaints and receipts were not kept; trying again later");
        }
        tokio::select! {
            biased;
            () = ports.closing.cancelled() => return,
            () = tokio::time::sleep(KEEP) => {}
        }
    }
}

async fn turn(ports: &Ports, rates: &Rates, read_at: &mut Option<Monotonic>) -> Result<(), StoreError> {
    let kept = keep(ports, rates).await;
    let now = ports.clock.monotonic();
    let every = if ports.store.is_shared() { READ_SHARED } else { READ_ALONE };
    if kept.is_ok() && read_at.is_none_or(|at| now.since(at) >= every) {
        let rows = ports.store.rates(looks_back(&rates.rules, ports.clock.now())).await?;
        rates.read(rows);
        *read_at = Some(now);
    }
    rates.judge(ports.clock.now());
    kept
}

/// Adds the counts to the store.
pub(crate) async fn keep(ports: &Ports, rates: &Rates) -> Result<(), StoreError> {
    let rows = rates.drain();
    if rows.is_empty() {
        return Ok(());
    }
    let result = ports.store.add_rates(rows.clone()).await;
    match &result {
        // After a commit of unknown outcome too: counting twice is worse than not counting.
        Ok(()) | Err(StoreError::CommitUnknown(_)) => rates.kept(rows),
        Err(_) => rates.put_back(rows),
    }
    result
}

impl Rates {
    /// Judges all counts, and logs new verdicts.
    fn judge(&self, now: ums_core::Timestamp) {
        let verdicts = judge(&self.all(looks_back(&self.rules, now)), &self.rules, now);
        let before = self.verdicts();
        for (Account { provider, account }, reason) in &verdicts.late {
            if !before.is_late(*provider, account) {
                tracing::warn!(%provider, %account, %reason, "a provider takes messages and does not deliver them");
            }
        }
        for (of, held_for) in &verdicts.held {
            if before.held.get(of) != Some(held_for) {
                let AccountSender { account, sender } = of;
                let Account { provider, account } = account;
                tracing::error!(%provider, %account, %sender, reason = held_for.reason().as_str(), "mail to many is held");
            }
        }
        self.set_verdicts(verdicts);
    }
}
