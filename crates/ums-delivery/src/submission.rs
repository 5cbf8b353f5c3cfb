//! Submissions of callers, and the tickets and errors they get.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use ums_core::{IdempotencyKey, InvalidRequest, MessageId, Parsed, SendResult, StoreError, TenantId};

use crate::ports::Ports;

/// A message to be accepted.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The tenant of the message.
    pub tenant: TenantId,
    /// The request, parsed at the edge.
    pub parsed: Parsed,
    /// The idempotency key of the caller, if the request has one.
    pub idempotency: Option<IdempotencyKey>,
}

impl From<Parsed> for Submission {
    fn from(parsed: Parsed) -> Self {
        Self {
            tenant: TenantId::default(),
            parsed,
            idempotency: None,
        }
    }
}

/// A message of a batch that is on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub message_id: MessageId,
    /// Whether the same request was accepted before under the same key.
    pub replayed: bool,
}

/// Why a message was not accepted. No provider was called and none will be.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The request names something that does not exist here (such as a provider that is not configured).
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// No provider of the channel is configured.
    #[error("no provider for {0} is configured")]
    NoProvider(ums_core::Channel),
    /// The key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyConflict,
    /// All lane permits are in use, and the store is not durable; the caller may try again.
    #[error("too many messages are being worked on")]
    Busy,
    /// The backlog is full; the caller may try again when messages were sent.
    #[error("too many messages wait to be sent")]
    Full,
    /// The service is shutting down; another instance will take it.
    #[error("the service is shutting down")]
    Closing,
    /// The store did not take the message.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A stored message: being sent, or waiting in the queue.
#[derive(Debug)]
pub struct Ticket {
    pub(crate) message_id: MessageId,
    pub(crate) tenant: TenantId,
    pub(crate) replayed: bool,
    pub(crate) settled: Option<oneshot::Receiver<SendResult>>,
    pub(crate) ports: Arc<Ports>,
}

impl Ticket {
    /// The message's id.
    pub fn message_id(&self) -> MessageId {
        self.message_id
    }

    /// Whether the same request was accepted before under the same key.
    pub fn was_replayed(&self) -> bool {
        self.replayed
    }

    /// Waits, at most `wait`, until the message has an outcome or is held. Returns the result so far; its status says whether the message
    /// has ended.
    ///
    /// # Errors
    /// The error of a store that cannot be read.
    ///
    /// # Cancel safety
    /// Dropping the future does not cancel the message.
    pub async fn result(self, wait: Duration) -> Result<SendResult, StoreError> {
        if let Some(settled) = self.settled
            && let Ok(Ok(result)) = tokio::time::timeout(wait, settled).await
        {
            return Ok(result);
        }
        let record = self.ports.store.message(&self.tenant, self.message_id).await?;
        record.map(|record| record.result()).ok_or_else(|| StoreError::Corrupt {
            table: "messages",
            column: "id",
            id: self.message_id.to_string(),
        })
    }
}
