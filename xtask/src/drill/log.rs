//! Nobody reads the log: posts go on, SIGHUP changes nothing, SIGTERM ends in time, a second signal at once.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::chance::Chance;
use super::load::{Load, Mix};
use super::report::Report;
use super::stage::{Server, Stage, Store, fixed_address};
use super::{Play, faults, settings, settle};

/// Pass figures.
const EXIT: Duration = Duration::from_secs(25);
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long the log may take to fill up, and how long posts are counted afterwards.
const FILLS_WITHIN: Duration = Duration::from_secs(30);
const COUNTED: Duration = Duration::from_secs(2);
/// When messages expire, in seconds.
const EXPIRES_IN: u64 = 12;
/// Standard error becomes a pipe that has room for 64 KiB and no reader.
const NO_READER: &[&str] = &["sh", "-c", "exec \"$@\" 2<>stuck", "sh"];

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("log", None);
    let mut stage = Stage::set(play.workspace, "log", &play.binary, Store::Sqlite, settings::QUICK)?;
    let made = Command::new("mkfifo").arg(stage.folder.join("stuck")).status();
    ensure!(made.context("mkfifo")?.success(), "mkfifo failed");
    stage.set_setting("UMS_LOG", "debug");
    let at = fixed_address(&mut Chance::of(play.seed, "log"))?;
    let mix = Mix {
        callers: 16,
        pause: Duration::ZERO,
        expires_in: EXPIRES_IN,
        per_second: Some(400),
        ..Mix::default()
    };
    let load = Load::start(play.seed, &mix, &[at], &stage.journals.acks)?;
    let mut server = stuck_server(&mut stage, at).await?;
    let start = Instant::now();
    let mut dropped = 0.0;
    while dropped == 0.0 && start.elapsed() < FILLS_WITHIN && server.ended().is_none() {
        tokio::time::sleep(Duration::from_millis(250)).await;
        dropped = server.metric("ums_log_lines_dropped_total", "").await.unwrap_or_default();
    }
    report.hold("lines dropped and counted", dropped, "> 0", dropped > 0.0);
    let trouble = server.metric("ums_trouble", "\"log\"").await.unwrap_or_default();
    report.hold("trouble `log`", trouble, "1", trouble > 0.0);
    let before = load.seen().accepted.load(Ordering::Relaxed);
    server.process.signal_alone("-HUP");
    tokio::time::sleep(COUNTED).await;
    let posts = load.seen().accepted.load(Ordering::Relaxed) - before;
    report.hold("posts accepted after SIGHUP, log stuck", posts, "≥ 20", posts >= 20);
    let ended = server.ended().map(|status| status.to_string());
    report.none_of("ends by SIGHUP", ended.as_slice());
    report.within("exit at SIGTERM", ends(&mut server, &["-TERM"]).await?, EXIT);

    let mut server = stuck_server(&mut stage, at).await?;
    for provider in ["ses", "sns"] {
        let slow = json!({"mode": "slow", "delay_ms": 2_800});
        faults::put(&stage.web, stage.control()?, provider, &slow).await?;
    }
    tokio::time::sleep(COUNTED).await;
    report.within("exit at the second signal", ends(&mut server, &["-TERM", "-INT"]).await?, AT_ONCE);

    for provider in faults::PROVIDERS {
        faults::heal(&stage.web, stage.control()?, provider).await?;
    }
    let (server, _) = stage.serve(at).await?;
    let seen = load.finish().await?;
    settle::settled(&server, Duration::from_secs(EXPIRES_IN + 30)).await?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, &server).await?;
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    report.none_of("posts refused for good", &seen.refused());
    Ok(report)
}

async fn stuck_server(stage: &mut Stage, at: SocketAddr) -> Result<Server> {
    let mut server = stage.start_server(at, None, NO_READER)?;
    server.ready().await?;
    Ok(server)
}

/// Sends the signals, a little apart; how long the process lives after the last. One that does not end is killed.
async fn ends(server: &mut Server, signals: &[&str]) -> Result<Duration> {
    for (number, signal) in signals.iter().enumerate() {
        if number > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        server.process.signal_alone(signal);
    }
    let start = Instant::now();
    if server.ends_within(EXIT + Duration::from_secs(2)).await.is_none() {
        server.kill()?;
    }
    Ok(start.elapsed())
}
