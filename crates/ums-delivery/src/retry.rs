//! When a held message is tried again: the schedule is data, jitter spreads it.

use std::time::Duration;

use ums_core::Random;

/// The waits between rounds of attempts of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    /// The wait after the first, second, … round; the last one repeats.
    pub waits: Vec<Duration>,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        let waits = [5, 30, 120, 600, 1_800, 3_600, 7_200];
        Self {
            waits: waits.into_iter().map(Duration::from_secs).collect(),
        }
    }
}

impl RetrySchedule {
    /// The wait after that round (counted from 0): full jitter, from a tenth of the schedule's wait
    /// to the whole, so that an outage's messages do not come back together.
    pub fn wait(&self, round: usize, random: &dyn Random) -> Duration {
        let whole = self
            .waits
            .get(round)
            .or(self.waits.last())
            .copied()
            .unwrap_or(Duration::from_mins(1));
        whole.mul_f64(0.1 + 0.9 * random.unit())
    }

    /// The schedule's longest wait, for what somebody must mend first.
    pub fn slowest(&self) -> Duration {
        self.waits.iter().max().copied().unwrap_or(Duration::from_hours(1))
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
            let wait = schedule.wait(round, &random).as_secs_f64();
            assert!(wait >= 0.1 * whole && wait <= whole, "round {round}: {wait}");
        }
    }
}
