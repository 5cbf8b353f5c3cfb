//! A wall clock that a jump of the machine's clock does not move until the jump has stood for a while.
//!
//! Retention, expiry, the windows of keys and signatures, and due times all read the [`Clock`] port, so the guard stands here, once.
//! The reference is `Clock::uptime`, which runs on while the machine sleeps: a laptop that wakes up has not jumped.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Monotonic, Timestamp};
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// Steps up to this are followed at once: a time server corrects seconds or minutes, and clocks drift.
pub const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// The guard over a clock. While a jump has not stood for `settle`, the time is the last trusted one and what has passed since.
#[derive(Debug)]
pub struct GuardedClock {
    machine: Arc<dyn Clock>,
    settle: Duration,
    troubles: Troubles,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    trusted: Timestamp,
    /// When the trusted time was read, and since when the clock has stood without a jump that was seen.
    read_at: Monotonic,
    steady_since: Monotonic,
    jump: Option<Jump>,
}

/// A jump that is not trusted yet.
#[derive(Clone, Copy, Debug)]
struct Jump {
    seen_at: Monotonic,
    /// Microseconds by which the machine's clock is ahead of the trusted time.
    ahead: i64,
}

impl GuardedClock {
    /// Trusts the machine's clock as it stands now.
    pub fn new(machine: Arc<dyn Clock>, settle: Duration, troubles: Troubles) -> Self {
        let read_at = machine.uptime();
        let state = Mutex::new(State {
            trusted: machine.now(),
            read_at,
            steady_since: read_at,
            jump: None,
        });
        Self {
            machine,
            settle,
            troubles,
            state,
        }
    }

    /// Reads both clocks. Whether the time has been steady for `settle`, and the trusted time.
    fn read(&self) -> (bool, Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Both under the lock: readings of two threads must not be mixed.
        let (wall, uptime) = (self.machine.now(), self.machine.uptime());
        let expected = state.trusted + uptime.since(state.read_at);
        let ahead = wall.as_micros().saturating_sub(expected.as_micros());
        if is_within(ahead, 0) {
            if state.jump.take().is_some() {
                self.troubles.clear(TroubleKind::Clock);
            }
        } else {
            match state.jump {
                Some(jump) if is_within(ahead, jump.ahead) && uptime.since(jump.seen_at) < self.settle => return (false, expected),
                Some(jump) if is_within(ahead, jump.ahead) => {
                    self.troubles.clear(TroubleKind::Clock);
                    (state.jump, state.steady_since) = (None, jump.seen_at);
                }
                _ => {
                    state.jump = Some(Jump { seen_at: uptime, ahead });
                    state.steady_since = uptime;
                    self.troubles.raise(self.trouble(expected, wall));
                    return (false, expected);
                }
            }
        }
        (state.trusted, state.read_at) = (wall, uptime);
        (uptime.since(state.steady_since) >= self.settle, wall)
    }

    fn trouble(&self, expected: Timestamp, wall: Timestamp) -> Trouble {
        Trouble {
            kind: TroubleKind::Clock,
            since: expected,
            reason: format!(
                "the machine's clock jumped to {wall}; the service goes by {expected} until the clock has stood for {} min; set the clock \
                 right, or restart the service to go by it at once",
                self.settle.as_secs() / 60
            ),
            is_blocking: false,
        }
    }
}

/// Whether two differences, in microseconds, are the same but for the tolerance.
fn is_within(ahead: i64, of: i64) -> bool {
    u128::from(ahead.abs_diff(of)) <= CLOCK_TOLERANCE.as_micros()
}

impl Clock for GuardedClock {
    fn now(&self) -> Timestamp {
        self.read().1
    }

    fn monotonic(&self) -> Monotonic {
        self.machine.monotonic()
    }

    fn uptime(&self) -> Monotonic {
        self.machine.uptime()
    }

    fn is_settled(&self) -> bool {
        self.read().0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    const MINUTE: i64 = 60;
    const DAY: i64 = 24 * 60 * MINUTE;
    const START: i64 = 1_795_341_600;

    /// Seconds of the machine's two clocks.
    #[derive(Debug, Default)]
    struct Machine {
        passed: AtomicI64,
        wrong_by: AtomicI64,
    }

    impl Machine {
        fn passed(&self) -> i64 {
            self.passed.load(Ordering::SeqCst)
        }
    }

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros((START + self.passed() + self.wrong_by.load(Ordering::SeqCst)) * 1_000_000)
        }

        fn monotonic(&self) -> Monotonic {
            Monotonic::from_start(Duration::from_secs(self.passed().unsigned_abs()))
        }
    }

    /// Plays steps of (seconds that pass, seconds the clock is wrong by then); gives for each how wrong the guard is, whether it is
    /// settled, and whether there is a trouble.
    fn play(steps: &[(i64, i64)]) -> Vec<(i64, bool, bool)> {
        let (machine, troubles) = (Arc::new(Machine::default()), Troubles::default());
        let guard = GuardedClock::new(machine.clone(), Duration::from_hours(1), troubles.clone());
        let step = |&(pass, wrong_by): &(i64, i64)| {
            machine.passed.fetch_add(pass, Ordering::SeqCst);
            machine.wrong_by.store(wrong_by, Ordering::SeqCst);
            let wrong = guard.now().as_micros() / 1_000_000 - START - machine.passed();
            (wrong, guard.is_settled(), !troubles.all().is_empty())
        };
        steps.iter().map(step).collect()
    }

    #[test]
    fn a_jump_that_goes_away_moves_nothing() {
        for by in [500 * DAY, -2 * DAY, -30_000 * DAY] {
            let seen = play(&[(60 * MINUTE, 0), (1, by), (45, by), (1, 0)]);
            assert_eq!(
                seen,
                [(0, true, false), (0, false, true), (0, false, true), (0, false, false)],
                "{by}"
            );
        }
    }

    #[test]
    fn a_jump_that_stands_for_the_grace_is_trusted() {
        for by in [500 * DAY, -2 * DAY] {
            let seen = play(&[(1, by), (59 * MINUTE, by), (2 * MINUTE, by), (1, by)]);
            assert_eq!(
                seen,
                [(0, false, true), (0, false, true), (by, true, false), (by, true, false)],
                "{by}"
            );
        }
    }

    #[test]
    fn another_jump_begins_the_grace_anew() {
        let seen = play(&[(1, DAY), (59 * MINUTE, 2 * DAY), (59 * MINUTE, 2 * DAY), (2 * MINUTE, 2 * DAY)]);
        assert_eq!(seen.last(), Some(&(2 * DAY, true, false)));
        assert_eq!(seen[2], (0, false, true));
    }

    #[test]
    fn steps_of_a_time_server_are_followed_at_once() {
        assert_eq!(play(&[(1, 250), (1, -40)]), [(250, false, false), (-40, false, false)]);
    }

    #[test]
    fn a_clock_that_drifts_is_followed() {
        let steps: Vec<(i64, i64)> = (1..=100).map(|step| (10 * MINUTE, step * MINUTE)).collect();
        assert_eq!(play(&steps).last(), Some(&(100 * MINUTE, true, false)));
    }

    #[test]
    fn a_process_that_has_just_started_is_not_settled() {
        assert_eq!(play(&[(59 * MINUTE, 0), (MINUTE, 0)]), [(0, false, false), (0, true, false)]);
    }
}
