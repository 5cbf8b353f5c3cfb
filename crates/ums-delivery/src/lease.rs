//! This process's lease on the messages it works on: the heartbeat renews it, and a delivery checks it before every call.
//!
//! **Invariant:** no call to a provider starts within 5 s of the end of the lease, or under another term than the one its intent was
//! committed under. By the time a process wakes up that was stopped for longer than its lease, another process owns its intents.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use ums_core::{Lease, Monotonic, StoreError};

use crate::ports::Ports;
use crate::queue::Queue;

/// No call starts within this time before the end of the lease.
const MARGIN: Duration = Duration::from_secs(5);
/// Time until the next renewal when the store did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest wait for the answer of the store. A later answer would be worth little, for the lease counts from the request.
const LONGEST_RENEWAL: Duration = Duration::from_secs(10);

/// Number of a registration of this process with the store. A message belongs to the term in which it was accepted or claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term(u64);

/// The lease of this process. A check on the hot path costs two atomic loads.
#[derive(Debug)]
pub(crate) struct HeldLease {
    /// Time until which a call may start, in microseconds of the monotonic clock.
    until_micros: AtomicU64,
    owner: AtomicI64,
    term: AtomicU64,
}

impl HeldLease {
    /// The first lease, requested at `asked`.
    pub(crate) fn new(lease: Lease, asked: Monotonic) -> Self {
        Self {
            until_micros: AtomicU64::new(until(lease, asked)),
            owner: AtomicI64::new(lease.owner),
            term: AtomicU64::new(0),
        }
    }

    /// Stores a renewal. Whether the store registered the process anew, because it had taken the process for dead.
    pub(crate) fn renewed(&self, lease: Lease, asked: Monotonic) -> bool {
        let anew = self.owner.swap(lease.owner, Ordering::AcqRel) != lease.owner;
        if anew {
            // Before the time: a reader that sees the new time must see the new term.
            self.term.fetch_add(1, Ordering::AcqRel);
        }
        self.until_micros.store(until(lease, asked), Ordering::Release);
        anew
    }

    /// Whether a call may start.
    pub(crate) fn covers(&self, now: Monotonic) -> bool {
        let now_micros = u64::try_from(now.since_start().as_micros()).unwrap_or(u64::MAX - 1);
        now_micros < self.until_micros.load(Ordering::Acquire)
    }

    /// Whether a call may start for a message of that term.
    pub(crate) fn covers_term(&self, now: Monotonic, term: Term) -> bool {
        self.covers(now) && self.term() == term
    }

    /// The number of this process in the store.
    pub(crate) fn owner(&self) -> i64 {
        self.owner.load(Ordering::Acquire)
    }

    /// The term of messages that are accepted or claimed from now on.
    pub(crate) fn term(&self) -> Term {
        Term(self.term.load(Ordering::Acquire))
    }
}

fn until(lease: Lease, asked: Monotonic) -> u64 {
    if lease.length == Duration::MAX {
        return u64::MAX;
    }
    let until = (asked + lease.length.saturating_sub(MARGIN)).since_start();
    u64::try_from(until.as_micros()).unwrap_or(u64::MAX)
}

/// Renews the lease until the process ends. Goes on during the shutdown: messages in a call still belong to this process.
pub(crate) async fn heartbeat(ports: Arc<Ports>, lease: Arc<HeldLease>, queue: Arc<Queue>, every: Duration) {
    loop {
        let wait = match renew(&ports, &lease, &queue).await {
            Ok(()) => every,
            Err(error) => {
                tracing::warn!(%error, "the lease was not renewed; trying again");
                ports.shortages.noted(&error, &*ports.clock);
                AGAIN
            }
        };
        tokio::select! {
            biased;
            () = ports.ended.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn renew(ports: &Ports, lease: &HeldLease, queue: &Queue) -> Result<(), StoreError> {
    let asked = ports.clock.monotonic();
    let covered = lease.covers(asked);
    let answer = tokio::time::timeout(LONGEST_RENEWAL, ports.store.renew()).await;
    let renewal = answer.map_err(|late| StoreError::Unavailable(Box::new(late)))??;
    if lease.renewed(renewal, asked) {
        tracing::error!("this process was taken for dead: what it had in hand belongs to others; it goes on with new work");
    }
    if !covered && lease.covers(ports.clock.monotonic()) {
        queue.wake();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    fn of_a_minute(owner: i64) -> Lease {
        Lease {
            owner,
            length: Duration::from_mins(1),
        }
    }

    #[test]
    fn no_call_starts_within_five_seconds_of_the_end() {
        let lease = HeldLease::new(of_a_minute(1), at(10));
        assert!(lease.covers(at(64)));
        assert!(!lease.covers(at(65)));
        lease.renewed(of_a_minute(1), at(60));
        assert!(lease.covers(at(114)));
    }

    #[test]
    fn what_was_taken_under_an_earlier_registration_is_not_covered() {
        let lease = HeldLease::new(of_a_minute(1), at(0));
        let before = lease.term();
        assert!(!lease.renewed(of_a_minute(1), at(15)), "the same registration");
        assert!(lease.covers_term(at(16), before));
        assert!(lease.renewed(of_a_minute(2), at(100)));
        assert!(!lease.covers_term(at(101), before));
        assert!(lease.covers_term(at(101), lease.term()));
    }

    #[test]
    fn a_lease_for_ever_has_no_end() {
        let lease = HeldLease::new(Lease::FOREVER, at(0));
        assert!(lease.covers(at(1_000_000_000)));
    }
}
