//! How many events of a provider a second become part of messages' stories, beside bare inserts of as many rows.
//!
//! `bench-feedback FILE MESSAGES BATCH` makes a SQLite store at FILE, has that many messages (in hundreds) sent by a provider that takes everything, and hands in
//! two signed SendGrid events for each (`processed`, `delivered`) in batches of BATCH: signature, reading, matching, status, commit. Then it
//! inserts as many rows of events into the same file, a transaction for each batch, with nothing else. It prints one line of JSON: `events_per_s`
//! and `bare_per_s`. `cargo xtask bench --feedback` calls it.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom as RingRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rusqlite::{Connection, params};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use ums_core::{AccountId, Clock, Hook, HookRequest, MessageFilter, SendEmail, Status, SystemClock, TenantId};
use ums_delivery::{Messaging, Submission};
use ums_providers::feedback::sendgrid::{SendGridHook, SendGridHookSettings};

/// Messages that are stored as one.
const STORED_AT_ONCE: usize = 1_000;
/// Requests of the provider that are worked on at the same time.
const REQUESTS: usize = 4;
/// What goes before a P-256 point in a SubjectPublicKeyInfo (RFC 5480).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
    0x07, 0x03, 0x42, 0x00,
];

#[path = "../takes_all.rs"]
mod takes_all;

/// Has messages sent, and gives for each the ids that the provider knows.
async fn send(engine: &Messaging, taken: &mut watch::Receiver<u64>, messages: usize) -> Result<Vec<(String, String, String)>> {
    for start in (0..messages).step_by(STORED_AT_ONCE) {
        let batch = (start..messages.min(start + STORED_AT_ONCE)).map(|number| {
            let email = SendEmail::new(format!("customer{number}@example.com"), "Your receipt").text("Thank you.");
            Ok(Submission::from(email.parse()?))
        });
        engine.submit_all(batch.collect::<Result<_>>()?).await?;
    }
    let wanted = u64::try_from(messages)?;
    taken.wait_for(|taken| *taken >= wanted).await?;
    let (mut ids, mut cursor) = (Vec::with_capacity(messages), None);
    loop {
        let page = engine
            .messages(&TenantId::default(), &MessageFilter::default(), cursor, 500)
            .await?;
        for record in &page.messages {
            let attempt = record.attempts.last().context("no attempt")?;
            ids.push((
                record.message.id.to_string(),
                attempt.id.to_string(),
                record.recipients[0].address.clone(),
            ));
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(ids);
        }
    }
}

/// The provider's requests: batches of events with their signatures.
fn requests(ids: &[(String, String, String)], batch: usize, clock: &SystemClock) -> Result<(String, Vec<HookRequest>)> {
    let unusable = |_| anyhow!("the key cannot be used");
    let random = RingRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).map_err(unusable)?;
    let key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).map_err(|_| anyhow!("the key is refused"))?;
    let public = STANDARD.encode([&SPKI[..], key.public_key().as_ref()].concat());
    let now = clock.now();
    let seconds = now.as_micros() / 1_000_000;
    let events: Vec<serde_json::Value> = ids
        .iter()
        .flat_map(|(message, attempt, address)| {
            ["processed", "delivered"].map(|event| {
                json!({
                    "email": address, "timestamp": seconds, "event": event, "sg_event_id": format!("{event}-{attempt}"),
                    "sg_message_id": format!("sg-{attempt}.recvd-1"), "smtp-id": "<14c5d75ce93@ismtpd>", "response": "250 OK",
                    "ums_message_id": message, "ums_attempt_id": attempt,
                })
            })
        })
        .collect();
    let mut made = Vec::new();
    for batch in events.chunks(batch) {
        let body = serde_json::to_vec(batch)?;
        let signed = [seconds.to_string().as_bytes(), &body].concat();
        let signature = STANDARD.encode(key.sign(&random, &signed).map_err(unusable)?);
        made.push(HookRequest {
            account: AccountId::default(),
            path_and_query: "/hooks/sendgrid".to_owned(),
            headers: vec![
                ("x-twilio-email-event-webhook-timestamp".to_owned(), seconds.to_string()),
                ("x-twilio-email-event-webhook-signature".to_owned(), signature),
            ],
            body,
            received_at: now,
        });
    }
    Ok((public, made))
}

/// Hands the requests in, a few at a time.
async fn hand_in(engine: &Messaging, hook: Arc<SendGridHook>, requests: Vec<HookRequest>) -> Result<Duration> {
    let start = Instant::now();
    let mut waiting = requests.into_iter();
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() < REQUESTS
            && let Some(request) = waiting.next()
        {
            let (engine, hook) = (engine.clone(), hook.clone());
            tasks.spawn(async move {
                let events = hook.read(&request).await?;
                let count = u64::try_from(events.len())?;
                let tally = engine.take_feedback(events).await?;
                ensure!(tally.applied == count, "{tally:?} of {count}");
                Ok(())
            });
        }
        match tasks.join_next().await {
            Some(done) => done??,
            None => return Ok(start.elapsed()),
        }
    }
}

/// Inserts as many rows as there were events, and nothing else.
fn bare(file: &Path, events: usize, batch: usize) -> Result<Duration> {
    let connection = Connection::open(file)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
         CREATE TABLE bare (provider TEXT NOT NULL, account TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT, message_id BLOB, received_at INTEGER
           NOT NULL, event TEXT NOT NULL, PRIMARY KEY (provider, account, id)) STRICT, WITHOUT ROWID;
         CREATE INDEX bare_message ON bare (tenant, message_id, received_at);",
    )?;
    let event = "x".repeat(420);
    let start = Instant::now();
    for first in (0..events).step_by(batch) {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for number in first..events.min(first + batch) {
            let id = u128::try_from(number / 2)?.to_be_bytes();
            let sql = "INSERT INTO bare (provider, account, id, tenant, message_id, received_at, event)
                       VALUES ('sendgrid', 'default', ?1, 'default', ?2, ?3, ?4)";
            let name = format!("delivered-01993c00-0000-7000-8000-{number:012}");
            connection
                .prepare_cached(sql)?
                .execute(params![name, id, i64::try_from(number)?, event])?;
        }
        connection.execute_batch("COMMIT")?;
    }
    Ok(start.elapsed())
}

async fn measure(file: &Path, messages: usize, batch: usize) -> Result<f64> {
    let clock = Arc::new(SystemClock::new());
    let store = ums_store::open(&format!("sqlite://{}", file.display()), clock.clone()).await?;
    let (engine, mut taken) = takes_all::engine(store, clock.clone()).await?;
    let ids = send(&engine, &mut taken, messages).await?;
    let (public_key, requests) = requests(&ids, batch, &clock)?;
    let hook = SendGridHook::new(SendGridHookSettings {
        public_keys: vec![public_key],
        ..SendGridHookSettings::default()
    })?;
    let took = hand_in(&engine, Arc::new(hook), requests).await?;
    let delivered = MessageFilter {
        status: Some(Status::Delivered),
        ..MessageFilter::default()
    };
    let page = engine.messages(&TenantId::default(), &delivered, None, 1).await?;
    ensure!(!page.messages.is_empty(), "nothing was delivered");
    engine.shutdown(Duration::from_mins(1)).await;
    Ok(rate(2 * messages, took))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [file, messages, batch] = words.as_slice() else {
        anyhow::bail!("usage: bench-feedback FILE MESSAGES BATCH");
    };
    let (file, messages, batch) = (
        Path::new(file),
        messages.parse().context("MESSAGES")?,
        batch.parse().context("BATCH")?,
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let events_per_s = runtime.block_on(measure(file, messages, batch))?;
    drop(runtime);
    let bare_per_s = rate(2 * messages, bare(file, 2 * messages, batch)?);
    println!("{}", json!({"events_per_s": events_per_s, "bare_per_s": bare_per_s}));
    Ok(())
}
