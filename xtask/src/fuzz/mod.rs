//! `cargo xtask fuzz`: reads whatever a fuzzer makes of the fixtures, by what reads strangers' bytes.
//!
//! No step of `cargo xtask test`: chance decides what is found. The seeds are played in every test run, by the crates' unit tests.

mod corpus;
mod targets;

use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::arguments::{Arguments, Usage};
use crate::process::{run, shown, succeeds};
use crate::workspace::Workspace;
use targets::{TARGETS, Target};

const HELP: &str = "\
Runs the fuzz targets one after the other; ends at the first input that breaks one.

Usage: cargo xtask fuzz [OPTIONS]

Options:
  --seconds N    time for each target (60)
  --target NAME  this target only (may be repeated, or a list with commas)
  --list         name the targets
";

/// How the targets are built: without a sanitizer, because the crates have no unsafe code, so that a stable compiler does.
const BUILD: &[&str] = &["--sanitizer", "none", "--debug-assertions", "--codegen-units", "16"];
/// Most seconds for one input, and most MiB for the process.
const LIMITS: &[&str] = &["-timeout=10", "-rss_limit_mb=2048"];

/// The command.
pub(crate) fn main(workspace: &Workspace, mut arguments: Arguments) -> Result<()> {
    if arguments.answered(HELP, "Targets", list)? {
        return Ok(());
    }
    let seconds: u32 = arguments.number("--seconds", 60)?;
    let only = arguments.values("--target")?;
    arguments.finish()?;
    if let Some(unknown) = only.iter().find(|name| TARGETS.iter().all(|target| target.name != name.as_str())) {
        return Err(Usage(format!("no such target: {unknown}; --list names them")).into());
    }
    ensure!(
        succeeds(&mut workspace.cargo(["fuzz", "--version"])),
        "cargo-fuzz is missing: `cargo install cargo-fuzz` installs it"
    );
    run(fuzz(workspace, "build").args(BUILD))?;
    let wanted = TARGETS
        .iter()
        .filter(|target| only.is_empty() || only.iter().any(|name| name == target.name));
    wanted.into_iter().try_for_each(|target| play(workspace, target, seconds))
}

fn list() {
    for target in TARGETS {
        println!("  {:12} {}", target.name, target.what);
    }
}

/// `cargo fuzz WORD`. The instrumentation is an unstable flag of the compiler, which a stable one takes when it is told so.
fn fuzz(workspace: &Workspace, word: &str) -> Command {
    let mut command = workspace.cargo(["fuzz", word]);
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Runs one target for so long. What broke it lies in `fuzz/artifacts/<target>`.
fn play(workspace: &Workspace, target: &Target, seconds: u32) -> Result<()> {
    println!("\n== {}: {}", target.name, target.what);
    let corpus = corpus::provide(workspace, target)?;
    let mut command = fuzz(workspace, "run");
    command.args(BUILD).arg(target.name).arg(corpus).arg("--").args(LIMITS).args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={}", target.max_bytes),
        "-print_final_stats=1".to_owned(),
        "-verbosity=0".to_owned(),
    ]);
    if let Some(dictionary) = target.dictionary {
        let file = workspace.path(&format!("fuzz/dictionaries/{dictionary}.txt"));
        command.arg(format!("-dict={}", file.display()));
    }
    if run(&mut command).is_ok() {
        return Ok(());
    }
    let mut again = fuzz(workspace, "run");
    again.args(BUILD).args([target.name, "FILE"]);
    bail!(
        "{} broke; the file is named above, and in fuzz/artifacts/{}.\nPlay it again: RUSTC_BOOTSTRAP=1 {}",
        target.name,
        target.name,
        shown(&again)
    )
}
