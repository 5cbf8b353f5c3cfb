//! The dispatch core under storm: seeds of the simulator in [`harness`]. The long form is `examples/simulate.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Flaw, Outcome, Plan, Tally, run};

/// A fault that is not found within so many seeds is not found.
const ENOUGH: u64 = 10_000;

fn seed(seed: u64, flaw: Option<Flaw>) -> Outcome {
    run(&Plan {
        seed,
        steps: 150,
        flaw,
        tells: false,
    })
}

/// The first seed that finds a fault.
fn found_after(run: impl Fn(u64) -> Outcome) -> Option<(u64, String)> {
    (1..=ENOUGH).find_map(|seed| Some((seed, run(seed).violation?)))
}

#[test]
fn no_seed_breaks_a_promise() {
    let mut tally = Tally::default();
    for number in 1..=200 {
        let outcome = seed(number, None);
        assert_eq!(outcome.violation, None, "seed {number}: {:#?}", outcome.story);
        tally.add(&outcome.tally);
    }
    let rare = [
        tally.crashes,
        tally.fenced,
        tally.lost_answers,
        tally.unknown,
        tally.opted_out,
        tally.reports,
    ];
    assert!(
        rare.iter().all(|count| *count > 0),
        "a storm that is none proves nothing: {tally:?}"
    );
}

#[test]
fn a_seed_decides_everything() {
    for number in 1..=20 {
        assert_eq!(seed(number, None).hash, seed(number, None).hash, "seed {number}");
    }
    assert_ne!(seed(1, None).hash, seed(2, None).hash);
}

#[test]
fn every_flaw_of_a_store_is_found() {
    for flaw in Flaw::ALL {
        let (after, violation) = found_after(|number| seed(number, Some(flaw))).unwrap_or_else(|| panic!("{flaw:?} was not found"));
        println!("{flaw:?}: found by seed {after}: {violation}");
    }
}

#[cfg(feature = "mutants")]
#[test]
fn every_fault_of_the_engine_is_found() {
    use ums_delivery::mutants::{Mutant, plant};
    for mutant in Mutant::ALL {
        let run = |number| {
            plant(Some(mutant));
            seed(number, None)
        };
        let (after, violation) = found_after(run).unwrap_or_else(|| panic!("{mutant:?} was not found"));
        println!("{mutant:?}: found by seed {after}: {violation}");
    }
    plant(None);
}
