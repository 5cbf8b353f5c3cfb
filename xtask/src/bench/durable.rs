//! `cargo xtask bench --durable`: what durability costs, beside what the disk and the databases can do at best.
//!
//! The service, the bare programs and the engine have core 0, the load generator core 1; PostgreSQL runs
//! where the kernel puts it, for all lines alike. Rounds are interleaved and ratios taken inside a round.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::figures::Spread;
use crate::binary;
use crate::postgres::Cluster;
use crate::process::{Background, free_port, output};
use crate::workspace::Workspace;

/// Connections of the many callers.
const CALLERS: u32 = 64;
const TOGETHER: u32 = 6_000;
const ALONE: u32 = 300;
const SYNCS: u32 = 300;
const BARE: u32 = 10_000;
const BATCH: u32 = 100;
const DRAINED: u32 = 10_000;
const SMALL_BACKLOG: u32 = 10_000;
const READY: Duration = Duration::from_secs(20);

/// What is compared: a line over another, and the least that is wanted.
const GOALS: [(&str, &str, &str, f64); 7] = [
    (
        "SQLite, accepts over HTTP at 64 callers",
        "sqlite accept 64",
        "sqlite bare accept",
        0.7,
    ),
    ("SQLite, accepts over HTTP at 1 caller", "sqlite accept 1", "fdatasync", 0.8),
    ("SQLite, drain with 10 thousand behind", "sqlite drain", "sqlite bare drain", 0.6),
    (
        "SQLite, drain with 1 million behind, to 10 thousand",
        "sqlite drain 1M",
        "sqlite drain",
        0.9,
    ),
    (
        "PostgreSQL, accepts over HTTP at 64 callers",
        "postgres accept 64",
        "postgres bare accept",
        0.5,
    ),
    (
        "PostgreSQL, drain with 10 thousand behind",
        "postgres drain",
        "postgres bare drain",
        0.7,
    ),
    (
        "PostgreSQL, drain with 1 million behind, to 10 thousand",
        "postgres drain 1M",
        "postgres drain",
        0.9,
    ),
];

/// Rates a second of one round, by line.
type Round = Map<String, Value>;

/// The places and programs of a measurement.
struct Ground<'a> {
    workspace: &'a Workspace,
    ums: PathBuf,
    folder: PathBuf,
    postgres: Cluster,
}

/// Measures in rounds, prints the table with what is wanted, and gives it as JSON. `big` is the backlog of the
/// lines that tell whether a million messages behind make a difference.
pub(crate) fn measure(workspace: &Workspace, rounds: usize, big: u32) -> Result<Value> {
    let ums = binary::ums_release(workspace)?;
    let folder = workspace.scratch("bench/durable")?;
    let postgres = Cluster::start_new(workspace, "bench")?;
    let ground = Ground {
        workspace,
        ums,
        folder,
        postgres,
    };
    let mut all = Vec::new();
    for number in 1..=rounds {
        let mut round = Round::new();
        ground.small(&mut round)?;
        if number == rounds && big > 0 {
            ground.big(&mut round, big)?;
        }
        println!("   round {number} of {rounds}: {}", Value::Object(round.clone()));
        all.push(round);
    }
    print(&all);
    Ok(json!({ "rounds": all, "big_backlog": big }))
}

impl Ground<'_> {
    /// The lines of every round.
    fn small(&self, round: &mut Round) -> Result<()> {
        let mut put = |name: &str, rate: f64| round.insert(name.to_owned(), rate.into());
        put("fdatasync", self.bare(&["sync", &shown(&self.folder), &SYNCS.to_string()])?);
        for store in ["sqlite", "postgres"] {
            let url = self.fresh(store)?;
            let service = self.serve(&url)?;
            put(&format!("{store} accept {CALLERS}"), self.load(&service, CALLERS, TOGETHER)?);
            put(&format!("{store} accept 1"), self.load(&service, 1, ALONE)?);
            drop(service);
            put(&format!("{store} bare accept"), self.bare_on(&url, "accept", BARE)?);
            let url = self.fresh(store)?;
            let backlog = SMALL_BACKLOG + 2 * DRAINED + DRAINED / 10;
            put(&format!("{store} drain"), self.drain(&url, backlog)?.0);
            put(&format!("{store} bare drain"), self.bare_on(&url, "drain", DRAINED)?);
        }
        Ok(())
    }

    /// The lines with many messages behind; making those takes the time.
    fn big(&self, round: &mut Round, backlog: u32) -> Result<()> {
        for store in ["sqlite", "postgres"] {
            let url = self.fresh(store)?;
            let (rate, grown) = self.drain(&url, backlog)?;
            round.insert(format!("{store} drain 1M"), rate.into());
            round.insert(format!("{store} drain 1M, MB grown"), grown.into());
            let bare = self.bare_on(&url, "drain", DRAINED)?;
            round.insert(format!("{store} bare drain 1M"), bare.into());
        }
        Ok(())
    }

    /// An empty store.
    fn fresh(&self, store: &str) -> Result<String> {
        if store == "postgres" {
            let url = self.postgres.url();
            output(self.program("bench-bare").args(["wipe", &url]))?;
            return Ok(url);
        }
        for end in ["", "-wal", "-shm", ".lock"] {
            let file = self.folder.join(format!("bench.db{end}"));
            if file.exists() {
                std::fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
            }
        }
        Ok(format!("sqlite://{}", shown(&self.folder.join("bench.db"))))
    }

    fn serve(&self, url: &str) -> Result<Service> {
        let port = free_port()?;
        let server = binary::isolated(self.workspace, &self.ums)?;
        let mut command = on_core("0", &server);
        command
            .env("UMS_ENV", "development")
            .env("UMS_DATABASE_URL", url)
            .env("UMS_LISTEN", format!("127.0.0.1:{port}"))
            .env("UMS_LOG", "warn")
            .envs([("SENDGRID_API_KEY", "SG.any.key"), ("SENDGRID_FROM_EMAIL", "shop@example.com")])
            .env("SENDGRID_API_URL", "http://127.0.0.1:9")
            .arg("serve");
        let mut process = Background::start("ums-serve", &command, &self.workspace.scratch("bench/logs")?)?;
        process.wait_for_port(port, READY)?;
        Ok(Service {
            url: format!("http://127.0.0.1:{port}"),
            _process: process,
        })
    }

    fn load(&self, service: &Service, callers: u32, messages: u32) -> Result<f64> {
        let mut command = on_core("1", &self.program("bench-sender"));
        command.args(["--peer", "ums-accept", "--url", &service.url]);
        command.args(["--concurrency", &callers.to_string(), "--messages", &messages.to_string()]);
        number(&output(&mut command)?, "/msgs_per_s")
    }

    /// The engine on a backlog: messages a second, and by how many megabytes the process grew.
    fn drain(&self, url: &str, backlog: u32) -> Result<(f64, f64)> {
        let mut command = on_core("0", &self.program("bench-drain"));
        let text = output(command.args([url, &backlog.to_string(), &DRAINED.to_string()]))?;
        let grown = number(&text, "/resident_mb/after")? - number(&text, "/resident_mb/before")?;
        Ok((number(&text, "/msgs_per_s")?, grown))
    }

    fn bare_on(&self, url: &str, what: &str, messages: u32) -> Result<f64> {
        self.bare(&[what, url, &messages.to_string(), &BATCH.to_string()])
    }

    fn bare(&self, words: &[&str]) -> Result<f64> {
        number(&output(on_core("0", &self.program("bench-bare")).args(words))?, "/per_s")
    }

    fn program(&self, name: &str) -> Command {
        Command::new(self.workspace.path("bench/target/release").join(name))
    }
}

/// A running service; it ends when dropped.
struct Service {
    url: String,
    _process: Background,
}

/// The same command, kept on a core.
fn on_core(core: &str, command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", core]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        pinned.env_clear().current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            pinned.env(name, value);
        }
    }
    pinned
}

fn number(text: &str, pointer: &str) -> Result<f64> {
    let value: Value = serde_json::from_str(text.trim()).with_context(|| format!("no JSON: {text}"))?;
    let number = value.pointer(pointer).and_then(Value::as_f64);
    number.with_context(|| format!("no {pointer} in {text}"))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The ratio of two lines inside each round that has both.
fn ratio(rounds: &[Round], line: &str, against: &str) -> Option<Spread> {
    let of = |round: &Round, name: &str| round.get(name).and_then(Value::as_f64);
    let ratios = rounds.iter().filter_map(|round| Some(of(round, line)? / of(round, against)?));
    Spread::of(ratios)
}

fn print(rounds: &[Round]) {
    let mut names: Vec<&String> = rounds.iter().flat_map(Map::keys).collect();
    names.sort();
    names.dedup();
    println!("\na second, medians of {} rounds (min-max):", rounds.len());
    for name in names {
        let figures = rounds.iter().filter_map(|round| round.get(name)?.as_f64());
        if let Some(spread) = Spread::of(figures) {
            println!("  {name:28} {:>9.0} ({:.0}-{:.0})", spread.median, spread.least, spread.most);
        }
    }
    println!("\nwanted:");
    for (what, line, against, least) in GOALS {
        let verdict = ratio(rounds, line, against).map_or_else(|| "not measured".to_owned(), |spread| judged(spread, least));
        println!("  {what} >= {least} x {against}: {verdict}");
    }
}

fn judged(spread: Spread, least: f64) -> String {
    let word = if spread.median >= least { "met" } else { "MISSED" };
    format!("{:.2} ({:.2}-{:.2}), {word}", spread.median, spread.least, spread.most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_where_both_lines_are_there() {
        let round = |ours: f64, bare: Option<f64>| {
            let mut round = Round::new();
            round.insert("ours".to_owned(), ours.into());
            round.extend(bare.map(|bare| ("bare".to_owned(), bare.into())));
            round
        };
        let rounds = [round(50.0, Some(100.0)), round(7.0, None), round(100.0, Some(200.0))];
        let spread = ratio(&rounds, "ours", "bare").unwrap();
        assert_eq!(judged(spread, 0.5), "0.50 (0.50-0.50), met");
        assert_eq!(judged(spread, 0.7), "0.50 (0.50-0.50), MISSED");
        assert!(ratio(&rounds, "ours", "nobody").is_none());
    }

    #[test]
    fn a_figure_is_read_from_what_a_program_prints() {
        let read = number("{\"resident_mb\": {\"after\": 3.5}}\n", "/resident_mb/after").unwrap();
        assert!((read - 3.5).abs() < f64::EPSILON);
        assert!(number("nothing", "/per_s").is_err());
    }
}
