//! A provider that takes everything at once, and an engine with nothing but that.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::sync::watch;
use ums_core::{Accepted, Call, Email, Failure, Provider, ProviderKind, Store, SystemClock, SystemRandom};
use ums_delivery::{Aftermath, BreakerSettings, LinkParts, Messaging, NoObserver, PaceSettings, Parts, Price, Rules};

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

    async fn send(&self, _email: &Email, call: &Call) -> Result<Accepted, Failure> {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        if taken.is_multiple_of(100) {
            self.told.send_replace(taken);
        }
        Ok(Accepted::new(format!("sg-{}", call.attempt_id)))
    }
}

/// Starts an engine on a store; the number of messages that were taken is told in hundreds.
pub(crate) async fn engine(store: Arc<dyn Store>, clock: Arc<SystemClock>) -> Result<(Messaging, watch::Receiver<u64>)> {
    let (told, taken) = watch::channel(0);
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
        aftermath: Aftermath::default(),
    });
    Ok((engine.await?, taken))
}
