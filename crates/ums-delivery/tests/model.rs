//! The breaker under a model checker: every interleaving of a few threads.
//!
//! Run by `cargo test -p ums-delivery --features model-check --test model`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use ums_core::{BreakerStateWord, Failure, FailureClass, Monotonic, Random, Timestamp};
use ums_delivery::breaker::{Breaker, BreakerSettings, Now, Verdict};

#[derive(Debug)]
struct NoJitter;

impl Random for NoJitter {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

fn at(seconds: u64) -> Now {
    Now {
        mono: Monotonic::from_start(Duration::from_secs(seconds)),
        wall: Timestamp::from_micros(0),
    }
}

fn breaker(failures: u32, successes: u32) -> Arc<Breaker> {
    let settings = BreakerSettings {
        failures,
        successes,
        rate_percent: None,
        ..BreakerSettings::default()
    };
    Arc::new(Breaker::new(settings, Arc::new(NoJitter), None))
}

fn fail(breaker: &Arc<Breaker>, seconds: u64) {
    if let Ok(permit) = Breaker::admit(breaker.clone(), at(seconds)) {
        permit.settle(
            Verdict::Failure(&Failure::provider(FailureClass::Unavailable, "503", "")),
            at(seconds),
        );
    }
}

#[test]
fn at_most_one_probe_is_out_whatever_the_interleaving() {
    loom::model(|| {
        let breaker = breaker(1, 2);
        fail(&breaker, 0);
        let out = loom::sync::Arc::new(AtomicUsize::new(0));
        let probers: Vec<_> = (0..2)
            .map(|n| {
                let (breaker, out) = (breaker.clone(), out.clone());
                thread::spawn(move || {
                    let Ok(permit) = Breaker::admit(breaker, at(31)) else { return };
                    assert_eq!(out.fetch_add(1, Ordering::SeqCst), 0, "two probes at once");
                    thread::yield_now();
                    out.fetch_sub(1, Ordering::SeqCst);
                    if n == 0 {
                        permit.settle(Verdict::Success, at(31))
                    } else {
                        drop(permit)
                    }
                })
            })
            .collect();
        for prober in probers {
            prober.join().unwrap();
        }
        assert!(Breaker::admit(breaker, at(31)).is_ok(), "the permit is free again");
    });
}

#[test]
fn a_result_that_comes_late_never_closes_or_reopens_it() {
    loom::model(|| {
        let breaker = breaker(1, 1);
        let late = Breaker::admit(breaker.clone(), at(0)).unwrap();
        let other = breaker.clone();
        let tripping = thread::spawn(move || fail(&other, 0));
        let settling = thread::spawn(move || late.settle(Verdict::Success, at(0)));
        tripping.join().unwrap();
        settling.join().unwrap();
        assert_eq!(breaker.snapshot(at(0)).state, BreakerStateWord::Open);
    });
}

#[test]
fn concurrent_failures_trip_it_once() {
    loom::model(|| {
        let breaker = breaker(2, 1);
        let failing: Vec<_> = (0..2)
            .map(|_| {
                let breaker = breaker.clone();
                thread::spawn(move || fail(&breaker, 0))
            })
            .collect();
        for thread in failing {
            thread.join().unwrap();
        }
        let seen = breaker.snapshot(at(0));
        assert_eq!((seen.state, seen.failure_count), (BreakerStateWord::Open, 2));
        // The breaker opened once: its first open time, not the doubled one.
        assert_eq!(seen.reopens_at, Some(Timestamp::from_micros(30_000_000)));
    });
}
