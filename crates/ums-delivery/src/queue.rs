//! The queue as this process knows it: how much waits in the store, and when it is worth a look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use ums_core::{Purpose, Store, StoreError, Timestamp};

/// Longest sleep of the worker: another process may have queued something.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The backlog at the last count and what this process added since, and the worker's alarm.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    counted: AtomicU64,
    added: AtomicU64,
    news: Arc<Notify>,
}

impl Queue {
    /// Wakes the worker: something may be due.
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }

    /// Wakes the worker for a message that was queued, unless that is due later than the worker looks by itself: a look writes, and
    /// a stream of messages for next week is no reason to look each time.
    pub(crate) fn wake_for(&self, due_at: Timestamp, now: Timestamp) {
        if due_at.since(now) < LONGEST_WAIT {
            self.wake();
        }
    }

    /// The worker's alarm, for whoever else has a reason to wake it.
    pub(crate) fn alarm(&self) -> Arc<Notify> {
        self.news.clone()
    }

    /// Until the worker is woken.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// That many messages were stored that wait.
    pub(crate) fn add(&self, messages: u64) {
        self.added.fetch_add(messages, Ordering::Relaxed);
    }

    /// Messages that wait in the store, as far as is known.
    pub(crate) fn waiting(&self) -> u64 {
        self.counted
            .load(Ordering::Relaxed)
            .saturating_add(self.added.load(Ordering::Relaxed))
    }

    /// Whether so many more messages of a purpose may wait. Codes may an eighth longer: mail to many must not shut them out.
    pub(crate) fn has_room(&self, purpose: Purpose, messages: u64, max_backlog: u64) -> bool {
        let most = match purpose {
            Purpose::Otp => max_backlog.saturating_add(max_backlog / 8),
            Purpose::Transactional | Purpose::Bulk => max_backlog,
        };
        self.waiting().saturating_add(messages) <= most
    }

    /// Counts the backlog. What is added during the count may count twice until the next.
    pub(crate) async fn count(&self, store: &dyn Store, max_backlog: u64) -> Result<(), StoreError> {
        let added = self.added.load(Ordering::Relaxed);
        let counted = store.backlog(max_backlog.saturating_mul(2)).await?;
        self.counted.store(counted, Ordering::Relaxed);
        self.added.fetch_sub(added, Ordering::Relaxed);
        Ok(())
    }
}
