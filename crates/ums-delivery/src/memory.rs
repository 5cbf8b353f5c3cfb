//! The memory that messages in hand may take together: one budget for the door, the worker and the calls.
//!
//! A body of at most [`SMALL_BYTES`] takes no share: the number of connections and of lane permits bounds such bodies (1,024 connections
//! × 16 KiB × [`COPIES_TO_ACCEPT`] and 1,024 permits × 16 KiB × [`COPIES_IN_CALL`] are 128 MiB at the very most, and bodies of 1 KiB a
//! sixteenth of it). So nothing changes for codes and receipts, whatever waits for memory.
//!
//! **Invariant:** nobody who holds a share waits for more. The door takes all that an accept needs before it reads the first byte, or
//! grows by what is free at once, and so does a message that is sent as soon as it is stored: without room it waits in the store. A claimed
//! message takes its share before it has a provider's slot. So holders always end, and give back.
//! **Invariant:** whoever waits is served in the order of coming, so neither the door nor the worker starves the other.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ums_core::COPIES_TO_SEND;

/// Largest body that takes no share, in bytes.
pub const SMALL_BYTES: usize = 16 * 1_024;
/// What reading, parsing and storing a request takes, in copies of its body: the JSON, the strings and decoded files, the row, and the
/// database's copy of it.
pub const COPIES_TO_ACCEPT: usize = 4;
/// What a call takes, in copies of a message's content: the content, and what an adapter makes of it.
pub(crate) const COPIES_IN_CALL: usize = 1 + COPIES_TO_SEND;
/// What reading a content back takes, in copies of it: the row, and the content.
pub(crate) const COPIES_TO_READ: usize = 2;
/// The budget's unit, in bytes.
const STEP_BYTES: usize = 16 * 1_024;

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    free: Arc<Semaphore>,
    steps: u32,
}

/// A part of the budget, given back when dropped. The empty share is that of small bodies.
#[derive(Debug, Default)]
pub struct Share(Option<OwnedSemaphorePermit>);

impl MemoryBudget {
    /// A budget of so many bytes, at least one step.
    pub fn new(bytes: usize) -> Self {
        let most = usize::try_from(u32::MAX).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let steps = (bytes / STEP_BYTES).clamp(1, most);
        Self {
            free: Arc::new(Semaphore::new(steps)),
            steps: u32::try_from(steps).unwrap_or(u32::MAX),
        }
    }

    /// The whole budget, in bytes.
    pub fn limit(&self) -> usize {
        self.steps as usize * STEP_BYTES
    }

    /// What is given out, in bytes.
    pub fn in_hand(&self) -> usize {
        self.limit() - self.free.available_permits() * STEP_BYTES
    }

    /// Waits for a share for `copies` of a body, after everybody who came before. A body that needs more than the whole budget gets
    /// the whole budget: it goes alone.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue, and holds nothing.
    pub async fn share(&self, body_bytes: usize, copies: usize) -> Share {
        let steps = self.steps_of(body_bytes, copies);
        if steps == 0 {
            return Share::default();
        }
        // The semaphore is never closed.
        Share(Arc::clone(&self.free).acquire_many_owned(steps).await.ok())
    }

    /// Grows a share to `copies` of a body by what is free at once; whether it was. The share stays as it was otherwise.
    pub fn grow(&self, share: &mut Share, body_bytes: usize, copies: usize) -> bool {
        let missing = self.steps_of(body_bytes, copies).saturating_sub(share.steps());
        if missing == 0 {
            return true;
        }
        let Ok(more) = Arc::clone(&self.free).try_acquire_many_owned(missing) else {
            return false;
        };
        match &mut share.0 {
            Some(held) => held.merge(more),
            None => share.0 = Some(more),
        }
        true
    }

    /// Gives back what a share has beyond `copies` of a body.
    pub fn shrink(&self, share: &mut Share, body_bytes: usize, copies: usize) {
        let excess = share.steps().saturating_sub(self.steps_of(body_bytes, copies));
        drop(share.0.as_mut().and_then(|held| held.split(excess as usize)));
    }

    fn steps_of(&self, body_bytes: usize, copies: usize) -> u32 {
        if body_bytes <= SMALL_BYTES {
            return 0;
        }
        let steps = body_bytes.saturating_mul(copies).div_ceil(STEP_BYTES);
        u32::try_from(steps).unwrap_or(u32::MAX).min(self.steps)
    }
}

impl Share {
    /// Whether it is that of a small body.
    pub fn is_empty(&self) -> bool {
        self.steps() == 0
    }

    fn steps(&self) -> u32 {
        let steps = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(steps).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1_024;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn small_bodies_take_nothing_of_a_budget_that_is_used_up() {
        let budget = MemoryBudget::new(64 * KIB);
        let all = now(budget.share(64 * KIB, 1)).unwrap();
        assert_eq!(budget.in_hand(), 64 * KIB);
        assert!(now(budget.share(SMALL_BYTES, 4)).unwrap().is_empty());
        assert!(now(budget.share(SMALL_BYTES + 1, 1)).is_none());
        drop(all);
        assert_eq!(budget.in_hand(), 0);
    }

    #[test]
    fn a_body_above_the_whole_budget_goes_alone() {
        let budget = MemoryBudget::new(64 * KIB);
        let one = now(budget.share(20 * KIB, 1)).unwrap();
        assert!(now(budget.share(1_024 * KIB, 3)).is_none());
        drop(one);
        let alone = now(budget.share(1_024 * KIB, 3)).unwrap();
        assert_eq!(budget.in_hand(), budget.limit());
        drop(alone);
    }

    #[test]
    fn a_share_grows_by_what_is_free_and_shrinks_to_what_is_needed() {
        let budget = MemoryBudget::new(128 * KIB);
        let mut share = Share::default();
        assert!(budget.grow(&mut share, 10 * KIB, 1) && share.is_empty());
        assert!(budget.grow(&mut share, 32 * KIB, 3));
        assert_eq!(budget.in_hand(), 96 * KIB);
        let other = now(budget.share(32 * KIB, 1)).unwrap();
        assert!(!budget.grow(&mut share, 48 * KIB, 3), "refused, not waited for");
        assert_eq!(budget.in_hand(), 128 * KIB);
        budget.shrink(&mut share, 24 * KIB, 2);
        assert_eq!(budget.in_hand(), 80 * KIB);
        budget.shrink(&mut share, 24 * KIB, 3);
        assert_eq!(budget.in_hand(), 80 * KIB, "to shrink never grows");
        drop((share, other));
        assert_eq!(budget.in_hand(), 0);
    }

    #[tokio::test]
    async fn who_comes_first_is_served_first() {
        let budget = MemoryBudget::new(64 * KIB);
        let held = budget.share(32 * KIB, 1).await;
        let (first, second) = (budget.share(64 * KIB, 1), budget.share(20 * KIB, 1));
        tokio::pin!(first, second);
        assert!(futures_pending(first.as_mut()) && futures_pending(second.as_mut()));
        let mut grown = Share::default();
        assert!(!budget.grow(&mut grown, 20 * KIB, 1), "nobody overtakes who waits");
        drop(held);
        let first = first.await;
        assert!(futures_pending(second.as_mut()));
        drop(first);
        second.await;
    }

    fn futures_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        future.poll(&mut context).is_pending()
    }
}
