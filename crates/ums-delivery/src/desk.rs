//! The desk at which every driver works: the ports, the rules, and the caretakers that every message meets.
//!
//! Its place in the flow: `accept`, `worker`, `feedback` and the others share one desk for the whole process; `deliver` and `journal`
//! need nothing else. The desk decides nothing itself; [`Desk::decide`] asks the decision core.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ums_core::{Channel, EventRecord, MessageRecord, StoreError, Timestamp, Undo, failpoint};

use crate::breaker::Now;
use crate::chain::Chains;
use crate::fate::{self, Fate, Happened};
use crate::in_hand::InHand;
use crate::lease::HeldLease;
use crate::memory::{COPIES_TO_READ, MemoryBudget};
use crate::notices::Notices;
use crate::parking::Parking;
use crate::ports::Ports;
use crate::queue::Queue;
use crate::rates::Rates;
use crate::rejection::{self, Reports};
use crate::rules::Rules;

/// The ports, the rules and the caretakers of this process.
pub(crate) struct Desk {
    pub(crate) ports: Arc<Ports>,
    pub(crate) rules: Rules,
    pub(crate) chains: Chains,
    /// Makes the notices to the user's applications.
    pub(crate) notices: Notices,
    /// This process's lease on what it works on.
    pub(crate) lease: Arc<HeldLease>,
    /// The messages that this process works on.
    pub(crate) in_hand: Arc<InHand>,
    /// The memory of these messages.
    pub(crate) memory: MemoryBudget,
    /// Events that wait for their message.
    pub(crate) parking: Parking,
    /// The backlog in the store, and the worker's alarm.
    pub(crate) queue: Arc<Queue>,
    /// Bounces, complaints and receipts, counted by provider account and sender.
    pub(crate) rates: Arc<Rates>,
    /// Bounces and rejections that providers report, to tell a bad provider account from bad recipients.
    pub(crate) reports: Reports,
}

impl Desk {
    /// The time on the wall clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Whether this process may start calls: the process sends from this store, and its lease has time left.
    pub(crate) fn may_send(&self) -> bool {
        self.ports.store.is_owner() && self.lease.covers(self.ports.clock.monotonic())
    }

    /// Judges a report of a message: the decision to undo what the reports of its account brought onto the suppression list, if they are
    /// systemic. A report that blames a content that is lost says nothing of its account.
    pub(crate) async fn judge_report(&self, record: &EventRecord, message: &MessageRecord) -> Result<Option<Undo>, StoreError> {
        let accepted = &message.message;
        let apart = message.apart.filter(|_| rejection::blames_content(record));
        let _memory = self.memory.share(apart.unwrap_or(0), COPIES_TO_READ).await;
        let content = if apart.is_some() {
            match self.ports.store.content(&accepted.tenant, accepted.id).await {
                Ok(Some(content)) => Cow::Owned(content),
                Ok(None) | Err(StoreError::Corrupt { .. }) => return Ok(None),
                Err(error) => return Err(error),
            }
        } else {
            Cow::Borrowed(&accepted.content)
        };
        let event = &record.event;
        let accepted_since = |since| self.rates.accepted_since((event.provider, &event.account), since);
        let now = Now::read(&*self.ports.clock);
        Ok(self.reports.judge(record, (message, &content), accepted_since, now))
    }

    /// A decision to undo is stored: its account is misconfigured from now on, and an operator is told.
    pub(crate) fn undo_decided(&self, undo: &Undo) {
        if let Some(cause) = self.reports.news(undo) {
            failpoint::pass("undo.committed");
            self.chains.blame(undo, &cause, Now::read(&*self.ports.clock));
        }
    }

    /// Counts the cost of an attempt.
    pub(crate) fn count_cost(&self, channel: Channel, micros: Option<i64>) {
        if let Some(micros) = micros.filter(|micros| *micros > 0) {
            self.ports.observer.cost(channel, micros);
        }
    }

    /// Counts the cost of the attempts that were settled as accepted between two states of a message.
    pub(crate) fn count_settled_cost(&self, before: &MessageRecord, after: &MessageRecord) {
        for (was, is) in before.attempts.iter().zip(&after.attempts) {
            if was.cost_micros.is_none() {
                self.count_cost(after.message.content.channel(), is.cost_micros);
            }
        }
    }

    /// Has the decision core decide, and change the record. Nothing is stored; the caller commits the step.
    pub(crate) fn decide(&self, record: &mut MessageRecord, happened: Happened<'_>) -> Fate {
        fate::next(record, happened, &self.rules, self.now())
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desk({:?})", self.chains)
    }
}
