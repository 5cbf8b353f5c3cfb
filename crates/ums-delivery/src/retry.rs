//! When a held message is tried again: the schedule is data, jitter spreads it, a budget bounds how many.

mod budget;

use std::time::Duration;

use ums_core::{Purpose, Random};

pub use self::budget::RetryBudget;
pub(crate) use self::budget::{Budget, Token};

/// The waits between rounds of attempts of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    /// The wait after the first, second, … round; the last one repeats.
    pub waits: Vec<Duration>,
    /// The same for one-time codes, which are worthless after minutes.
    pub otp_waits: Vec<Duration>,
}

/// How long a message waits before it is given up, when its sender says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// One-time codes.
    pub otp: Duration,
    /// Receipts and notices.
    pub transactional: Duration,
    /// Mail to many.
    pub bulk: Duration,
}

impl Default for Expiry {
    fn default() -> Self {
        Self {
            otp: Duration::from_mins(10),
            transactional: Duration::from_hours(72),
            bulk: Duration::from_hours(72),
        }
    }
}

impl Expiry {
    /// The time of a purpose.
    pub const fn of(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Otp => self.otp,
            Purpose::Transactional => self.transactional,
            Purpose::Bulk => self.bulk,
        }
    }
}

impl Default for RetrySchedule {
    fn default() -> Self {
        let spans = |seconds: &[u64]| seconds.iter().copied().map(Duration::from_secs).collect();
        Self {
            waits: spans(&[5, 30, 120, 600, 1_800, 3_600, 7_200]),
            otp_waits: spans(&[2, 5, 10, 20, 30, 60]),
        }
    }
}

impl RetrySchedule {
    /// The wait after that round (counted from 0): full jitter, from a tenth of the schedule's wait
    /// to the whole, so that an outage's messages do not come back together.
    pub fn wait(&self, purpose: Purpose, round: usize, random: &dyn Random) -> Duration {
        let waits = if purpose == Purpose::Otp { &self.otp_waits } else { &self.waits };
        let whole = waits.get(round).or(waits.last()).copied().unwrap_or(Duration::from_mins(1));
        whole.mul_f64(0.1 + 0.9 * random.unit())
    }

    /// The schedule's longest wait, for what somebody must mend first.
    pub fn slowest(&self, purpose: Purpose) -> Duration {
        let waits = if purpose == Purpose::Otp { &self.otp_waits } else { &self.waits };
        waits.iter().max().copied().unwrap_or(Duration::from_hours(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ums_testkit::SeededRandom;

    #[test]
    fn waits_grow_and_stay_within_the_schedule() {
        let schedule = RetrySchedule::default();
        let random = SeededRandom::new(7);
        for round in 0..20 {
            let whole = schedule.waits.get(round).unwrap_or(&Duration::from_hours(2)).as_secs_f64();
            let wait = schedule.wait(Purpose::Bulk, round, &random).as_secs_f64();
            assert!(wait >= 0.1 * whole && wait <= whole, "round {round}: {wait}");
            assert!(schedule.wait(Purpose::Otp, round, &random) <= Duration::from_mins(1));
        }
    }
}
