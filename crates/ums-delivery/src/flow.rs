//! What a delivery works with, put together once: ports, chains, rules.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ums_core::{
    BreakerRecord, BreakerStateWord, Clock, Email, NotConfigured, OnExhausted, ProviderKind, Random, Region, Sms, Store, StoreError,
};

use crate::breaker::{Change, Listener, Now};
use crate::chain::{Chain, Link, LinkParts};
use crate::engine::Messaging;
use crate::observer::{BreakerEvent, Observer};
use crate::retry::{Expiry, RetryBudget, RetrySchedule};

/// What holds for all messages.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What follows when no provider took a message that does not say so itself; none to hold
    /// with a durable store and to fail without one.
    pub on_exhausted: Option<OnExhausted>,
    /// When a held message is tried again.
    pub retry: RetrySchedule,
    /// How many held messages may be tried again within a minute.
    pub retry_budget: RetryBudget,
    /// When a message is given up whose sender says nothing.
    pub expiry: Expiry,
    /// Whether this is a development environment, where only allowed recipients are contacted by
    /// providers that are not on this machine.
    pub development: bool,
    /// Recipients that are contacted in development.
    pub allow_recipients: Vec<String>,
    /// Countries that text messages go to; empty for all.
    pub sms_countries: Vec<Region>,
    /// Most messages that are worked on at the same time.
    pub max_in_flight: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            on_exhausted: None,
            retry: RetrySchedule::default(),
            retry_budget: RetryBudget::default(),
            expiry: Expiry::default(),
            development: false,
            allow_recipients: Vec::new(),
            sms_countries: Vec::new(),
            max_in_flight: 1_024,
        }
    }
}

/// All that an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Where messages are kept.
    pub store: Arc<dyn Store>,
    /// Who counts.
    pub observer: Arc<dyn Observer>,
    /// E-mail providers in the order of their chain.
    pub email: Vec<LinkParts<Email>>,
    /// SMS providers in the order of their chain.
    pub sms: Vec<LinkParts<Sms>>,
    /// Providers that are left out.
    pub not_configured: Vec<NotConfigured>,
    /// What holds for all messages.
    pub rules: Rules,
}

/// What every step of a delivery has at hand.
pub(crate) struct Flow {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) email: Chain<Email>,
    pub(crate) sms: Chain<Sms>,
    pub(crate) not_configured: Vec<NotConfigured>,
    pub(crate) rules: Rules,
    /// Breakers that changed and are not kept yet; the keeper holds it while it runs.
    changes: tokio::sync::Mutex<mpsc::UnboundedReceiver<ProviderKind>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) closing: CancellationToken,
    /// Wakes the worker: something was queued that may be due.
    pub(crate) queued: Notify,
    /// One permit for each message that is being worked on.
    pub(crate) in_flight: Arc<Semaphore>,
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flow({:?}, {:?})", self.email, self.sms)
    }
}

impl Messaging {
    /// Starts an engine: takes up what earlier processes left, and begins to work on what is due.
    ///
    /// # Errors
    /// The store, when it cannot be read.
    pub async fn start(parts: Parts) -> Result<Self, StoreError> {
        let (changed, told) = mpsc::unbounded_channel();
        let link_up = |observer: &Arc<dyn Observer>, kind: ProviderKind| listener(observer.clone(), kind, changed.clone());
        let email = parts.email.into_iter().map(|link| {
            let listener = link_up(&parts.observer, link.provider.kind());
            Arc::new(Link::new(link, parts.random.clone(), listener))
        });
        let email = Chain::new(email.collect(), parts.rules.retry_budget);
        let sms = parts.sms.into_iter().map(|link| {
            let listener = link_up(&parts.observer, link.provider.kind());
            Arc::new(Link::new(link, parts.random.clone(), listener))
        });
        let sms = Chain::new(sms.collect(), parts.rules.retry_budget);
        let flow = Arc::new(Flow {
            in_flight: Arc::new(Semaphore::new(parts.rules.max_in_flight)),
            clock: parts.clock,
            random: parts.random,
            store: parts.store,
            observer: parts.observer,
            email,
            sms,
            not_configured: parts.not_configured,
            rules: parts.rules,
            changes: tokio::sync::Mutex::new(told),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            queued: Notify::new(),
        });
        flow.take_up().await?;
        if !flow.sms.links.is_empty() {
            flow.tasks.spawn_blocking(ums_core::phone::read_numbering_plans);
        }
        flow.tasks.spawn(keep_breakers(flow.clone()));
        flow.tasks.spawn(crate::worker::run(flow.clone()));
        Ok(Self { flow })
    }
}

/// Tells whoever counts, logs, and has the breaker's state kept.
fn listener(observer: Arc<dyn Observer>, provider: ProviderKind, changed: mpsc::UnboundedSender<ProviderKind>) -> Listener {
    Arc::new(move |change: &Change| {
        observer.breaker(&BreakerEvent {
            provider,
            from: change.from,
            to: change.to,
            reason: &change.reason,
        });
        let (from, to, reason) = (change.from.as_str(), change.to.as_str(), change.reason.as_str());
        match change.to {
            BreakerStateWord::Open => tracing::warn!(%provider, from, to, reason, "breaker opened"),
            BreakerStateWord::HalfOpen | BreakerStateWord::Closed => tracing::info!(%provider, from, to, reason, "breaker changed"),
        }
        // The keeper ends with the engine; then there is nobody to tell.
        changed.send(provider).ok();
    })
}

/// Keeps the state of each breaker that changes.
async fn keep_breakers(flow: Arc<Flow>) {
    let mut changes = flow.changes.lock().await;
    loop {
        let provider = tokio::select! {
            provider = changes.recv() => provider,
            () = flow.closing.cancelled() => None,
        };
        let Some(provider) = provider else { return };
        flow.keep_breaker(provider).await;
    }
}

impl Flow {
    /// Takes up breakers, used allowances and unfinished messages of earlier processes.
    async fn take_up(&self) -> Result<(), StoreError> {
        let now = Now::read(&*self.clock);
        let recovered = self.store.recover(now.wall).await?;
        if recovered.requeued + recovered.unknown > 0 {
            tracing::info!(
                requeued = recovered.requeued,
                unknown = recovered.unknown,
                "took up messages of an earlier process"
            );
        }
        for kept in self.store.breakers().await? {
            if let Some(breaker) = self.breaker(kept.provider) {
                breaker.restore(&kept.state, now);
            }
        }
        let since = now.wall - Duration::from_hours(24);
        let day_limited = |kind, account: &ums_core::AccountId, limited: bool| limited.then(|| (kind, account.clone()));
        let email = self
            .email
            .links
            .iter()
            .filter_map(|link| day_limited(link.kind, &link.account, link.pacer.has_day_limit()));
        let sms = self
            .sms
            .links
            .iter()
            .filter_map(|link| day_limited(link.kind, &link.account, link.pacer.has_day_limit()));
        for (kind, account) in email.chain(sms).collect::<Vec<_>>() {
            let sent = self.store.recipients_sent_since(kind, &account, since).await?;
            self.restore_day(kind, u32::try_from(sent).unwrap_or(u32::MAX), now);
        }
        Ok(())
    }

    fn restore_day(&self, kind: ProviderKind, sent: u32, now: Now) {
        for link in self.email.links.iter().filter(|link| link.kind == kind) {
            link.pacer.restore_day(sent, now.mono);
        }
        for link in self.sms.links.iter().filter(|link| link.kind == kind) {
            link.pacer.restore_day(sent, now.mono);
        }
    }

    fn breaker(&self, kind: ProviderKind) -> Option<&crate::breaker::Breaker> {
        let email = self.email.links.iter().find(|link| link.kind == kind).map(|link| &*link.breaker);
        email.or_else(|| self.sms.links.iter().find(|link| link.kind == kind).map(|link| &*link.breaker))
    }

    fn breaker_record(&self, provider: ProviderKind) -> Option<BreakerRecord> {
        let now = Now::read(&*self.clock);
        let state = self.breaker(provider)?.to_json(now);
        Some(BreakerRecord {
            provider,
            account: ums_core::AccountId::default(),
            state,
            changed_at: now.wall,
            version: 0,
            writer: 0,
        })
    }

    /// What follows when no provider took a message that does not say so itself.
    pub(crate) fn on_exhausted(&self) -> OnExhausted {
        let by_store = if self.store.is_durable() {
            OnExhausted::Hold
        } else {
            OnExhausted::Fail
        };
        self.rules.on_exhausted.unwrap_or(by_store)
    }

    async fn keep_breaker(&self, provider: ProviderKind) {
        let Some(record) = self.breaker_record(provider) else { return };
        if let Err(error) = self.store.save_breaker(record).await {
            tracing::warn!(%provider, %error, "the breaker's state was not kept");
        }
    }

    /// Keeps what changed after the keeper went: the last calls may have opened a breaker.
    async fn keep_last_changes(&self) {
        let Ok(mut changes) = self.changes.try_lock() else { return };
        while let Ok(provider) = changes.try_recv() {
            self.keep_breaker(provider).await;
        }
    }

    pub(crate) async fn shutdown(&self, wait: Duration) {
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(wait, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                unfinished = self.tasks.len(),
                "stopped before every message had its outcome; they are taken up at the next start"
            );
        }
        self.keep_last_changes().await;
        self.store.close(wait).await;
    }
}
