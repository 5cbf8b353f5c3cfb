//! Large mails at once, long lists and a restart, in little memory: nothing is killed, nothing is lost, and codes go out meanwhile.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use self::cage::Cage;
use super::chance::Chance;
use super::load::{Load, Mix};
use super::report::Report;
use super::stage::{Server, Stage, Store, fixed_address};
use super::{Play, faults, settings, settle};

mod cage;

/// What the service may take, and the pass figure of what it takes at its peak, in bytes.
const LIMIT: u64 = 512 << 20;
const PEAK: u64 = 400 << 20;
/// A file of this size makes a request of 23 MiB.
const FILE_BYTES: usize = 17 << 20;
/// Pass figure: the slowest answer to a code.
const CODE_TIME: Duration = Duration::from_secs(5);
/// How long the restarted service works on what waits while the providers are still down.
const DOWN: Duration = Duration::from_secs(5);
const SETTLED: Duration = Duration::from_mins(4);
const EXPIRES_IN: u64 = 600;

pub(super) async fn run(play: &Play<'_>, store: Store) -> Result<Report> {
    let mut report = play.report("memory", Some(store));
    let mut stage = Stage::set(play.workspace, "memory", &play.binary, store, settings::QUICK)?;
    let cage = Cage::new(LIMIT)?;
    let at = fixed_address(&mut Chance::of(play.seed, "address"))?;
    let control = stage.control()?;
    for provider in MAIL {
        faults::put(&stage.web, control, provider, &json!({"mode": "error", "status": 503})).await?;
    }
    let mut server = start(&mut stage, &cage, at).await?;
    let codes = Load::start(play.seed, &codes(), &[at], &stage.journals.acks)?;
    let mut mails = Load::start(play.seed.wrapping_add(1), &mails(play.rounds), &[at], &stage.journals.acks)?;
    all_posted(&mut mails, &mut server).await?;
    page(&server).await?;
    let before = peak(&server)?;
    let was_alive = server.ended().is_none();
    server.kill()?;

    let mut server = start(&mut stage, &cage, at).await?;
    tokio::time::sleep(DOWN).await;
    page(&server).await?;
    for provider in MAIL {
        faults::heal(&stage.web, control, provider).await?;
    }
    let seen_of_codes = codes.finish().await?;
    let settled = settle::settled(&server, SETTLED).await?;
    let after = peak(&server)?;
    stage.sink_lives()?;
    let (findings, rows) = settle::findings(&stage, &server).await?;
    let lives = was_alive && server.ended().is_none();

    let seen_of_mails = mails.finish().await?;
    report.hold("killed for its memory", !lives, "false", lives);
    for (when, bytes) in [("while mails come", before), ("after the restart", after)] {
        let figure = format!("{} MiB", bytes >> 20);
        report.hold(&format!("peak {when}"), figure, "≤ 400 MiB", bytes <= PEAK);
    }
    let late = seen_of_codes.late.load(Ordering::Relaxed);
    report.hold("codes not answered in 5 s", late, "0", late == 0);
    report.hold("everything ended", settled.is_some(), "true", settled.is_some());
    report.tell(
        "mails turned away until there was room",
        seen_of_mails.turned_away.load(Ordering::Relaxed),
    );
    let rude = seen_of_mails.without_retry_after.load(Ordering::Relaxed);
    report.hold("of them without Retry-After", rude, "0", rude == 0);
    report.judged(&findings);
    report.tell("statuses", settle::statuses(&rows));
    let refused = [seen_of_codes.refused(), seen_of_mails.refused()].concat();
    report.none_of("posts refused for good", &refused);
    Ok(report)
}

/// The sink's words for the providers of e-mail.
const MAIL: [&str; 3] = ["ses", "sendgrid", "smtp"];

fn codes() -> Mix {
    Mix {
        callers: 2,
        batches: 0,
        scheduled: 0,
        channel: Some("sms"),
        purpose: Some("otp"),
        answer: CODE_TIME,
        ..Mix::default()
    }
}

/// All at once.
fn mails(count: u64) -> Mix {
    Mix {
        callers: usize::try_from(count).unwrap_or(usize::MAX),
        messages: count,
        batches: 0,
        scheduled: 0,
        channel: Some("email"),
        purpose: Some("transactional"),
        expires_in: EXPIRES_IN,
        file_bytes: FILE_BYTES,
        answer: Duration::from_mins(2),
        ..Mix::default()
    }
}

async fn start(stage: &mut Stage, cage: &Cage, at: std::net::SocketAddr) -> Result<Server> {
    let enter = cage.enter();
    let mut server = stage.start_server(at, None, &["sh", "-c", &enter, "ums"])?;
    server.ready().await?;
    Ok(server)
}

/// Waits until all mails are promised; a service that was killed promises none.
async fn all_posted(mails: &mut Load, server: &mut Server) -> Result<()> {
    tokio::select! {
        posted = mails.all_posted() => posted,
        ended = server.ends_within(SETTLED) => bail!("the service was killed, or did not take all mails in time: {ended:?}"),
    }
}

/// A page over all the large mails.
async fn page(server: &Server) -> Result<()> {
    let page = server.get("/v1/messages?limit=200").await?;
    ensure!(page["data"].as_array().is_some_and(|data| !data.is_empty()), "an empty page");
    Ok(())
}

/// The most memory that the process had at any time, in bytes.
fn peak(server: &Server) -> Result<u64> {
    let path = format!("/proc/{}/status", server.process.id());
    let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}: the service was killed"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kib.context("a process without VmHWM")? << 10)
}
