//! Room for messages that are worked on at the same time, by lane.
//!
//! Of all places one sixteenth belongs to `transactional` and one to `bulk`, so that neither waits for ever. The others are shared:
//! `otp` may use all of them, `transactional` leaves an eighth of all places free, `bulk` a quarter, so that a code finds a place
//! while mail to many fills the rest. With fewer than 16 places nobody has places of their own, and `otp` goes before all.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use ums_core::Purpose;

/// The lanes, first to last.
pub(crate) const LANES: [Purpose; 3] = [Purpose::Otp, Purpose::Transactional, Purpose::Bulk];
/// Permits that are freed before a worker who waits for room is woken: a claim of one costs as much as a claim of many.
const WORTH_A_CLAIM: usize = 32;

/// The place of a lane in [`LANES`].
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
    /// Permits for that many messages; `wake` is told when the worker waits for room and there is some.
    pub(crate) fn new(total: usize, wake: Arc<Notify>) -> Self {
        Self {
            total,
            used: Mutex::default(),
            wanted: AtomicBool::new(false),
            freed: AtomicUsize::new(0),
            wake,
        }
    }

    /// A place for a message of that lane, if there is one.
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

    /// As many places of that lane as there are, at most `limit`.
    pub(crate) fn acquire_many(self: &Arc<Self>, purpose: Purpose, limit: usize) -> Vec<LanePermit> {
        (0..limit).map_while(|_| self.acquire(purpose)).collect()
    }

    /// How many places `bulk` could take of the shared ones; the other lanes could take as many or more.
    pub(crate) fn free_for_bulk(&self) -> usize {
        self.shared_limit(Purpose::Bulk).saturating_sub(self.used().shared)
    }

    /// The worker wants to be woken when there is room.
    pub(crate) fn want_room(&self) {
        self.freed.store(0, Ordering::Relaxed);
        self.wanted.store(true, Ordering::Release);
    }

    /// The worker looks for itself: what it takes now and gives back unused must not wake it, or it would never rest.
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

    /// How full the shared places may become by that lane.
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
    fn one_place_serves_every_lane() {
        let lanes = of(1);
        for purpose in LANES {
            let place = lanes.acquire(purpose);
            assert!(place.is_some() && lanes.acquire(Purpose::Otp).is_none(), "{purpose}");
        }
    }

    #[test]
    fn whoever_waits_for_room_is_told_when_a_claim_is_worth_it() {
        let wake = Arc::new(Notify::new());
        let lanes = Arc::new(Lanes::new(8, wake.clone()));
        let mut places = lanes.acquire_many(Purpose::Otp, 8);
        lanes.want_room();
        let told = || futures_now(wake.notified());
        places.pop();
        assert!(!told());
        places.pop();
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
