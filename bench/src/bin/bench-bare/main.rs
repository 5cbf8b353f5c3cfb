//! What the disk and the databases can do at best: bare statements on the same rows in the same tables.
//!
//! `bench-bare sync DIR COUNT` · 4 KiB appends, each with fdatasync
//! `bench-bare accept URL MESSAGES BATCH` · inserts of messages that wait for their time
//! `bench-bare drain URL MESSAGES BATCH` · claims of messages that are due, and their ends
//! `bench-bare wipe URL` · empties a PostgreSQL database that belongs to the measurement
//!
//! The store's tables are made where they are not there yet. PostgreSQL is used by four connections at
//! once, SQLite by one, which is the most that it has. Each prints one line of JSON: `per_s`. `cargo xtask bench --durable` calls it.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

mod postgres;
mod sqlite;

#[path = "../../message.rs"]
#[expect(dead_code, reason = "the senders use the rest")]
mod message;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use ums_core::{Clock, MessageId, SendEmail, SystemClock, SystemRandom};

/// A message's rows, with nothing to be done but to bind them.
struct Rows {
    id: uuid::Uuid,
    at: i64,
    expires_at: i64,
    content: String,
    handling: String,
}

impl Rows {
    fn make(count: usize) -> Result<Vec<Self>> {
        let clock = SystemClock::new();
        let parsed = SendEmail::new(message::TO, message::SUBJECT)
            .text(message::text())
            .html(message::html())
            .parse()?;
        let (content, handling) = (serde_json::to_string(&parsed.content)?, serde_json::to_string(&parsed.handling)?);
        let rows = (0..count).map(|_| Self {
            id: MessageId::new(&clock, &SystemRandom).as_uuid(),
            at: clock.now().as_micros(),
            expires_at: (clock.now() + Duration::from_hours(72)).as_micros(),
            content: content.clone(),
            handling: handling.clone(),
        });
        Ok(rows.collect())
    }
}

/// When a message of the measurement would be sent: later than any.
const DUE_LATER: i64 = 4_070_908_800_000_000;

fn sync(directory: &Path, count: usize) -> Result<Duration> {
    let path = directory.join(format!("bench-sync-{}", std::process::id()));
    let mut file = File::create(&path)?;
    let start = Instant::now();
    for _ in 0..count {
        file.write_all(&[1; 4_096])?;
        file.sync_data()?;
    }
    let took = start.elapsed();
    std::fs::remove_file(&path)?;
    Ok(took)
}

fn make_tables(url: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = ums_store::open(url, Arc::new(SystemClock::new())).await?;
        store.close(Duration::from_secs(10)).await;
        Ok(())
    })
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (count, took) = match words.as_slice() {
        ["sync", directory, count] => {
            let count = count.parse().context("COUNT")?;
            (count, sync(Path::new(directory), count)?)
        }
        ["wipe", url] => return postgres::wipe(url),
        [what, url, messages, batch] => {
            make_tables(url)?;
            let (messages, batch) = (messages.parse().context("MESSAGES")?, batch.parse().context("BATCH")?);
            let took = match (*what, url.strip_prefix("sqlite://")) {
                ("accept", Some(file)) => sqlite::accept(file, messages, batch)?,
                ("drain", Some(file)) => sqlite::drain(file, messages, batch)?,
                ("accept", None) => postgres::accept(url, messages, batch)?,
                ("drain", None) => postgres::drain(url, messages, batch)?,
                (other, _) => bail!("cannot {other}; sync, accept or drain"),
            };
            (messages, took)
        }
        _ => bail!("usage: bench-bare sync DIR COUNT | accept URL MESSAGES BATCH | drain URL MESSAGES BATCH"),
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = count as f64 / took.as_secs_f64();
    println!("{}", json!({ "per_s": rate }));
    Ok(())
}
