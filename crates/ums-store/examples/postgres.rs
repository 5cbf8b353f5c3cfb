//! Accepts, claims, completions and feedback on PostgreSQL beside what bare statements can do at best, in one run.
//!
//! `cargo run --release -p ums-store --features conformance --example postgres -- URL [rounds] [rows behind, …]`
//!
//! The URL names a database in which others can be made; one is made and dropped. A round goes in turns over short
//! pieces of each, because a disk's speed changes within seconds, and gives the database's own flushes of its log besides.
//! Bare statements come from four connections, 100 rows each time, and write the same rows into the same tables. Ratios
//! are taken within a round, then the median.
//!
//! Long because each measurement stands beside the bare statements that it is compared with.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program: its output is its purpose"
)]
#![expect(clippy::cast_precision_loss, reason = "rates are printed with few digits")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_postgres::{Client, NoTls};
use ums_core::{
    AttemptId, AttemptOutcome, Clock, Content, Email, EmailAddress, Event, EventKind, EventRecord, FeedbackStep, FeedbackStore,
    FeedbackTaken, Mailbox, Message, MessageRecord, NewMessage, ProviderKind, Room, Status, Step, Store, SystemClock, Target, Timestamp,
};
use ums_store::PostgresStore;
use ums_store::conformance::Sample;
use uuid::Uuid;

const CALLERS: u32 = 64;
const TOGETHER: u32 = 6_400;
const BATCH: usize = 100;
const CLIENTS: usize = 4;
const FAR: Timestamp = Timestamp::from_micros(i64::MAX);

/// Messages with one recipient and about 1.5 KB of text.
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    client
}

/// Flushes of the database's log so far.
async fn flushes(client: &Client) -> i64 {
    let row = client.query_one("SELECT wal_sync FROM pg_stat_wal", &[]).await.unwrap();
    row.get(0)
}

async fn accepts(clock: &dyn Clock, store: &Arc<PostgresStore>, first: u32) -> Duration {
    let new = messages(first, TOGETHER);
    let share = new.len() / CALLERS as usize;
    let start = clock.monotonic();
    let callers: Vec<_> = new
        .chunks(share)
        .map(|share| {
            let (store, share) = (Arc::clone(store), share.to_vec());
            tokio::spawn(async move {
                for new in share {
                    store.accept(new).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    clock.monotonic().since(start)
}

/// The columns of 100 messages, with nothing to be done but to send them.
#[derive(Clone, Default)]
struct Columns {
    id: Vec<Uuid>,
    attempt: Vec<Uuid>,
    content: Vec<String>,
    handling: Vec<String>,
    metadata: Vec<String>,
    address: Vec<String>,
    at: Vec<i64>,
}

impl Columns {
    fn of(new: &[NewMessage]) -> Self {
        let mut columns = Self::default();
        for new in new {
            columns.id.push(new.message.id.as_uuid());
            columns.attempt.push(new.intent.as_ref().unwrap().id.as_uuid());
            columns.content.push(serde_json::to_string(&new.message.content).unwrap());
            columns.handling.push(serde_json::to_string(&new.message.handling).unwrap());
            columns.metadata.push(serde_json::to_string(&new.message.metadata).unwrap());
            columns.address.push(new.recipients.first().unwrap().address.clone());
            columns.at.push(new.message.accepted_at.as_micros());
        }
        columns
    }
}

async fn bare_accepts(clock: &dyn Clock, clients: &[Arc<Client>], first: u32) -> Duration {
    let batches: Vec<Columns> = messages(first, TOGETHER).chunks(BATCH).map(Columns::of).collect();
    let start = clock.monotonic();
    let tasks: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(place, client)| {
            let (client, mine) = (
                Arc::clone(client),
                batches.iter().skip(place).step_by(CLIENTS).cloned().collect::<Vec<_>>(),
            );
            tokio::spawn(async move { insert_all(&client, &mine).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    clock.monotonic().since(start)
}

async fn insert_all(client: &Client, batches: &[Columns]) {
    let messages = client
        .prepare(
            "INSERT INTO messages (tenant, id, channel, purpose, lane, status, accepted_at, expires_at, owner, token)
             SELECT 'default', id, 'email', 'transactional', 1, 'sending', at, at, 1, 0 FROM unnest($1::uuid[], $2::bigint[]) AS s(id, at)",
        )
        .await
        .unwrap();
    let contents = client
        .prepare(
            "INSERT INTO contents (tenant, message_id, accepted_at, has_body, content, handling, metadata)
             SELECT 'default', id, at, true, content, handling, metadata
             FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[]) AS s(id, at, content, handling, metadata)",
        )
        .await
        .unwrap();
    let recipients = client
        .prepare(
            "INSERT INTO recipients (tenant, message_id, idx, kind, address, status)
             SELECT 'default', id, 0, 'to', address, 'sending' FROM unnest($1::uuid[], $2::text[]) AS s(id, address)",
        )
        .await
        .unwrap();
    let attempts = client
        .prepare(
            "INSERT INTO attempts (tenant, message_id, id, number, provider, account, called_at, outcome, simulated, from_substituted)
             SELECT 'default', id, attempt, 1, 'aws_ses', 'default', at, 'calling', false, false
             FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS s(id, attempt, at)",
        )
        .await
        .unwrap();
    for rows in batches {
        client.batch_execute("BEGIN").await.unwrap();
        client.execute(&messages, &[&rows.id, &rows.at]).await.unwrap();
        client
            .execute(&contents, &[&rows.id, &rows.at, &rows.content, &rows.handling, &rows.metadata])
            .await
            .unwrap();
        client.execute(&recipients, &[&rows.id, &rows.address]).await.unwrap();
        client.execute(&attempts, &[&rows.id, &rows.attempt, &rows.at]).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
    }
}

/// Puts messages into the queue, due one after the other, with as little as makes them readable.
async fn fill(client: &Client, count: i64) {
    let sample = messages(1, 1).remove(0);
    let text = |value: serde_json::Value| value.to_string();
    let content = text(serde_json::to_value(sample.message.content.without_body()).unwrap());
    let handling = text(serde_json::to_value(&sample.message.handling).unwrap());
    client
        .execute(
            "WITH new AS (INSERT INTO messages (tenant, id, channel, purpose, lane, status, accepted_at, expires_at, due_at, token)
               SELECT 'default', ('01980000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'email', 'transactional', 1, 'queued',
                 n, n, n, 0 FROM generate_series(1, $1::bigint) AS n
               RETURNING id, accepted_at),
             said AS (INSERT INTO contents (tenant, message_id, accepted_at, has_body, content, handling, metadata)
               SELECT 'default', id, accepted_at, false, $2, $3, '{}' FROM new)
             INSERT INTO recipients (tenant, message_id, idx, kind, address, status)
             SELECT 'default', id, 0, 'to', 'customer@example.com', 'queued' FROM new",
            &[&count, &content, &handling],
        )
        .await
        .unwrap();
}

fn completed(record: &MessageRecord, number: u32) -> Step {
    let mut attempt = Sample::email(number).intent(1);
    attempt.outcome = AttemptOutcome::Accepted;
    let mut recipients = record.recipients.clone();
    for recipient in &mut recipients {
        recipient.status = Status::Sent;
    }
    Step {
        message_id: record.message.id,
        token: record.token,
        attempts: vec![attempt],
        recipients: Some(recipients),
        sent_at: Some(Timestamp::from_micros(1)),
        ..Sample::email(number).step(Status::Sent)
    }
}

/// Claims and completes messages in batches by several workers.
async fn drain(clock: &dyn Clock, store: &Arc<PostgresStore>, numbers: &Arc<AtomicU32>) -> Duration {
    let start = clock.monotonic();
    let workers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (store, numbers) = (Arc::clone(store), Arc::clone(numbers));
            tokio::spawn(async move {
                for _ in 0..TOGETHER as usize / BATCH / CLIENTS {
                    let claimed = store.claim_due(FAR, Room::of_each(BATCH)).await.unwrap();
                    assert_eq!(claimed.len(), BATCH);
                    let steps: Vec<_> = claimed
                        .iter()
                        .map(|record| completed(record, numbers.fetch_add(1, Ordering::Relaxed)))
                        .map(|step| {
                            let store = Arc::clone(&store);
                            tokio::spawn(async move { store.record(step).await.unwrap() })
                        })
                        .collect();
                    for step in steps {
                        step.await.unwrap();
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    clock.monotonic().since(start)
}

async fn bare_drain(clock: &dyn Clock, clients: &[Arc<Client>]) -> Duration {
    let start = clock.monotonic();
    let tasks: Vec<_> = clients
        .iter()
        .map(|client| {
            let client = Arc::clone(client);
            tokio::spawn(async move {
                for _ in 0..TOGETHER as usize / BATCH / CLIENTS {
                    claim_and_complete(&client).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    clock.monotonic().since(start)
}

async fn claim_and_complete(client: &Client) {
    let claim = "UPDATE messages SET owner = 1, token = token + 1, due_at = NULL WHERE (tenant, id) IN (
                   SELECT tenant, id FROM messages WHERE lane = 1 AND tenant = 'default' AND due_at <= 9000000000000000
                   ORDER BY due_at, id LIMIT 100 FOR UPDATE SKIP LOCKED)
                 RETURNING id, (SELECT content FROM contents c WHERE c.tenant = 'default' AND c.message_id = messages.id)";
    let complete = "WITH done AS (UPDATE messages m SET status = 'sent', owner = NULL, sent_at = 1 FROM unnest($1::uuid[]) AS s(id)
                      WHERE m.tenant = 'default' AND m.id = s.id AND m.owner = 1),
                    told AS (UPDATE recipients r SET status = 'sent' FROM unnest($1::uuid[]) AS s(id)
                      WHERE r.tenant = 'default' AND r.message_id = s.id)
                    INSERT INTO attempts (tenant, message_id, id, number, provider, account, called_at, outcome, simulated, from_substituted)
                    SELECT 'default', id, gen_random_uuid(), 1, 'aws_ses', 'default', 1, 'accepted', false, false
                    FROM unnest($1::uuid[]) AS s(id)";
    let claimed = client.query(claim, &[]).await.unwrap();
    let ids: Vec<Uuid> = claimed.iter().map(|row| row.get(0)).collect();
    client.execute(complete, &[&ids]).await.unwrap();
}

/// What feedback makes of a message that was delivered.
fn delivered(record: &MessageRecord, event: &Event, attempt_id: AttemptId) -> FeedbackStep {
    let mut attempts = record.attempts.clone();
    for attempt in &mut attempts {
        attempt.reported = Some(Status::Delivered);
    }
    let mut recipients = record.recipients.clone();
    for recipient in &mut recipients {
        recipient.status = Status::Delivered;
    }
    let kept = EventRecord {
        event: event.clone(),
        received_at: Timestamp::from_micros(3),
        attempt_id: Some(attempt_id),
    };
    FeedbackStep::Apply(Box::new(Step {
        message_id: record.message.id,
        token: record.token,
        attempts,
        recipients: Some(recipients),
        delivered_at: Some(Timestamp::from_micros(2)),
        events: vec![kept],
        ..Sample::email(1).step(Status::Delivered)
    }))
}

/// Receipts for messages that were sent, in batches: each is looked up, judged and taken. Several callers.
async fn feedback(clock: &dyn Clock, store: &Arc<PostgresStore>, first: u32) -> Duration {
    let batches: Vec<Vec<Event>> = events(first).chunks(BATCH).map(<[Event]>::to_vec).collect();
    let start = clock.monotonic();
    let callers: Vec<_> = (0..CLIENTS)
        .map(|place| {
            let (store, mine) = (
                Arc::clone(store),
                batches.iter().skip(place).step_by(CLIENTS).cloned().collect::<Vec<_>>(),
            );
            tokio::spawn(async move {
                for events in mine {
                    let targets = store.feedback_targets(&events).await.unwrap();
                    let found = targets.of.iter().zip(&events).map(|(target, event)| match target {
                        Target::Message(place, Some(attempt)) => delivered(&targets.messages[*place], event, *attempt),
                        Target::Message(_, None) | Target::Known | Target::Nobody => unreachable!("every event has its attempt"),
                    });
                    let taken = store.take_feedback(found.collect()).await.unwrap();
                    assert!(taken.iter().all(|taken| *taken == FeedbackTaken::Kept));
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    clock.monotonic().since(start)
}

fn events(first: u32) -> Vec<Event> {
    (first..first + TOGETHER)
        .map(|number| {
            let mut event = Event::new(
                ProviderKind::AwsSes,
                format!("{number:032}:delivery"),
                EventKind::Delivered,
                "Delivery",
            );
            event.recipient = Some(format!("customer{number}@example.com"));
            event.about.attempt_id = Some(Sample::email(number).intent(1).id);
            event
        })
        .collect()
}

/// The same events inserted and no more, 100 rows each time.
async fn bare_events(clock: &dyn Clock, clients: &[Arc<Client>], first: u32) -> Duration {
    let rows: Vec<(String, String)> = events(first)
        .iter()
        .map(|event| (format!("bare {}", event.id), serde_json::to_string(event).unwrap()))
        .collect();
    let start = clock.monotonic();
    let tasks: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(place, client)| {
            let client = Arc::clone(client);
            let mine: Vec<(Vec<String>, Vec<String>)> = rows
                .chunks(BATCH)
                .skip(place)
                .step_by(CLIENTS)
                .map(|rows| rows.iter().cloned().unzip())
                .collect();
            tokio::spawn(async move {
                let sql = "INSERT INTO events (provider, account, id, tenant, message_id, number, received_at, looks, event)
                     SELECT 'aws_ses', 'default', id, 'default', gen_random_uuid(), 1, 1, 0, event
                     FROM unnest($1::text[], $2::text[]) AS s(id, event)";
                for (ids, events) in mine {
                    client.execute(sql, &[&ids, &events]).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    clock.monotonic().since(start)
}

/// Median and worst of 300 claims of 10 messages, each completed in between.
async fn claim_latency(clock: &dyn Clock, store: &PostgresStore) -> (f64, f64) {
    let mut took = Vec::new();
    for _ in 0..300 {
        let start = clock.monotonic();
        let claimed = store.claim_due(FAR, Room::of_each(10)).await.unwrap();
        took.push(clock.monotonic().since(start).as_secs_f64() * 1_000.0);
        assert_eq!(claimed.len(), 10);
    }
    took.sort_by(f64::total_cmp);
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

async fn rounds(clock: &Arc<dyn Clock>, url: &str, rounds: u32) {
    let store = Arc::new(PostgresStore::open(url, Arc::clone(clock)).await.unwrap());
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Arc::new(connect(url).await));
    }
    let control = connect(url).await;
    fill(&control, i64::from(TOGETHER) * i64::from(rounds + 1) * 2).await;
    control.batch_execute("VACUUM (ANALYZE)").await.unwrap();
    let numbers = Arc::new(AtomicU32::new(2_000_000_000));
    let (mut first, mut accept_ratios, mut drain_ratios, mut feedback_ratios) = (10, Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        store.renew().await.unwrap();
        let flushed = flushes(&control).await;
        let commits = store.commits();
        let accepted = accepts(&**clock, &store, first).await;
        let (commits, flushed) = (store.commits() - commits, flushes(&control).await - flushed);
        let bare = bare_accepts(&**clock, &clients, first + TOGETHER).await;
        first += 2 * TOGETHER;
        let sent = numbers.load(Ordering::Relaxed);
        let drained = drain(&**clock, &store, &numbers).await;
        let bare_drained = bare_drain(&**clock, &clients).await;
        let ratio = rate(TOGETHER, accepted) / rate(TOGETHER, bare);
        let drain_ratio = rate(TOGETHER, drained) / rate(TOGETHER, bare_drained);
        println!(
            "round {round}: accepts {:.0}/s ({commits} commits, {:.0} flushes/s), bare {:.0}/s, ratio {ratio:.2}; claim and complete {:.0}/s, bare {:.0}/s, ratio {drain_ratio:.2}",
            rate(TOGETHER, accepted),
            flushed as f64 / accepted.as_secs_f64(),
            rate(TOGETHER, bare),
            rate(TOGETHER, drained),
            rate(TOGETHER, bare_drained),
        );
        let fed = feedback(&**clock, &store, sent).await;
        let bare_fed = bare_events(&**clock, &clients, sent).await;
        let feedback_ratio = rate(TOGETHER, fed) / rate(TOGETHER, bare_fed);
        println!(
            "round {round}: feedback {:.0} events/s, bare {:.0}/s, ratio {feedback_ratio:.2}",
            rate(TOGETHER, fed),
            rate(TOGETHER, bare_fed),
        );
        if round > 0 {
            feedback_ratios.push(feedback_ratio);
            accept_ratios.push(ratio);
            drain_ratios.push(drain_ratio);
        }
    }
    println!("accepts: {:.2} of bare (wanted 0.50)", median(accept_ratios));
    println!("claim and complete: {:.2} of bare (wanted 0.70)", median(drain_ratios));
    println!("feedback: {:.2} of bare inserts", median(feedback_ratios));
    store.close(Duration::from_secs(10)).await;
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "postgres://127.0.0.1/postgres".to_owned());
    let number_of_rounds = arguments.next().map_or(5, |rounds| rounds.parse().unwrap());
    let behind: Vec<i64> = arguments.map(|rows| rows.parse().unwrap()).collect();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (head, _) = server.rsplit_once('/').unwrap();
    let outside = connect(&server).await;
    let mut flat = Vec::new();
    for rows in std::iter::once(0).chain(behind) {
        outside
            .batch_execute("DROP DATABASE IF EXISTS ums_measured WITH (FORCE)")
            .await
            .unwrap();
        outside.batch_execute("CREATE DATABASE ums_measured").await.unwrap();
        let url = format!("{head}/ums_measured");
        if rows == 0 {
            rounds(&clock, &url, number_of_rounds).await;
            continue;
        }
        let store = PostgresStore::open(&url, Arc::clone(&clock)).await.unwrap();
        fill(&connect(&url).await, rows).await;
        let control = connect(&url).await;
        control.batch_execute("VACUUM (ANALYZE)").await.unwrap();
        control.batch_execute("CHECKPOINT").await.unwrap();
        store.renew().await.unwrap();
        claim_latency(&*clock, &store).await;
        let (median, worst) = claim_latency(&*clock, &store).await;
        flat.push(median);
        println!(
            "a claim of 10 with {rows} rows behind: median {median:.2} ms, 99th {worst:.2} ms, {:.2} of the first (wanted ≤ 1.30)",
            median / flat[0]
        );
        store.close(Duration::from_secs(10)).await;
    }
    outside
        .batch_execute("DROP DATABASE IF EXISTS ums_measured WITH (FORCE)")
        .await
        .unwrap();
}
