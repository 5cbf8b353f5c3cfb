//! Durable accepts a second beside what the disk and SQLite can do at best, in one run.
//!
//! `cargo run --release -p ums-store --features conformance --example accepts -- [directory] [rounds]`
//!
//! Each round measures, one after the other and on a fresh file: bare `fdatasync` of 4 KiB appends;
//! bare inserts of the same rows by one thread, 100 messages a commit; accepts by the store from 1
//! and from 64 callers, each waiting for its own commit. Ratios are taken within a round, then the median.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program: its output is its purpose"
)]
#![expect(clippy::cast_precision_loss, reason = "rates are printed with few digits")]

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use ums_core::{Clock, Content, Email, EmailAddress, Mailbox, Message, MessageRecord, NewMessage, Status, Store, SystemClock};
use ums_store::SqliteStore;
use ums_store::conformance::Sample;

const ALONE: u32 = 1_000;
const TOGETHER: u32 = 20_000;
const CALLERS: u32 = 64;
const BARE_BATCH: usize = 100;

/// Messages with one recipient and about 1.5 KB of text, with the intent of their first attempt.
fn messages(count: u32) -> Vec<NewMessage> {
    let html = "<p>Thank you for your order. It is on its way to you.</p>".repeat(20);
    let text = "Thank you for your order. It is on its way to you. ".repeat(4);
    (1..=count)
        .map(|number| {
            let sample = Sample::email(number);
            let to = EmailAddress::parse(&format!("customer{number}@example.com")).unwrap();
            let email = Email {
                from: None,
                to: vec![Mailbox::new(None, to).unwrap()],
                cc: Vec::new(),
                bcc: Vec::new(),
                reply_to: Vec::new(),
                subject: format!("Order {number}"),
                html: Some(html.clone()),
                text: Some(text.clone()),
                attachments: Vec::new(),
                headers: Vec::new(),
            };
            let mut message = Message::clone(&*sample.message().unwrap());
            message.content = Content::Email(email);
            let message = Arc::new(message);
            let recipients = MessageRecord::accepted(Arc::clone(&message), Status::Sending).recipients;
            NewMessage {
                message,
                recipients,
                ..sample.sending().unwrap()
            }
        })
        .collect()
}

fn rate(count: u32, took: Duration) -> f64 {
    f64::from(count) / took.as_secs_f64()
}

fn fdatasyncs(clock: &dyn Clock, directory: &Path) -> f64 {
    let mut file = tempfile::tempfile_in(directory).unwrap();
    let start = clock.monotonic();
    let mut count = 0;
    while clock.monotonic().since(start) < Duration::from_millis(500) {
        file.write_all(&[1; 4_096]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    rate(count, clock.monotonic().since(start))
}

/// The rows of a message, with nothing to be done but to bind them.
struct Rows {
    id: [u8; 16],
    attempt: [u8; 16],
    content: String,
    handling: String,
    metadata: String,
    address: String,
    at: i64,
}

fn bare(clock: &dyn Clock, path: &Path, count: u32) -> f64 {
    let rows: Vec<Rows> = messages(count)
        .into_iter()
        .map(|new| Rows {
            id: new.message.id.as_uuid().into_bytes(),
            attempt: new.intent.as_ref().unwrap().id.as_uuid().into_bytes(),
            content: serde_json::to_string(&new.message.content).unwrap(),
            handling: serde_json::to_string(&new.message.handling).unwrap(),
            metadata: serde_json::to_string(&new.message.metadata).unwrap(),
            address: new.recipients.first().unwrap().address.clone(),
            at: new.message.accepted_at.as_micros(),
        })
        .collect();
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000")
        .unwrap();
    let start = clock.monotonic();
    for batch in rows.chunks(BARE_BATCH) {
        connection.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
        for row in batch {
            insert(&connection, row);
        }
        connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
    }
    rate(count, clock.monotonic().since(start))
}

fn insert(connection: &Connection, row: &Rows) {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql).unwrap().execute(values).unwrap();
    };
    run(
        "INSERT INTO messages (tenant, id, channel, purpose, lane, status, accepted_at, expires_at, owner, token)
         VALUES ('default', ?1, 'email', 'transactional', 1, 'sending', ?2, ?2, 1, 1)",
        params![row.id, row.at],
    );
    run(
        "INSERT INTO contents (tenant, message_id, content, handling, metadata) VALUES ('default', ?1, ?2, ?3, ?4)",
        params![row.id, row.content, row.handling, row.metadata],
    );
    run(
        "INSERT INTO recipients (tenant, message_id, idx, kind, address, status) VALUES ('default', ?1, 0, 'to', ?2, 'sending')",
        params![row.id, row.address],
    );
    run(
        "INSERT INTO attempts (tenant, message_id, id, number, provider, account, called_at, outcome, simulated, from_substituted)
         VALUES ('default', ?1, ?2, 1, 'aws_ses', 'default', ?3, 'calling', 0, 0)",
        params![row.id, row.attempt, row.at],
    );
}

async fn accepts(clock: &dyn Clock, store: Arc<SqliteStore>, count: u32, callers: u32) -> (f64, f64) {
    let mut all = messages(count);
    let mut shares = Vec::new();
    for _ in 0..callers {
        shares.push(all.split_off(all.len() - (count / callers) as usize));
    }
    let (start, commits) = (clock.monotonic(), store.commits());
    let tasks: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for new in share {
                    store.accept(new).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let done = count / callers * callers;
    let took = clock.monotonic().since(start);
    (rate(done, took), f64::from(done) / (store.commits() - commits) as f64)
}

async fn fresh(directory: &Path, name: &str) -> (Arc<SqliteStore>, std::path::PathBuf) {
    let path = directory.join(name);
    let url = format!("sqlite://{}", path.display());
    (Arc::new(SqliteStore::open(&url, Arc::new(SystemClock::new())).await.unwrap()), path)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| ".".to_owned());
    let rounds: u32 = arguments.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let clock = SystemClock::new();
    let (mut alone, mut together, mut all_together) = (Vec::new(), Vec::new(), Vec::new());
    println!("round  fdatasync/s  bare100/s  accepts/s at 1  accepts/s at 64 (messages a commit)");
    for round in 1..=rounds {
        let scratch = tempfile::tempdir_in(&directory).unwrap();
        let syncs = fdatasyncs(&clock, scratch.path());
        let (store, path) = fresh(scratch.path(), "bare.db").await;
        store.close(Duration::from_mins(1)).await;
        let bare = tokio::task::block_in_place(|| bare(&clock, &path, TOGETHER));
        let (store, _) = fresh(scratch.path(), "one.db").await;
        let (one, _) = accepts(&clock, store, ALONE, 1).await;
        let (store, _) = fresh(scratch.path(), "many.db").await;
        let (many, group) = accepts(&clock, store, TOGETHER, CALLERS).await;
        println!("{round:>5}  {syncs:>11.0}  {bare:>9.0}  {one:>14.0}  {many:>15.0} ({group:.1})");
        alone.push(one / syncs);
        together.push(many / bare);
        all_together.push(many);
    }
    println!("accepts at 1 / fdatasync:  {:.2} (wanted 0.8)", median(alone));
    println!(
        "accepts at 64 / bare100:   {:.2} (wanted 0.7), {:.0}/s",
        median(together),
        median(all_together)
    );
}
