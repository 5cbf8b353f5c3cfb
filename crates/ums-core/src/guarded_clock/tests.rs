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
    starts: AtomicI64,
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

    fn boot(&self) -> Option<Boot> {
        Some(Boot {
            id: format!("start {}", self.starts.load(Ordering::SeqCst)),
            up: self.monotonic().since_start(),
        })
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

/// A process that starts: when the time was kept before, in seconds before now; whether the machine was started since; by how many seconds its
/// clock is wrong, and the database's.
struct Start {
    kept: Option<i64>,
    reboot: bool,
    wrong_by: i64,
    database: Option<i64>,
}

const SETTLE: Duration = Duration::from_hours(1);

fn guard(start: &Start) -> (Arc<Machine>, Troubles, GuardedClock) {
    let (machine, troubles) = (Arc::new(Machine::default()), Troubles::default());
    machine.passed.store(1_000 * DAY, Ordering::SeqCst);
    let kept = start.kept.map(|before| KeptTime {
        trusted: machine.now() - Duration::from_secs(before.unsigned_abs()),
        boot: machine.boot().map(|boot| Boot {
            up: boot.up.saturating_sub(Duration::from_secs(before.unsigned_abs())),
            ..boot
        }),
        steady: SETTLE,
    });
    let right = machine.now();
    machine.starts.store(i64::from(start.reboot), Ordering::SeqCst);
    machine.wrong_by.store(start.wrong_by, Ordering::SeqCst);
    let database = start
        .database
        .map(|wrong_by| Timestamp::from_micros(right.as_micros() + wrong_by * 1_000_000));
    let guard = GuardedClock::new(machine.clone(), SETTLE, troubles.clone());
    guard.begin(kept.as_ref(), database);
    (machine, troubles, guard)
}

fn wrong(machine: &Machine, guard: &GuardedClock) -> i64 {
    guard.now().as_micros() / 1_000_000 - START - machine.passed()
}

#[test]
fn a_start_is_held_against_what_is_known_of_the_time() {
    const HOUR: i64 = 60 * MINUTE;
    let start = |kept, reboot, wrong_by, database| Start {
        kept,
        reboot,
        wrong_by,
        database,
    };
    let in_1970 = -(START + 1_000 * DAY);
    // How wrong the service is, whether it is settled, whether there is a trouble.
    for (name, start, expected) in [
        ("the first start", start(None, false, 0, None), (0, false, false)),
        (
            "the first start in 1970",
            start(None, false, in_1970, None),
            (EARLIEST_WRONG, false, true),
        ),
        ("a restart", start(Some(MINUTE), false, 0, None), (0, true, false)),
        ("a restart, an hour ahead", start(Some(MINUTE), false, HOUR, None), (0, false, true)),
        (
            "a restart, far ahead",
            start(Some(10 * DAY), false, 500 * DAY, None),
            (0, false, true),
        ),
        ("a restart, behind", start(Some(MINUTE), false, -2 * DAY, None), (0, false, true)),
        ("a weekend without power", start(Some(3 * DAY), true, 0, None), (0, false, false)),
        (
            "a year without power",
            start(Some(365 * DAY), true, 0, None),
            (-365 * DAY, false, true),
        ),
        (
            "a machine that starts far ahead",
            start(Some(MINUTE), true, 500 * DAY, None),
            (-MINUTE, false, true),
        ),
        (
            "a machine that starts in 1970",
            start(Some(MINUTE), true, in_1970, None),
            (-MINUTE, false, true),
        ),
        ("a database that agrees", start(Some(MINUTE), true, 0, Some(7)), (0, false, false)),
        (
            "a database that knows better",
            start(Some(MINUTE), true, DAY, Some(0)),
            (0, false, true),
        ),
        (
            "a database far ahead",
            start(Some(MINUTE), true, 0, Some(500 * DAY)),
            (0, false, true),
        ),
        (
            "both far ahead",
            start(Some(MINUTE), true, 500 * DAY, Some(500 * DAY)),
            (-MINUTE, false, true),
        ),
    ] {
        let (machine, troubles, guard) = guard(&start);
        let seen = (wrong(&machine, &guard), guard.is_settled(), !troubles.all().is_empty());
        assert_eq!(seen, expected, "{name}");
        assert_eq!(guard.view().trouble.is_some(), seen.2, "{name}");
        assert_eq!(guard.keep().is_some(), !seen.2, "{name}: only a sure time is kept");
    }
}

/// By how many seconds 2026-01-01 is off the time of a start.
const EARLIEST_WRONG: i64 = 1_767_225_600 - START - 1_000 * DAY;

#[test]
fn a_start_under_a_wrong_clock_ends_when_it_is_set_right() {
    let (machine, troubles, guard) = guard(&Start {
        kept: Some(MINUTE),
        reboot: true,
        wrong_by: 500 * DAY,
        database: None,
    });
    machine.wrong_by.store(7 * MINUTE, Ordering::SeqCst);
    assert_eq!(wrong(&machine, &guard), 7 * MINUTE, "any time that a start would have trusted");
    assert_eq!((troubles.all().len(), guard.changes()), (0, 1));
}

#[test]
fn a_wrong_clock_stands_or_an_operator_has_it_trusted() {
    let start = || {
        guard(&Start {
            kept: Some(MINUTE),
            reboot: false,
            wrong_by: 500 * DAY,
            database: None,
        })
    };
    let (machine, troubles, guard) = start();
    machine.passed.fetch_add(59 * MINUTE, Ordering::SeqCst);
    assert_eq!(wrong(&machine, &guard), 0);
    assert_eq!(guard.view().trusted_from, Some(guard.now() + Duration::from_mins(1)));
    machine.passed.fetch_add(MINUTE, Ordering::SeqCst);
    assert_eq!((wrong(&machine, &guard), guard.is_settled()), (500 * DAY, true));

    let (machine, troubles_of_other, other) = start();
    assert_eq!(other.trust().trusted, machine.now());
    assert_eq!((wrong(&machine, &other), other.is_settled()), (500 * DAY, true));
    assert!(troubles.all().is_empty() && troubles_of_other.all().is_empty());
    assert_eq!(other.changes(), 1);
}

#[test]
fn what_an_operator_trusts_is_heard_by_other_processes() {
    let start = Start {
        kept: Some(MINUTE),
        reboot: false,
        wrong_by: 500 * DAY,
        database: None,
    };
    let ((machine, _, deaf), (_, _, told)) = (guard(&start), guard(&start));
    let kept = told.trust();
    deaf.hear(Some(&kept), Some(machine.now() - Duration::from_hours(500 * 24)));
    assert_eq!(wrong(&machine, &deaf), 0, "not against the database's clock");
    let (machine, troubles, hears) = guard(&start);
    hears.hear(Some(&kept), None);
    assert_eq!((wrong(&machine, &hears), troubles.all().len()), (500 * DAY, 0));
}

#[test]
fn a_clock_that_the_database_contradicts_is_never_trusted_by_standing() {
    let start = Start {
        kept: Some(MINUTE),
        reboot: false,
        wrong_by: 2 * DAY,
        database: Some(0),
    };
    let (machine, troubles, guard) = guard(&start);
    for _ in 0..5 {
        machine.passed.fetch_add(60 * MINUTE, Ordering::SeqCst);
        assert_eq!((wrong(&machine, &guard), guard.is_settled()), (0, false));
    }
    assert_eq!((troubles.all().len(), guard.view().trusted_from), (1, None));
    machine.wrong_by.store(0, Ordering::SeqCst);
    assert_eq!((wrong(&machine, &guard), guard.keep().is_some()), (0, true));
}

#[test]
fn a_database_whose_clock_jumps_is_told_and_not_followed() {
    let (machine, troubles, guard) = guard(&Start {
        kept: Some(MINUTE),
        reboot: false,
        wrong_by: 0,
        database: Some(0),
    });
    let far = machine.now() + Duration::from_hours(48);
    guard.hear(None, Some(far));
    assert_eq!((wrong(&machine, &guard), guard.is_settled(), troubles.all().len()), (0, false, 1));
    assert!(guard.keep().is_none());
    guard.hear(None, Some(machine.now()));
    assert_eq!((guard.is_settled(), troubles.all().len()), (true, 0));
}
