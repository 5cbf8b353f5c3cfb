//! A few authenticated connections, used again without asking first.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::connection::Session;

struct Idle {
    session: Session,
    since: Instant,
}

/// The connections of one account.
pub(super) struct Pool {
    slots: Semaphore,
    idle: Mutex<Vec<Idle>>,
    keep: Duration,
}

impl Pool {
    pub(super) fn new(max: u32, keep: Duration) -> Self {
        Self {
            slots: Semaphore::new(usize::try_from(max.max(1)).unwrap_or(1)),
            idle: Mutex::new(Vec::new()),
            keep,
        }
    }

    /// Waits for the right to use a connection; `None` when none came free in time.
    pub(super) async fn slot(&self, until: Instant) -> Option<SemaphorePermit<'_>> {
        timeout_at(until, self.slots.acquire()).await.ok()?.ok()
    }

    /// An idle connection that still looks alive, the one used last first. The others that are too old are closed.
    pub(super) fn take(&self) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|entry| entry.since.elapsed() < self.keep);
        while let Some(Idle { mut session, .. }) = idle.pop() {
            if session.is_quiet() {
                session.reused = true;
                return Some(session);
            }
        }
        None
    }

    /// Keeps a connection for the next message.
    pub(super) fn put(&self, session: Session) {
        if session.is_usable() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|entry| entry.since.elapsed() < self.keep);
            idle.push(Idle {
                session,
                since: Instant::now(),
            });
        }
    }
}
