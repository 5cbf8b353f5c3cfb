//! `cargo xtask bench`: senders side by side against the same sinks, in one run.
//!
//! The sender has one core and the sink the other. Rounds are interleaved and ratios are taken
//! inside a round, because neighbours on a shared machine move single figures by a factor of two.

mod breaker;
mod durable;
mod feedback;
mod figures;
mod goals;
mod lines;
mod report;
mod run;
mod sinks;
mod startup;

use anyhow::{Result, ensure};

use crate::arguments::{Arguments, Usage};
use crate::process::{find_program, run};
use crate::workspace::Workspace;
use goals::GOALS;
use lines::{LINES, Line};
use run::Plan;
use sinks::Sinks;

const HELP: &str = "\
Measures senders against each other, and the breaker; results go to target/bench/results.json.

Usage: cargo xtask bench [OPTIONS]

Options:
  --rounds N          interleaved rounds (5)
  --messages M        messages of a measurement, after a tenth to warm up (8000)
  --concurrency LIST  lanes of the closed loop (1,16)
  --only LIST         these senders only
  --breaker           the breaker only
  --startup           start and idle memory of `ums dev` only
  --durable           durable accepts and drains on SQLite and PostgreSQL only
  --feedback          events of providers on SQLite only
  --backlog N         messages behind in the big drains of --durable (1000000; 0 to leave them out)
";

/// The command.
pub(crate) fn main(workspace: &Workspace, mut arguments: Arguments) -> Result<()> {
    if arguments.wants_help() {
        help();
        return Ok(());
    }
    let (breaker_only, startup_only) = (arguments.flag("--breaker"), arguments.flag("--startup"));
    let (durable_only, backlog) = (arguments.flag("--durable"), arguments.number("--backlog", 1_000_000)?);
    let feedback_only = arguments.flag("--feedback");
    let plan = plan(&mut arguments)?;
    arguments.finish()?;
    if startup_only {
        let figures = startup::measure(workspace)?;
        return report::keep(workspace, "startup", figures);
    }
    ensure!(
        find_program("taskset").is_some() && cores() > 1,
        "needs two cores and taskset (util-linux): one for the sender, one for the sink"
    );
    build(workspace)?;
    if feedback_only {
        let figures = feedback::measure(workspace, plan.rounds)?;
        return report::keep(workspace, "feedback", figures);
    }
    if durable_only {
        let figures = durable::measure(workspace, plan.rounds, backlog)?;
        return report::keep(workspace, "durable", figures);
    }
    if !breaker_only {
        let sinks = Sinks::start(workspace)?;
        let samples = run::rounds(workspace, &sinks, &plan)?;
        report::print(&plan, &samples);
        report::keep(workspace, "senders", report::to_json(&plan, &samples))?;
    }
    if breaker_only || plan.lines.len() == LINES.len() {
        let loops = breaker::measure(workspace)?;
        breaker::print(&loops);
        report::keep(workspace, "breaker", breaker::to_json(&loops))?;
    }
    Ok(())
}

fn help() {
    print!("{HELP}\nSenders:\n");
    for line in LINES {
        println!("  {:21} {}", line.name, line.what);
    }
    println!("\nWanted:");
    for goal in GOALS {
        println!("  {goal}");
    }
}

fn plan(arguments: &mut Arguments) -> Result<Plan> {
    let only = arguments.values("--only")?;
    let mut concurrencies = Vec::new();
    for value in arguments.values("--concurrency")? {
        concurrencies.push(value.parse().map_err(|_| Usage("--concurrency wants numbers".to_owned()))?);
    }
    if concurrencies.is_empty() {
        concurrencies = vec![1, 16];
    }
    let lines: Vec<&'static Line> = LINES
        .iter()
        .filter(|line| only.is_empty() || only.iter().any(|name| name == line.name))
        .collect();
    let unknown = only.iter().find(|name| LINES.iter().all(|line| line.name != name.as_str()));
    if let Some(name) = unknown {
        return Err(Usage(format!("no such sender: {name}")).into());
    }
    Ok(Plan {
        rounds: arguments.number("--rounds", 5)?,
        messages: arguments.number("--messages", 8_000)?,
        concurrencies,
        lines,
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Builds the senders. Their workspace has its own target folder.
fn build(workspace: &Workspace) -> Result<()> {
    run(workspace
        .cargo(["build", "--release", "--locked", "--target-dir", "target"])
        .current_dir(workspace.path("bench")))
}
