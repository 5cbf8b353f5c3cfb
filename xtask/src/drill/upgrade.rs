//! Replicas of two releases on one PostgreSQL: the older ones are replaced one by one under load, and both kinds are killed.
//!
//! A program refuses to start on a schema that is newer than its own. So where the new release brings a schema version, an older replica
//! that is killed after the first new one came makes room for a new one; where it brings none, it comes back as it was.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::chance::Chance;
use super::faults::Hand;
use super::fleet::{Fleet, Leave};
use super::load::{Load, Mix};
use super::report::{Report, percentile, seconds};
use super::stage::{Stage, Store};
use super::{Play, settings, settle};

const REPLICAS: usize = 5;
/// Messages a second: the load is to last longer than the upgrade.
const RATE: u32 = 40;
/// When messages expire, in seconds: later than a dead process's lease of 60 s.
const EXPIRES_IN: u64 = 150;
/// Pass figures.
const LEASES: Duration = Duration::from_secs(75);
const EXIT: Duration = Duration::from_secs(25);
/// What the service says of a row that it does not understand.
const UNREADABLE: &str = "cannot be read";

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("upgrade", Some(Store::Postgres));
    let old = play.old.as_deref().context("no program of the release before")?;
    let settings = format!("{}{}", settings::QUICK, settings::NOT_ASKED);
    let mut stage = Stage::set(play.workspace, "upgrade", &play.binary, Store::Postgres, &settings)?;
    let mut chance = Chance::of(play.seed, "upgrade");
    let brings_schema = schema(&stage, old)? != schema(&stage, &play.binary)?;
    let fleet = Fleet::start_build(&mut stage, old, REPLICAS, &mut chance).await?;
    let mix = Mix {
        callers: 16,
        pause: Duration::from_millis(100),
        batches: 20,
        batch: 50,
        expires_in: EXPIRES_IN,
        messages: play.rounds,
        per_second: Some(RATE),
        answer: Duration::from_secs(8),
        ..Mix::default()
    };
    let mut load = Load::start(play.seed, &mix, &fleet.addresses(), &stage.journals.acks)?;
    let hand = Hand::start(play.seed, &stage.web, stage.control()?);
    let mut upgrade = Upgrade {
        fleet,
        new: play.binary.clone(),
        brings_schema,
        messages: play.rounds,
        beside: Beside::default(),
    };
    upgrade.go(&mut stage, &load, &mut chance).await?;
    let Upgrade { mut fleet, beside, .. } = upgrade;
    fleet.all_ready().await?;
    let ended = Instant::now();
    load.all_posted().await?;
    let seen = load.finish().await?;
    let faults = hand.stop(&stage.web, stage.control()?).await?;
    let recovered = settle::none_sending(fleet.first()?, LEASES * 2).await?.map(|_| ended.elapsed());
    let settled = settle::settled(fleet.first()?, Duration::from_secs(EXPIRES_IN + 60)).await?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, fleet.first()?).await?;
    let is_sound = super::crash::sound(stage.cluster.as_ref().context("no database")?);

    report.tell("the new release's schema", if brings_schema { "newer" } else { "the same" });
    beside.tell(&mut report);
    report.within("exit at SIGTERM, longest", percentile(&fleet.leaves, 100), EXIT);
    report.tell("faults switched", faults);
    report.judged(&findings);
    report.none_of("rows that a replica could not read", &unreadable(&stage.folder)?);
    report.tell("statuses", settle::statuses(&rows));
    report.none_of("posts refused for good", &seen.refused());
    report.tell("posts turned away", seen.turned_away.load(Ordering::Relaxed));
    match recovered {
        Some(took) => report.within("nothing sending after the last kill", took, LEASES),
        None => report.hold("nothing sending after the last kill", "never", "≤ 75.00 s", false),
    }
    report.tell("settled after", settled.map_or_else(|| "never".to_owned(), seconds));
    report.hold("integrity", &is_sound, "ok", is_sound == "ok");
    Ok(report)
}

/// All versions of a build's schema, as SQL.
fn schema(stage: &Stage, binary: &Path) -> Result<Vec<u8>> {
    let printed = stage.ums_of(binary, &["migrate", "--print"]).output()?;
    ensure!(printed.status.success(), "{} prints no schema", binary.display());
    Ok(printed.stdout)
}

/// What the replicas wrote into their logs of rows that they did not understand.
fn unreadable(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("server-") {
            let log = std::fs::read(&path)?;
            let log = String::from_utf8_lossy(&log);
            let lines = log.lines().filter(|line| line.contains(UNREADABLE));
            found.extend(lines.map(|line| format!("{name}: {line}")));
        }
    }
    Ok(found)
}

/// Both releases side by side, as far as it went.
#[derive(Debug, Default)]
struct Beside {
    kills_of_old: u32,
    kills_of_new: u32,
    ended_alone: usize,
    /// Calls to providers: of old replicas before the first new one came, and of each replica when it became a new one.
    old_before: f64,
    became_new_at: [f64; REPLICAS],
    old_calls: f64,
    new_calls: f64,
    began: Option<Instant>,
    took: Duration,
    /// How many messages the last old replica could read, or why it could not.
    read_by_the_last: Option<Result<usize>>,
}

impl Beside {
    fn tell(&self, report: &mut Report) {
        report.tell("releases side by side for", seconds(self.took));
        for (name, found, least) in [
            ("kills of old replicas", f64::from(self.kills_of_old), 1.0),
            ("kills of new replicas, old ones beside", f64::from(self.kills_of_new), 1.0),
            ("calls by old replicas, new ones beside", self.old_calls, 1.0),
            ("calls by new replicas, old ones beside", self.new_calls, 1.0),
        ] {
            report.hold(name, found, "≥ 1, else the drill is void", found >= least);
        }
        report.hold("replicas that ended by themselves", self.ended_alone, "0", self.ended_alone == 0);
        let (read, holds) = match &self.read_by_the_last {
            Some(Ok(rows)) => (rows.to_string(), *rows > 0),
            Some(Err(error)) => (format!("{error:#}"), false),
            None => ("never asked".to_owned(), false),
        };
        report.hold("messages that the last old replica could read", read, "all", holds);
    }
}

/// An upgrade under way.
struct Upgrade {
    fleet: Fleet,
    new: std::path::PathBuf,
    /// Whether an old program refuses the database once a new one has opened it.
    brings_schema: bool,
    messages: u64,
    beside: Beside,
}

impl Upgrade {
    /// Kills, and replaces one after the other, until all is posted and every replica is a new one.
    async fn go(&mut self, stage: &mut Stage, load: &Load, chance: &mut Chance) -> Result<()> {
        let soon = |chance: &mut Chance| Instant::now() + chance.millis(2_000..=6_000);
        let mut kill_at = soon(chance);
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.beside.ended_alone += self.fleet.revive(stage)?;
            let posted = load.seen().acks.load(Ordering::Relaxed);
            let leaving = self.fleet.replicas.iter().any(super::fleet::Replica::leaves);
            let replaced = REPLICAS - self.old_ones().len();
            if posted >= self.messages && replaced == REPLICAS && !leaving {
                return Ok(());
            }
            // The load is shared out evenly: some before the first new one, some after the last.
            let due = posted.saturating_mul(REPLICAS as u64 + 1) / self.messages.max(1);
            if due > replaced as u64 && replaced < REPLICAS && !leaving {
                let how = if replaced.is_multiple_of(2) { Leave::Told } else { Leave::Killed };
                self.replace(stage, how, chance).await?;
            }
            if Instant::now() >= kill_at {
                self.kill(stage, chance).await?;
                kill_at = soon(chance);
            }
        }
    }

    fn old_ones(&self) -> Vec<usize> {
        (0..REPLICAS)
            .filter(|index| !self.fleet.replicas[*index].is_of(&self.new))
            .collect()
    }

    async fn replace(&mut self, stage: &mut Stage, how: Leave, chance: &mut Chance) -> Result<()> {
        let old = self.old_ones();
        let Some(index) = chance.pick(&old).copied() else {
            return Ok(());
        };
        if old.len() == REPLICAS {
            // One that is only starting would find the newer schema, and refuse it.
            self.fleet.all_ready().await?;
        }
        self.look(old.len(), index).await;
        self.beside.kills_of_old += u32::from(how == Leave::Killed);
        self.fleet.replace(stage, index, &self.new, how).await
    }

    /// Kills any that is ready and not on its way out.
    async fn kill(&mut self, stage: &mut Stage, chance: &mut Chance) -> Result<()> {
        let now = Instant::now();
        let old = self.old_ones();
        let refused_from_now_on = self.brings_schema && old.len() < REPLICAS;
        let free = |index: &usize| {
            let replica = &self.fleet.replicas[*index];
            let is_the_last = refused_from_now_on && old == [*index];
            !replica.leaves() && replica.spared_until <= now && !is_the_last
        };
        let free: Vec<usize> = (0..REPLICAS).filter(free).collect();
        let Some(index) = chance.pick(&free).copied() else {
            return Ok(());
        };
        if !old.contains(&index) {
            self.beside.kills_of_new += u32::from(!old.is_empty());
            return self.fleet.kill(stage, index).await;
        }
        self.beside.kills_of_old += 1;
        if refused_from_now_on {
            self.look(old.len(), index).await;
            self.fleet.replace(stage, index, &self.new, Leave::Killed).await
        } else {
            self.fleet.kill(stage, index).await
        }
    }

    /// Reads what all did so far, before an old one becomes a new one; the last old one is asked for every message.
    async fn look(&mut self, old: usize, index: usize) {
        for replica in &mut self.fleet.replicas {
            replica.look().await;
        }
        let calls = |index: usize| self.fleet.replicas[index].counts().attempts;
        let beside = &mut self.beside;
        if old == REPLICAS {
            beside.began = Some(Instant::now());
            beside.old_before = (0..REPLICAS).map(calls).sum();
        }
        if old == 1 {
            let new_calls = |other: usize| calls(other) - beside.became_new_at[other];
            beside.new_calls = (0..REPLICAS).filter(|other| *other != index).map(new_calls).sum();
            beside.old_calls = (0..REPLICAS).map(calls).sum::<f64>() - beside.old_before - beside.new_calls;
            beside.took = beside.began.map(|began| began.elapsed()).unwrap_or_default();
            beside.read_by_the_last = Some(settle::rows(self.fleet.replicas[index].server()).await.map(|rows| rows.len()));
        }
        beside.became_new_at[index] = calls(index);
    }
}
