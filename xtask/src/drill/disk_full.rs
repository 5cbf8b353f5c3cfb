//! The disk under SQLite fills up and gets room again: what was answered 2xx is there, nothing else is,
//! and the same process goes on.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::chance::Chance;
use super::load::{Load, Mix, Seen};
use super::report::{Report, percentile};
use super::stage::{Stage, Store, fixed_address};
use super::{Play, settings, settle};
use crate::prerequisites::debian::is_root;
use crate::process::{output, succeeds};

/// Pass figure.
const RECOVERY: Duration = Duration::from_secs(5);
/// How long the disk stays full.
const FULL: Duration = Duration::from_secs(6);
/// Time until somebody notices that the disk is full.
const NOTICED: Duration = Duration::from_secs(30);
/// When messages expire, in seconds.
const EXPIRES_IN: u64 = 60;

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("disk-full", Some(Store::Sqlite));
    let mut stage = Stage::set(play.workspace, "disk-full", &play.binary, Store::Sqlite, settings::QUICK)?;
    let disk = Disk::mount(&stage.folder.join("disk"), "24m")?;
    let database = format!("sqlite://{}", disk.0.join("ums.db").display());
    stage.set_setting("UMS_DATABASE_URL", &database);
    let at = fixed_address(&mut Chance::of(play.seed, "address"))?;
    let (mut server, _) = stage.serve(at).await?;
    let process = server.process.id();
    let mix = Mix {
        expires_in: EXPIRES_IN,
        ..Mix::default()
    };
    let load = Load::start(play.seed, &mix, &[at], &stage.journals.acks)?;
    let seen = std::sync::Arc::clone(load.seen());
    let mut recoveries = Vec::new();
    for _ in 0..play.rounds {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = seen.turned_away.load(Ordering::Relaxed);
        let filler = disk.fill()?;
        until(NOTICED, || seen.turned_away.load(Ordering::Relaxed) > before)
            .await
            .context("nobody noticed the full disk")?;
        tokio::time::sleep(FULL).await;
        std::fs::remove_file(filler)?;
        recoveries.push(recovery(&seen).await?);
    }
    let seen = load.finish().await?;
    settle::settled(&server, Duration::from_secs(EXPIRES_IN + 30)).await?;
    let (findings, rows) = settle::findings(&stage, &server).await?;
    let lives = server.ended().is_none();

    report.tell("times full", recoveries.len());
    report.tell("posts turned away", seen.turned_away.load(Ordering::Relaxed));
    let rude = seen.without_retry_after.load(Ordering::Relaxed);
    report.hold("of them without Retry-After", rude, "0", rude == 0);
    report.within("an accept again, longest", percentile(&recoveries, 100), RECOVERY);
    report.hold(
        "promises and rows",
        format!("{} and {}", findings.acks, rows.len()),
        "equal",
        findings.acks == rows.len(),
    );
    report.hold("the process that began", process, "lives", lives);
    let broken = seen.broken.load(Ordering::Relaxed) + seen.unreached.load(Ordering::Relaxed);
    report.hold("connections broken or not taken", broken, "0", broken == 0);
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    report.none_of("posts refused for good", &seen.refused());
    drop(server);
    drop(disk);
    Ok(report)
}

/// Time from now to the next accept.
async fn recovery(seen: &Seen) -> Result<Duration> {
    let start = Instant::now();
    let most = RECOVERY * 6;
    until(most, || seen.last_accept().is_some_and(|at| at > start))
        .await
        .context("nothing was accepted after there was room again")?;
    Ok(seen.last_accept().map_or(most, |at| at.saturating_duration_since(start)))
}

async fn until(most: Duration, condition: impl Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !condition() {
        ensure!(start.elapsed() < most, "not after {most:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// A small disk in memory; unmounted when dropped.
#[derive(Debug)]
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, size: &str) -> Result<Self> {
        if !is_root() {
            bail!("only root may mount the small disk that this drill fills");
        }
        std::fs::create_dir_all(at)?;
        // One that an interrupted drill left behind.
        succeeds(Command::new("umount").arg(at));
        let options = format!("size={size},mode=700");
        output(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "ums-drill"]).arg(at))
            .context("mounting the small disk that this drill fills")?;
        Ok(Self(at.to_owned()))
    }

    /// Takes all the room that is left; gives the file to remove.
    fn fill(&self) -> Result<PathBuf> {
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path)?;
        for block in [65_536, 4_096] {
            let block = vec![0_u8; block];
            while file.write_all(&block).is_ok() {}
        }
        Ok(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !succeeds(Command::new("umount").arg(&self.0)) {
            eprintln!("could not unmount {}", self.0.display());
        }
    }
}
