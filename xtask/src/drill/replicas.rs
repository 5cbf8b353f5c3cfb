//! Four replicas on one PostgreSQL: killed, stopped for longer than their leases, the database restarted.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::chance::Chance;
use super::fleet::Fleet;
use super::load::{Load, Mix};
use super::report::Report;
use super::stage::{Stage, Store};
use super::{Play, faults, settings, settle};

const REPLICAS: usize = 4;
/// Longer than a lease of 60 s.
const STOP_MS: std::ops::RangeInclusive<u64> = 65_000..=70_000;
/// Stops and restarts of the database that a whole drill has.
const STOPS: u32 = 4;
/// So many may be stopped at the same time.
const STOPPED: usize = 2;
/// Messages a second: the load is to last longer than the harm.
const RATE: u32 = 75;
const RESTARTS: u32 = 5;
/// Pass figure: a dead process's messages are taken up by then.
const LEASES: Duration = Duration::from_secs(75);
const EXPIRES_IN: u64 = 240;
/// Time after a restart of the database in which a process may still end that was started while it was away.
const AFTERMATH: Duration = Duration::from_secs(5);

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("replicas", Some(Store::Postgres));
    let mut stage = Stage::set(play.workspace, "replicas", &play.binary, Store::Postgres, settings::QUICK)?;
    let mut chance = Chance::of(play.seed, "replicas");
    let mut fleet = Fleet::start(&mut stage, REPLICAS, &mut chance).await?;
    // Calls that take a while, so that a stopped or killed process has some in hand.
    for (provider, delay) in [("ses", 1_500), ("sns", 1_000)] {
        let slow = json!({"mode": "slow", "delay_ms": delay, "rate": 0.5});
        faults::put(&stage.web, stage.control()?, provider, &slow).await?;
    }
    let doubtful = json!({"mode": "accept_then_error", "rate": 0.02});
    faults::put(&stage.web, stage.control()?, "sendgrid", &doubtful).await?;
    let mix = Mix {
        callers: 24,
        pause: Duration::from_millis(100),
        batches: 30,
        batch: 100,
        expires_in: EXPIRES_IN,
        messages: play.rounds,
        per_second: Some(RATE),
        answer: Duration::from_secs(5),
        ..Mix::default()
    };
    let load = Load::start(play.seed, &mix, &fleet.addresses(), &stage.journals.acks)?;
    let began = Instant::now();
    let harm = do_harm(&mut stage, &mut fleet, &load, play.rounds, &mut chance).await?;
    fleet.go_on(true);
    fleet.revive(&mut stage)?;
    fleet.all_ready().await?;
    let ended = Instant::now();
    let mut load = load;
    load.all_posted().await?;
    let seen = load.finish().await?;
    for provider in faults::PROVIDERS {
        faults::heal(&stage.web, stage.control()?, provider).await?;
    }
    let recovered = settle::none_sending(fleet.first()?, LEASES * 2).await?.map(|_| ended.elapsed());
    let settled = settle::settled(fleet.first()?, Duration::from_secs(EXPIRES_IN + 60)).await?;
    for replica in &mut fleet.replicas {
        replica.look().await;
    }
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, fleet.first()?).await?;
    let cluster = stage.cluster.as_ref().context("no database")?;
    let is_sound = super::crash::sound(cluster);

    report.tell("load and harm took", super::report::seconds(began.elapsed()));
    report.tell("kills", fleet.kills);
    report.hold("stops for longer than the lease", fleet.stops, "≥ 1", fleet.stops >= 1);
    report.tell("restarts of the database", harm.restarts);
    report.hold("replicas that ended by themselves", harm.ended_alone, "0", harm.ended_alone == 0);
    let not_started = harm.ended_without_database;
    report.hold(
        "replicas that did not start, for want of the database",
        not_started,
        "0",
        not_started == 0,
    );
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    report.none_of("posts refused for good", &seen.refused());
    report.tell("posts turned away", seen.turned_away.load(Ordering::Relaxed));
    let fenced: f64 = fleet.replicas.iter().map(|replica| replica.counts().fenced).sum();
    report.hold(
        "late writes refused by the fence",
        fenced,
        "≥ 1, else the drill is void",
        fenced >= 1.0,
    );
    match recovered {
        Some(took) => report.within("nothing sending after the last harm", took, LEASES),
        None => report.hold("nothing sending after the last harm", "never", "≤ 75.00 s", false),
    }
    report.tell("settled after", settled.map_or_else(|| "never".to_owned(), super::report::seconds));
    let calls: Vec<f64> = fleet.replicas.iter().map(|replica| replica.counts().attempts).collect();
    let all: f64 = calls.iter().sum();
    let shares: Vec<String> = calls.iter().map(|calls| format!("{:.0} %", 100.0 * calls / all.max(1.0))).collect();
    report.tell("share of the calls of each replica", shares.join(", "));
    report.hold("integrity", &is_sound, "ok", is_sound == "ok");
    Ok(report)
}

#[derive(Debug, Default)]
struct Harm {
    restarts: u32,
    ended_alone: usize,
    ended_without_database: usize,
}

/// Kills, stops and restarts until all is posted.
async fn do_harm(stage: &mut Stage, fleet: &mut Fleet, load: &Load, messages: u64, chance: &mut Chance) -> Result<Harm> {
    let mut harm = Harm::default();
    let soon = |chance: &mut Chance, range| Instant::now() + chance.millis(range);
    let mut kill_at = soon(chance, 2_000..=5_000);
    let mut stop_at = soon(chance, 4_000..=8_000);
    let mut restart_at = soon(chance, 15_000..=25_000);
    let mut look_at = Instant::now();
    let mut database_was_away: Option<Instant> = None;
    let all_posted = || load.seen().acks.load(Ordering::Relaxed) >= messages;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = Instant::now();
        fleet.go_on(false);
        let ended = fleet.revive(stage)?;
        if database_was_away.is_some_and(|at| at.elapsed() < AFTERMATH) {
            harm.ended_without_database += ended;
        } else {
            harm.ended_alone += ended;
        }
        let stopped = fleet.replicas.iter().filter(|replica| replica.is_stopped()).count();
        if all_posted() && stopped == 0 {
            return Ok(harm);
        }
        if now >= look_at {
            for replica in fleet.replicas.iter_mut().filter(|replica| !replica.is_stopped()) {
                replica.look().await;
            }
            look_at = Instant::now() + Duration::from_secs(2);
        }
        // Only one that is calling providers leaves something behind that it may write too late.
        let busy: Vec<usize> = (0..REPLICAS).filter(|index| fleet.replicas[*index].is_busy()).collect();
        if now >= stop_at
            && stopped < STOPPED
            && fleet.stops < STOPS
            && !all_posted()
            && let Some(index) = chance.pick(&busy)
        {
            fleet.stop(*index, chance.millis(STOP_MS));
            stop_at = soon(chance, 20_000..=40_000);
        }
        if now >= kill_at {
            let free: Vec<usize> = (0..REPLICAS)
                .filter(|index| !fleet.replicas[*index].is_stopped() && fleet.replicas[*index].spared_until <= now)
                .collect();
            if let Some(index) = chance.pick(&free) {
                fleet.kill(stage, *index).await?;
            }
            kill_at = soon(chance, 4_000..=10_000);
        }
        if now >= restart_at && harm.restarts < RESTARTS {
            let cluster = stage.cluster.as_mut().context("no database")?;
            if harm.restarts % 3 == 2 {
                cluster.kill()?;
            } else {
                cluster.stop_immediately()?;
            }
            cluster.start()?;
            harm.restarts += 1;
            database_was_away = Some(Instant::now());
            restart_at = soon(chance, 20_000..=40_000);
        }
    }
}
