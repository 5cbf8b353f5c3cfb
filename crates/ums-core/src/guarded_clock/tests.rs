use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::clock::SystemClock;

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
