//! The interleaved rounds.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::figures::Sample;
use super::lines::{Line, Sender};
use super::sinks::{Sink, Sinks};
use crate::prerequisites::debian;
use crate::process::output;
use crate::workspace::Workspace;

/// The prefix that keeps a sender on its core.
const ON_ITS_CORE: [&str; 3] = ["taskset", "-c", "0"];
/// Clock ticks of a second in `/proc`; the same on every Linux that Rust runs on.
const TICKS_PER_S: f64 = 100.0;

/// What is measured.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) messages: u32,
    pub(crate) concurrencies: Vec<usize>,
    pub(crate) lines: Vec<&'static Line>,
}

/// Measures every line once in each round under each load; each round begins with another line.
pub(crate) fn rounds(workspace: &Workspace, sinks: &Sinks, plan: &Plan) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for round in 0..plan.rounds {
        let mut lines = plan.lines.clone();
        let first = round % lines.len().max(1);
        lines.rotate_left(first);
        for &concurrency in &plan.concurrencies {
            for line in lines.iter().filter(|line| line.has(concurrency)) {
                let sample = match line.sender {
                    Sender::Peer | Sender::WithSecond(..) => ours(workspace, sinks, plan, line, concurrency, round),
                    Sender::SmtpSource => postfix(workspace, sinks, plan, concurrency, round),
                };
                samples.push(sample.with_context(|| format!("measuring {}", line.name))?);
            }
        }
        println!("   round {} of {} done", round + 1, plan.rounds);
    }
    Ok(samples)
}

fn ours(workspace: &Workspace, sinks: &Sinks, plan: &Plan, line: &Line, concurrency: usize, round: usize) -> Result<Sample> {
    let (peer, messages) = match line.sender {
        Sender::WithSecond(peer, most) => (peer, most.min(plan.messages)),
        Sender::Peer | Sender::SmtpSource => (line.name, plan.messages),
    };
    let [taskset, words @ ..] = ON_ITS_CORE;
    let mut command = Command::new(taskset);
    command
        .args(words)
        .arg(workspace.path("bench/target/release/bench-sender"))
        .args(["--peer", peer, "--url", &sinks.url(line.sink)])
        .args(["--second", &sinks.url(Sink::SendGrid)])
        .args(["--concurrency", &concurrency.to_string()])
        .args(["--messages", &messages.to_string()]);
    Sample::read(line.name, concurrency, round, output(&mut command)?.trim())
}

/// smtp-source tells nothing about itself: its time and processor time are taken from outside.
fn postfix(workspace: &Workspace, sinks: &Sinks, plan: &Plan, concurrency: usize, round: usize) -> Result<Sample> {
    let mut command = debian::smtp_source(workspace)?.command_under(&ON_ITS_CORE);
    command
        .args(["-d", "-s", &concurrency.to_string()])
        .args(["-m", &plan.messages.to_string(), "-l", "2000"])
        .args(["-f", "shop@example.com", "-t", "customer@example.com"])
        .arg(sinks.address(Sink::Smtp));
    let (start, cpu) = (Instant::now(), children_cpu_s()?);
    output(&mut command)?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), children_cpu_s()? - cpu);
    let messages = f64::from(plan.messages);
    Ok(Sample {
        line: "smtp-source",
        concurrency,
        round,
        msgs_per_s: messages / wall,
        cpu_s_per_1k: cpu * 1_000.0 / messages,
        p50_us: None,
        p99_us: None,
        warm_up_max_us: None,
    })
}

/// Processor seconds of all children that have ended.
fn children_cpu_s() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    children_ticks(&stat)
        .map(|ticks| ticks / TICKS_PER_S)
        .context("/proc/self/stat is not understood")
}

/// Fields 16 and 17; the second field, a name in brackets, may hold blanks.
fn children_ticks(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let user: f64 = fields.get(13)?.parse().ok()?;
    let system: f64 = fields.get(14)?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::children_ticks;

    #[test]
    fn the_childrens_ticks_are_found_behind_an_awkward_name() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 1 0 100 0 0";
        assert_eq!(children_ticks(stat), Some(15.0));
        assert_eq!(children_ticks("42"), None);
    }
}
