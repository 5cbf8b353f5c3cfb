mod other_settings;

use super::*;
use proptest::prelude::*;
use ums_core::FailureClass;
use ums_testkit::SeededRandom;

fn settings() -> BreakerSettings {
    BreakerSettings::default()
}

fn breaker(settings: BreakerSettings) -> Arc<Breaker> {
    Arc::new(Breaker::new(settings, Arc::new(SeededRandom::new(1)), None))
}

fn at(seconds: u64) -> Now {
    Now {
        mono: Monotonic::from_start(Duration::from_secs(seconds)),
        wall: Timestamp::from_micros(1_000_000 * i64::try_from(seconds).unwrap()),
    }
}

fn failure(class: FailureClass) -> Failure {
    Failure::provider(class, "503", "")
}

/// Calls once; `None` is a success.
fn call(breaker: &Arc<Breaker>, seconds: u64, outcome: Option<FailureClass>) {
    let permit = Breaker::admit(breaker.clone(), at(seconds)).expect("admitted");
    match outcome {
        None => permit.settle(Verdict::Success, at(seconds)),
        Some(class) => permit.settle(Verdict::Failure(&failure(class)), at(seconds)),
    }
}

fn refused(breaker: &Arc<Breaker>, seconds: u64) -> Refusal {
    *Breaker::admit(breaker.clone(), at(seconds)).expect_err("refused")
}

fn state(breaker: &Arc<Breaker>, seconds: u64) -> BreakerStateWord {
    breaker.snapshot(at(seconds)).state
}

fn trip(breaker: &Arc<Breaker>, seconds: u64) {
    for _ in 0..5 {
        call(breaker, seconds, Some(FailureClass::Unavailable));
    }
    assert_eq!(state(breaker, seconds), BreakerStateWord::Open);
}

#[test]
fn five_failures_in_a_row_open_it_and_the_reason_is_kept() {
    let breaker = breaker(settings());
    for _ in 0..4 {
        call(&breaker, 0, Some(FailureClass::Unknown));
    }
    call(&breaker, 0, None);
    for _ in 0..4 {
        call(&breaker, 0, Some(FailureClass::Unavailable));
    }
    assert_eq!(state(&breaker, 0), BreakerStateWord::Closed);
    call(&breaker, 0, Some(FailureClass::Unavailable));
    let seen = breaker.snapshot(at(0));
    assert_eq!((seen.state, seen.failure_count), (BreakerStateWord::Open, 5));
    assert_eq!(seen.cause.unwrap().describe(), "5 failures in a row (last: 503)");
    assert!(refused(&breaker, 1).reopens_in <= Duration::from_secs(29));
}

#[test]
fn half_of_ten_calls_open_it_although_successes_lie_between() {
    let breaker = breaker(settings());
    for n in 0..4 {
        call(&breaker, n, None);
        call(&breaker, n, Some(FailureClass::Unavailable));
    }
    call(&breaker, 8, None);
    assert_eq!(state(&breaker, 8), BreakerStateWord::Closed, "nine calls are too few");
    call(&breaker, 9, Some(FailureClass::Unavailable));
    assert_eq!(state(&breaker, 9), BreakerStateWord::Open);
}

#[test]
fn ten_messages_a_day_do_not_add_up_to_a_rate() {
    let breaker = breaker(settings());
    for hour in 0..40 {
        call(
            &breaker,
            3_600 * hour,
            if hour % 2 == 0 { Some(FailureClass::Unavailable) } else { None },
        );
    }
    assert_eq!(state(&breaker, 40 * 3_600), BreakerStateWord::Closed);
}

#[test]
fn messages_faults_never_count() {
    let breaker = breaker(settings());
    for class in [
        FailureClass::InvalidRecipient,
        FailureClass::InvalidMessage,
        FailureClass::RecipientBlocked,
        FailureClass::Unsupported,
    ] {
        for _ in 0..20 {
            call(&breaker, 0, Some(class));
        }
    }
    let seen = breaker.snapshot(at(0));
    assert_eq!(
        (seen.state, seen.failure_count, seen.recent_failures),
        (BreakerStateWord::Closed, 0, 0)
    );
}

#[test]
fn two_successful_probes_close_it_one_at_a_time() {
    let breaker = breaker(settings());
    trip(&breaker, 0);
    let probe = Breaker::admit(breaker.clone(), at(31)).unwrap();
    assert!(probe.ask_first() && probe.is_probe());
    assert_eq!(refused(&breaker, 31).cause, Cause::Probing);
    probe.settle(Verdict::Success, at(31));
    assert_eq!(state(&breaker, 31), BreakerStateWord::HalfOpen);
    call(&breaker, 32, None);
    assert_eq!(state(&breaker, 32), BreakerStateWord::Closed);
    assert_eq!(breaker.snapshot(at(32)).failure_count, 0);
    // The breaker counts from zero again.
    for _ in 0..4 {
        call(&breaker, 33, Some(FailureClass::Unavailable));
    }
    assert_eq!(state(&breaker, 33), BreakerStateWord::Closed);
}

#[test]
fn a_failed_probe_doubles_the_wait_to_its_end_and_jitter_only_shortens() {
    let breaker = breaker(settings());
    trip(&breaker, 0);
    let mut now = 0;
    for whole in [30, 60, 120, 240, 300, 300] {
        let wait = refused(&breaker, now).reopens_in;
        assert!(
            wait <= Duration::from_secs(whole) && wait >= Duration::from_secs(whole * 8 / 10),
            "{wait:?} of {whole}"
        );
        now += whole;
        call(&breaker, now, Some(FailureClass::Unavailable));
    }
}

#[test]
fn a_dropped_permit_is_given_back_and_not_counted() {
    let breaker = breaker(settings());
    trip(&breaker, 0);
    drop(Breaker::admit(breaker.clone(), at(31)).unwrap());
    let permit = Breaker::admit(breaker.clone(), at(31)).expect("the permit is free again");
    permit.settle(Verdict::Failure(&failure(FailureClass::InvalidRecipient)), at(31));
    assert_eq!(state(&breaker, 31), BreakerStateWord::HalfOpen, "a bad recipient says nothing");
    assert!(Breaker::admit(breaker, at(31)).is_ok());
}

#[test]
fn late_results_of_an_earlier_state_are_dropped() {
    let breaker = breaker(settings());
    let slow: Vec<_> = (0..8).map(|_| Breaker::admit(breaker.clone(), at(0)).unwrap()).collect();
    trip(&breaker, 0);
    let opened_until = refused(&breaker, 1).reopens_in;
    for permit in slow {
        permit.settle(Verdict::Failure(&failure(FailureClass::Unavailable)), at(1));
    }
    assert_eq!(refused(&breaker, 1).reopens_in, opened_until, "they do not prolong the outage");
    assert_eq!(breaker.snapshot(at(1)).failure_count, 5);
}

#[test]
fn misconfigured_opens_at_once_and_is_probed_at_growing_intervals() {
    let breaker = breaker(settings());
    call(&breaker, 0, Some(FailureClass::Misconfigured));
    assert!(matches!(refused(&breaker, 0).cause, Cause::Misconfigured { .. }));
    let mut now = 0;
    for whole in [60, 120, 240, 480, 900, 900] {
        assert!(refused(&breaker, now).reopens_in <= Duration::from_secs(whole));
        now += whole;
        call(&breaker, now, Some(FailureClass::Misconfigured));
    }
}

#[test]
fn an_allowance_opens_until_its_reset() {
    let breaker = breaker(settings());
    let permit = Breaker::admit(breaker.clone(), at(0)).unwrap();
    let failure = failure(FailureClass::QuotaExhausted).with_retry_after(Some(Duration::from_secs(5_000)));
    permit.settle(Verdict::Failure(&failure), at(0));
    assert_eq!(refused(&breaker, 0).reopens_in, Duration::from_secs(5_000));
    assert!(
        Breaker::admit_last_resort(breaker.clone(), at(0)).is_none(),
        "never the last resort"
    );
}

#[test]
fn throttling_pauses_without_opening_and_fails_a_probe() {
    let breaker = breaker(settings());
    let throttled = failure(FailureClass::Throttled).with_retry_after(Some(Duration::from_secs(7)));
    Breaker::admit(breaker.clone(), at(0))
        .unwrap()
        .settle(Verdict::Failure(&throttled), at(0));
    assert_eq!(
        refused(&breaker, 0),
        Refusal {
            cause: Cause::Throttled,
            reopens_in: Duration::from_secs(7)
        }
    );
    assert_eq!(breaker.snapshot(at(0)).failure_count, 0);
    call(&breaker, 7, None);
    assert_eq!(state(&breaker, 7), BreakerStateWord::Closed);

    trip(&breaker, 10);
    call(&breaker, 50, None);
    Breaker::admit(breaker.clone(), at(51))
        .unwrap()
        .settle(Verdict::Failure(&throttled), at(51));
    call(&breaker, 60, None);
    assert_eq!(
        state(&breaker, 60),
        BreakerStateWord::HalfOpen,
        "the throttled probe began the count anew"
    );
    call(&breaker, 61, None);
    assert_eq!(state(&breaker, 61), BreakerStateWord::Closed);
}

#[test]
fn the_last_resort_is_one_call_a_second_and_does_not_lengthen_the_open_time() {
    let breaker = breaker(settings());
    trip(&breaker, 0);
    let until = refused(&breaker, 0).reopens_in;
    let permit = Breaker::admit_last_resort(breaker.clone(), at(0)).unwrap();
    assert!(Breaker::admit_last_resort(breaker.clone(), at(0)).is_none());
    permit.settle(Verdict::Failure(&failure(FailureClass::Unavailable)), at(0));
    assert!(Breaker::admit_last_resort(breaker.clone(), at(0)).is_none(), "within the second");
    assert_eq!(refused(&breaker, 0).reopens_in, until);
    let permit = Breaker::admit_last_resort(breaker.clone(), at(1)).unwrap();
    permit.settle(Verdict::Success, at(1));
    assert_eq!(state(&breaker, 1), BreakerStateWord::HalfOpen, "it counts as the first good probe");
    call(&breaker, 2, None);
    assert_eq!(state(&breaker, 2), BreakerStateWord::Closed);
}

#[test]
fn its_state_outlives_a_restart() {
    let before = breaker(settings());
    call(&before, 99, None);
    trip(&before, 100);
    let kept = before.to_json(at(105));
    let after = breaker(settings());
    // The new process's monotonic clock begins at zero; wall time went on.
    let restarted = Now {
        mono: Monotonic::from_start(Duration::ZERO),
        wall: at(110).wall,
    };
    after.restore(&kept, restarted);
    let refusal = Breaker::admit(after.clone(), restarted).expect_err("still open");
    assert_eq!(refusal.cause.describe(), "5 failures in a row (last: 503)");
    assert!(
        refusal.reopens_in <= Duration::from_secs(20) && refusal.reopens_in > Duration::from_secs(10),
        "{:?}",
        refusal.reopens_in
    );
    assert_eq!(after.snapshot(restarted).last_success_at, Some(at(99).wall));
    after.restore(&serde_json::json!({"cause": 7}), restarted);
}

#[test]
fn each_change_is_told_with_its_reason() {
    use BreakerStateWord::{Closed, HalfOpen, Open};

    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = told.clone();
    let listener: Listener = Arc::new(move |change: &Change| sink.lock().unwrap().push(change.clone()));
    let breaker = Arc::new(Breaker::new(settings(), Arc::new(SeededRandom::new(1)), Some(listener)));
    trip(&breaker, 0);
    call(&breaker, 31, None);
    call(&breaker, 32, None);
    let told = told.lock().unwrap();
    let told: Vec<_> = told.iter().map(|change| (change.from, change.to, change.learned)).collect();
    assert_eq!(
        told,
        [
            (Closed, Open, true),
            (Open, HalfOpen, false),
            (HalfOpen, HalfOpen, true),
            (HalfOpen, Closed, true)
        ]
    );
}

/// Has `to` adopt the state of `from`, at that second; the clock of `from` goes `skew` seconds ahead.
fn adopt(from: &Arc<Breaker>, to: &Arc<Breaker>, seconds: u64, skew: i64) -> bool {
    let mut there = at(seconds);
    there.wall = Timestamp::from_micros(there.wall.as_micros() + skew * 1_000_000);
    let looked = Duration::from_millis(500);
    to.adopt(&from.to_json(there), to.revision(), looked, at(seconds))
}

#[test]
fn clocks_that_differ_do_not_change_how_long_it_is_open() {
    for skew in [-3_600, -5, 0, 5, 3_600] {
        let (one, other) = (breaker(settings()), breaker(settings()));
        trip(&one, 100);
        assert!(adopt(&one, &other, 100, skew));
        let (here, there) = (refused(&other, 100).reopens_in, refused(&one, 100).reopens_in);
        assert!(
            here <= there && there.saturating_sub(here) <= Duration::from_millis(501),
            "{skew}: {here:?} of {there:?}"
        );
    }
    let kept = serde_json::json!({
        "at_micros": 0, "cause": {"word": "open", "code": "503", "detail": "x"}, "until_micros": 1_000_000_000_000_i64, "rounds": 1,
    });
    let other = breaker(settings());
    other.restore(&kept, at(0));
    assert_eq!(
        refused(&other, 0).reopens_in,
        Duration::from_mins(5),
        "never longer than the settings say"
    );
}

#[test]
fn what_was_learned_here_meanwhile_is_not_undone() {
    let (one, other) = (breaker(settings()), breaker(settings()));
    let (kept, known) = (one.to_json(at(0)), other.revision());
    trip(&other, 0);
    assert!(!other.adopt(&kept, known, Duration::ZERO, at(0)));
    assert_eq!(state(&other, 0), BreakerStateWord::Open);
}

#[test]
fn what_is_adopted_drops_late_results_and_is_not_told_as_learned() {
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = told.clone();
    let listener: Listener = Arc::new(move |change: &Change| sink.lock().unwrap().push(change.clone()));
    let one = breaker(settings());
    let other = Arc::new(Breaker::new(settings(), Arc::new(SeededRandom::new(1)), Some(listener)));
    let late: Vec<_> = (0..6).map(|_| Breaker::admit(other.clone(), at(0)).unwrap()).collect();
    trip(&one, 0);
    assert!(adopt(&one, &other, 0, 0));
    let until = refused(&other, 0).reopens_in;
    for permit in late {
        permit.settle(Verdict::Failure(&failure(FailureClass::Unavailable)), at(0));
    }
    assert_eq!(refused(&other, 0).reopens_in, until);
    call(&one, 31, None);
    call(&one, 31, None);
    assert!(adopt(&one, &other, 31, 0));
    assert_eq!(state(&other, 31), BreakerStateWord::Closed);
    let told: Vec<_> = told.lock().unwrap().iter().map(|change| (change.to, change.learned)).collect();
    assert_eq!(told, [(BreakerStateWord::Open, false), (BreakerStateWord::Closed, false)]);
    assert_eq!(other.revision(), 0);
}

/// The rules of the breaker once more, as a slow and plain reference.
#[derive(Debug, Default)]
struct Reference {
    consecutive: u32,
    calls: Vec<(u64, bool)>,
    open_until: Option<u64>,
    rounds: u32,
    half_open: Option<u32>,
}

impl Reference {
    fn admits(&mut self, now: u64) -> bool {
        if self.open_until.is_some_and(|until| until <= now) {
            self.open_until = None;
            self.half_open = Some(0);
        }
        self.open_until.is_none()
    }

    fn outcome(&mut self, now: u64, good: bool) {
        if let Some(successes) = self.half_open {
            if !good {
                self.open(now);
            } else if successes + 1 == 2 {
                *self = Self::default();
            } else {
                self.half_open = Some(successes + 1);
            }
            return;
        }
        self.calls.push((now, good));
        self.consecutive = if good { 0 } else { self.consecutive + 1 };
        let recent: Vec<_> = self.calls.iter().filter(|(at, _)| at + 60 > now).collect();
        let failed = recent.iter().filter(|(_, good)| !good).count();
        if !good && (self.consecutive >= 5 || (recent.len() >= 10 && failed * 2 >= recent.len())) {
            self.open(now);
        }
    }

    fn open(&mut self, now: u64) {
        self.open_until = Some(now + (30 << self.rounds.min(4)).min(300));
        self.rounds += 1;
        self.half_open = None;
    }
}

#[derive(Debug)]
struct NoJitter;

impl Random for NoJitter {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

proptest! {
    /// Steps of 75 seconds or none keep every call either within the window or out of it, so the
    /// buckets and the reference's exact times agree.
    #[test]
    fn it_does_what_the_reference_does(steps in prop::collection::vec((prop::bool::weighted(0.1), prop::bool::ANY), 1..300)) {
        let breaker = Arc::new(Breaker::new(settings(), Arc::new(NoJitter), None));
        let mut reference = Reference::default();
        let mut now = 0;
        for (pause, good) in steps {
            now += if pause { 75 } else { 0 };
            let permit = Breaker::admit(breaker.clone(), at(now));
            prop_assert_eq!(permit.is_ok(), reference.admits(now), "at {}", now);
            if let Ok(permit) = permit {
                let failed = failure(FailureClass::Unavailable);
                permit.settle(if good { Verdict::Success } else { Verdict::Failure(&failed) }, at(now));
                reference.outcome(now, good);
            }
        }
    }

    /// Two breakers adopt from each other after every call. Both agree, a second adoption changes nothing, and nothing adopted counts as
    /// learned. An empty pause, the permit of a probe and the counts stay with each breaker.
    #[test]
    fn two_that_adopt_from_each_other_agree(
        steps in prop::collection::vec((0_u64..40, prop::bool::ANY, 0_usize..6, -20_i64..20), 1..200),
    ) {
        let both = [(); 2].map(|()| Arc::new(Breaker::new(settings(), Arc::new(NoJitter), None)));
        let outcomes = [
            None,
            None,
            Some(FailureClass::Unavailable),
            Some(FailureClass::Throttled),
            Some(FailureClass::Misconfigured),
            Some(FailureClass::QuotaExhausted),
        ];
        let mut now = 0;
        for (pause, second, outcome, skew) in steps {
            now += pause;
            let (caller, other) = if second { (&both[1], &both[0]) } else { (&both[0], &both[1]) };
            let learned_before = caller.revision();
            let Ok(permit) = Breaker::admit(caller.clone(), at(now)) else {
                prop_assert!(Breaker::admit(other.clone(), at(now)).is_err(), "one refuses, the other does not, at {}", now);
                continue;
            };
            match outcomes[outcome] {
                None => permit.settle(Verdict::Success, at(now)),
                Some(class) => permit.settle(Verdict::Failure(&failure(class)), at(now)),
            }
            if caller.revision() == learned_before {
                continue;
            }
            let revision = other.revision();
            for _ in 0..2 {
                prop_assert!(adopt(caller, other, now, skew));
                let (here, there) = (other.snapshot(at(now)), caller.snapshot(at(now)));
                prop_assert_eq!((here.state, &here.cause), (there.state, &there.cause), "at {}", now);
                let apart = |one: Option<Timestamp>, two: Option<Timestamp>| {
                    one.zip(two).map_or(0, |(one, two)| one.as_micros().abs_diff(two.as_micros()))
                };
                prop_assert!(apart(here.reopens_at, there.reopens_at) <= 501_000, "{:?} {:?}", here.reopens_at, there.reopens_at);
            }
            prop_assert_eq!(other.revision(), revision);
        }
    }
}
