//! The table for people and the file for programs.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::figures::{Sample, Spread, ratios, reached};
use super::goals::{Against, GOALS, Goal, Measure};
use super::lines::Line;
use super::run::Plan;
use crate::workspace::Workspace;

/// What the file of results is made of.
const PARTS: [&str; 4] = ["senders", "breaker", "startup", "durable"];

/// Prints medians, ratios inside the rounds, and what was wanted.
pub(crate) fn print(plan: &Plan, samples: &[Sample]) {
    println!(
        "\nmedians of {} rounds, {} messages each; sender on core 0, sink on core 1\n\n\
         {:21} {:>5} {:>9} {:>19} {:>12} {:>8} {:>8}  ratio of cpu (min-max) to",
        plan.rounds, plan.messages, "sender", "lanes", "msgs/s", "(min-max)", "cpu-s/1k", "p50 us", "p99 us"
    );
    for &concurrency in &plan.concurrencies {
        for line in plan.lines.iter().filter(|line| line.has(concurrency)) {
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
        "{name:21} {concurrency:>5} {:>9} {range:>19} {:>12} {:>8} {:>8}  {ratio} {}",
        number(rate, 0),
        number(cpu, 4),
        number(of(samples, name, concurrency, |sample| sample.p50_us), 0),
        number(of(samples, name, concurrency, |sample| sample.p99_us), 0),
        line.base,
    )
}

fn verdict(samples: &[Sample], goal: &Goal) -> String {
    match reached(samples, goal) {
        None => "not measured".to_owned(),
        Some(spread) => {
            let word = if goal.measure.is_met(spread.median, goal.limit) {
                "met"
            } else {
                "MISSED"
            };
            let unit = match goal.against {
                Against::Times(_) => "",
                Against::Added(_) => " ms",
            };
            format!("{:.2}{unit} ({:.2}-{:.2}), {word}", spread.median, spread.least, spread.most)
        }
    }
}

/// Every sample, and what was reached of what is wanted.
pub(crate) fn to_json(plan: &Plan, samples: &[Sample]) -> Value {
    json!({
        "rounds": plan.rounds,
        "messages": plan.messages,
        "samples": samples.iter().map(Sample::to_json).collect::<Vec<_>>(),
        "goals": GOALS.iter().map(|goal| goal_to_json(samples, goal)).collect::<Vec<_>>(),
    })
}

/// Puts figures with the machine they are of into `target/bench/results.json`, beside what other
/// runs left there.
pub(crate) fn keep(workspace: &Workspace, part: &str, mut figures: Value) -> Result<()> {
    let file = workspace.scratch("bench")?.join("results.json");
    if let Some(figures) = figures.as_object_mut() {
        figures.insert("machine".to_owned(), machine());
    }
    let mut results: Map<String, Value> = std::fs::read(&file)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    results.retain(|part, _| PARTS.contains(&part.as_str()));
    results.insert(part.to_owned(), figures);
    let text = format!("{:#}\n", Value::Object(results));
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    println!("\n{part}: wrote {}", file.display());
    Ok(())
}

fn goal_to_json(samples: &[Sample], goal: &Goal) -> Value {
    let measured = reached(samples, goal);
    json!({
        "goal": goal.to_string(),
        "reached": measured.map(Spread::to_json),
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
    use super::{Against, Goal, Measure, Sample, verdict};

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
            warm_up_max_us: None,
        };
        let samples = [sample("ours", 2.0), sample("peer", 1.0)];
        let judged = |measure: Measure, limit: f64| {
            let goal = Goal {
                line: "ours",
                measure,
                limit,
                against: Against::Times(&["peer"]),
                concurrency: 16,
            };
            verdict(&samples, &goal)
        };
        assert_eq!(judged(Measure::Cpu, 3.2), "2.00 (2.00-2.00), met");
        assert_eq!(judged(Measure::Cpu, 1.5), "2.00 (2.00-2.00), MISSED");
        assert_eq!(judged(Measure::P50, 1.5), "not measured");
    }
}
