//! `cargo xtask drill`: the service under load while everything around it breaks, and a judge.
//!
//! A drill has four parts. The *load generator* posts and writes down each promise (a 2xx with an
//! id). The *sink* is the simulator in a process of its own, which writes down each arrival before
//! it answers. The drill itself kills, stops, fills and starves. The *judge* then holds the promises
//! against the store and the arrivals: what was lost, what came twice without a cause, what is
//! claimed and never happened.

mod backup;
mod breaker;
mod busy;
mod chance;
mod checker;
mod clock;
mod crash;
mod database;
mod descriptors;
mod disk_full;
mod door;
mod faults;
mod feedback;
mod fleet;
mod fsync;
mod ground;
mod idempotency;
mod journal;
mod judging;
mod list;
mod load;
mod log;
mod memory;
mod pace;
mod replicas;
mod report;
mod settings;
mod settle;
mod sigterm;
mod simulate;
mod soak;
mod stage;
mod upgrade;
mod web;

use std::cell::RefCell;
use std::future::Future;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::arguments::{Arguments, Usage};
use crate::workspace::Workspace;
use chance::Chance;
use list::{BOTH, DRILLS, Short, shorts};
use report::Report;
use stage::Store;

const HELP: &str = "\
Plays a drill and judges it: exit status 1 when a figure misses its limit.

Usage: cargo xtask drill <NAME> [OPTIONS]

Options:
  --rounds N    kills, or whatever the drill counts, for each store
  --seed S      what chance begins with; a drill prints its seed
  --store NAME  sqlite, postgres or both (default: all that the drill has)
  --ums FILE    drill this program instead of the one that is built (failpoints are in debug builds only)
  --old FILE    the program of the release before, for `upgrade`
  --new FILE    the same as --ums
  --json        print the figures as JSON
  --list        name the drills

Examples:
  cargo xtask drill crash
  cargo xtask drill crash --rounds 20 --store sqlite --seed 7
  cargo xtask drill judge --json
";

/// What every drill is given.
#[derive(Debug)]
pub(crate) struct Play<'a> {
    workspace: &'a Workspace,
    binary: PathBuf,
    /// The release before.
    old: Option<PathBuf>,
    seed: u64,
    rounds: u64,
    /// Played with every test run: it must end soon, on a machine that may be busy.
    is_short: bool,
}

impl Play<'_> {
    fn report(&self, drill: &str, store: Option<Store>) -> Report {
        let name = match store {
            None => drill.to_owned(),
            Some(store) => format!("{drill} on {}", store.word()),
        };
        Report::new(&name, self.seed)
    }
}

/// The command.
pub(crate) fn main(workspace: &Workspace, mut arguments: Arguments) -> Result<()> {
    if arguments.answered(HELP, "Drills", list)? {
        return Ok(());
    }
    let given_seed = arguments.values("--seed")?.pop();
    let seed = match &given_seed {
        Some(seed) => seed.parse().map_err(|_| Usage("--seed wants a number".to_owned()))?,
        None => Chance::any_seed(),
    };
    let rounds = arguments.number("--rounds", 0)?;
    let stores = stores(&arguments.values("--store")?)?;
    let named = arguments.values("--new")?.pop().or(arguments.values("--ums")?.pop());
    let old = arguments.values("--old")?.pop();
    let json = arguments.flag("--json");
    let Some(drill) = arguments.rest_as_one()? else {
        return Err(Usage("which drill? --list names them".to_owned()).into());
    };
    if drill == "simulate" {
        return simulate::play(workspace, rounds, if given_seed.is_some() { seed } else { 1 });
    }
    let drill = DRILLS
        .iter()
        .find(|known| known.name == drill)
        .ok_or_else(|| Usage(format!("no such drill: {drill}; --list names them")))?;
    if (drill.name == "upgrade") != old.is_some() {
        return Err(Usage("upgrade, and no other drill, wants --old FILE".to_owned()).into());
    }
    let play = Play {
        workspace,
        binary: stage::binary(workspace, named)?,
        old: old.map(|old| stage::binary(workspace, Some(old))).transpose()?,
        seed,
        rounds: if rounds == 0 { drill.rounds } else { rounds },
        is_short: false,
    };
    eprintln!("   seed {seed}");
    let mut reports = Vec::new();
    for store in drill.stores.iter().filter(|store| stores.contains(store)) {
        reports.push(on_stage((drill.run)(&play, *store))?);
    }
    conclude(&reports, json)
}

/// The short forms: what every test run plays.
pub(crate) fn short(workspace: &Workspace) -> Result<()> {
    let seed = Chance::any_seed();
    eprintln!("   seed {seed}");
    let binary = stage::binary(workspace, None)?;
    let play = |rounds: u64| Play {
        workspace,
        binary: binary.clone(),
        old: None,
        seed,
        rounds,
        is_short: true,
    };
    let (alone, others): (Vec<Short>, Vec<Short>) = shorts().partition(|short| short.drill.is_alone);
    let reports = on_stage(async {
        let mut reports = in_turn(&RefCell::new(alone.into_iter()), &play).await?;
        let others = RefCell::new(others.into_iter());
        let lane = || in_turn(&others, &play);
        // Side by side: most of their time is a wait.
        let (first, second, third) = tokio::try_join!(lane(), lane(), lane())?;
        reports.extend([first, second, third].into_iter().flatten());
        Ok(reports)
    })?;
    conclude(&reports, false)
}

/// Plays the short forms of a queue, one after another, until none is left.
async fn in_turn<'a>(queue: &RefCell<impl Iterator<Item = Short>>, play: &impl Fn(u64) -> Play<'a>) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    loop {
        let next = queue.borrow_mut().next();
        let Some(short) = next else { return Ok(reports) };
        reports.push((short.drill.run)(&play(short.rounds), short.store).await?);
    }
}

fn list() {
    for drill in DRILLS {
        let stores: Vec<&str> = drill.stores.iter().map(|store| store.word()).collect();
        println!("  {:12} {} ({})", drill.name, drill.what, stores.join(", "));
    }
    println!(
        "  {:12} the dispatch core alone, crashed and paused at any step; rounds are seeds (100000)",
        "simulate"
    );
}

fn stores(words: &[String]) -> Result<Vec<Store>> {
    match words {
        [] => Ok(BOTH.to_vec()),
        [word] if word == "both" => Ok(BOTH.to_vec()),
        words => words
            .iter()
            .map(|word| {
                let known = BOTH.iter().find(|store| store.word() == word);
                known.copied().ok_or_else(|| Usage(format!("no such store: {word}")).into())
            })
            .collect(),
    }
}

/// Plays on this thread, which children are tied to; Ctrl-C ends the drill and all of them.
fn on_stage<T>(drill: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("no runtime")?;
    let start = Instant::now();
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = drill => outcome,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    });
    runtime.shutdown_background();
    eprintln!("   took {:.0?}", start.elapsed());
    outcome
}

fn conclude(reports: &[Report], json: bool) -> Result<()> {
    let mut missed = Vec::new();
    for report in reports {
        if json {
            println!("{}", report.json());
        } else {
            print!("{}", report.table());
        }
        missed.extend(report.misses());
    }
    if missed.is_empty() {
        return Ok(());
    }
    bail!("missed: {}", missed.join(", "))
}
