//! Exact counts of calls within the last window of time, in buckets, without a lock.

use std::time::Duration;

use ums_core::Monotonic;

use super::sync::{AtomicU64, Ordering};

/// Number of buckets that a window is cut into, at least.
const BUCKETS: u64 = 8;
/// A bucket packs its epoch and two counts into one word, so that counting takes no lock.
const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const EPOCH_SHIFT: u32 = 2 * COUNT_BITS;

/// Calls and failures within the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
}

/// Counts successes and failures within the last window of time. The counts of one bucket saturate at about a million.
#[derive(Debug)]
pub(crate) struct Window {
    /// A bucket lasts `2^shift` microseconds.
    shift: u32,
    buckets: Box<[AtomicU64]>,
}

impl Window {
    pub(crate) fn new(length: Duration) -> Self {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX).max(BUCKETS);
        let shift = (micros / BUCKETS).ilog2();
        let count = micros.div_ceil(1 << shift);
        Self {
            shift,
            buckets: (0..count).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(crate) fn success(&self, now: Monotonic) {
        self.add(now, 1);
    }

    pub(crate) fn failure(&self, now: Monotonic) {
        self.add(now, 1 << COUNT_BITS);
    }

    pub(crate) fn totals(&self, now: Monotonic) -> Totals {
        let current = self.epoch(now);
        let mut totals = Totals::default();
        for bucket in &self.buckets {
            let word = bucket.load(Ordering::Relaxed);
            let age = current.wrapping_sub(word >> EPOCH_SHIFT) & (u64::MAX >> EPOCH_SHIFT);
            if age < self.buckets.len() as u64 {
                let failures = (word >> COUNT_BITS) & COUNT_MASK;
                totals.failures += failures;
                totals.calls += failures + (word & COUNT_MASK);
            }
        }
        totals
    }

    pub(crate) fn clear(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
    }

    /// The number of the bucket of that time, at least the number of buckets, so that an empty bucket (number 0) is too old to count.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "microseconds since the process began fit 64 bits for 584,000 years"
    )]
    fn epoch(&self, now: Monotonic) -> u64 {
        ((now.since_start().as_micros() as u64) >> self.shift) + self.buckets.len() as u64
    }

    fn add(&self, now: Monotonic, unit: u64) {
        let epoch = self.epoch(now);
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is a small index")]
        let index = (epoch % self.buckets.len() as u64) as usize;
        let Some(bucket) = self.buckets.get(index) else { return };
        let tag = (epoch << EPOCH_SHIFT) >> EPOCH_SHIFT << EPOCH_SHIFT;
        let mut seen = bucket.load(Ordering::Relaxed);
        while seen >> EPOCH_SHIFT << EPOCH_SHIFT != tag {
            match bucket.compare_exchange(seen, tag | unit, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(changed) => seen = changed,
            }
        }
        let saturated = (seen & COUNT_MASK) >= COUNT_MASK - 1_024 || ((seen >> COUNT_BITS) & COUNT_MASK) >= COUNT_MASK - 1_024;
        if !saturated {
            bucket.fetch_add(unit, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "model-check"))]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn counts_fall_out_of_the_window() {
        let window = Window::new(Duration::from_mins(1));
        for second in 0..10 {
            window.success(at(second));
            window.failure(at(second));
        }
        assert_eq!(window.totals(at(10)), Totals { calls: 20, failures: 10 });
        assert_eq!(window.totals(at(50)), Totals { calls: 20, failures: 10 });
        assert_eq!(window.totals(at(80)), Totals::default());
        window.failure(at(1_000));
        assert_eq!(window.totals(at(1_000)), Totals { calls: 1, failures: 1 });
    }

    #[test]
    fn a_full_bucket_stops_counting_instead_of_spilling_over() {
        let window = Window::new(Duration::from_mins(1));
        for _ in 0..1_100_000 {
            window.success(at(0));
        }
        let totals = window.totals(at(0));
        assert_eq!(totals.failures, 0);
        assert!(totals.calls > 1_000_000);
    }
}
