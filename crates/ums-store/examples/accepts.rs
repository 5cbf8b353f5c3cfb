//! Durable accepts a second beside what the disk and SQLite can do at best, in one run.
//!
//! `cargo run --release -p ums-store --features conformance --example accepts -- [directory] [rounds]`
//!
//! A round goes in turns over short pieces of each, because a disk's speed changes within seconds: bare
//! `fdatasync` of 4 KiB appends; accepts by the store from one caller; bare inserts of the same rows by one
//! thread, 100 messages a commit; accepts from 64 callers, each waiting for its own commit. Ratios
//! are taken within a round, then the median.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program: its output is its purpose"
)]
#![expect(clippy::cast_precision_loss, reason = "rates are printed with few digits")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use ums_core::{Clock, Content, Email, EmailAddress, Mailbox, Message, MessageRecord, NewMessage, Status, Store, SystemClock};
use ums_store::conformance::Sample;
use ums_store::{MemoryStore, SqliteStore};

const TURNS: u32 = 10;
const SYNCS: u32 = 50;
const ALONE: u32 = 50;
const TOGETHER: u32 = 3_200;
const CALLERS: u32 = 64;
const BARE_BATCH: usize = 100;
const IN_MEMORY: u32 = 20_000;

/// Messages with one recipient and about 1.5 KB of text, with the intent of their first attempt.
fn messages(first: u32, count: u32) -> Vec<NewMessage> {
    let html = "<p>Thank you for your order. It is on its way to you.</p>".repeat(20);
    let text = "Thank you for your order. It is on its way to you. ".repeat(4);
    (first..first + count)
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

fn fdatasyncs(clock: &dyn Clock, file: &mut File) -> Duration {
    let start = clock.monotonic();
    for _ in 0..SYNCS {
        file.write_all(&[1; 4_096]).unwrap();
        file.sync_data().unwrap();
    }
    clock.monotonic().since(start)
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

fn bare(clock: &dyn Clock, connection: &Connection, first: u32) -> Duration {
    let rows: Vec<Rows> = messages(first, TOGETHER)
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
    let start = clock.monotonic();
    for batch in rows.chunks(BARE_BATCH) {
        connection.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
        for row in batch {
            insert(connection, row);
        }
        connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
    }
    clock.monotonic().since(start)
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

async fn accepts(clock: &dyn Clock, store: &Arc<SqliteStore>, all: Vec<NewMessage>, callers: usize) -> Duration {
    // Dealt out like cards: ids rise with time, whoever calls.
    let mut shares: Vec<Vec<NewMessage>> = (0..callers).map(|_| Vec::new()).collect();
    for (new, caller) in all.into_iter().zip((0..callers).cycle()) {
        shares.get_mut(caller).unwrap().push(new);
    }
    let start = clock.monotonic();
    let tasks: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let store = Arc::clone(store);
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
    clock.monotonic().since(start)
}

async fn fresh(path: &Path) -> Arc<SqliteStore> {
    let url = format!("sqlite://{}", path.display());
    Arc::new(SqliteStore::open(&url, Arc::new(SystemClock::new())).await.unwrap())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Time spent on each line of the comparison in a round.
#[derive(Default)]
struct Round {
    syncs: Duration,
    alone: Duration,
    bare: Duration,
    together: Duration,
    commits: u64,
}

async fn round(clock: &dyn Clock, directory: &Path) -> Round {
    let scratch = tempfile::tempdir_in(directory).unwrap();
    let mut file = tempfile::tempfile_in(scratch.path()).unwrap();
    let schema = fresh(&scratch.path().join("bare.db")).await;
    schema.close(Duration::from_mins(1)).await;
    let connection = Connection::open(scratch.path().join("bare.db")).unwrap();
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000")
        .unwrap();
    let one = fresh(&scratch.path().join("one.db")).await;
    let many = fresh(&scratch.path().join("many.db")).await;
    let mut round = Round::default();
    let before = many.commits();
    for turn in 0..TURNS {
        round.syncs += tokio::task::block_in_place(|| fdatasyncs(clock, &mut file));
        round.alone += accepts(clock, &one, messages(1 + turn * ALONE, ALONE), 1).await;
        round.bare += tokio::task::block_in_place(|| bare(clock, &connection, 1 + turn * TOGETHER));
        round.together += accepts(clock, &many, messages(1 + turn * TOGETHER, TOGETHER), CALLERS as usize).await;
    }
    round.commits = many.commits() - before;
    round
}

/// What the store in memory adds to a message: accept and the step that ends it.
async fn in_memory(clock: &dyn Clock) -> Duration {
    let store = MemoryStore::new(Arc::new(SystemClock::new()));
    let all: Vec<_> = messages(1, IN_MEMORY)
        .into_iter()
        .map(|new| (new, Sample::email(0).step(Status::Sent)))
        .collect();
    let start = clock.monotonic();
    for (new, mut step) in all {
        step.message_id = new.message.id;
        store.accept(new).await.unwrap();
        store.record(step).await.unwrap();
    }
    clock.monotonic().since(start) / IN_MEMORY
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| ".".to_owned());
    let rounds: u32 = arguments.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let clock = SystemClock::new();
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    println!("round  fdatasync/s  accepts/s at 1  bare100/s  accepts/s at 64 (messages a commit)");
    for number in 1..=rounds {
        let round = round(&clock, Path::new(&directory)).await;
        let (syncs, one) = (rate(TURNS * SYNCS, round.syncs), rate(TURNS * ALONE, round.alone));
        let (bare, many) = (rate(TURNS * TOGETHER, round.bare), rate(TURNS * TOGETHER, round.together));
        let group = f64::from(TURNS * TOGETHER) / round.commits as f64;
        println!("{number:>5}  {syncs:>11.0}  {one:>14.0}  {bare:>9.0}  {many:>15.0} ({group:.1})");
        alone.push(one / syncs);
        together.push(many / bare);
    }
    println!("in memory, accept and end: {:?} a message", in_memory(&clock).await);
    println!("accepts at 1 / fdatasync:  {:.2} (wanted 0.8)", median(alone));
    println!("accepts at 64 / bare100:   {:.2} (wanted 0.7)", median(together));
}
