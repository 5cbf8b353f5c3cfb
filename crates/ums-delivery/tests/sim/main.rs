//! The dispatch core under storm: seeds of the simulator in [`harness`]. The long form is `examples/simulate.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use harness::{Flaw, Mutant, Outcome, Plan, Tally, run};

/// A fault that is not found within so many seeds is not found.
const ENOUGH: u64 = 10_000;

fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        steps: 150,
        flaw: None,
        mutant: None,
        tells: false,
    }
}

/// The first seed that finds a fault.
fn found_after(run: impl Fn(u64) -> Outcome) -> Option<(u64, String)> {
    (1..=ENOUGH).find_map(|seed| Some((seed, run(seed).violation?)))
}

#[test]
fn no_seed_breaks_a_promise() {
    let mut tally = Tally::default();
    for number in 1..=250 {
        let outcome = run(&plan(number));
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
        tally.partly,
        tally.next_transactions,
    ];
    assert!(
        rare.iter().all(|count| *count > 0),
        "a storm that is none proves nothing: {tally:?}"
    );
}

#[test]
fn a_seed_decides_everything() {
    for number in 1..=20 {
        assert_eq!(run(&plan(number)).hash, run(&plan(number)).hash, "seed {number}");
    }
    assert_ne!(run(&plan(1)).hash, run(&plan(2)).hash);
}

#[test]
fn every_flaw_of_a_store_is_found() {
    for flaw in Flaw::ALL {
        let run = |seed| {
            run(&Plan {
                flaw: Some(flaw),
                ..plan(seed)
            })
        };
        let (after, violation) = found_after(run).unwrap_or_else(|| panic!("{flaw:?} was not found"));
        println!("{flaw:?}: found by seed {after}: {violation}");
    }
}

#[test]
fn every_fault_of_the_engine_is_found() {
    for mutant in Mutant::ALL {
        let run = |seed| {
            run(&Plan {
                mutant: Some(mutant),
                ..plan(seed)
            })
        };
        let (after, violation) = found_after(run).unwrap_or_else(|| panic!("{mutant:?} was not found"));
        println!("{mutant:?}: found by seed {after}: {violation}");
    }
}
