//! `kill -9` at random instants and at named points, under load, in one database that grows.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::chance::Chance;
use super::faults::Hand;
use super::load::{Load, Mix};
use super::report::{Report, percentile};
use super::stage::{Server, Stage, Store, fixed_address};
use super::{Play, settings, settle};
use crate::prerequisites::python;

/// Instants of the kills, after the server was ready.
const INSTANT_MS: std::ops::RangeInclusive<u64> = 50..=3_000;
/// Pass figures.
const READY_P99: Duration = Duration::from_secs(3);
const LEASES: Duration = Duration::from_secs(75);
/// Time a named point has to be reached.
const POINT_LIMIT: Duration = Duration::from_secs(6);
/// When messages expire; nothing moves much longer than that.
const EXPIRES_IN: u64 = 60;

/// The points between the steps of a delivery, and how often they are passed before it ends.
const POINTS: &[&str] = &[
    "accept.before_commit",
    "accept.committed",
    "intent.committed",
    "call.answered",
    "outcome.committed",
    "claim.committed",
    "batch.committed",
    "recover.committed",
    "group.before_commit",
    "group.after_commit",
];

/// How many rounds, and which of them end at a named point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) rounds: u64,
    /// Every so many rounds one ends at a named point.
    pub(super) point_every: u64,
    /// Most time between ready and kill, in milliseconds.
    pub(super) longest: u64,
}

impl Plan {
    pub(super) fn whole(rounds: u64) -> Self {
        Self {
            rounds,
            point_every: 10,
            longest: *INSTANT_MS.end(),
        }
    }
}

/// What the rounds showed.
#[derive(Debug, Default)]
struct Rounds {
    ready: Vec<Duration>,
    kills: u64,
    at_points: Vec<String>,
    unreached: Vec<String>,
}

/// The drill on one store.
pub(super) async fn run(play: &Play<'_>, store: Store, plan: Plan) -> Result<Report> {
    let mut report = play.report("crash", Some(store));
    let mut stage = Stage::set(play.workspace, "crash", &play.binary, store, settings::QUICK)?;
    let mut chance = Chance::of(play.seed, "kills");
    let at = fixed_address(&mut chance)?;
    let mix = Mix {
        expires_in: EXPIRES_IN,
        ..Mix::default()
    };
    let load = Load::start(play.seed, &mix, &[at], &stage.journals.acks)?;
    let hand = Hand::start(play.seed, &stage.web, stage.control()?);
    let rounds = play_rounds(&mut stage, plan, at, &mut chance).await?;

    let (mut server, took) = stage.serve(at).await?;
    let seen = load.finish().await?;
    let faults = hand.stop(&stage.web, stage.control()?).await?;
    let recovered = settle::none_sending(&server, LEASES + Duration::from_secs(15)).await?;
    let settled = settle::settled(&server, Duration::from_secs(EXPIRES_IN + 60)).await?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, &server).await?;
    let is_sound = integrity(play, &stage, &mut server).await?;

    report.tell("kills", rounds.kills);
    report.tell("of them at named points", rounds.at_points.len());
    report.tell("points that were not reached", rounds.unreached.join(" "));
    report.tell("faults switched", faults);
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    report.none_of("posts refused for good", &seen.refused());
    let mut ready = rounds.ready;
    ready.push(took);
    report.tell("ready again, p50", super::report::seconds(percentile(&ready, 50)));
    report.within("ready again, p99", percentile(&ready, 99), READY_P99);
    match recovered {
        Some(took) => report.within("nothing sending after the last kill", took, LEASES),
        None => report.hold("nothing sending after the last kill", "never", "≤ 75.00 s", false),
    }
    report.tell("settled after", settled.map_or_else(|| "never".to_owned(), super::report::seconds));
    report.hold("integrity", &is_sound, "ok", is_sound == "ok");
    Ok(report)
}

async fn play_rounds(stage: &mut Stage, plan: Plan, at: SocketAddr, chance: &mut Chance) -> Result<Rounds> {
    let mut rounds = Rounds::default();
    let mut points = POINTS.iter().cycle();
    for round in 1..=plan.rounds {
        let point = if round % plan.point_every == 0 { points.next() } else { None };
        // Some points are passed at the start of the process, some only now and then.
        let nth = if point == Some(&"recover.committed") {
            1
        } else {
            chance.within(1..=8)
        };
        let failpoint = point.map(|point| format!("{point}:{nth}"));
        let mut server = stage.start_server(at, failpoint.as_deref(), &[])?;
        // One that dies at a point on its way to being ready has died as planned.
        match server.ready().await {
            Ok(took) => rounds.ready.push(took),
            Err(_) if failpoint.is_some() && server.ended().is_some() => {}
            Err(error) => return Err(error.context(format!("round {round}"))),
        }
        let instant = chance.millis(*INSTANT_MS.start()..=plan.longest);
        match failpoint {
            None => tokio::time::sleep(instant).await,
            Some(point) => match server.ends_within(POINT_LIMIT).await {
                Some(_) => rounds.at_points.push(point),
                None => rounds.unreached.push(point),
            },
        }
        end(&mut server, &mut rounds)?;
        if round % 10 == 0 {
            println!("   {round} of {} rounds", plan.rounds);
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
    match &stage.cluster {
        Some(cluster) => Ok(cluster
            .check_integrity()
            .map_or_else(|error| format!("{error:#}"), |()| "ok".to_owned())),
        None => {
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
    }
}
