//! What a delivery works with, put together once: ports, chains, rules.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ums_core::{
    Clock, Email, FeedbackSource, NotConfigured, OnExhausted, ProviderKind, Random, Secret, Sms, Store, StoreError, WebhookPost, failpoint,
};

use crate::breaker::Now;
use crate::chain::{Chain, Link, LinkParts};
use crate::drain::Drain;
use crate::engine::Messaging;
use crate::feedback::parking::Parking;
use crate::in_hand::InHand;
use crate::lanes::Lanes;
use crate::lease::HeldLease;
use crate::observer::Observer;
use crate::outbox::Endpoints;
use crate::pressure::Backlog;
use crate::rates::Rates;
use crate::rejection::Reports;
use crate::rules::Rules;
use crate::sharing::{Plug, Share};

/// Time for what is in no call to be put back when the wait of a shutdown is over.
const LAST_WRITES: Duration = Duration::from_secs(1);

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
    /// What comes after a message is sent.
    pub aftermath: Aftermath,
}

/// What comes after a message is sent: feedback that is asked for, and who is told.
#[derive(Debug, Default)]
pub struct Aftermath {
    /// Feedback that has to be asked for.
    pub sources: Vec<Arc<dyn FeedbackSource>>,
    /// Who posts to the user's application; nobody is told without one.
    pub webhooks: Option<Arc<dyn WebhookPost>>,
    /// The service's keys (`UMS_SECRET_KEY`), newest first: unsubscribe links and webhook secrets are derived from them.
    pub keys: Vec<Secret>,
    /// Where the service is reached from outside (`UMS_PUBLIC_URL`), without a slash at its end.
    pub public_url: Option<String>,
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
    pub(crate) aftermath: Aftermath,
    /// Wakes the keeper of the breakers: something was learned.
    pub(crate) news: Arc<Notify>,
    pub(crate) tasks: TaskTracker,
    /// Nothing new is accepted or claimed.
    pub(crate) closing: CancellationToken,
    /// The wait of the shutdown is over: no call starts, and no commit is repeated.
    pub(crate) ended: CancellationToken,
    /// Wakes the worker: something was queued that may be due.
    pub(crate) queued: Arc<Notify>,
    /// Places for messages that are being worked on.
    pub(crate) lanes: Arc<Lanes>,
    /// How much of the queue is taken up at once.
    pub(crate) drain: Drain,
    /// This process's leave to work on messages.
    pub(crate) lease: HeldLease,
    /// The messages that are being worked on.
    pub(crate) in_hand: Arc<InHand>,
    /// Held while messages are claimed, so that what was claimed and is not in hand yet is not taken for lost.
    pub(crate) claiming: tokio::sync::Mutex<()>,
    /// How much waits in the store.
    pub(crate) backlog: Backlog,
    /// Who is told what becomes of messages.
    pub(crate) endpoints: Endpoints,
    /// What became of messages, counted by provider and sender.
    pub(crate) rates: Rates,
    /// Events that wait for their message.
    pub(crate) parking: Parking,
    /// What providers report of recipients, to tell a bad provider from bad recipients.
    pub(crate) reports: Reports,
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
        let plug = Plug {
            observer: parts.observer.clone(),
            random: parts.random.clone(),
            news: Arc::new(Notify::new()),
            shared: parts.store.is_shared(),
        };
        let email = parts.email.into_iter().map(|link| Arc::new(Link::new(link, &plug)));
        let email = Chain::new(email.collect(), parts.rules.retry_budget);
        let sms = parts.sms.into_iter().map(|link| Arc::new(Link::new(link, &plug)));
        let sms = Chain::new(sms.collect(), parts.rules.retry_budget);
        let asked = parts.clock.monotonic();
        let lease = HeldLease::new(parts.store.renew().await?, asked);
        let queued = Arc::new(Notify::new());
        let flow = Arc::new(Flow {
            lanes: Arc::new(Lanes::new(parts.rules.max_in_flight, queued.clone())),
            drain: Drain::new(parts.rules.max_in_flight),
            lease,
            in_hand: Arc::default(),
            claiming: tokio::sync::Mutex::new(()),
            backlog: Backlog::default(),
            endpoints: Endpoints::default(),
            rates: Rates::new(parts.rules.rates),
            parking: Parking::default(),
            reports: Reports::default(),
            clock: parts.clock,
            random: parts.random,
            store: parts.store,
            observer: parts.observer,
            email,
            sms,
            not_configured: parts.not_configured,
            rules: parts.rules,
            aftermath: parts.aftermath,
            news: plug.news,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            ended: CancellationToken::new(),
            queued,
        });
        flow.take_up().await?;
        flow.endpoints.refresh(&*flow.store).await?;
        if !flow.sms.links.is_empty() {
            flow.tasks.spawn_blocking(ums_core::phone::read_numbering_plans);
        }
        flow.tasks.spawn(crate::sharing::run(flow.clone()));
        flow.tasks.spawn(crate::housekeeping::run(flow.clone()));
        flow.tasks.spawn(crate::worker::run(flow.clone()));
        flow.tasks.spawn(crate::outbox::run(flow.clone()));
        flow.tasks.spawn(crate::rates::run(flow.clone()));
        flow.tasks.spawn(crate::feedback::parking::run(flow.clone()));
        for source in &flow.aftermath.sources {
            flow.tasks.spawn(crate::feedback::polling::run(flow.clone(), source.clone()));
        }
        // Not one of the tasks that a shutdown waits for: it ends after them.
        tokio::spawn(crate::lease::heartbeat(flow.clone()));
        Ok(Self { flow })
    }
}

impl Flow {
    /// Takes up breakers, used allowances and unfinished messages of earlier processes.
    async fn take_up(&self) -> Result<(), StoreError> {
        let now = Now::read(&*self.clock);
        let recovered = self.store.recover(now.wall).await?;
        failpoint::pass("recover.committed");
        if recovered.requeued + recovered.unknown > 0 {
            tracing::info!(
                requeued = recovered.requeued,
                unknown = recovered.unknown,
                "took up messages of an earlier process"
            );
        }
        crate::sharing::take_up(self).await?;
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

    /// The provider accounts of both channels.
    pub(crate) fn shares(&self) -> Vec<Arc<Share>> {
        let email = self.email.links.iter().map(|link| link.share.clone());
        email.chain(self.sms.links.iter().map(|link| link.share.clone())).collect()
    }

    /// Wakes the worker for a message that was queued, unless that is due later than the worker looks by itself: a look writes, and
    /// a stream of messages for next week is no reason to look each time.
    pub(crate) fn wake_for(&self, due_at: ums_core::Timestamp) {
        if due_at.since(self.clock.now()) < crate::worker::LONGEST_WAIT {
            self.queued.notify_one();
        }
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

    /// Whether a call may start in this process: it sends from this store, and its lease has time left.
    pub(crate) fn may_send(&self) -> bool {
        self.store.is_owner() && self.lease.covers(self.clock.monotonic())
    }

    /// Takes nothing new, waits for what is in hand, puts back what is in no call, and gives the lease back.
    pub(crate) async fn shutdown(&self, wait: Duration) {
        let until = tokio::time::Instant::now() + wait.min(Duration::from_hours(24));
        self.closing.cancel();
        self.tasks.close();
        let in_time = tokio::time::timeout_at(until, self.tasks.wait()).await.is_ok();
        self.ended.cancel();
        if !in_time && tokio::time::timeout(LAST_WRITES, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                unfinished = self.tasks.len(),
                "stopped before every call had its outcome; those messages are taken up by whoever recovers them"
            );
        }
        // The last calls may have taught something after the keeper went.
        // A store that does not answer keeps nobody here.
        tokio::time::timeout(LAST_WRITES, crate::sharing::keep(self)).await.ok();
        tokio::time::timeout(LAST_WRITES, crate::rates::keep(self)).await.ok();
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        self.store.close(left.max(LAST_WRITES)).await;
    }
}
