//! `ums backup`: a copy of the database at one instant, while the service runs.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;
use ums_core::{Clock as _, StoreError, SystemClock, Timestamp};
use ums_store::Backup;

use crate::exit::{Exit, Usage};
use crate::{output, progress, settings};

/// Arguments of `ums backup`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The service may run and send meanwhile. All that was answered before the instant is in the backup. The file is checked before it gets its name; it holds addresses and bodies: keep it as safe as the database. For PostgreSQL it runs pg_dump on the service's tables, and the file is a dump in the custom format.

Examples:
  ums backup
  ums backup --to /var/backups/ums/monday.db
  ums backup --database sqlite:///var/lib/ums/ums.db --to monday.db --json
  ums backup --database postgres://ums@db.example.com/ums --to monday.dump"
)]
pub(crate) struct Args {
    /// The file to write, which must not be there; ums-TIME.backup in this folder unless told
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// The database, instead of `UMS_DATABASE_URL`
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    taken_at: Timestamp,
    schema_version: i64,
    messages: u64,
    rows: u64,
    bytes: u64,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit> {
    let place = settings::store_url(args.database.as_deref())?;
    let clock = SystemClock::new();
    let file = args.to.unwrap_or_else(|| {
        let time: String = clock.now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
        PathBuf::from(format!("ums-{time}.backup"))
    });
    let url = unified_messaging::store_url(&place);
    let writing = ums_store::backup(&url, &file, Arc::new(clock));
    let backup = Box::pin(progress::shown("writing and checking the backup", writing)).await;
    let Backup {
        taken_at,
        schema_version,
        messages,
        rows,
        bytes,
    } = backup.map_err(|error| told(error, "no backup was written"))?;
    let report = Report {
        file,
        taken_at,
        schema_version,
        messages,
        rows,
        bytes,
    };
    output::either(args.json, &report, || {
        format!(
            "Backup of {taken_at}: {messages} messages, {rows} rows, {bytes} bytes, schema version {schema_version}: {}",
            report.file.display()
        )
    })?;
    Ok(Exit::Done)
}

/// An error of the store with its exit code: what cannot be done as it was asked for is wrong usage.
pub(super) fn told(error: StoreError, what: &'static str) -> anyhow::Error {
    let is_usage = matches!(error, StoreError::Unusable(_));
    let error = anyhow::Error::new(error);
    if is_usage {
        error.context(Usage(what.to_owned()))
    } else {
        error.context(what)
    }
}
