//! `ums restore`: a backup takes the database's place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;
use ums_config::StoreUrl;
use ums_core::{StoreError, SystemClock, Timestamp};
use ums_store::{Held, Restored};

use super::backup::told;
use crate::exit::Exit;
use crate::{output, progress, settings};

/// Arguments of `ums restore`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Stop the service first. A message that had not ended at the backup's instant may have been sent since: it becomes `unknown` and does not go out by itself. What is scheduled for later goes out at its time. Opt-outs since the backup are lost: see docs/backup.md.

On PostgreSQL it runs pg_restore and psql on a backup or on what `pg_dump --format=custom` wrote. Where you restore by other means, run it with --mark-restored before a service starts: it does the same to what had not ended.

Examples:
  ums restore monday.db
  ums restore monday.db --force
  ums restore monday.db --database sqlite:///var/lib/ums/ums.db --json
  ums restore monday.dump --database postgres://ums@db.example.com/ums
  ums restore --mark-restored --database postgres://ums@db.example.com/ums"
)]
pub(crate) struct Args {
    /// A file that `ums backup` wrote; for PostgreSQL, or `pg_dump --format=custom`
    #[arg(value_name = "FILE", required_unless_present = "mark_restored")]
    file: Option<PathBuf>,
    /// Replace a database that is not empty; a SQLite file is kept aside
    #[arg(long)]
    force: bool,
    /// Restore nothing: make a PostgreSQL database that was restored by other means safe to send from
    #[arg(long, conflicts_with_all = ["file", "force"])]
    mark_restored: bool,
    /// The database, instead of `UMS_DATABASE_URL`
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Report {
    database: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<u64>,
    held: u64,
    scheduled: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_aside: Option<PathBuf>,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit> {
    let place = settings::store_url(args.database.as_deref())?;
    let report = match &args.file {
        Some(file) => restored(&place, file, args.force).await?,
        None => marked(&place).await?,
    };
    output::either(args.json, &report, || for_people(&report))?;
    Ok(Exit::Done)
}

async fn restored(place: &StoreUrl, file: &Path, may_replace: bool) -> Result<Report> {
    let url = unified_messaging::store_url(place);
    let restoring = ums_store::restore(&url, file, may_replace, Arc::new(SystemClock::new()));
    let restored = Box::pin(progress::shown("checking and restoring", restoring)).await;
    let Restored {
        taken_at,
        messages,
        held,
        scheduled,
        kept_aside,
    } = restored.map_err(|error| {
        let what = if matches!(error, StoreError::CommitUnknown(_)) {
            "it is not known whether the backup was restored; run it again"
        } else {
            "nothing was restored; the database is as it was"
        };
        told(error, what)
    })?;
    Ok(Report {
        database: place.to_string(),
        taken_at,
        messages: Some(messages),
        held,
        scheduled,
        kept_aside,
    })
}

async fn marked(place: &StoreUrl) -> Result<Report> {
    let url = unified_messaging::store_url(place);
    let marking = ums_store::mark_restored(&url);
    let marked = Box::pin(progress::shown("marking what had not ended", marking)).await;
    let Held { held, scheduled } = marked.map_err(|error| told(error, "nothing was marked; the database is as it was"))?;
    Ok(Report {
        database: place.to_string(),
        taken_at: None,
        messages: None,
        held,
        scheduled,
        kept_aside: None,
    })
}

fn for_people(report: &Report) -> String {
    let Report {
        database,
        taken_at,
        messages,
        held,
        scheduled,
        kept_aside,
    } = report;
    let mut lines = vec![match (taken_at, messages) {
        (Some(taken_at), Some(messages)) => format!("{database} is as it was at {taken_at}: {messages} messages."),
        (None, Some(messages)) => format!("{database} is as it was when the backup was taken: {messages} messages."),
        (_, None) => format!("{database} is safe to send from."),
    }];
    if *held > 0 {
        lines.push(format!(
            "{held} messages had not ended and may have been sent since. They are `unknown` and do not go out by themselves:
  ums messages list --status unknown
  ums messages resend ID      (a double is possible), or
  ums messages mark ID sent"
        ));
    }
    if *scheduled > 0 {
        lines.push(format!(
            "{scheduled} are scheduled for later and go out at their time, also those that were cancelled since the backup."
        ));
    }
    lines.push("Lost since the backup: messages, opt-outs and bounces, idempotency keys.".to_owned());
    if let Some(file) = kept_aside {
        let file = file.display();
        lines.push(format!(
            "The database from before is kept in {file}. Carry its newer opt-outs over before you start the service:
  UMS_DATABASE_URL=sqlite://{file} ums suppressions export --output newer.csv
  ums suppressions import newer.csv"
        ));
    }
    lines.join("\n")
}
