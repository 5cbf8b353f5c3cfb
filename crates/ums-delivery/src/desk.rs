//! What the drivers work with: the ports, the rules, and the caretakers that every message meets.

use std::fmt;
use std::sync::Arc;

use ums_core::{MessageRecord, Timestamp};

use crate::chain::Chains;
use crate::fate::{self, Fate, Happened};
use crate::in_hand::InHand;
use crate::lease::HeldLease;
use crate::notices::Notices;
use crate::parking::Parking;
use crate::ports::Ports;
use crate::queue::Queue;
use crate::rates::Rates;
use crate::rejection::Reports;
use crate::rules::Rules;

/// What the drivers work with.
pub(crate) struct Desk {
    pub(crate) ports: Arc<Ports>,
    pub(crate) rules: Rules,
    pub(crate) chains: Chains,
    /// Makes what applications are told.
    pub(crate) notices: Notices,
    /// This process's lease on what it works on.
    pub(crate) lease: Arc<HeldLease>,
    /// The messages that are being worked on.
    pub(crate) in_hand: Arc<InHand>,
    /// Events that wait for their message.
    pub(crate) parking: Parking,
    /// How much waits in the store, and the worker's alarm.
    pub(crate) queue: Arc<Queue>,
    /// What became of messages, counted by provider and sender.
    pub(crate) rates: Arc<Rates>,
    /// What providers report of recipients, to tell a bad provider from bad recipients.
    pub(crate) reports: Reports,
}

impl Desk {
    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Whether a call may start in this process: it sends from this store, and its lease has time left.
    pub(crate) fn may_send(&self) -> bool {
        self.ports.store.is_owner() && self.lease.covers(self.ports.clock.monotonic())
    }

    /// Asks the decision core.
    pub(crate) fn decide(&self, record: &mut MessageRecord, happened: Happened<'_>) -> Fate {
        fate::next(record, happened, &self.rules, self.now())
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Desk({:?})", self.chains)
    }
}
