//! The judge itself, end to end: a clean drill has no findings, and what is planted is found.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::chance::Chance;
use super::load::{Load, Mix};
use super::report::Report;
use super::stage::{Server, Stage, Store, fixed_address};
use super::{Play, settings, settle};

/// Time the few messages have to come to an end.
const SETTLED: Duration = Duration::from_secs(30);
const ENDED: Duration = Duration::from_secs(30);

pub(super) async fn run(play: &Play<'_>) -> Result<Report> {
    let mut report = play.report("judge", None);
    let mut stage = Stage::set(play.workspace, "judge", &play.binary, Store::Sqlite, settings::QUICK)?;
    let at = fixed_address(&mut Chance::of(play.seed, "address"))?;
    let (server, _) = stage.serve(at).await?;
    post(&stage, &server, play.seed, play.rounds).await?;
    let (clean, rows) = settle::findings(&stage, &server).await?;
    report.judged(&clean);
    let few = play.rounds.to_string();
    report.hold("rows of the clean drill", rows.len(), &few, rows.len().to_string() == few);

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

async fn post(stage: &Stage, server: &Server, seed: u64, messages: u64) -> Result<()> {
    let mix = Mix {
        messages,
        pause: Duration::ZERO,
        scheduled: 0,
        ..Mix::default()
    };
    Load::start(seed, &mix, &[server.at], &stage.journals.acks)?.all_posted().await?;
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
