//! `cargo xtask drill`: the service under load while everything around it breaks, and a judge.
//!
//! A drill has four parts. The *load generator* posts and writes down each promise (a 2xx with an
//! id). The *sink* is the simulator in a process of its own, which writes down each arrival before
//! it answers. The drill itself kills, stops, fills and starves. The *judge* then holds the promises
//! against the store and the arrivals: what was lost, what came twice without a cause, what is
//! claimed and never happened.

mod breaker;
mod chance;
mod checker;
mod crash;
mod disk_full;
mod faults;
mod feedback;
mod fleet;
mod fsync;
mod idempotency;
mod journal;
mod judging;
mod load;
mod pace;
mod replicas;
mod report;
mod settings;
mod settle;
mod sigterm;
mod simulate;
mod stage;
mod upgrade;
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
  --old FILE    the program of the release before, for `upgrade`
  --new FILE    the same as --ums
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

const DRILLS: &[Drill] = &[
    Drill {
        name: "judge",
        what: "the judge finds what is planted: a loss, a double, a claim without ground",
        stores: &[Store::Sqlite],
        rounds: 60,
    },
    Drill {
        name: "crash",
        what: "kill -9 at random instants and at named points",
        stores: BOTH,
        rounds: 100,
    },
    Drill {
        name: "replicas",
        what: "4 replicas, killed and stopped, and their database restarted; rounds are messages",
        stores: &[Store::Postgres],
        rounds: 20_000,
    },
    Drill {
        name: "upgrade",
        what: "5 replicas of the release before (--old) are killed, and replaced one by one; rounds are messages",
        stores: &[Store::Postgres],
        rounds: 8_000,
    },
    Drill {
        name: "idempotency",
        what: "20 posts at once with each key; rounds are keys",
        stores: BOTH,
        rounds: 1_000,
    },
    Drill {
        name: "disk-full",
        what: "the disk fills up and gets room again (wants root)",
        stores: &[Store::Sqlite],
        rounds: 3,
    },
    Drill {
        name: "fsync",
        what: "before each 2xx lies a sync that covers it; rounds are messages",
        stores: BOTH,
        rounds: 1_000,
    },
    Drill {
        name: "pace",
        what: "an account's pace holds over 3 replicas",
        stores: &[Store::Postgres],
        rounds: 1,
    },
    Drill {
        name: "breaker",
        what: "a provider that one replica found dead is skipped by all and probed by one",
        stores: &[Store::Postgres],
        rounds: 1,
    },
    Drill {
        name: "feedback",
        what: "reports late, in copies, out of order and before our commit; rounds are messages",
        stores: &[Store::Sqlite],
        rounds: 2_000,
    },
    Drill {
        name: "sigterm",
        what: "SIGTERM under load",
        stores: BOTH,
        rounds: 10,
    },
];

/// What every drill is given.
#[derive(Debug)]
pub(crate) struct Play<'a> {
    workspace: &'a Workspace,
    binary: PathBuf,
    /// The release before.
    old: Option<PathBuf>,
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
    };
    eprintln!("   seed {seed}");
    let mut reports = Vec::new();
    for store in drill.stores.iter().filter(|store| stores.contains(store)) {
        reports.push(on_stage(run(&play, drill.name, *store))?);
    }
    conclude(&reports, json)
}

/// Kills of the short form.
const SHORT_KILLS: [(Store, u64); 2] = [(Store::Sqlite, 14), (Store::Postgres, 6)];

/// Messages of the short form.
const SHORT_FEEDBACK: u64 = 200;

/// What every test run plays: the judge's own test, and short forms of the crash drill on both stores and of the feedback drill.
pub(crate) fn short(workspace: &Workspace) -> Result<()> {
    let seed = Chance::any_seed();
    eprintln!("   seed {seed}");
    let play = Play {
        workspace,
        binary: stage::binary(workspace, None)?,
        old: None,
        seed,
        rounds: 60,
    };
    let reports = on_stage(async {
        let judge = judging::run(&play).await?;
        // Side by side: most of the time on PostgreSQL is a wait for a dead process's lease.
        let [sqlite, postgres] = SHORT_KILLS.map(|(store, kills)| crash::run(&play, store, crash::Plan::short(kills)));
        let reports = Play {
            workspace,
            binary: play.binary.clone(),
            old: None,
            seed,
            rounds: SHORT_FEEDBACK,
        };
        let (sqlite, postgres, feedback) = tokio::try_join!(sqlite, postgres, feedback::run(&reports))?;
        Ok([judge, sqlite, postgres, feedback])
    })?;
    conclude(&reports, false)
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

async fn run(play: &Play<'_>, drill: &str, store: Store) -> Result<Report> {
    match drill {
        "judge" => judging::run(play).await,
        "crash" => crash::run(play, store, crash::Plan::whole(play.rounds)).await,
        "replicas" => replicas::run(play).await,
        "upgrade" => upgrade::run(play).await,
        "idempotency" => idempotency::run(play, store).await,
        "disk-full" => disk_full::run(play).await,
        "fsync" => fsync::run(play, store).await,
        "pace" => pace::run(play).await,
        "breaker" => breaker::run(play).await,
        "feedback" => feedback::run(play).await,
        "sigterm" => sigterm::run(play, store).await,
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
