//! `ums migrate`: brings the database to this program's schema.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Serialize;
use ums_core::{StoreError, SystemClock};
use ums_store::Migration;

use crate::exit::{Exit, Usage, usage};
use crate::{output, progress, settings};

/// Arguments of `ums migrate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The service does this itself when it starts; do it beforehand where the service may not change tables.
It is safe while an older version is running: versions only add.

Examples:
  ums migrate
  ums migrate --print > schema.sql
  ums migrate --database postgres://ums@db.example.com/ums --json"
)]
pub(crate) struct Args {
    /// The database, instead of `UMS_DATABASE_URL`. A password is better given there: others on the machine see the command line
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Only print the SQL of all versions
    #[arg(long)]
    print: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was done.
#[derive(Debug, Serialize)]
struct Report {
    database: String,
    applied: Vec<Applied>,
}

/// A version that was applied.
#[derive(Debug, Serialize)]
struct Applied {
    version: i64,
    name: &'static str,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> Result<Exit> {
    let place = settings::store_url(args.database.as_deref())?;
    let url = unified_messaging::store_url(&place);
    if args.print {
        let sql = ums_store::migrations_of(&url).map_err(told)?;
        output::either(args.json, &serde_json::json!({"database": place.to_string(), "sql": sql}), || {
            sql.clone()
        })?;
        return Ok(Exit::Done);
    }
    let migrating = ums_store::migrate(&url, Arc::new(SystemClock::new()));
    let applied = Box::pin(progress::shown("changing tables", migrating)).await.map_err(told)?;
    let applied = applied.into_iter().map(|Migration { version, name, .. }| Applied { version, name });
    let report = Report {
        database: place.to_string(),
        applied: applied.collect(),
    };
    output::either(args.json, &report, || for_people(&report))?;
    Ok(Exit::Done)
}

fn for_people(report: &Report) -> String {
    if report.applied.is_empty() {
        return format!("{} has this program's schema already; nothing was changed.", report.database);
    }
    let mut table = output::table(&["version", "what it brings"]);
    for Applied { version, name } in &report.applied {
        table.add_row([version.to_string(), (*name).to_owned()]);
    }
    format!("Applied to {}:\n{table}", report.database)
}

fn told(error: StoreError) -> anyhow::Error {
    let is_usage = matches!(error, StoreError::Unusable(_));
    let told = Err::<(), _>(error);
    let told = if is_usage {
        told.context(Usage("the database cannot be migrated".to_owned()))
    } else {
        told.context("the database cannot be migrated; what was applied before stays, and the same command goes on")
    };
    told.err().unwrap_or_else(|| usage("the database cannot be migrated"))
}
