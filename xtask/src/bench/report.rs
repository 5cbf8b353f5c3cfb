//! The table for people and the file for programs.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::figures::{Sample, Spread, ratios};
use super::lines::{GOALS, Goal, Line, Measure};
use super::run::Plan;
use crate::workspace::Workspace;

/// Prints medians, ratios inside the rounds, and what was wanted.
pub(crate) fn print(plan: &Plan, samples: &[Sample]) {
    println!(
        "\nmedians of {} rounds, {} messages each; sender on core 0, sink on core 1\n\n\
         {:18} {:>5} {:>9} {:>19} {:>12} {:>8} {:>8}  ratio of cpu (min-max) to",
        plan.rounds, plan.messages, "sender", "lanes", "msgs/s", "(min-max)", "cpu-s/1k", "p50 us", "p99 us"
    );
    for &concurrency in &plan.concurrencies {
        for line in &plan.lines {
            println!("{}", row(samples, line, concurrency));
        }
    }
    println!("\nwanted:");
    for goal in GOALS {
        println!("  {goal}: {}", verdict(samples, goal));
    }
}

fn of(samples: &[Sample], line: &str, concurrency: usize, get: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
    Spread::of(
        samples
            .iter()
            .filter(|sample| sample.line == line && sample.concurrency == concurrency)
            .filter_map(get),
    )
}

fn row(samples: &[Sample], line: &Line, concurrency: usize) -> String {
    let name = line.name;
    let number =
        |spread: Option<Spread>, digits: usize| spread.map_or_else(|| "-".to_owned(), |spread| format!("{:.digits$}", spread.median));
    let rate = of(samples, name, concurrency, |sample| Some(sample.msgs_per_s));
    let range = rate.map_or_else(String::new, |spread| format!("({:.0}-{:.0})", spread.least, spread.most));
    let cpu = of(samples, name, concurrency, |sample| Some(sample.cpu_s_per_1k));
    let ratio = ratios(samples, name, line.base, concurrency, Measure::Cpu).map_or_else(
        || "not measured".to_owned(),
        |spread| format!("{:.2} ({:.2}-{:.2})", spread.median, spread.least, spread.most),
    );
    format!(
        "{name:18} {concurrency:>5} {:>9} {range:>19} {:>12} {:>8} {:>8}  {ratio} {}",
        number(rate, 0),
        number(cpu, 4),
        number(of(samples, name, concurrency, |sample| sample.p50_us), 0),
        number(of(samples, name, concurrency, |sample| sample.p99_us), 0),
        line.base,
    )
}

fn verdict(samples: &[Sample], goal: &Goal) -> String {
    let Goal {
        line,
        against,
        measure,
        concurrency,
        limit,
    } = goal;
    match ratios(samples, line, against, *concurrency, *measure) {
        None => "not measured".to_owned(),
        Some(spread) => {
            let word = if measure.is_met(spread.median, *limit) { "met" } else { "MISSED" };
            format!("{:.2} ({:.2}-{:.2}), {word}", spread.median, spread.least, spread.most)
        }
    }
}

/// Writes every sample, and the ratios that are wanted, to `target/bench/results.json`.
pub(crate) fn write(workspace: &Workspace, plan: &Plan, samples: &[Sample]) -> Result<()> {
    let file = workspace.scratch("bench")?.join("results.json");
    let results = json!({
        "rounds": plan.rounds,
        "messages": plan.messages,
        "machine": machine(),
        "samples": samples.iter().map(Sample::to_json).collect::<Vec<_>>(),
        "goals": GOALS.iter().map(|goal| goal_to_json(samples, goal)).collect::<Vec<_>>(),
    });
    std::fs::write(&file, format!("{results:#}\n")).with_context(|| format!("writing {}", file.display()))?;
    println!("\nwrote {}", file.display());
    Ok(())
}

fn goal_to_json(samples: &[Sample], goal: &Goal) -> Value {
    let measured = ratios(samples, goal.line, goal.against, goal.concurrency, goal.measure);
    json!({
        "goal": goal.to_string(),
        "ratio": measured.map(Spread::to_json),
        "met": measured.map(|spread| goal.measure.is_met(spread.median, goal.limit)),
    })
}

/// What is needed to judge whether two files may be compared.
fn machine() -> Value {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model);
    json!({
        "model": model,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load": read("/proc/loadavg").trim(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Measure, Sample, verdict};
    use crate::bench::lines::Goal;

    #[test]
    fn a_goal_is_met_missed_or_not_measured() {
        let sample = |line: &'static str, cpu: f64| Sample {
            line,
            concurrency: 16,
            round: 0,
            msgs_per_s: 1.0,
            cpu_s_per_1k: cpu,
            p50_us: None,
            p99_us: None,
        };
        let samples = [sample("ours", 2.0), sample("peer", 1.0)];
        let judged = |measure: Measure, limit: f64| {
            let goal = Goal {
                line: "ours",
                against: "peer",
                measure,
                concurrency: 16,
                limit,
            };
            verdict(&samples, &goal)
        };
        assert_eq!(judged(Measure::Cpu, 3.2), "2.00 (2.00-2.00), met");
        assert_eq!(judged(Measure::Cpu, 1.5), "2.00 (2.00-2.00), MISSED");
        assert_eq!(judged(Measure::P50, 1.5), "not measured");
    }
}
