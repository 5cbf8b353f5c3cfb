//! Permits for messages that are worked on at the same time, by lane. Accepting and claiming acquire them; neither works on a message
//! without one.
//!
//! Of all permits one sixteenth belongs to `transactional` and one sixteenth to `bulk`, so that neither lane waits for ever. The lanes
//! share the other permits: `otp` may use all of them, `transactional` leaves an eighth of all permits free, `bulk` leaves a quarter.
//! Thus a code finds a permit while bulk mail fills the rest. With fewer than 16 permits no lane has permits of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use ums_core::Purpose;

/// The lanes, first to last.
pub(crate) const LANES: [Purpose; 3] = [Purpose::Otp, Purpose::Transactional, Purpose::Bulk];
/// Permits that must be freed before the waiting worker is woken: a claim of one message costs as much as a claim of many.
const WORTH_A_CLAIM: usize = 32;

/// The index of a lane in [`LANES`].
pub(crate) const fn lane(purpose: Purpose) -> usize {
    match purpose {
        Purpose::Otp => 0,
        Purpose::Transactional => 1,
        Purpose::Bulk => 2,
    }
}

/// Permits for messages that are worked on.
#[derive(Debug)]
pub(crate) struct Lanes {
    total: usize,
    used: Mutex<Used>,
    /// Whether the worker waits for room.
    wanted: AtomicBool,
    freed: AtomicUsize,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Used {
    shared: usize,
    own: [usize; 3],
}

/// A permit for one message, until it is dropped.
#[derive(Debug)]
pub(crate) struct LanePermit {
    lanes: Arc<Lanes>,
    purpose: Purpose,
    own: bool,
}

impl Lanes {
    /// Permits for that many messages; `wake` is notified when the worker waits for permits and some are free.
    pub(crate) fn new(total: usize, wake: Arc<Notify>) -> Self {
        Self {
            total,
            used: Mutex::default(),
            wanted: AtomicBool::new(false),
            freed: AtomicUsize::new(0),
            wake,
        }
    }

    /// Acquires a permit for a message of that lane; none when the lane is full.
    pub(crate) fn acquire(self: &Arc<Self>, purpose: Purpose) -> Option<LanePermit> {
        let mut used = self.used();
        let own = used.own[lane(purpose)] < self.own(purpose);
        if own {
            used.own[lane(purpose)] += 1;
        } else if used.shared < self.shared_limit(purpose) {
            used.shared += 1;
        } else {
            return None;
        }
        drop(used);
        Some(LanePermit {
            lanes: self.clone(),
            purpose,
            own,
        })
    }

    /// Acquires as many permits of that lane as there are, at most `limit`.
    pub(crate) fn acquire_many(self: &Arc<Self>, purpose: Purpose, limit: usize) -> Vec<LanePermit> {
        (0..limit).map_while(|_| self.acquire(purpose)).collect()
    }

    /// How many shared permits `bulk` could acquire; every other lane could acquire at least as many.
    pub(crate) fn free_for_bulk(&self) -> usize {
        self.shared_limit(Purpose::Bulk).saturating_sub(self.used().shared)
    }

    /// Has the worker woken when permits are freed.
    pub(crate) fn want_room(&self) {
        self.freed.store(0, Ordering::Relaxed);
        self.wanted.store(true, Ordering::Release);
    }

    /// The worker looks by itself now. Permits that the worker acquires and releases unused must not wake the worker, or it would never
    /// rest.
    pub(crate) fn looking(&self) {
        self.wanted.store(false, Ordering::Release);
    }

    /// Permits that belong to that lane alone.
    fn own(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::Otp => 0,
            Purpose::Transactional | Purpose::Bulk => self.total / 16,
        }
    }

    /// How many shared permits may be in use when that lane acquires another one.
    fn shared_limit(&self, purpose: Purpose) -> usize {
        let shared = self.total - 2 * (self.total / 16);
        let left_free = match purpose {
            Purpose::Otp => 0,
            Purpose::Transactional => self.total / 8,
            Purpose::Bulk => self.total / 4,
        };
        shared - left_free
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn freed_one(&self) {
        if !self.wanted.load(Ordering::Acquire) {
            return;
        }
        let freed = self.freed.fetch_add(1, Ordering::Relaxed) + 1;
        if freed >= WORTH_A_CLAIM.min(self.total / 4).max(1) && self.wanted.swap(false, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }
}

impl Drop for LanePermit {
    fn drop(&mut self) {
        let mut used = self.lanes.used();
        if self.own {
            used.own[lane(self.purpose)] -= 1;
        } else {
            used.shared -= 1;
        }
        drop(used);
        self.lanes.freed_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(total: usize) -> Arc<Lanes> {
        Arc::new(Lanes::new(total, Arc::new(Notify::new())))
    }

    #[test]
    fn bulk_leaves_a_quarter_and_codes_leave_each_lane_its_own() {
        let lanes = of(64);
        let bulk = lanes.acquire_many(Purpose::Bulk, usize::MAX);
        assert_eq!(bulk.len(), 64 - 16 - 4, "all but a quarter and what belongs to transactional");
        let notices = lanes.acquire_many(Purpose::Transactional, usize::MAX);
        assert_eq!(notices.len(), 4 + 8, "its own, and what it may fill beyond bulk");
        assert_eq!(lanes.acquire_many(Purpose::Otp, usize::MAX).len(), 8);
        drop((bulk, notices));

        let lanes = of(64);
        assert_eq!(lanes.acquire_many(Purpose::Otp, usize::MAX).len(), 56);
        assert!(lanes.acquire(Purpose::Bulk).is_some(), "codes never starve bulk");
        assert!(lanes.acquire(Purpose::Transactional).is_some());
    }

    #[test]
    fn one_permit_serves_every_lane() {
        let lanes = of(1);
        for purpose in LANES {
            let permit = lanes.acquire(purpose);
            assert!(permit.is_some() && lanes.acquire(Purpose::Otp).is_none(), "{purpose}");
        }
    }

    #[test]
    fn a_worker_that_waits_is_woken_when_a_claim_is_worth_it() {
        let wake = Arc::new(Notify::new());
        let lanes = Arc::new(Lanes::new(8, wake.clone()));
        let mut permits = lanes.acquire_many(Purpose::Otp, 8);
        lanes.want_room();
        let told = || futures_now(wake.notified());
        permits.pop();
        assert!(!told());
        permits.pop();
        assert!(told());
    }

    #[test]
    fn what_the_worker_gives_back_unused_does_not_wake_it() {
        let wake = Arc::new(Notify::new());
        let lanes = Arc::new(Lanes::new(8, wake.clone()));
        lanes.want_room();
        lanes.looking();
        drop(lanes.acquire_many(Purpose::Otp, 8));
        lanes.want_room();
        assert!(!futures_now(wake.notified()));
    }

    fn futures_now(future: impl Future) -> bool {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(future).poll(&mut context).is_ready()
    }
}
