//! Runs the simulator of the dispatch core over many seeds, and tells the story of the first that fails.
//!
//! `cargo run --release -p ums-delivery --example simulate -- [--seeds 100000] [--from 1] [--steps 150] [--threads 2]`
//!
//! With `--seed N` that seed's story is told whatever its end. With `--flaw NAME` the store breaks a rule, with `--mutant NAME` the engine
//! seems to; `--list` names both. Ends with 1 when a promise was broken, with 2 when it was used wrongly.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool of the workshop: its output is its purpose"
)]

#[path = "../tests/sim/harness/mod.rs"]
mod harness;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use harness::{Flaw, Mutant, Outcome, Plan, Tally, run};
use ums_core::Clock as _;

/// Seeds between two words on how far it is.
const PROGRESS: u64 = 10_000;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
struct Order {
    seeds: u64,
    from: u64,
    steps: u64,
    threads: u64,
    one: Option<u64>,
    flaw: Option<Flaw>,
    mutant: Option<Mutant>,
}

fn read(mut words: impl Iterator<Item = String>) -> Option<Order> {
    let mut order = Order {
        seeds: 100_000,
        from: 1,
        steps: 150,
        threads: std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64),
        one: None,
        flaw: None,
        mutant: None,
    };
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--seeds" => order.seeds = value.parse().ok()?,
            "--from" => order.from = value.parse().ok()?,
            "--steps" => order.steps = value.parse().ok()?,
            "--threads" => order.threads = value.parse().ok()?,
            "--seed" => order.one = Some(value.parse().ok()?),
            "--flaw" => order.flaw = Some(*Flaw::ALL.iter().find(|flaw| format!("{flaw:?}") == value)?),
            "--mutant" => order.mutant = Some(*Mutant::ALL.iter().find(|mutant| format!("{mutant:?}") == value)?),
            _ => return None,
        }
    }
    Some(order)
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--list") {
        println!("flaws: {:?}", Flaw::ALL);
        println!("mutants: {:?}", Mutant::ALL);
        return ExitCode::SUCCESS;
    }
    let Some(order) = read(std::env::args().skip(1)) else {
        println!("usage: simulate [--seeds N] [--from N] [--steps N] [--threads N] [--seed N] [--flaw NAME] [--mutant NAME] | --list");
        return ExitCode::from(2);
    };
    if let Some(seed) = order.one {
        return tell(order, seed);
    }
    let clock = ums_core::SystemClock::new();
    let (failed, tally) = all(order);
    let took = clock.monotonic().since_start();
    let seeds = failed.map_or(order.seeds, |seed| seed - order.from + 1);
    println!(
        "{seeds} seeds, {} steps, {} messages, {} calls, {} crashes, {} writes fenced off, {} answers lost, {} attempts unknown",
        tally.steps, tally.messages, tally.calls, tally.crashes, tally.fenced, tally.lost_answers, tally.unknown
    );
    println!(
        "{} calls taken for some recipients, {} recipients taken in a next transaction, {} calls forbidden by the list, {} reports",
        tally.partly, tally.next_transactions, tally.opted_out, tally.reports
    );
    println!(
        "{:.0} seeds a second on {} threads",
        f64::from(u32::try_from(seeds).unwrap()) / took.as_secs_f64(),
        order.threads
    );
    if let Some(seed) = failed {
        return tell(order, seed);
    }
    println!("no promise was broken");
    ExitCode::SUCCESS
}

/// Runs all seeds, each thread its share; gives the smallest that failed.
fn all(order: Order) -> (Option<u64>, Tally) {
    let (next, failed) = (AtomicU64::new(order.from), AtomicU64::new(u64::MAX));
    let tally = Mutex::new(Tally::default());
    let end = order.from + order.seeds;
    std::thread::scope(|scope| {
        for _ in 0..order.threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || seed > failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = one(order, seed, false);
                    tally.lock().unwrap().add(&outcome.tally);
                    if outcome.violation.is_some() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                    if (seed + 1 - order.from).is_multiple_of(PROGRESS) {
                        println!("{} seeds", seed + 1 - order.from);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    (Some(failed).filter(|seed| *seed != u64::MAX), tally.into_inner().unwrap())
}

fn one(order: Order, seed: u64, tells: bool) -> Outcome {
    run(&Plan {
        seed,
        steps: order.steps,
        flaw: order.flaw,
        mutant: order.mutant,
        tells,
    })
}

/// Tells a seed's story.
fn tell(order: Order, seed: u64) -> ExitCode {
    let outcome = one(order, seed, true);
    for line in &outcome.story {
        println!("{line}");
    }
    if let Some(violation) = outcome.violation {
        println!("seed {seed}: {violation}");
        return ExitCode::FAILURE;
    }
    println!("seed {seed}: no promise was broken; hash {:016x}", outcome.hash);
    ExitCode::SUCCESS
}
