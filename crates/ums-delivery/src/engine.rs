//! The engine as its users see it: submit, look up, act, health, shutdown.
//!
//! HTTP, the command line, the library and Python all go through [`Messaging`].

mod feedback;
mod start;
mod suppressions;
mod webhooks;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    Content, Email, HealthReport, MessageFilter, MessageId, MessagePage, MessageRecord, NotConfigured, SendResult, Sms, StoreError,
    TenantId,
};

pub use self::start::{Aftermath, Parts};
use crate::acts::{self, ActError};
use crate::breaker::Now;
use crate::desk::Desk;
use crate::dispatch::Dispatch;
use crate::fate::{Act, Mark};
use crate::outbox::Outbox;
use crate::replay::{self, ReplayRequest, ReplaySlice};
use crate::sharing::Keeper;
use crate::submission::{Accepted, Submission, SubmitError, Ticket};
use crate::{accept, batches, health, rates};

/// Time for what is in no call to be put back when the wait of a shutdown is over.
const LAST_WRITES: Duration = Duration::from_secs(1);

/// What an engine consists of.
struct Engine {
    desk: Arc<Desk>,
    dispatch: Arc<Dispatch>,
    outbox: Outbox,
    keeper: Arc<Keeper>,
    not_configured: Vec<NotConfigured>,
}

/// How the engine stands, for whoever watches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Messages that wait in the store, as last counted.
    pub backlog: u64,
    /// Whether this process may start calls to providers now: its lease holds, and no other process sends in its place.
    pub may_send: bool,
}

/// The engine. Cheap to clone; all clones are one.
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
    /// Accepts a message. When this returns, it is on stable storage (with a durable store) and
    /// on its way.
    ///
    /// # Errors
    /// A [`SubmitError`]; nothing was sent then.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the message may have been accepted and sent, or not.
    pub async fn submit(&self, submission: Submission) -> Result<Ticket, SubmitError> {
        match submission.parsed.content {
            Content::Email(_) => accept::accept::<Email>(&self.engine.dispatch, submission).await,
            Content::Sms(_) => accept::accept::<Sms>(&self.engine.dispatch, submission).await,
        }
    }

    /// Accepts many messages as one: all are on stable storage when this returns, or none. None is sent by this call:
    /// they are taken up by the queue. An item's idempotency key is the caller's business.
    ///
    /// # Errors
    /// A [`SubmitError`]; nothing was accepted then. A fault of one item names it: `messages[3].via`.
    pub async fn submit_all(&self, submissions: Vec<Submission>) -> Result<Vec<Accepted>, SubmitError> {
        batches::accept_all(&self.engine.dispatch, submissions).await
    }

    /// Accepts a message and waits until it has an outcome or is held.
    ///
    /// # Errors
    /// As [`Messaging::submit`].
    pub async fn send(&self, submission: Submission) -> Result<SendResult, SubmitError> {
        let ticket = self.submit(submission).await?;
        Ok(ticket.result(Duration::MAX).await?)
    }

    /// One message with all that is known of it.
    ///
    /// # Errors
    /// The store, when it cannot be read.
    pub async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.engine.desk.ports.store.message(tenant, id).await
    }

    /// Messages, newest first.
    ///
    /// # Errors
    /// The store, when it cannot be read.
    pub async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError> {
        self.engine.desk.ports.store.messages(tenant, filter, cursor, limit).await
    }

    /// How each provider does, and why.
    pub fn health(&self) -> HealthReport {
        let desk = &self.engine.desk;
        let now = Now::read(&*desk.ports.clock);
        health::report(&desk.chains, &desk.rates.verdicts(), &self.engine.not_configured, now)
    }

    /// Whether the store takes writes.
    ///
    /// # Errors
    /// The store's own words.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.engine.desk.ports.store.check().await
    }

    /// How the engine stands.
    pub fn standing(&self) -> Standing {
        let desk = &self.engine.desk;
        Standing {
            backlog: desk.queue.waiting(),
            may_send: desk.may_send(),
        }
    }

    /// Stops a message that is not sent yet. A message whose attempt may have been accepted ends `unknown`.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when it is being sent or has ended.
    pub async fn cancel(&self, tenant: &TenantId, id: MessageId) -> Result<MessageRecord, ActError> {
        acts::act(&self.engine.desk, tenant, id, Act::Cancel).await
    }

    /// Has a message sent again that failed, expired, or may have been accepted; the operator answers for a double. It gets the
    /// time of its purpose anew. Attempts that were unknown before count no more against the rules on duplicates, but
    /// they stay in the story, and the message still ends `unknown` rather than `failed`.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when it stands otherwise or its body is gone.
    pub async fn resend(&self, tenant: &TenantId, id: MessageId) -> Result<MessageRecord, ActError> {
        let done = acts::act(&self.engine.desk, tenant, id, Act::Resend).await;
        self.engine.desk.queue.wake();
        done
    }

    /// Says what became of a message whose outcome is unknown.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when its outcome is known.
    pub async fn mark(&self, tenant: &TenantId, id: MessageId, mark: Mark) -> Result<MessageRecord, ActError> {
        acts::act(&self.engine.desk, tenant, id, Act::Mark(mark)).await
    }

    /// Sends failed messages again, one slice at a time, so that it can be paced, shown, stopped and resumed.
    ///
    /// # Errors
    /// The store, when it cannot be read.
    pub async fn replay(&self, tenant: &TenantId, request: &ReplayRequest) -> Result<ReplaySlice, ActError> {
        replay::replay(&self.engine.desk, tenant, request).await
    }

    /// Stops accepting, waits (at most `wait`) for what is being sent, puts back what is in no call, and closes the store.
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
        // The last calls may have taught something after the keeper went.
        // A store that does not answer keeps nobody here.
        tokio::time::timeout(LAST_WRITES, self.engine.keeper.keep()).await.ok();
        tokio::time::timeout(LAST_WRITES, rates::keeping::keep(ports, &desk.rates))
            .await
            .ok();
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        ports.store.close(left.max(LAST_WRITES)).await;
    }
}
