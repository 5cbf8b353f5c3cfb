//! What callers and operators do to a message that nobody works on: cancel, send again, say what became of it.

use ums_core::{MessageFilter, MessageId, MessageRecord, Status, StoreError, TenantId, Timestamp};

use crate::engine::Messaging;

/// Why an act came to nothing. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// There is no such message.
    #[error("there is no such message")]
    NotFound,
    /// The message does not stand so that this can be done to it.
    #[error("a message that is {status} cannot be {act}: {why}")]
    NotPossible {
        /// Where it stands.
        status: Status,
        /// What was to be done, as a participle: `cancelled`, `sent again`, `marked as sent`.
        act: &'static str,
        /// Why not, and what to do instead.
        why: &'static str,
    },
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an operator says became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A provider took it.
    Sent,
    /// The recipient has it.
    Delivered,
    /// Nobody took it.
    Failed,
}

/// Which failed messages are sent again after an outage.
#[derive(Clone, Debug)]
pub struct ReplayRequest {
    /// Which; its status is `failed` whatever is said.
    pub filter: MessageFilter,
    /// Where the slice before ended.
    pub cursor: Option<MessageId>,
    /// Most messages that are looked at in this slice.
    pub limit: usize,
    /// Only says what would be done.
    pub dry_run: bool,
}

/// What one slice of a replay did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplaySlice {
    /// Messages that were looked at.
    pub examined: u64,
    /// Messages that are sent again.
    pub replayed: u64,
    /// Left out: their time ran out.
    pub expired: u64,
    /// Left out: the recipient is not to be contacted.
    pub suppressed: u64,
    /// Left out: the same was sent to the same recipient later, or stands in this replay already.
    pub duplicates: u64,
    /// Left out: their body is no longer kept.
    pub without_body: u64,
    /// Estimated cost in millionths of a US dollar, of those whose price is known.
    pub cost_micros: i64,
    /// Messages that are sent again and whose price is not known.
    pub without_price: u64,
    /// When the newest message of this slice was accepted.
    pub reached: Option<Timestamp>,
    /// Where the next slice begins; none at the end.
    pub next_cursor: Option<MessageId>,
}

impl Messaging {
    /// Stops a message that is not sent yet. One whose attempt may have been accepted ends `unknown`.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when it is being sent or has ended.
    pub async fn cancel(&self, tenant: &TenantId, id: MessageId) -> Result<MessageRecord, ActError> {
        let _ = (tenant, id, self);
        Err(ActError::NotFound)
    }

    /// Has a message sent again that failed, expired, or may have been accepted; the operator answers for a double.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when it stands otherwise or its body is gone.
    pub async fn resend(&self, tenant: &TenantId, id: MessageId) -> Result<MessageRecord, ActError> {
        let _ = (tenant, id, self);
        Err(ActError::NotFound)
    }

    /// Says what became of a message whose outcome is unknown.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when its outcome is known.
    pub async fn mark(&self, tenant: &TenantId, id: MessageId, mark: Mark) -> Result<MessageRecord, ActError> {
        let _ = (tenant, id, mark, self);
        Err(ActError::NotFound)
    }

    /// Sends failed messages again, one slice at a time, so that it can be paced, shown, stopped and resumed.
    ///
    /// # Errors
    /// The store, when it cannot be read.
    pub async fn replay(&self, tenant: &TenantId, request: &ReplayRequest) -> Result<ReplaySlice, ActError> {
        let _ = (tenant, request, self);
        Err(ActError::NotFound)
    }
}
