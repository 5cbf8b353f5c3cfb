//! How fast the engine works off a backlog with a provider that takes everything at once.
//!
//! `bench-drain URL BACKLOG MESSAGES` fills the store at URL until that many messages wait, starts the engine on
//! it, lets it warm up over a tenth, and prints one line of JSON: `msgs_per_s` over the next MESSAGES, and `resident_mb`
//! before the engine started and at the end. `cargo xtask bench --durable` calls it and compares.

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::sync::watch;
use ums_core::{
    Accepted, Call, Clock, Email, Failure, MessageId, MessageRecord, NewMessage, Provider, ProviderKind, SendEmail, Status, Store, Stored,
    SystemClock, SystemRandom, TenantId,
};
use ums_delivery::{BreakerSettings, LinkParts, Messaging, NoObserver, PaceSettings, Parts, Price, Rules};

/// Messages that are stored as one.
const BATCH: u64 = 1_000;

/// A provider that takes everything and tells how much it took.
struct TakesAll {
    taken: AtomicU64,
    told: watch::Sender<u64>,
}

impl fmt::Debug for TakesAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TakesAll")
    }
}

#[async_trait::async_trait]
impl Provider<Email> for TakesAll {
    fn kind(&self) -> ProviderKind {
        ProviderKind::SendGrid
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn send(&self, _email: &Email, _call: &Call) -> Result<Accepted, Failure> {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        if taken.is_multiple_of(100) {
            self.told.send_replace(taken);
        }
        Ok(Accepted::new("taken"))
    }
}

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
                due_at: Some(now),
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
    let (told, mut taken) = watch::channel(0);
    let provider = Arc::new(TakesAll {
        taken: AtomicU64::new(0),
        told,
    });
    let engine = Messaging::start(Parts {
        clock,
        random: Arc::new(SystemRandom),
        store,
        observer: Arc::new(NoObserver),
        email: vec![LinkParts {
            provider,
            breaker: BreakerSettings::default(),
            pace: PaceSettings::default(),
            price: Price::Free,
        }],
        sms: Vec::new(),
        not_configured: Vec::new(),
        rules: Rules::default(),
        aftermath: ums_delivery::Aftermath::default(),
    })
    .await?;
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
