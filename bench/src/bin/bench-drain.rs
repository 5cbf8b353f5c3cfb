//! How fast the engine works off a backlog with a provider that takes everything at once.
//!
//! `bench-drain URL BACKLOG MESSAGES` fills the store at URL until that many messages wait, starts the engine on
//! it, lets it warm up over a tenth, and prints one line of JSON: `msgs_per_s` over the next MESSAGES, and `resident_mb`
//! before the engine started and at the end. `cargo xtask bench --durable` calls it and compares.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use ums_core::{Clock, MessageId, MessageRecord, NewMessage, SendEmail, Status, Store, Stored, SystemClock, SystemRandom, TenantId, Work};

/// Messages that are stored as one.
const BATCH: u64 = 1_000;

#[path = "../takes_all.rs"]
mod takes_all;

#[path = "../message.rs"]
#[expect(dead_code, reason = "the senders use the rest")]
mod message;

/// Stores messages that are due until that many wait.
async fn fill(store: &dyn Store, clock: &SystemClock, backlog: u64) -> Result<()> {
    let parsed = SendEmail::new(message::TO, message::SUBJECT)
        .text(message::text())
        .html(message::html())
        .parse()?;
    let mut waiting = store.backlog(backlog).await?;
    while waiting < backlog {
        let count = BATCH.min(backlog - waiting);
        let batch = (0..count).map(|_| {
            let now = clock.now();
            let message = Arc::new(ums_core::Message {
                id: MessageId::new(clock, &SystemRandom),
                tenant: TenantId::default(),
                content: parsed.content.clone(),
                handling: parsed.handling.clone(),
                metadata: parsed.metadata.clone(),
                accepted_at: now,
                expires_at: now + Duration::from_hours(72),
            });
            NewMessage {
                status: Status::Queued,
                error: None,
                work: Work::Due(now),
                recipients: MessageRecord::accepted(message.clone(), Status::Queued).recipients,
                message,
                intent: None,
                skips: Vec::new(),
                idempotency: None,
                notices: Vec::new(),
            }
        });
        let stored = store.accept_all(batch.collect()).await?;
        ensure!(stored.iter().all(|stored| *stored == Stored::New), "a message was there already");
        waiting += count;
    }
    Ok(())
}

fn resident_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kb: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kb / 1_024.0)
}

async fn run(url: &str, backlog: u64, messages: u64) -> Result<()> {
    let clock = Arc::new(SystemClock::new());
    {
        let store = ums_store::open(url, clock.clone()).await?;
        fill(&*store, &clock, backlog).await?;
        store.close(Duration::from_mins(1)).await;
    }
    let before = resident_mb()?;
    let store = ums_store::open(url, clock.clone()).await?;
    let (engine, mut taken) = takes_all::engine(store, clock).await?;
    let warm = *taken.wait_for(|taken| *taken >= messages / 10).await?;
    let start = Instant::now();
    let reached = *taken.wait_for(|taken| *taken >= warm + messages).await?;
    let took = start.elapsed().as_secs_f64();
    let after = resident_mb()?;
    engine.shutdown(Duration::from_mins(1)).await;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 messages")]
    let rate = (reached - warm) as f64 / took;
    println!("{}", json!({"msgs_per_s": rate, "resident_mb": {"before": before, "after": after}}));
    Ok(())
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, backlog, messages] = words.as_slice() else {
        anyhow::bail!("usage: bench-drain URL BACKLOG MESSAGES");
    };
    let (backlog, messages) = (backlog.parse().context("BACKLOG")?, messages.parse().context("MESSAGES")?);
    ensure!(
        backlog > messages + messages / 10,
        "the backlog must outlast the warm-up and the messages"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(run(url, backlog, messages))
}
