//! On both databases: a backup under load, `kill -9`, the database destroyed, the backup restored: what was promised before the backup's instant is there
//! and comes to an end, and nothing goes out a second time because of it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::chance::Chance;
use super::checker::{Findings, Row, judge};
use super::journal::{Ack, Arrival};
use super::load::{Load, Mix};
use super::report::{Report, percentile, seconds};
use super::stage::{Stage, Store, fixed_address};
use super::{Play, faults, settings, settle};

/// When messages expire, in seconds.
const EXPIRES_IN: u64 = 20;
/// How long a call takes at most, in milliseconds: shorter than the service waits, so that only the restore leaves outcomes unknown.
const CALL_MS: u64 = 1_200;
/// What lies beside a SQLite database.
const COMPANIONS: [&str; 3] = ["", "-wal", "-shm"];
/// How long the lease of a process that was killed keeps a PostgreSQL database from being restored, and some more.
const LEASE_ENDS: Duration = Duration::from_secs(30);
/// Settings of the services: a short lease, so that a restore need not wait for long.
const SHORT_LEASE: &str = "\n[postgres]\nlease = \"10s\"\n";

/// One backup that was restored.
#[derive(Debug)]
struct Lost {
    /// What was answered from here on need not be in the backup.
    from: Timestamp,
    /// From here on the restored database serves.
    to: Timestamp,
    /// Messages that had not ended in the backup, by id.
    held: BTreeSet<String>,
}

/// What the rounds showed.
#[derive(Debug, Default)]
struct Rounds {
    lost: Vec<Lost>,
    backups: Vec<Duration>,
    restores: Vec<Duration>,
    scheduled: u64,
    not_refused: Vec<String>,
    refused: Vec<String>,
}

pub(super) async fn run(play: &Play<'_>, store: Store) -> Result<Report> {
    let mut report = play.report("backup", Some(store));
    let mut stage = Stage::set(
        play.workspace,
        "backup",
        &play.binary,
        store,
        &[settings::QUICK, SHORT_LEASE].concat(),
    )?;
    let mut chance = Chance::of(play.seed, "backups");
    for provider in faults::PROVIDERS {
        let slow = json!({"mode": "slow", "delay_ms": CALL_MS, "rate": 0.7});
        faults::put(&stage.web, stage.control()?, provider, &slow).await?;
    }
    let mut rounds = Rounds::default();
    for round in 1..=play.rounds {
        play_round(play, &mut stage, &mut chance, &mut rounds, round)
            .await
            .with_context(|| format!("round {round}"))?;
    }
    let (server, _) = stage.serve(fixed_address(&mut chance)?).await?;
    let settled = settle::settled(&server, Duration::from_secs(EXPIRES_IN + 30)).await?;
    stage.sink_lives()?;
    let rows = settle::rows(&server).await?;
    let findings = findings(&stage, &rows, &rounds.lost)?;
    last_backup(&stage).await?;

    report.tell("backups restored", rounds.lost.len());
    let held: usize = rounds.lost.iter().map(|lost| lost.held.len()).sum();
    report.hold("messages held, else the drill is void", held, "≥ 1", held > 0);
    report.tell("messages scheduled for after the restore", rounds.scheduled);
    report.none_of("restores onto a running service that were not refused", &rounds.not_refused);
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    report.none_of("posts refused for good", &rounds.refused);
    report.tell("a backup, longest", seconds(percentile(&rounds.backups, 100)));
    report.tell("a restore, longest", seconds(percentile(&rounds.restores, 100)));
    report.tell("settled after", settled.map_or_else(|| "never".to_owned(), seconds));
    Ok(report)
}

async fn play_round(play: &Play<'_>, stage: &mut Stage, chance: &mut Chance, rounds: &mut Rounds, round: u64) -> Result<()> {
    let at = fixed_address(chance)?;
    let (mut server, _) = stage.serve(at).await?;
    let mix = Mix {
        expires_in: EXPIRES_IN,
        ..Mix::default()
    };
    let load = Load::start(play.seed.wrapping_add(round), &mix, &[at], &stage.journals.acks)?;
    tokio::time::sleep(chance.millis(600..=1_500)).await;
    let file = stage.folder.join(format!("round-{round}.backup"));
    let file = file.to_str().context("a folder's name in UTF-8")?;
    let start = Instant::now();
    let backup = json_of(stage.ums(&["backup", "--to", file, "--json"])).await?;
    rounds.backups.push(start.elapsed());
    let from = backup["taken_at"].as_str().context("a backup without its instant")?.parse()?;
    if let Ok(done) = json_of(stage.ums(&["restore", file, "--force", "--json"])).await {
        rounds.not_refused.push(format!("round {round}: {done}"));
    }
    // The calls of what was in the backup go out meanwhile.
    tokio::time::sleep(chance.millis(200..=1_500)).await;
    server.kill()?;
    rounds.refused.extend(load.seen().refused());
    // Nobody repeats a request: its key is lost with what came after the backup, so it would be a new message.
    drop(load);
    destroy(stage, round)?;
    let start = Instant::now();
    let restored = restored(stage, file).await?;
    rounds.restores.push(start.elapsed());
    rounds.scheduled += restored["scheduled"].as_u64().context("a restore without its figures")?;
    let to = Timestamp::now();
    let (mut server, _) = stage.serve(fixed_address(chance)?).await?;
    let unknown = settle::rows(&server).await?.into_iter().filter(|row| row.status == "unknown");
    rounds.lost.push(Lost {
        from,
        to,
        held: unknown.map(|row| row.id).collect(),
    });
    server.kill()
}

/// Restores a backup. On PostgreSQL the killed service's lease has to end first.
async fn restored(stage: &Stage, file: &str) -> Result<Value> {
    let begun = Instant::now();
    loop {
        match json_of(stage.ums(&["restore", file, "--force", "--json"])).await {
            Err(error)
                if stage.cluster.is_some() && format!("{error:#}").contains("stop every service") && begun.elapsed() < LEASE_ENDS =>
            {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            done => return done,
        }
    }
}

/// Destroys a database, each time in another way.
fn destroy(stage: &Stage, round: u64) -> Result<()> {
    // Round three: it is whole, and an operator goes back all the same.
    let kind = round % 3;
    if let Some(cluster) = &stage.cluster {
        return match kind {
            // Not all of it: the lease of the service that was killed is known to nobody then.
            1 => cluster.run_sql("DROP TABLE contents, recipients, attempts CASCADE"),
            2 => cluster.run_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public"),
            _ => Ok(()),
        };
    }
    let database = stage.folder.join("ums.db");
    match kind {
        1 => std::fs::write(&database, "not a database any more".repeat(1_000))?,
        2 => {
            for suffix in COMPANIONS {
                let mut name = database.clone().into_os_string();
                name.push(suffix);
                drop(std::fs::remove_file(name));
            }
        }
        _ => {}
    }
    Ok(())
}

/// The answer of a command in JSON, while the load goes on.
async fn json_of(mut command: Command) -> Result<Value> {
    let said = tokio::task::spawn_blocking(move || crate::process::output(&mut command)).await??;
    serde_json::from_str(&said).with_context(|| format!("no JSON: {said}"))
}

/// A backup checks every page and index of what was restored.
async fn last_backup(stage: &Stage) -> Result<()> {
    json_of(stage.ums(&["backup", "--to", "last.backup", "--json"])).await?;
    ensure!(stage.folder.join("last.backup").exists(), "the last backup is not there");
    Ok(())
}

/// Judges what a restored database still owes.
fn findings(stage: &Stage, rows: &[Row], lost: &[Lost]) -> Result<Findings> {
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let mut acks: Vec<Ack> = stage.journals.read_acks()?;
    acks.retain(|ack| ids.contains(ack.id.as_str()) || !lost.iter().any(|lost| lost.from <= ack.at && ack.at <= lost.to));
    if acks.is_empty() {
        bail!("nothing was promised before a backup");
    }
    let held: BTreeSet<&str> = lost.iter().flat_map(|lost| &lost.held).map(String::as_str).collect();
    let arrivals = owed(stage.journals.read_arrivals()?, rows, lost);
    let mut findings = judge(&acks, &arrivals, rows);
    // That it may have been sent is what a held message says; its attempts after the backup are lost.
    let is_held = |told: &String| told.split_once(':').is_some_and(|(id, _)| held.contains(id));
    findings.untold.retain(|told| !is_held(told));
    Ok(findings)
}

/// The arrivals that the store must explain: those of messages that it has, and of what a held message did in the lost time the first.
fn owed(arrivals: Vec<Arrival>, rows: &[Row], lost: &[Lost]) -> Vec<Arrival> {
    let mut before = BTreeSet::new();
    let is_owed = |arrival: &Arrival| {
        let Some(row) = arrival
            .mark()
            .and_then(|mark| rows.iter().find(|row| row.mark.as_deref() == Some(mark)))
        else {
            return false;
        };
        let Some(lost) = lost.iter().find(|lost| lost.held.contains(&row.id)) else {
            return true;
        };
        arrival.at > lost.to || before.insert(row.id.clone())
    };
    let mut is_owed = is_owed;
    arrivals.into_iter().filter(|arrival| is_owed(arrival)).collect()
}
