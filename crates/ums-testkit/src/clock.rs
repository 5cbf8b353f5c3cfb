//! A clock that moves only when told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ums_core::{Clock, Monotonic, Timestamp};

/// Where the wall clock starts: 2026-11-22T10:00:00Z.
const START_MICROS: i64 = 1_795_341_600_000_000;

/// A clock that moves only when told; both clocks move together.
#[derive(Debug, Default)]
pub struct TestClock {
    elapsed_micros: AtomicU64,
}

impl TestClock {
    /// Starts at 2026-11-22T10:00:00Z and zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        self.elapsed_micros
            .fetch_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn elapsed(&self) -> Duration {
        Duration::from_micros(self.elapsed_micros.load(Ordering::SeqCst))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(START_MICROS) + self.elapsed()
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_start(self.elapsed())
    }
}
