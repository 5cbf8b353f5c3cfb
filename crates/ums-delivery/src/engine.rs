//! The engine as its users see it: submit, look up, act, health, shutdown.
//!
//! HTTP, the command line, the library and Python all go through [`Messaging`].

mod clock;
mod feedback;
mod providers;
mod start;
mod suppressions;
mod webhooks;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    Content, Email, HealthReport, MessageFilter, MessageId, MessagePage, MessageRecord, NotConfigured, SendResult, Sms, StoreError,
    TenantId, Troubles,
};

pub use self::providers::{SwitchError, SwitchOff, Tried};
pub use self::start::{Aftermath, Parts};
use crate::acts::{self, ActError};
use crate::breaker::Now;
use crate::desk::Desk;
use crate::dispatch::Dispatch;
use crate::fate::{Act, Mark};
use crate::memory::{COPIES_TO_ACCEPT, MemoryBudget, Share};
use crate::outbox::Outbox;
use crate::replay::{self, ReplayRequest, ReplaySlice};
use crate::sharing::Keeper;
use crate::submission::{Accepted, Submission, SubmitError, Ticket};
use crate::{accept, batches, health, rates};

/// Time to requeue messages that are in no call, when the wait of a shutdown is over.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// The parts of an engine.
struct Engine {
    desk: Arc<Desk>,
    dispatch: Arc<Dispatch>,
    outbox: Outbox,
    keeper: Arc<Keeper>,
    not_configured: Vec<NotConfigured>,
    troubles: Troubles,
}

/// The standing of the engine, for monitoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Estimate of the messages that wait in the store.
    pub backlog: u64,
    /// Whether this process may start calls to providers now: its lease holds, and no other process sends instead of it.
    pub may_send: bool,
    /// Memory that the messages in hand take, in bytes.
    pub memory_bytes: usize,
    /// Memory that they may take.
    pub memory_limit: usize,
}

/// The engine. Cheap to clone; all clones share one engine.
#[derive(Clone)]
pub struct Messaging {
    engine: Arc<Engine>,
}

impl fmt::Debug for Messaging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Messaging({:?})", self.engine.desk)
    }
}

impl Messaging {
    /// Accepts a message. When this returns, the message is on stable storage (with a durable store) and on its way.
    ///
    /// # Errors
    /// A [`SubmitError`]; nothing was sent then.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the message may have been accepted and sent, or not.
    pub async fn submit(&self, submission: Submission) -> Result<Ticket, SubmitError> {
        let bytes = submission.parsed.content.bytes();
        let memory = self.memory().share(bytes, COPIES_TO_ACCEPT).await;
        self.submit_with(submission, memory).await
    }

    /// The same for a request whose memory was taken at the door, [`COPIES_TO_ACCEPT`] times its body: the message keeps of it what its call
    /// takes, until it is in hand no more.
    ///
    /// # Errors
    /// A [`SubmitError`]; nothing was sent then.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the message may have been accepted and sent, or not.
    pub async fn submit_with(&self, submission: Submission, memory: Share) -> Result<Ticket, SubmitError> {
        match submission.parsed.content {
            Content::Email(_) => accept::accept::<Email>(&self.engine.dispatch, submission, memory).await,
            Content::Sms(_) => accept::accept::<Sms>(&self.engine.dispatch, submission, memory).await,
        }
    }

    /// Accepts a batch: when this returns, all its messages are on stable storage, or none. This call sends none of them; the worker claims
    /// them from the queue. The caller chooses the idempotency key of each item.
    ///
    /// # Errors
    /// A [`SubmitError`]; nothing was accepted then. A fault of one item names it: `messages[3].via`.
    pub async fn submit_all(&self, submissions: Vec<Submission>) -> Result<Vec<Accepted>, SubmitError> {
        batches::accept_all(&self.engine.dispatch, submissions).await
    }

    /// Accepts a message and waits until the message has an outcome or is held.
    ///
    /// # Errors
    /// As [`Messaging::submit`].
    pub async fn send(&self, submission: Submission) -> Result<SendResult, SubmitError> {
        let ticket = self.submit(submission).await?;
        Ok(ticket.result(Duration::MAX).await?)
    }

    /// The record of one message.
    ///
    /// # Errors
    /// The error of a store that cannot be read.
    pub async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.engine.desk.ports.store.message(tenant, id).await
    }

    /// Messages, newest first.
    ///
    /// # Errors
    /// The error of a store that cannot be read.
    pub async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError> {
        self.engine.desk.ports.store.messages(tenant, filter, cursor, limit).await
    }

    /// The health of each provider, with reasons, and the troubles of the service itself.
    pub fn health(&self) -> HealthReport {
        let desk = &self.engine.desk;
        let now = Now::read(&*desk.ports.clock);
        HealthReport {
            troubles: self.engine.troubles.all(),
            ..health::report(&desk.chains, &desk.rates.verdicts(), &self.engine.not_configured, now)
        }
    }

    /// The memory of the messages in hand, from which the door takes its shares, too.
    pub fn memory(&self) -> &MemoryBudget {
        &self.engine.desk.memory
    }

    /// What ails this process or its machine, and no provider.
    pub fn troubles(&self) -> &Troubles {
        &self.engine.troubles
    }

    /// Notes why something outside the engine did not work, if that is a shortage of this machine: it is told as a trouble while it
    /// lasts. Gives whether it is one.
    pub fn note_shortage(&self, error: &(dyn std::error::Error + 'static)) -> bool {
        let ports = &self.engine.desk.ports;
        ports.shortages.noted(error, &*ports.clock)
    }

    /// Whether the store takes writes.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.engine.desk.ports.store.check().await
    }

    /// The standing of the engine.
    pub fn standing(&self) -> Standing {
        let desk = &self.engine.desk;
        Standing {
            backlog: desk.queue.waiting(),
            may_send: desk.may_send(),
            memory_bytes: desk.memory.in_hand(),
            memory_limit: desk.memory.limit(),
        }
    }

    /// Cancels a message that is not sent yet. A message with an attempt that may have been accepted ends `unknown`.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when the message is being sent or has ended.
    pub async fn cancel(&self, tenant: &TenantId, id: MessageId) -> Result<MessageRecord, ActError> {
        acts::act(&self.engine.desk, tenant, id, Act::Cancel).await
    }

    /// Has a message sent again that failed, expired, or may have been accepted; the operator answers for a double. The message gets the
    /// expiry of its purpose anew. Earlier unknown attempts count no more against the rules on duplicates, but they stay in the story, and
    /// because of them the message still ends `unknown` rather than `failed`.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when the message has another status or no body any more.
    pub async fn resend(&self, tenant: &TenantId, id: MessageId) -> Result<MessageRecord, ActError> {
        let done = acts::act(&self.engine.desk, tenant, id, Act::Resend).await;
        self.engine.desk.queue.wake();
        done
    }

    /// Resolves a message whose outcome is unknown, by the word of an operator.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when the outcome is known.
    pub async fn mark(&self, tenant: &TenantId, id: MessageId, mark: Mark) -> Result<MessageRecord, ActError> {
        acts::act(&self.engine.desk, tenant, id, Act::Mark(mark)).await
    }

    /// Sends failed messages again, one slice for each call, so that the caller can pace, show, stop and resume a replay.
    ///
    /// # Errors
    /// The error of a store that cannot be read.
    pub async fn replay(&self, tenant: &TenantId, request: &ReplayRequest) -> Result<ReplaySlice, ActError> {
        replay::replay(&self.engine.desk, tenant, request).await
    }

    /// Stops accepting, waits at most `wait` for deliveries, requeues the messages that are in no call, and closes the store.
    pub async fn shutdown(&self, wait: Duration) {
        let desk = &self.engine.desk;
        let ports = &desk.ports;
        let until = tokio::time::Instant::now() + wait.min(Duration::from_hours(24));
        ports.closing.cancel();
        ports.tasks.close();
        let in_time = tokio::time::timeout_at(until, ports.tasks.wait()).await.is_ok();
        ports.ended.cancel();
        if !in_time && tokio::time::timeout(LAST_WRITES, ports.tasks.wait()).await.is_err() {
            tracing::warn!(
                unfinished = ports.tasks.len(),
                "stopped before every call had its outcome; those messages are taken up by whoever recovers them"
            );
        }
        // The last calls may have taught the breakers something after the keeper ended.
        // The timeouts bound the shutdown when the store does not answer.
        tokio::time::timeout(LAST_WRITES, self.engine.keeper.keep()).await.ok();
        tokio::time::timeout(LAST_WRITES, rates::keeping::keep(ports, &desk.rates))
            .await
            .ok();
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        ports.store.close(left.max(LAST_WRITES)).await;
    }
}
