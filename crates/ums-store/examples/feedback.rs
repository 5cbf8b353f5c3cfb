//! Events a second beside bare inserts of the same rows into the same file, and what a long suppression list costs an accept.
//!
//! `cargo run --release -p ums-store --features conformance --example feedback -- [directory] [rounds] [entries]`
//!
//! A round goes in turns over short pieces of each: batches of 100 events from one caller, each looked up (`feedback_targets`) and applied to
//! its message (`take_feedback`: event, attempt, recipient, status; with and without a notice); bare inserts of such events, 100 a commit.
//! Then accepts from 64 callers into a file with an empty list and into one with that many entries. Ratios are taken within a round, then the
//! median.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program: its output is its purpose"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use ums_core::{
    AttemptOutcome, Channel, Clock, Endpoint, EndpointId, Event, EventKind, EventRecord, FeedbackStep, FeedbackStore, FeedbackTaken,
    MessageRecord, NewMessage, Notice, NoticeId, NoticeKind, NoticeState, OutboxStore, ProviderKind, Status, Step, Store, Suppression,
    SuppressionOrigin, SuppressionReason, SuppressionStore, SystemClock, SystemRandom, Target, TenantId, Timestamp,
};
use ums_store::SqliteStore;
use ums_store::conformance::Sample;

const TURNS: u32 = 8;
const BATCH: u32 = 100;
const BATCHES: u32 = 10;
const ACCEPTS: u32 = 3_200;
const CALLERS: usize = 64;
const AT: Timestamp = Timestamp::from_micros(1_795_341_600_000_000);

fn endpoint() -> Endpoint {
    Endpoint {
        id: EndpointId::from_uuid(Sample::sms(0).id().as_uuid()),
        tenant: TenantId::default(),
        url: "https://app.example.com/hook".to_owned(),
        description: String::new(),
        kinds: Vec::new(),
        secrets: Vec::new(),
        created_at: AT,
        disabled: None,
        failing_since: None,
        last_success_at: None,
        last_error: None,
    }
}

fn notice(number: u32, record: &MessageRecord) -> Notice {
    let clock = SystemClock::new();
    Notice {
        id: NoticeId::new(&clock, &SystemRandom),
        tenant: TenantId::default(),
        endpoint: endpoint().id,
        kind: NoticeKind::Delivered,
        message_id: Some(record.message.id),
        at: AT,
        body: format!(
            "{{\"type\":\"message.delivered\",\"timestamp\":\"2026-11-22T10:00:00Z\",\"data\":{{\"message_id\":\"{}\",\"status\":\"delivered\",\
             \"channel\":\"email\",\"recipient_id\":\"customer{number}@example.com\",\"purpose\":\"transactional\",\"provider\":\"aws_ses\",\
             \"provider_message_id\":\"ref-{number}\",\"error_message\":null,\"metadata\":{{\"order\":{number}}}}}}}",
            record.message.id
        ),
        state: NoticeState::Pending,
        tries: 0,
        due_at: AT,
        last_result: None,
    }
}

/// Messages as they stand when a provider took them.
async fn send(store: &SqliteStore, numbers: std::ops::Range<u32>) {
    for batch in numbers.collect::<Vec<_>>().chunks(500) {
        let new = batch.iter().map(|number| {
            let sample = Sample::email(*number);
            let mut attempt = sample.intent(1);
            attempt.outcome = AttemptOutcome::Accepted;
            attempt.provider_message_id = Some(format!("ref-{number}"));
            NewMessage {
                intent: Some(attempt),
                ..sample.new_message(Status::Sent, None).unwrap()
            }
        });
        store.accept_all(new.collect()).await.unwrap();
    }
}

/// One of SES's, as its reader makes it.
fn event(number: u32, id: &str) -> Event {
    let sample = Sample::email(number);
    let mut event = Event::new(ProviderKind::AwsSes, id, EventKind::Delivered, "Delivery");
    event.recipient = Some(format!("customer{number}@example.com"));
    event.at = Some(AT);
    event.about.attempt_id = Some(sample.intent(1).id);
    event.about.message_id = Some(sample.id());
    event.about.provider_message_id = Some(format!("ref-{number}"));
    event
}

/// Ids that come in no order, as a hash does.
fn id(number: u32) -> String {
    let mixed = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    format!("{mixed:032x}")
}

fn step(record: &MessageRecord, event: &Event, number: u32, tells: bool) -> FeedbackStep {
    let mut attempts = record.attempts.clone();
    for attempt in &mut attempts {
        attempt.reported = Some(Status::Delivered);
    }
    let mut recipients = record.recipients.clone();
    if let Some(first) = recipients.first_mut() {
        first.status = Status::Delivered;
    }
    let events = vec![EventRecord {
        event: event.clone(),
        received_at: AT,
        attempt_id: event.about.attempt_id,
    }];
    FeedbackStep::Apply(Box::new(Step {
        token: record.token,
        attempts,
        recipients: Some(recipients),
        delivered_at: Some(AT),
        events,
        notices: if tells { vec![notice(number, record)] } else { Vec::new() },
        ..Sample::email(number).step(Status::Delivered)
    }))
}

async fn feedback(clock: &dyn Clock, store: &SqliteStore, first: u32, tells: bool) -> Duration {
    let batches: Vec<Vec<(u32, Event)>> = (0..BATCHES)
        .map(|batch| {
            let numbers = first + batch * BATCH..first + (batch + 1) * BATCH;
            numbers.map(|number| (number, event(number, &id(number)))).collect()
        })
        .collect();
    let start = clock.monotonic();
    for batch in batches {
        let events: Vec<Event> = batch.iter().map(|(_, event)| event.clone()).collect();
        let targets = store.feedback_targets(&events).await.unwrap();
        let steps = batch.iter().zip(&targets.of).map(|((number, event), target)| {
            let Target::Message(place, _) = target else {
                unreachable!("each has its message")
            };
            step(targets.messages.get(*place).unwrap(), event, *number, tells)
        });
        let taken = store.take_feedback(steps.collect()).await.unwrap();
        assert!(taken.iter().all(|taken| *taken == FeedbackTaken::Kept));
    }
    clock.monotonic().since(start)
}

fn bare(clock: &dyn Clock, connection: &Connection, first: u32) -> Duration {
    let rows: Vec<(String, [u8; 16], String)> = (first..first + BATCH * BATCHES)
        .map(|number| {
            let event = event(number, &format!("bare-{}", id(number)));
            let record = EventRecord {
                attempt_id: event.about.attempt_id,
                received_at: AT,
                event,
            };
            let json = serde_json::to_string(&record).unwrap();
            (record.event.id, Sample::email(number).id().as_uuid().into_bytes(), json)
        })
        .collect();
    let start = clock.monotonic();
    for batch in rows.chunks(BATCH as usize) {
        connection.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
        for (id, message_id, json) in batch {
            let mut statement = connection
                .prepare_cached(
                    "INSERT INTO events (provider, account, id, tenant, message_id, received_at, looks, event)
                     VALUES ('aws_ses', 'default', ?1, 'default', ?2, ?3, 0, ?4)",
                )
                .unwrap();
            statement.execute(params![id, message_id, AT.as_micros(), json]).unwrap();
        }
        connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
    }
    clock.monotonic().since(start)
}

async fn open(path: &Path) -> Arc<SqliteStore> {
    let url = format!("sqlite://{}", path.display());
    Arc::new(SqliteStore::open(&url, Arc::new(SystemClock::new())).await.unwrap())
}

async fn accepts(clock: &dyn Clock, store: &Arc<SqliteStore>, first: u32) -> Duration {
    let mut shares: Vec<Vec<NewMessage>> = (0..CALLERS).map(|_| Vec::new()).collect();
    for (number, caller) in (first..first + ACCEPTS).zip((0..CALLERS).cycle()) {
        shares.get_mut(caller).unwrap().push(Sample::email(number).sending().unwrap());
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

async fn fill(store: &SqliteStore, entries: u32) {
    for batch in (0..entries).collect::<Vec<_>>().chunks(5_000) {
        let entries = batch.iter().map(|number| Suppression {
            tenant: TenantId::default(),
            channel: Channel::Email,
            address: format!("{}@example.org", id(*number)),
            reason: SuppressionReason::HardBounce,
            list: None,
            origin: SuppressionOrigin::Import,
            provider: None,
            account: None,
            message_id: None,
            detail: None,
            since: AT,
            expires_at: None,
            lifted_at: None,
        });
        store.suppress(entries.collect(), Vec::new()).await.unwrap();
    }
}

fn rate(count: u32, took: Duration) -> f64 {
    f64::from(count) / took.as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

async fn events_round(clock: &dyn Clock, directory: &Path) -> [f64; 3] {
    let scratch = tempfile::tempdir_in(directory).unwrap();
    let path = scratch.path().join("events.db");
    let store = open(&path).await;
    store.save_endpoint(endpoint()).await.unwrap();
    let piece = BATCH * BATCHES;
    send(&store, 1..1 + 3 * TURNS * piece).await;
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA foreign_keys = ON")
        .unwrap();
    let mut took = [Duration::ZERO; 3];
    for turn in 0..TURNS {
        let first = 1 + 3 * turn * piece;
        took[0] += tokio::task::block_in_place(|| bare(clock, &connection, first));
        took[1] += feedback(clock, &store, first + piece, false).await;
        took[2] += feedback(clock, &store, first + 2 * piece, true).await;
    }
    took.map(|took| rate(TURNS * piece, took))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| ".".to_owned());
    let mut number = |default: u32| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rounds, entries) = (number(5), number(1_000_000));
    let (clock, directory) = (SystemClock::new(), Path::new(&directory));

    let (mut all, mut ratios, mut told) = (Vec::new(), Vec::new(), Vec::new());
    println!("round  bare100/s  events/s  with a notice each");
    for number in 1..=rounds {
        let [bare, events, telling] = events_round(&clock, directory).await;
        println!("{number:>5}  {bare:>9.0}  {events:>8.0}  {telling:>18.0}");
        all.push(events);
        ratios.push(events / bare);
        told.push(telling / bare);
    }
    println!("events/s:                       {:.0} (wanted 5000)", median(&mut all));
    println!("events / bare100:               {:.2}", median(&mut ratios));
    println!("events with a notice / bare100: {:.2}", median(&mut told));

    let scratch = tempfile::tempdir_in(directory).unwrap();
    let (empty, long) = (
        open(&scratch.path().join("empty.db")).await,
        open(&scratch.path().join("long.db")).await,
    );
    fill(&long, entries).await;
    let mut ratios = Vec::new();
    println!("round  accepts/s with an empty list, with {entries} entries");
    for number in 0..rounds.max(5) * 2 {
        let first = 1 + number * ACCEPTS;
        let (short, slow) = (accepts(&clock, &empty, first).await, accepts(&clock, &long, first).await);
        let (short, slow) = (rate(ACCEPTS, short), rate(ACCEPTS, slow));
        println!("{:>5}  {short:>28.0}  {slow:>18.0}", number + 1);
        ratios.push(slow / short);
    }
    println!("accepts with {entries} entries / with none: {:.2}", median(&mut ratios));
}
