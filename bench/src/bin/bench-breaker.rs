//! What a circuit breaker costs a call that succeeds, in nanoseconds.
//!
//! `bench-breaker [CALLS]` measures three loops of that many calls (10 million) at 1 and 2 threads,
//! five rounds, interleaved, and prints one line of JSON: for each loop and number of threads the
//! nanoseconds a call took on the slowest thread, round by round.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use ums_core::{SystemClock, SystemRandom};
use ums_delivery::BreakerSettings;
use ums_delivery::breaker::{Breaker, Now, Verdict};

const CALLS: u32 = 10_000_000;
const ROUNDS: usize = 5;
const THREADS: [usize; 2] = [1, 2];

/// A loop that is measured.
#[derive(Clone, Copy)]
enum Loop {
    /// Nothing but the loop.
    Empty,
    /// Admitted and successful; only failures in a row are counted, so that no time stamp is needed.
    Success,
    /// The same with the share of failures in a window of time, which is the default.
    Windowed,
}

impl Loop {
    const ALL: [Self; 3] = [Self::Empty, Self::Success, Self::Windowed];

    fn name(self) -> &'static str {
        match self {
            Self::Empty => "breaker-empty-loop",
            Self::Success => "breaker-closed-success",
            Self::Windowed => "breaker-closed-success-windowed",
        }
    }

    fn breaker(self) -> Breaker {
        let settings = match self {
            Self::Empty | Self::Success => BreakerSettings {
                rate_percent: None,
                ..BreakerSettings::default()
            },
            Self::Windowed => BreakerSettings::default(),
        };
        Breaker::new(settings, Arc::new(SystemRandom), None)
    }
}

/// The clocks are read by whoever sends; both are the same for all calls here.
fn run(kind: Loop, breaker: &Breaker, now: Now, calls: u32) {
    match kind {
        Loop::Empty => {
            for _ in 0..calls {
                black_box(breaker);
            }
        }
        Loop::Success | Loop::Windowed => {
            for _ in 0..calls {
                if let Ok(permit) = Breaker::admit(black_box(breaker), now) {
                    permit.settle(Verdict::Success, now);
                }
            }
        }
    }
}

/// How long the slowest of the threads took; all begin together, at one breaker.
fn timed(kind: Loop, threads: usize, calls: u32) -> Result<Duration> {
    let (breaker, now) = (kind.breaker(), Now::read(&SystemClock::new()));
    let barrier = Barrier::new(threads);
    let took: Option<Vec<Duration>> = thread::scope(|scope| {
        let began: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let start = Instant::now();
                    run(kind, &breaker, now, calls);
                    start.elapsed()
                })
            })
            .collect();
        began.into_iter().map(|thread| thread.join().ok()).collect()
    });
    took.and_then(|took| took.into_iter().max()).context("a thread panicked")
}

fn main() -> Result<()> {
    let calls = std::env::args().nth(1).map_or(Ok(CALLS), |word| word.parse()).context("CALLS")?;
    let mut figures: Vec<(Loop, usize, Vec<f64>)> = Loop::ALL
        .into_iter()
        .flat_map(|kind| THREADS.map(|threads| (kind, threads, Vec::new())))
        .collect();
    for _ in 0..ROUNDS {
        for (kind, threads, rounds) in &mut figures {
            rounds.push(timed(*kind, *threads, calls)?.as_secs_f64() * 1e9 / f64::from(calls));
        }
    }
    let lines = figures
        .into_iter()
        .map(|(kind, threads, rounds)| json!({"line": kind.name(), "threads": threads, "ns": rounds}));
    println!("{}", lines.collect::<Value>());
    Ok(())
}
