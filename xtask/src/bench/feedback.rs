//! `cargo xtask bench --feedback`: how many events of a provider a second become part of messages' stories, on SQLite, and what the same rows
//! cost when nothing else is done.
//!
//! Both lines run one after the other in each round, on both cores, and the ratio is taken inside the round.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::figures::Spread;
use crate::process::output;
use crate::workspace::Workspace;

const MESSAGES: u32 = 10_000;
const BATCH: u32 = 100;
/// Events a second that are wanted.
const WANTED: f64 = 5_000.0;

/// Measures in rounds, prints the figures with what is wanted, and gives them as JSON.
pub(crate) fn measure(workspace: &Workspace, rounds: usize) -> Result<Value> {
    let folder = workspace.scratch("bench/feedback")?;
    let mut all = Vec::new();
    for number in 1..=rounds {
        for end in ["", "-wal", "-shm", ".lock"] {
            let file = folder.join(format!("bench.db{end}"));
            if file.exists() {
                std::fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
            }
        }
        let mut command = Command::new(workspace.path("bench/target/release/bench-feedback"));
        command.arg(folder.join("bench.db")).args([MESSAGES.to_string(), BATCH.to_string()]);
        let round: Value = serde_json::from_str(output(&mut command)?.trim()).context("no JSON")?;
        println!("   round {number} of {rounds}: {round}");
        all.push(round);
    }
    print(&all);
    Ok(json!({ "messages": MESSAGES, "batch": BATCH, "rounds": all }))
}

fn print(rounds: &[Value]) {
    let of = |round: &Value, name: &str| round.get(name).and_then(Value::as_f64);
    let lines = ["events_per_s", "bare_per_s"].map(|name| Spread::of(rounds.iter().filter_map(|round| of(round, name))));
    let ratios = rounds
        .iter()
        .filter_map(|round| Some(of(round, "events_per_s")? / of(round, "bare_per_s")?));
    let [Some(events), Some(bare)] = lines else { return };
    let verdict = if events.median >= WANTED { "met" } else { "MISSED" };
    println!("\nSQLite, batches of {BATCH}, medians of {} rounds (min-max):", rounds.len());
    println!(
        "  events taken a second   {:>9.0} ({:.0}-{:.0}); wanted {WANTED}: {verdict}",
        events.median, events.least, events.most
    );
    println!(
        "  bare inserts a second   {:>9.0} ({:.0}-{:.0})",
        bare.median, bare.least, bare.most
    );
    if let Some(ratio) = Spread::of(ratios) {
        println!(
            "  ratio                   {:>9.2} ({:.2}-{:.2})",
            ratio.median, ratio.least, ratio.most
        );
    }
}
