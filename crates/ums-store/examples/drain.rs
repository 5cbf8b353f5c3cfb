//! Draining a backlog beside a bare loop of the same statements in batches of the same size, in one run.
//!
//! `cargo run --release -p ums-store --features conformance --example drain -- [directory] [rounds] [backlog] [large backlog]`
//!
//! A batch is claimed in one transaction, its intents are recorded in the next, its outcomes in a third. The
//! store does that for callers of its own (each waits for its own commit); the bare loop by one thread on the same
//! schema. A round goes in turns over short pieces of each. At last the time of a claim is taken with a small and
//! with a large backlog behind it.

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
use ums_core::{AttemptOutcome, Clock, MessageRecord, NewMessage, Purpose, Room, Status, Step, Store, SystemClock, Timestamp};
use ums_store::SqliteStore;
use ums_store::conformance::Sample;

const BATCH: usize = 100;
const BATCHES_A_TURN: u32 = 10;
const TURNS: u32 = 10;
const SYNCS: u32 = 50;
const CLAIMS: u32 = 20;

fn sample(number: u32) -> Sample {
    Sample::sms(number).purpose(Purpose::Transactional)
}

fn due() -> Timestamp {
    Timestamp::from_micros(1)
}

async fn filled(path: &Path, count: u32) -> Arc<SqliteStore> {
    let url = format!("sqlite://{}", path.display());
    let store = Arc::new(SqliteStore::open(&url, Arc::new(SystemClock::new())).await.unwrap());
    let numbers: Vec<u32> = (1..=count).collect();
    for chunk in numbers.chunks(1_000) {
        let new: Vec<NewMessage> = chunk
            .iter()
            .map(|number| sample(*number).new_message(Status::Queued, Some(due())).unwrap())
            .collect();
        store.accept_all(new).await.unwrap();
    }
    store
}

fn fdatasyncs(clock: &dyn Clock, file: &mut File) -> Duration {
    let start = clock.monotonic();
    for _ in 0..SYNCS {
        file.write_all(&[1; 4_096]).unwrap();
        file.sync_data().unwrap();
    }
    clock.monotonic().since(start)
}

fn room() -> Room {
    Room {
        otp: 0,
        transactional: BATCH,
        bulk: 0,
    }
}

/// The step with the intent, then the one with the outcome.
fn steps(record: &MessageRecord) -> [Step; 2] {
    let number = u32::try_from(record.message.id.as_uuid().as_u128() & 0xffff_ffff).unwrap();
    let sample = sample(number);
    let sending = Step {
        token: record.token,
        attempts: vec![sample.intent(1)],
        ..sample.step(Status::Sending)
    };
    let mut accepted = sample.intent(1);
    accepted.outcome = AttemptOutcome::Accepted;
    accepted.provider_message_id = Some("message-0123456789".to_owned());
    accepted.duration_ms = Some(40);
    let recipients = record.recipients.iter().cloned().map(|mut one| {
        one.status = Status::Sent;
        one
    });
    let sent = Step {
        token: record.token,
        attempts: vec![accepted],
        sent_at: Some(due()),
        recipients: Some(recipients.collect()),
        ..sample.step(Status::Sent)
    };
    [sending, sent]
}

async fn drain(clock: &dyn Clock, store: &Arc<SqliteStore>) -> Duration {
    let start = clock.monotonic();
    for _ in 0..BATCHES_A_TURN {
        let claimed = store.claim_due(due(), room()).await.unwrap();
        assert_eq!(claimed.len(), BATCH);
        let tasks = claimed.into_iter().map(|record| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for step in steps(&record) {
                    store.record(step).await.unwrap();
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    }
    clock.monotonic().since(start)
}

fn run(connection: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) {
    connection.prepare_cached(sql).unwrap().execute(values).unwrap();
}

/// One row of what was claimed: its key and what a sender needs.
struct Claimed {
    id: [u8; 16],
    content: String,
}

fn bare_claim(connection: &Connection) -> Vec<Claimed> {
    let mut select = connection
        .prepare_cached(
            "SELECT m.id, c.content FROM messages m JOIN contents c ON c.tenant = m.tenant AND c.message_id = m.id
             WHERE m.lane = 1 AND m.tenant = 'default' AND m.due_at <= 1 AND m.due_at IS NOT NULL ORDER BY m.due_at, m.id LIMIT ?1",
        )
        .unwrap();
    let rows = select.query_map([i64::try_from(BATCH).unwrap()], |row| {
        Ok(Claimed {
            id: row.get(0)?,
            content: row.get(1)?,
        })
    });
    let claimed: Vec<Claimed> = rows.unwrap().map(Result::unwrap).collect();
    for row in &claimed {
        run(
            connection,
            "UPDATE messages SET owner = 1, token = token + 1, due_at = NULL WHERE tenant = 'default' AND id = ?1",
            params![row.id],
        );
    }
    claimed
}

fn bare_drain(clock: &dyn Clock, connection: &Connection) -> Duration {
    let start = clock.monotonic();
    for _ in 0..BATCHES_A_TURN {
        run(connection, "BEGIN IMMEDIATE", &[]);
        let claimed = bare_claim(connection);
        run(connection, "COMMIT", &[]);
        assert!(claimed.iter().all(|row| !row.content.is_empty()) && claimed.len() == BATCH);
        run(connection, "BEGIN IMMEDIATE", &[]);
        for row in &claimed {
            run(
                connection,
                "UPDATE messages SET status = 'sending' WHERE tenant = 'default' AND id = ?1",
                params![row.id],
            );
            run(
                connection,
                "INSERT INTO attempts (tenant, message_id, id, number, provider, account, called_at, outcome, simulated, from_substituted)
                 VALUES ('default', ?1, ?1, 1, 'aws_sns', 'default', 1, 'calling', 0, 0)",
                params![row.id],
            );
        }
        run(connection, "COMMIT", &[]);
        run(connection, "BEGIN IMMEDIATE", &[]);
        for row in &claimed {
            run(
                connection,
                "UPDATE messages SET status = 'sent', sent_at = 1, owner = NULL WHERE tenant = 'default' AND id = ?1",
                params![row.id],
            );
            run(
                connection,
                "UPDATE attempts SET outcome = 'accepted', duration_ms = 40, provider_message_id = 'message-0123456789'
                 WHERE tenant = 'default' AND message_id = ?1 AND id = ?1",
                params![row.id],
            );
            run(
                connection,
                "UPDATE recipients SET status = 'sent' WHERE tenant = 'default' AND message_id = ?1 AND idx = 0",
                params![row.id],
            );
        }
        run(connection, "COMMIT", &[]);
    }
    clock.monotonic().since(start)
}

fn rate(count: u32, took: Duration) -> f64 {
    f64::from(count) / took.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The median time of a claim, in microseconds. What was claimed is not finished, so that only claims are measured.
async fn claim_time(clock: &dyn Clock, store: &SqliteStore) -> f64 {
    let mut times = Vec::new();
    for _ in 0..CLAIMS {
        let start = clock.monotonic();
        assert_eq!(store.claim_due(due(), room()).await.unwrap().len(), BATCH);
        times.push(clock.monotonic().since(start).as_nanos() as f64 / 1_000.0);
    }
    median(times)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| ".".to_owned());
    let mut number = |otherwise: u32| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    let (rounds, small, large) = (number(3), number(20_000), number(1_000_000));
    let clock = SystemClock::new();
    let a_round = TURNS * BATCHES_A_TURN * u32::try_from(BATCH).unwrap();
    println!("round  fdatasync/s  drained/s  bare/s  ratio");
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let scratch = tempfile::tempdir_in(&directory).unwrap();
        let mut file = tempfile::tempfile_in(scratch.path()).unwrap();
        let bare_file = filled(&scratch.path().join("bare.db"), a_round).await;
        bare_file.close(Duration::from_mins(1)).await;
        let connection = Connection::open(scratch.path().join("bare.db")).unwrap();
        connection
            .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000")
            .unwrap();
        let store = filled(&scratch.path().join("ours.db"), a_round).await;
        let (mut syncs, mut ours, mut bare) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for _ in 0..TURNS {
            syncs += tokio::task::block_in_place(|| fdatasyncs(&clock, &mut file));
            ours += drain(&clock, &store).await;
            bare += tokio::task::block_in_place(|| bare_drain(&clock, &connection));
        }
        let (ours, bare) = (rate(a_round, ours), rate(a_round, bare));
        println!(
            "{round:>5}  {:>11.0}  {ours:>9.0}  {bare:>6.0}  {:.2}",
            rate(TURNS * SYNCS, syncs),
            ours / bare
        );
        ratios.push(ours / bare);
    }
    println!("drain / bare drain in hundreds:  {:.2} (wanted 0.6)", median(ratios));

    let scratch = tempfile::tempdir_in(&directory).unwrap();
    let few = filled(&scratch.path().join("few.db"), small).await;
    let many = filled(&scratch.path().join("many.db"), large).await;
    let (mut with_few, mut with_many) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        with_few.push(claim_time(&clock, &few).await);
        with_many.push(claim_time(&clock, &many).await);
    }
    let (with_few, with_many) = (median(with_few), median(with_many));
    println!("a claim of {BATCH} with {small} waiting: {with_few:.0} µs, with {large}: {with_many:.0} µs");
    println!("large / small:  {:.2} (wanted at most 1.3)", with_many / with_few);
}
