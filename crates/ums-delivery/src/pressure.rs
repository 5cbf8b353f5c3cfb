//! How much waits in the store, and when that is too much.

use std::sync::atomic::{AtomicU64, Ordering};

use ums_core::{Purpose, StoreError};

use crate::engine::{Messaging, SubmitError};
use crate::flow::Flow;

/// The backlog at the last count, and what this process added since.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    counted: AtomicU64,
    added: AtomicU64,
}

impl Backlog {
    /// That many messages were stored that wait.
    pub(crate) fn add(&self, messages: u64) {
        self.added.fetch_add(messages, Ordering::Relaxed);
    }

    fn waiting(&self) -> u64 {
        self.counted
            .load(Ordering::Relaxed)
            .saturating_add(self.added.load(Ordering::Relaxed))
    }
}

/// How the engine stands, for whoever watches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Messages that wait in the store, as last counted.
    pub backlog: u64,
    /// Whether this process may start calls to providers now: its lease holds, and no other process sends in its place.
    pub may_send: bool,
}

impl Messaging {
    /// How the engine stands.
    pub fn standing(&self) -> Standing {
        let flow = &self.flow;
        Standing {
            backlog: flow.backlog.waiting(),
            may_send: flow.store.is_owner() && flow.lease.covers(flow.clock.monotonic()),
        }
    }
}

/// Refuses more messages of a purpose when too many wait. Codes are refused an eighth later: mail to many must not shut them out.
pub(crate) fn refuse_when_full(flow: &Flow, purpose: Purpose, messages: u64) -> Result<(), SubmitError> {
    let most = match purpose {
        Purpose::Otp => flow.rules.max_backlog.saturating_add(flow.rules.max_backlog / 8),
        Purpose::Transactional | Purpose::Bulk => flow.rules.max_backlog,
    };
    if flow.backlog.waiting().saturating_add(messages) > most {
        return Err(SubmitError::Full);
    }
    Ok(())
}

/// Counts the backlog. What is added during the count may count twice until the next.
pub(crate) async fn count(flow: &Flow) -> Result<(), StoreError> {
    let added = flow.backlog.added.load(Ordering::Relaxed);
    let enough = flow.rules.max_backlog.saturating_mul(2);
    let counted = flow.store.backlog(enough).await?;
    flow.backlog.counted.store(counted, Ordering::Relaxed);
    flow.backlog.added.fetch_sub(added, Ordering::Relaxed);
    Ok(())
}
