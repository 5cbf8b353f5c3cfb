//! The queue as this process knows it: an estimate of the backlog in the store, and the alarm of the worker.
//!
//! Its place in the flow: `accept` asks for room, every module that enqueues or requeues a message wakes the worker, `housekeeping`
//! counts. The queue itself lies in the store. **Invariant:** no message depends on an alarm; the worker looks by itself after
//! [`LONGEST_WAIT`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use ums_core::{Purpose, Store, StoreError, Timestamp};

/// Longest sleep of the worker: another process may have enqueued a message.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The backlog at the last count and what this process added since, and the worker's alarm.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    counted: AtomicU64,
    added: AtomicU64,
    news: Arc<Notify>,
}

impl Queue {
    /// Wakes the worker: a message may be due.
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }

    /// Wakes the worker for an enqueued message, unless the worker looks by itself before the message is due: a look writes to the store,
    /// and a stream of messages for next week must not cause one each.
    pub(crate) fn wake_for(&self, due_at: Timestamp, now: Timestamp) {
        if due_at.since(now) < LONGEST_WAIT {
            self.wake();
        }
    }

    /// The worker's alarm, for the lanes: freed permits wake the worker, too.
    pub(crate) fn alarm(&self) -> Arc<Notify> {
        self.news.clone()
    }

    /// Waits until the worker is woken.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Adds messages that were stored as waiting.
    pub(crate) fn add(&self, messages: u64) {
        self.added.fetch_add(messages, Ordering::Relaxed);
    }

    /// Estimate of the messages that wait in the store: the last count, and what this process has added since.
    pub(crate) fn waiting(&self) -> u64 {
        self.counted
            .load(Ordering::Relaxed)
            .saturating_add(self.added.load(Ordering::Relaxed))
    }

    /// Whether the backlog has room for more messages of a purpose. Codes may exceed `max_backlog` by an eighth: bulk mail must not shut
    /// them out.
    pub(crate) fn has_room(&self, purpose: Purpose, messages: u64, max_backlog: u64) -> bool {
        let most = match purpose {
            Purpose::Otp => max_backlog.saturating_add(max_backlog / 8),
            Purpose::Transactional | Purpose::Bulk => max_backlog,
        };
        self.waiting().saturating_add(messages) <= most
    }

    /// Counts the backlog. A message that is added during the count may count twice until the next one.
    pub(crate) async fn count(&self, store: &dyn Store, max_backlog: u64) -> Result<(), StoreError> {
        let added = self.added.load(Ordering::Relaxed);
        let counted = store.backlog(max_backlog.saturating_mul(2)).await?;
        self.counted.store(counted, Ordering::Relaxed);
        self.added.fetch_sub(added, Ordering::Relaxed);
        Ok(())
    }
}
