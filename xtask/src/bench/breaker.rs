//! What the breaker costs a call that succeeds: `bench-breaker`, its table and its goals.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::figures::Spread;
use crate::process::output;
use crate::workspace::Workspace;

const EMPTY: &str = "breaker-empty-loop";
const SUCCESS: &str = "breaker-closed-success";
/// Nanoseconds that it may add to the empty loop, where no time stamp is needed.
const MAX_ADDED_NS: f64 = 3.0;
/// Times that two threads may take of one's: no lock and no written word is shared.
const MAX_SHARING: f64 = 2.0;

/// Nanoseconds a call of one loop, round by round.
#[derive(Debug)]
pub(crate) struct Loop {
    name: String,
    threads: u64,
    ns: Vec<f64>,
}

/// Measures all loops, unpinned.
pub(crate) fn measure(workspace: &Workspace) -> Result<Vec<Loop>> {
    let text = output(&mut Command::new(workspace.path("bench/target/release/bench-breaker")))?;
    let value: Value = serde_json::from_str(&text).context("bench-breaker printed no JSON")?;
    let loops = value.as_array().into_iter().flatten().map(Loop::read);
    loops.collect::<Option<_>>().context("bench-breaker's lines are not understood")
}

impl Loop {
    fn read(value: &Value) -> Option<Self> {
        Some(Self {
            name: value.get("line")?.as_str()?.to_owned(),
            threads: value.get("threads")?.as_u64()?,
            ns: value.get("ns")?.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?,
        })
    }
}

fn find<'a>(loops: &'a [Loop], name: &str, threads: u64) -> &'a [f64] {
    loops
        .iter()
        .find(|found| found.name == name && found.threads == threads)
        .map_or(&[], |found| &found.ns)
}

/// Nanoseconds more than the empty loop, taken inside each round.
fn added(loops: &[Loop], name: &str, threads: u64) -> Option<Spread> {
    let pairs = find(loops, name, threads).iter().zip(find(loops, EMPTY, threads));
    Spread::of(pairs.map(|(own, empty)| own - empty))
}

/// Two threads' time of one's, the empty loop taken off both.
fn sharing(loops: &[Loop]) -> Option<f64> {
    Some(added(loops, SUCCESS, 2)?.median / added(loops, SUCCESS, 1)?.median)
}

fn judged(figure: Option<f64>, limit: f64) -> String {
    figure.map_or_else(
        || "not measured".to_owned(),
        |figure| format!("{figure:.2}, {}", if figure <= limit { "met" } else { "MISSED" }),
    )
}

/// Prints the table and what was wanted.
pub(crate) fn print(loops: &[Loop]) {
    println!(
        "\n{:32} {:>7} {:>8} {:>16}",
        "breaker, ns a call", "threads", "median", "added (min-max)"
    );
    for Loop { name, threads, ns } in loops {
        let median = Spread::of(ns.iter().copied()).map_or(0.0, |spread| spread.median);
        let more = added(loops, name, *threads).map_or_else(String::new, |spread| {
            format!("{:.2} ({:.2}-{:.2})", spread.median, spread.least, spread.most)
        });
        println!("{name:32} {threads:>7} {median:>8.2} {more:>20}");
    }
    let alone = added(loops, SUCCESS, 1).map(|spread| spread.median);
    println!(
        "  ns that {SUCCESS} adds to {EMPTY} <= {MAX_ADDED_NS} at 1 thread: {}",
        judged(alone, MAX_ADDED_NS)
    );
    println!(
        "  the same at 2 threads <= {MAX_SHARING} x at 1: {}",
        judged(sharing(loops), MAX_SHARING)
    );
}

pub(crate) fn to_json(loops: &[Loop]) -> Value {
    let lines = loops.iter().map(|line| {
        let more = added(loops, &line.name, line.threads).map(Spread::to_json);
        json!({"line": line.name, "threads": line.threads, "ns": line.ns, "added": more})
    });
    json!({"loops": lines.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Loop, added, judged, sharing};

    #[test]
    fn the_empty_loop_is_taken_off_in_each_round() {
        let line = |name: &str, threads: u64, ns: [f64; 3]| Loop::read(&json!({"line": name, "threads": threads, "ns": ns})).unwrap();
        let loops = [
            line("breaker-empty-loop", 1, [0.5, 1.0, 0.5]),
            line("breaker-closed-success", 1, [2.5, 4.0, 2.5]),
            line("breaker-empty-loop", 2, [1.0, 1.0, 1.0]),
            line("breaker-closed-success", 2, [4.0, 4.0, 4.0]),
        ];
        assert_eq!(added(&loops, "breaker-closed-success", 1).map(|spread| spread.median), Some(2.0));
        assert_eq!(sharing(&loops), Some(1.5));
        assert_eq!(judged(Some(2.0), 3.0), "2.00, met");
        assert_eq!(judged(sharing(&[]), 2.0), "not measured");
        assert!(Loop::read(&json!({"line": "x"})).is_none());
    }
}
