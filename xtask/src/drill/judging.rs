//! The judge itself, end to end: a clean drill has no findings, and what is planted is found.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::chance::Chance;
use super::checker::{Row, judge};
use super::faults;
use super::load::{Load, Mix};
use super::report::Report;
use super::stage::{Server, Stage, Store, fixed_address};
use super::{Play, settings, settle};

/// Time the few messages have to come to an end.
const SETTLED: Duration = Duration::from_secs(30);
const ENDED: Duration = Duration::from_secs(30);
/// Time until the provider was asked what became of a message.
const ASKED: Duration = Duration::from_mins(1);

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("judge", None);
    let settings = format!("{}{}", settings::QUICK, settings::ASKED);
    let mut stage = Stage::set(play.workspace, "judge", &play.binary, Store::Sqlite, &settings)?;
    stage.set_setting("UMS_SMS_CHAIN", "twilio,aws_sns");
    let at = fixed_address(&mut Chance::of(play.seed, "address"))?;
    let (server, _) = stage.serve(at).await?;
    post(&stage, &server, play.seed, play.rounds).await?;
    let (clean, rows) = settle::findings(&stage, &server).await?;
    report.judged(&clean);
    let few = play.rounds.to_string();
    report.hold("rows of the clean drill", rows.len(), &few, rows.len().to_string() == few);

    settled_double(&stage, &server, play.seed, &mut report).await?;

    // A loss: one more message, and then the database of before it.
    end(server).await?;
    let database = stage.folder.join("ums.db");
    let kept = stage.folder.join("ums.db.before");
    std::fs::copy(&database, &kept).context("keeping the database")?;
    let (server, _) = stage.serve(at).await?;
    post(&stage, &server, play.seed.wrapping_add(1), 1).await?;
    end(server).await?;
    remove_database(&database)?;
    std::fs::rename(&kept, &database).context("putting the database back")?;
    let (server, _) = stage.serve(at).await?;
    let (found, _) = settle::findings(&stage, &server).await?;
    report.hold("a planted loss: found lost", found.lost.len(), "1", found.lost.len() == 1);
    report.hold(
        "a planted loss: its arrival is untold",
        found.untold.len(),
        "1",
        found.untold.len() == 1,
    );

    // A double and an arrival that never was, in the journal of arrivals.
    let arrivals = std::fs::read_to_string(&stage.journals.arrivals)?;
    let (first, rest) = arrivals.split_once('\n').context("nothing arrived")?;
    std::fs::write(&stage.journals.arrivals, format!("{first}\n{first}\n{rest}"))?;
    let (found, _) = settle::findings(&stage, &server).await?;
    let doubles = found.unexplained.len();
    report.hold("a planted double: found unexplained", doubles, "1", doubles == 1);
    std::fs::write(&stage.journals.arrivals, rest)?;
    let (found, _) = settle::findings(&stage, &server).await?;
    let claims = found.never_contacted.len();
    report.hold("a planted claim: said to be sent, never arrived", claims, "≥ 1", claims >= 1);
    Ok(report)
}

/// A double that is explained by an attempt whose provider was asked later what became of it; and the same double without that fact.
async fn settled_double(stage: &Stage, server: &Server, seed: u64, report: &mut Report) -> Result<()> {
    let control = stage.control()?;
    faults::put(&stage.web, control, "twilio", &json!({"mode": "hang_after", "rate": 1.0})).await?;
    let one = Mix {
        channel: Some("sms"),
        purpose: Some("transactional"),
        duplicates: Some("allow"),
        ..few(1)
    };
    post_mix(stage, server, seed.wrapping_add(2), &one).await?;
    faults::heal(&stage.web, control, "twilio").await?;
    let is_settled = |row: &Row| row.attempts.iter().any(|attempt| attempt.unknown_until.is_some());
    let start = Instant::now();
    let (found, mut rows) = loop {
        let (found, rows) = settle::findings(stage, server).await?;
        if rows.iter().any(is_settled) || start.elapsed() >= ASKED {
            break (found, rows);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let settled = rows.iter().filter(|row| is_settled(row)).count();
    report.hold("attempts that were unknown and that feedback settled", settled, "1", settled == 1);
    let (explained, unexplained) = (found.explained.len(), found.unexplained.len());
    report.hold("their double: explained", explained, "1", explained == 1);
    report.hold("their double: unexplained", unexplained, "0", unexplained == 0);
    for attempt in rows.iter_mut().flat_map(|row| &mut row.attempts) {
        attempt.unknown_until = None;
    }
    let found = judge(&stage.journals.read_acks()?, &stage.journals.read_arrivals()?, &rows);
    let unexplained = found.unexplained.len();
    report.hold(
        "the same double without the fact: found unexplained",
        unexplained,
        "1",
        unexplained == 1,
    );
    Ok(())
}

async fn post(stage: &Stage, server: &Server, seed: u64, messages: u64) -> Result<()> {
    post_mix(stage, server, seed, &few(messages)).await
}

fn few(messages: u64) -> Mix {
    Mix {
        messages,
        pause: Duration::ZERO,
        scheduled: 0,
        ..Mix::default()
    }
}

async fn post_mix(stage: &Stage, server: &Server, seed: u64, mix: &Mix) -> Result<()> {
    Load::start(seed, mix, &[server.at], &stage.journals.acks)?.all_posted().await?;
    settle::settled(server, SETTLED)
        .await?
        .context("a few messages do not come to an end")?;
    Ok(())
}

async fn end(mut server: Server) -> Result<()> {
    server.process.signal_alone("-TERM");
    server.ends_within(ENDED).await.context("the server does not end")?;
    Ok(())
}

/// Removes the file and what SQLite keeps beside it.
fn remove_database(database: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).context("removing the database"),
            _ => {}
        }
    }
    Ok(())
}
