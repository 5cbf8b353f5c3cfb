//! `cargo xtask test`: one command that judges a change, the same here and in CI.

mod beds;
mod postfix;
mod sdk;
mod tally;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::arguments::{Arguments, Usage};
use crate::postgres::{Cluster, URL_VARIABLE};
use crate::process::{run, run_seen};
use crate::workspace::Workspace;
use crate::{drill, generate, prerequisites, tidy};
use tally::Tally;

const HELP: &str = "\
Judges the tree: every step must pass.

Usage: cargo xtask test [OPTIONS]

Options:
  --only STEP   run this step only (may be repeated, or a list with commas)
  --keep-going  run the remaining steps after one has failed
  --list        name the steps
";

/// Time that tests may take when they compile all crates first.
const BUILD_LIMIT: Duration = Duration::from_mins(30);
/// Time that tests may take when most is compiled already.
const LIMIT: Duration = Duration::from_mins(10);

/// One named part of the suite.
struct Step {
    name: &'static str,
    what: &'static str,
    run: fn(&Workspace, &mut Tally) -> Result<()>,
}

const STEPS: &[Step] = &[
    Step {
        name: "prerequisites",
        what: "find or install what the suite needs",
        run: |workspace, _| prerequisites::provide(workspace),
    },
    Step {
        name: "fmt",
        what: "formatting",
        run: |workspace, _| fmt(workspace),
    },
    Step {
        name: "clippy",
        what: "lints, a warning is a failure",
        run: |workspace, _| clippy(workspace),
    },
    Step {
        name: "tidy",
        what: "the rules of the house",
        run: |workspace, _| tidy::check(workspace),
    },
    Step {
        name: "test",
        what: "every crate's own tests",
        run: cargo_test,
    },
    Step {
        name: "model",
        what: "the breaker under a model checker",
        run: model,
    },
    Step {
        name: "doc",
        what: "documentation builds without a warning",
        run: |workspace, _| doc(workspace),
    },
    Step {
        name: "gen",
        what: "generated files are what the code says",
        run: |workspace, _| generate::check(workspace),
    },
    Step {
        name: "beds",
        what: "moto and real SMTP servers judge what we send",
        run: beds::step,
    },
    Step {
        name: "postgres",
        what: "the store on a scratch PostgreSQL",
        run: postgres_step,
    },
    Step {
        name: "drill",
        what: "short crash and feedback drills, and the judge of all drills before planted faults",
        run: |workspace, _| drill::short(workspace),
    },
    Step {
        name: "sdk",
        what: "the official SDKs and validators judge the simulator, and what we sign and accept",
        run: sdk::step,
    },
];

/// The command.
pub(crate) fn main(workspace: &Workspace, mut arguments: Arguments) -> Result<()> {
    if arguments.answered(HELP, "Steps", list)? {
        return Ok(());
    }
    let only = arguments.values("--only")?;
    let keep_going = arguments.flag("--keep-going");
    arguments.finish()?;
    if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|step| step.name != name.as_str())) {
        return Err(Usage(format!("no such step: {unknown}")).into());
    }
    let steps: Vec<&Step> = STEPS
        .iter()
        .filter(|step| only.is_empty() || only.iter().any(|name| name == step.name))
        .collect();
    judge(workspace, &steps, keep_going)
}

fn list() {
    for step in STEPS {
        println!("  {:14} {}", step.name, step.what);
    }
}

/// Runs the steps, prints what each took, and the sum of all tests as the last line.
fn judge(workspace: &Workspace, steps: &[&Step], keep_going: bool) -> Result<()> {
    let start = Instant::now();
    let mut tally = Tally::default();
    let mut report = Vec::new();
    let mut failed = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n== {}/{} {}: {}", index + 1, steps.len(), step.name, step.what);
        let step_start = Instant::now();
        let outcome = (step.run)(workspace, &mut tally);
        let took = shown_duration(step_start.elapsed());
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("== {} {word} in {took}", step.name);
        report.push(format!("  {:14} {word:6} {took:>10}", step.name));
        if let Err(error) = outcome {
            eprintln!("\nerror in step {}: {error:#}\n", step.name);
            failed.push(step.name);
            if !keep_going {
                break;
            }
        }
    }
    let not_run = steps.len() - report.len();
    println!("\nsteps:\n{}", report.join("\n"));
    if not_run > 0 {
        println!("  {not_run} not run (use --keep-going to run the rest after a failure)");
    }
    let took = shown_duration(start.elapsed());
    println!("\n{tally}; {} of {} steps ok; {took}", report.len() - failed.len(), steps.len());
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failed: {}", failed.join(", "))
}

fn shown_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

fn fmt(workspace: &Workspace) -> Result<()> {
    run(&mut workspace.cargo(["fmt", "--all", "--check"]))?;
    // The peers of the benchmarks and the fuzz targets are workspaces of their own.
    ["bench", "fuzz"]
        .iter()
        .try_for_each(|folder| run(workspace.cargo(["fmt", "--check"]).current_dir(workspace.path(folder))))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let lint = |words: &[&str]| {
        run(workspace
            .cargo(["clippy", "--workspace"])
            .args(words)
            .args(Workspace::lock_words())
            .args(["--", "-D", "warnings"]))
    };
    lint(&["--all-targets"])?;
    // `--all-targets` leaves out what a plain `cargo test` does not run.
    lint(&["--test", "beds"])?;
    lint(&["--test", "postgres"])
}

/// A broken link or example in a doc comment is a failure.
fn doc(workspace: &Workspace) -> Result<()> {
    run(workspace
        .cargo(["doc", "--workspace", "--no-deps"])
        .args(Workspace::lock_words())
        .env("RUSTDOCFLAGS", "-D warnings"))
}

fn cargo_test(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let mut command = workspace.cargo(["test", "--workspace", "--no-fail-fast"]);
    command.args(Workspace::lock_words());
    run_seen(&command, BUILD_LIMIT, |line| tally.see_cargo(line))
}

/// `test = false` in the manifest keeps this target out of a plain `cargo test`, which has no
/// database. The whole workspace is named so that features are those of the step `test`.
fn postgres_step(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let cluster = Cluster::start_new(workspace, "test")?;
    let mut command = workspace.cargo(["test", "--workspace", "--test", "postgres"]);
    command.args(Workspace::lock_words()).env(URL_VARIABLE, cluster.url());
    run_seen(&command, LIMIT, |line| tally.see_cargo(line))
}

/// Every interleaving that the model checker finds.
fn model(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let mut command = workspace.cargo(["test", "--package", "ums-delivery"]);
    command
        .args(["--features", "model-check", "--test", "model"])
        .args(Workspace::lock_words());
    run_seen(&command, LIMIT, |line| tally.see_cargo(line))
}
