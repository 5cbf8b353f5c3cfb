//! `kill -9` at random instants and at named points, under load, in one database that grows.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::chance::Chance;
use super::faults::Hand;
use super::load::{Load, Mix};
use super::report::{Report, percentile};
use super::stage::{Server, Stage, Store, fixed_address};
use super::{Play, settings, settle};
use crate::postgres::Cluster;
use crate::prerequisites::python;

/// Instants of the kills, after the server was ready.
const INSTANT_MS: std::ops::RangeInclusive<u64> = 50..=3_000;
/// Pass figures.
const READY_P99: Duration = Duration::from_secs(3);
const LEASES: Duration = Duration::from_secs(75);
/// How a process ends at a named point.
const ABORTED: i32 = 6;
/// Time a named point has to be reached.
const POINT_LIMIT: Duration = Duration::from_secs(6);
/// When messages expire, in seconds; nothing moves much longer than that.
fn expires_in(store: Store, is_short: bool) -> u64 {
    match (store, is_short) {
        (Store::Sqlite, true) => 15,
        (Store::Sqlite, false) => 60,
        // What a dead process had in hand is taken up when its lease of 60 s is over, and shall then be sent.
        (Store::Postgres, true) => 80,
        (Store::Postgres, false) => 150,
    }
}

/// The points between the steps of a delivery, and how often each is surely passed within seconds.
const POINTS: &[(&str, u64)] = &[
    ("accept.before_commit", 8),
    ("accept.committed", 8),
    ("intent.committed", 8),
    ("call.answered", 8),
    ("outcome.committed", 8),
    ("claim.committed", 3),
    ("batch.committed", 2),
    ("recover.committed", 1),
    ("group.before_commit", 8),
    ("group.after_commit", 8),
];
/// The point at which the first process of all ends, in an empty database.
const FIRST_POINT: &str = "migrate.applied:1";

/// Which rounds end at a named point, and how long the others last.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Every so many rounds one ends at a named point.
    point_every: u64,
    /// Most time between ready and kill, in milliseconds.
    longest: u64,
}

impl Plan {
    fn of(play: &Play<'_>) -> Self {
        let (point_every, longest) = if play.is_short { (3, 700) } else { (10, *INSTANT_MS.end()) };
        Self { point_every, longest }
    }
}

/// What the rounds showed.
#[derive(Debug, Default)]
struct Rounds {
    ready: Vec<Duration>,
    kills: u64,
    at_points: Vec<String>,
    unreached: Vec<String>,
    ended_alone: Vec<String>,
}

/// The drill on one store.
pub(super) async fn run(play: &Play<'_>, store: Store) -> Result<Report> {
    let mut report = play.report("crash", Some(store));
    let mut stage = Stage::set(play.workspace, "crash", &play.binary, store, settings::QUICK)?;
    let mut chance = Chance::of(play.seed, &format!("kills on {}", store.word()));
    let at = fixed_address(&mut chance)?;
    let expires_in = expires_in(store, play.is_short);
    let mix = Mix {
        expires_in,
        ..Mix::default()
    };
    let load = Load::start(play.seed, &mix, &[at], &stage.journals.acks)?;
    let hand = Hand::start(play.seed, &stage.web, stage.control()?);
    let rounds = play_rounds(play, &mut stage, at, &mut chance).await?;

    let (mut server, took) = stage.serve(at).await?;
    let seen = load.finish().await?;
    let faults = hand.stop(&stage.web, stage.control()?).await?;
    let recovered = settle::none_sending(&server, LEASES + Duration::from_secs(15)).await?;
    let settled = settle::settled(&server, Duration::from_secs(expires_in + 60)).await?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, &server).await?;
    let is_sound = integrity(play, &stage, &mut server).await?;

    report.tell("kills", rounds.kills);
    report.tell("of them at named points", rounds.at_points.len());
    report.none_of("points that were not reached", &rounds.unreached);
    report.none_of("ends that nobody asked for", &rounds.ended_alone);
    report.tell("faults switched", faults);
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    report.none_of("posts refused for good", &seen.refused());
    let mut ready = rounds.ready;
    ready.push(took);
    report.tell("ready again, p50", super::report::seconds(percentile(&ready, 50)));
    if play.is_short {
        report.tell("ready again, longest", super::report::seconds(percentile(&ready, 100)));
    } else {
        report.within("ready again, p99", percentile(&ready, 99), READY_P99);
    }
    match recovered {
        Some(took) => report.within("nothing sending after the last kill", took, LEASES),
        None => report.hold("nothing sending after the last kill", "never", "≤ 75.00 s", false),
    }
    report.tell("settled after", settled.map_or_else(|| "never".to_owned(), super::report::seconds));
    report.hold("integrity", &is_sound, "ok", is_sound == "ok");
    Ok(report)
}

async fn play_rounds(play: &Play<'_>, stage: &mut Stage, at: SocketAddr, chance: &mut Chance) -> Result<Rounds> {
    let form = Plan::of(play);
    let mut rounds = Rounds::default();
    // The short forms on the two stores end at other points.
    let skipped = if play.is_short && stage.store == Store::Postgres { 4 } else { 0 };
    let mut points = POINTS.iter().cycle().skip(skipped);
    for round in 1..=play.rounds {
        let failpoint = if round == 1 {
            Some(FIRST_POINT.to_owned())
        } else if round % form.point_every == 0 {
            points.next().map(|(point, most)| format!("{point}:{}", chance.within(1..=*most)))
        } else {
            None
        };
        let mut server = stage.start_server(at, failpoint.as_deref(), &[])?;
        // One that dies at a point on its way to being ready has died as planned.
        match server.ready().await {
            Ok(took) => rounds.ready.push(took),
            Err(_) if failpoint.is_some() && server.ended().is_some() => {}
            Err(error) => return Err(error.context(format!("round {round}"))),
        }
        let instant = chance.millis(*INSTANT_MS.start()..=form.longest);
        let ended = match failpoint {
            None => server.ends_within(instant).await,
            Some(_) => server.ends_within(POINT_LIMIT).await,
        };
        match (failpoint, ended) {
            (Some(point), Some(status)) if status.signal() == Some(ABORTED) => rounds.at_points.push(point),
            (Some(point), None) => rounds.unreached.push(point),
            (None, None) => {}
            (_, Some(status)) => rounds.ended_alone.push(format!("round {round}: {status}")),
        }
        end(&mut server, &mut rounds)?;
        if round % 10 == 0 {
            eprintln!("   {round} of {} rounds on {}", play.rounds, stage.store.word());
        }
    }
    Ok(rounds)
}

fn end(server: &mut Server, rounds: &mut Rounds) -> Result<()> {
    if server.ended().is_none() {
        server.kill()?;
    }
    rounds.kills += 1;
    Ok(())
}

/// What the database's own checker says of it: `ok`, or its complaints.
async fn integrity(play: &Play<'_>, stage: &Stage, server: &mut Server) -> Result<String> {
    if let Some(cluster) = &stage.cluster {
        return Ok(sound(cluster));
    }
    server.process.signal_alone("-TERM");
    server
        .ends_within(Duration::from_secs(30))
        .await
        .context("the server does not end")?;
    let venv = python::provide(play.workspace)?;
    let script = "import sqlite3, sys; print(*(row[0] for row in sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check')))";
    let mut command = Command::new(venv.program("python"));
    let said = crate::process::output(command.args(["-I", "-c", script]).arg(stage.folder.join("ums.db")))?;
    Ok(said.trim().to_owned())
}

/// What PostgreSQL's own checker says of all tables and indexes.
pub(super) fn sound(cluster: &Cluster) -> String {
    cluster
        .check_integrity()
        .map_or_else(|error| format!("{error:#}"), |()| "ok".to_owned())
}
