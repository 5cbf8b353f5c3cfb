//! The simulator of the dispatch core over many seeds: no processes and no sockets, so that a seed decides everything.

use anyhow::Result;

use crate::process::run;
use crate::workspace::Workspace;

/// Seeds of the long form.
const SEEDS: u64 = 100_000;

/// Runs that many seeds on all cores; the program tells the story of the first that breaks a promise.
pub(super) fn play(workspace: &Workspace, rounds: u64, from: u64) -> Result<()> {
    let seeds = if rounds == 0 { SEEDS } else { rounds };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    run(workspace
        .cargo(["run", "--release", "--package", "ums-delivery", "--example", "simulate"])
        .args(Workspace::lock_words())
        .arg("--")
        .args([
            "--seeds",
            &seeds.to_string(),
            "--from",
            &from.to_string(),
            "--threads",
            &threads.to_string(),
        ]))
}
