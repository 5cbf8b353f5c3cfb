//! SIGTERM under load: an end in time, no accepted request without its answer, no call left behind.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::chance::Chance;
use super::load::{Load, Mix};
use super::report::{Report, percentile, seconds};
use super::stage::{Stage, Store, fixed_address};
use super::{Play, faults, settings, settle};

/// Pass figure.
const EXIT: Duration = Duration::from_secs(25);
/// When messages expire, in seconds.
const EXPIRES_IN: u64 = 60;
/// The code of an attempt whose process ended before the answer.
const PROCESS_ENDED: &str = "process_ended";

pub(super) async fn run(play: &Play<'_>, store: Store) -> Result<Report> {
    let mut report = play.report("sigterm", Some(store));
    let mut stage = Stage::set(play.workspace, "sigterm", &play.binary, store, settings::QUICK)?;
    let mut chance = Chance::of(play.seed, "signals");
    let at = fixed_address(&mut chance)?;
    // Calls take their time, but less than a drain has.
    for provider in ["ses", "sns", "smtp"] {
        let slow = json!({"mode": "slow", "delay_ms": 1_500, "rate": 0.5});
        faults::put(&stage.web, stage.control()?, provider, &slow).await?;
    }
    let mix = Mix {
        expires_in: EXPIRES_IN,
        ..Mix::default()
    };
    let load = Load::start(play.seed, &mix, &[at], &stage.journals.acks)?;
    let (mut ends, mut codes) = (Vec::new(), Vec::new());
    for _ in 0..play.rounds {
        let (mut server, _) = stage.serve(at).await?;
        tokio::time::sleep(chance.millis(500..=2_500)).await;
        let start = std::time::Instant::now();
        server.process.signal_alone("-TERM");
        let limit = EXIT + Duration::from_secs(15);
        let status = server.ends_within(limit).await.context("the server does not end at SIGTERM")?;
        ends.push(start.elapsed());
        if !status.success() {
            codes.push(status.to_string());
        }
    }
    let (server, _) = stage.serve(at).await?;
    let seen = load.finish().await?;
    for provider in faults::PROVIDERS {
        faults::heal(&stage.web, stage.control()?, provider).await?;
    }
    settle::settled(&server, Duration::from_secs(EXPIRES_IN + 30)).await?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, &server).await?;

    report.tell("signals", ends.len());
    report.tell("exit, p50", seconds(percentile(&ends, 50)));
    report.within("exit, longest", percentile(&ends, 100), EXIT);
    report.none_of("exits with another status than 0", &codes);
    let lost = seen.answers_lost.load(Ordering::Relaxed);
    report.hold("accepted requests without their answer", lost, "0", lost == 0);
    report.tell("connections broken, not accepted", seen.broken.load(Ordering::Relaxed) - lost);
    let is_left = |row: &&super::checker::Row| {
        let mut attempts = row.attempts.iter();
        attempts.any(|attempt| attempt.outcome == "calling" || attempt.code.as_deref() == Some(PROCESS_ENDED))
    };
    let left: Vec<String> = rows.iter().filter(is_left).map(|row| row.id.clone()).collect();
    report.none_of("calls left behind", &left);
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    report.none_of("posts refused for good", &seen.refused());
    Ok(report)
}
