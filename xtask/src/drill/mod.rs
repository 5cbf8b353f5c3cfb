//! `cargo xtask drill`: the service under load while everything around it breaks, and a judge.
//!
//! A drill has four parts. The *load generator* posts and writes down each promise (a 2xx with an
//! id). The *sink* is the simulator in a process of its own, which writes down each arrival before
//! it answers. The drill itself kills, stops, fills and starves. The *judge* then holds the promises
//! against the store and the arrivals: what was lost, what came twice without a cause, what is
//! claimed and never happened.

mod chance;
mod checker;
mod crash;
mod faults;
mod journal;
mod load;
mod report;
mod settings;
mod settle;
mod stage;
mod web;

use std::future::Future;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::arguments::{Arguments, Usage};
use crate::workspace::Workspace;
use chance::Chance;
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
  --json        print the figures as JSON
  --list        name the drills

Examples:
  cargo xtask drill crash
  cargo xtask drill crash --rounds 20 --store sqlite --seed 7
  cargo xtask drill judge --json
";

/// One drill.
struct Drill {
    name: &'static str,
    what: &'static str,
    stores: &'static [Store],
    rounds: u64,
}

const BOTH: &[Store] = &[Store::Sqlite, Store::Postgres];

const DRILLS: &[Drill] = &[Drill {
    name: "crash",
    what: "kill -9 at random instants and at named points",
    stores: BOTH,
    rounds: 100,
}];

/// What every drill is given.
#[derive(Debug)]
pub(crate) struct Play<'a> {
    workspace: &'a Workspace,
    binary: PathBuf,
    seed: u64,
    rounds: u64,
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
    if arguments.wants_help() {
        print!("{HELP}\nDrills:\n");
        list();
        return Ok(());
    }
    if arguments.flag("--list") {
        arguments.finish()?;
        list();
        return Ok(());
    }
    let seed = arguments.number("--seed", Chance::any_seed())?;
    let rounds = arguments.number("--rounds", 0)?;
    let stores = stores(&arguments.values("--store")?)?;
    let named = arguments.values("--ums")?.pop();
    let json = arguments.flag("--json");
    let Some(drill) = arguments.rest_as_one()? else {
        return Err(Usage("which drill? --list names them".to_owned()).into());
    };
    let drill = DRILLS
        .iter()
        .find(|known| known.name == drill)
        .ok_or_else(|| Usage(format!("no such drill: {drill}; --list names them")))?;
    let play = Play {
        workspace,
        binary: stage::binary(workspace, named)?,
        seed,
        rounds: if rounds == 0 { drill.rounds } else { rounds },
    };
    println!("   seed {seed}");
    let mut reports = Vec::new();
    for store in drill.stores.iter().filter(|store| stores.contains(store)) {
        reports.push(on_stage(run(&play, drill.name, *store))?);
    }
    conclude(&reports, json)
}

fn list() {
    for drill in DRILLS {
        let stores: Vec<&str> = drill.stores.iter().map(|store| store.word()).collect();
        println!("  {:12} {} ({})", drill.name, drill.what, stores.join(", "));
    }
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

async fn run(play: &Play<'_>, drill: &str, store: Store) -> Result<Report> {
    match drill {
        "crash" => crash::run(play, store, crash::Plan::whole(play.rounds)).await,
        other => bail!("{other} is listed and not played"),
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
    println!("   took {:.0?}", start.elapsed());
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
