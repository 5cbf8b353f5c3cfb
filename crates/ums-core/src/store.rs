//! The store port: one method for each change of state, each one transaction.
//!
//! No transaction is open while a provider is called. The intent is committed before the call; the outcome is committed after the call,
//! together with the next intent if another provider is called.

mod aftermath;
mod forward;
mod time;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, ActRecord, AttemptRecord, Channel, Content, EventRecord, Lift, ListNotice, Message, MessageId, MessageRecord, Notice,
    Occasion, ProviderKind, Purpose, RecipientRecord, Skip, Status, Suppression, TenantId, Timestamp, Troubles, Work,
};

pub use aftermath::{
    FeedbackStep, FeedbackStore, FeedbackTaken, MustNotContact, OutboxStore, Parked, ProviderStore, RateRow, RateStore, SuppressionStore,
    Target, Targets, Undo, Undone,
};
pub use time::{LongestWaits, TimeStore};

/// Why the store refused or failed a call.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written; the same call may work in a moment.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection broke during the commit: the write may be stored or lost. The caller repeats it or reads the message.
    #[error("the outcome of a commit is unknown")]
    CommitUnknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The fence refused the write: another process took the message over, or another write came first. Nothing was written.
    #[error("the message was taken over by another process")]
    Fenced,
    /// There is no such message; nothing was written.
    #[error("there is no such message")]
    NotFound,
    /// The message's status does not allow the move ([`Status::may_become`]); nothing was written.
    #[error("a message that is {from} cannot become {to}")]
    IllegalMove {
        /// The status that the store keeps of the message.
        from: Status,
        /// The status that the write asked for.
        to: Status,
    },
    /// Recipients are on the suppression list, and a call to a provider would contact them; nothing was written.
    #[error("a recipient is on the suppression list")]
    MustNotContact(Vec<MustNotContact>),
    /// The database refuses a value of a new message, such as a text that is too long for it; nothing was written, and the same call is
    /// refused again. The text names the place. No step ends so: the store replaces its texts.
    #[error("the database refuses a value: {0}")]
    RefusedData(String),
    /// A stored value cannot be read back.
    #[error("{table}.{column} of {id} cannot be read")]
    Corrupt {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Key of the row.
        id: String,
    },
    /// The database was taken away while this process used it: the process neither stores nor reads anything any more, and a write that met
    /// this may be in the file that is gone. The same call never works again. The text says what to do.
    #[error("{0}")]
    Gone(String),
    /// The store cannot be opened: wrong file, newer schema, held by another process. The text says which.
    #[error("{0}")]
    Unusable(String),
}

/// The time for which the store lets this process own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Id of the process's registration. A new id means that the store took the process for dead: other processes may own its messages now.
    pub owner: i64,
    /// Length of the lease, counted from the moment at which the process asked for the renewal. Other processes take the messages of this
    /// process only after the end.
    pub length: Duration,
}

impl Lease {
    /// The lease of a store without other processes: no message changes its owner while this process lives.
    pub const FOREVER: Self = Self {
        owner: 0,
        length: Duration::MAX,
    };
}

/// A message to be stored.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The message.
    pub message: Arc<Message>,
    /// `pending`, `scheduled`, `queued`, `sending` (with an intent), or an end decided by a gate.
    pub status: Status,
    /// The gate's reason for that status; redacted.
    pub error: Option<String>,
    /// The work that is left: in hand with an intent, due at a time, or ended.
    pub work: Work,
    /// The recipients: to, cc, bcc in order.
    pub recipients: Vec<RecipientRecord>,
    /// The intent of the first attempt, when the process holds a slot at a provider. The intent names its recipients.
    pub intent: Option<AttemptRecord>,
    /// Providers that were passed over before that intent.
    pub skips: Vec<Skip>,
    /// The caller's key, stored with the message.
    pub idempotency: Option<IdempotencyKey>,
    /// Notices to endpoints about the message.
    pub notices: Vec<Notice>,
}

/// The caller's key for one message, unique for a tenant.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// 1 to 255 characters.
    pub key: String,
    /// Keyed hash of the request.
    pub fingerprint: [u8; 32],
    /// From this time on the store may forget the key.
    pub expires_at: Timestamp,
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(***)")
    }
}

/// The store's answer to a new message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The message is on stable storage.
    New,
    /// The store already holds this request, under the same id or the same key. The message of that id counts.
    Replayed(MessageId),
    /// The store already holds a different request under the same key. Nothing was written.
    KeyConflict,
}

/// One step in a message's life: what happened, and the state after it. One transaction.
#[derive(Clone, Debug)]
pub struct Step {
    /// Tenant of the message.
    pub tenant: TenantId,
    /// The message.
    pub message_id: MessageId,
    /// What the message is to its recipients: the store compares an intent with the suppression list by it.
    pub occasion: Occasion,
    /// The fence: the token that the message had when the process claimed or read it.
    pub token: i64,
    /// Attempts that began or ended with this step. Each replaces the row of its id, names its recipients, and lists the recipients whom
    /// the provider refused by name.
    pub attempts: Vec<AttemptRecord>,
    /// Providers that were passed over in this step.
    pub skips: Vec<Skip>,
    /// The message's word after the step ([`MessageRecord::word`]).
    pub status: Status,
    /// The reason for the word, for people; redacted.
    pub error: Option<String>,
    /// The work that is left after the step. The word does not tell: a message that is `sent` may still be due for other recipients.
    pub work: Work,
    /// When a provider took the message.
    pub sent_at: Option<Timestamp>,
    /// When a provider reported delivery.
    pub delivered_at: Option<Timestamp>,
    /// All recipients, when any of them changed.
    pub recipients: Option<Vec<RecipientRecord>>,
    /// The act of a caller or an operator that the step records.
    pub act: Option<ActRecord>,
    /// The new end of the message's life, when the step changes that: a resend gives the message new time.
    pub expires_at: Option<Timestamp>,
    /// Whether the store must empty the body: nothing will be sent any more.
    pub forget_body: bool,
    /// When the store must empty the body of a message that has ended, if no later step says otherwise before that; none to leave it as
    /// it is.
    pub forget_body_at: Option<Timestamp>,
    /// Events of providers that led to the step. The store leaves out events that it already keeps.
    pub events: Vec<EventRecord>,
    /// Entries that the step puts on the suppression list.
    pub suppress: Vec<Suppression>,
    /// Lifts that take entries off the suppression list.
    pub lift: Vec<Lift>,
    /// Decisions that entries of the list were a provider account's own fault. The store keeps them, and carries them out after the
    /// step's own entries.
    pub undo: Vec<Undo>,
    /// Notices to endpoints about the message.
    pub notices: Vec<Notice>,
    /// Notices to endpoints about the entries and lifts of the step.
    pub list_notices: Vec<ListNotice>,
}

/// Which messages to list; all fields that are set must match.
#[derive(Clone, Default)]
pub struct MessageFilter {
    /// Full address or number of any recipient.
    pub to: Option<String>,
    /// The message's word, as [`MessageRecord::status`] gives it.
    pub status: Option<Status>,
    /// Channel.
    pub channel: Option<Channel>,
    /// Provider of any attempt.
    pub provider: Option<ProviderKind>,
    /// Purpose.
    pub purpose: Option<Purpose>,
    /// Messages that were accepted at this time or later.
    pub since: Option<Timestamp>,
    /// Messages that were accepted before this time.
    pub until: Option<Timestamp>,
}

impl fmt::Debug for MessageFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "MessageFilter(status {:?}, channel {:?}, provider {:?})",
            self.status, self.channel, self.provider
        )
    }
}

/// Messages, newest first.
#[derive(Clone, Debug, Default)]
pub struct MessagePage {
    /// The messages.
    pub messages: Vec<MessageRecord>,
    /// Cursor for the next page; none at the end.
    pub next_cursor: Option<MessageId>,
}

/// The stored state of a provider account's breaker: outlives a restart, and processes on one store share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRecord {
    /// The provider.
    pub provider: ProviderKind,
    /// The account at the provider.
    pub account: AccountId,
    /// The breaker's state; only the breaker reads it.
    pub state: serde_json::Value,
    /// When the state was written, by the writer's clock.
    pub changed_at: Timestamp,
    /// Number of the write, growing. The store sets it and ignores it in [`Store::save_breaker`].
    pub version: i64,
    /// [`Lease::owner`] of the process that wrote the state. The store sets it and ignores it in [`Store::save_breaker`].
    pub writer: i64,
}

/// How many messages may be claimed, by lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// One-time codes.
    pub otp: usize,
    /// Receipts and notices.
    pub transactional: usize,
    /// Mail to many.
    pub bulk: usize,
}

impl Room {
    /// The same room in each lane.
    pub const fn of_each(limit: usize) -> Self {
        Self {
            otp: limit,
            transactional: limit,
            bulk: limit,
        }
    }

    /// The room of a lane.
    pub const fn of(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::Otp => self.otp,
            Purpose::Transactional => self.transactional,
            Purpose::Bulk => self.bulk,
        }
    }
}

/// A process's request for a part of a pace that several processes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaceRequest {
    /// The provider.
    pub provider: ProviderKind,
    /// The account at the provider.
    pub account: AccountId,
    /// Number of recipients that the process asks for.
    pub units: u32,
    /// Most recipients a second; none without a limit.
    pub per_second: Option<NonZeroU32>,
    /// Most recipients in any 24 hours; none without a limit.
    pub per_day: Option<NonZeroU32>,
}

/// The store's answer to a [`PaceRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaceGrant {
    /// This process may hand over so many recipients; no other process gets them.
    Granted(u32),
    /// The pace per second is used up; a new request may be granted after so long.
    Paced(Duration),
    /// The limit per day is used up; a new request may be granted after so long.
    DayLimit(Duration),
}

/// The times before which [`Store::prune`] empties or removes rows. A message that has not ended is never touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Ended messages that were accepted before this time lose bodies, subject, attachments and headers.
    pub bodies_before: Timestamp,
    /// Ended messages that were accepted before this time are removed.
    pub messages_before: Timestamp,
    /// Events without a message, notices that are not pending, and counts for rates from before this time are removed.
    pub aftermath_before: Timestamp,
}

/// The numbers of rows that one call of [`Store::prune`] emptied or removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Messages whose bodies were emptied.
    pub bodies: u64,
    /// Messages that were removed.
    pub messages: u64,
    /// Idempotency keys whose time was over.
    pub keys: u64,
    /// Events without a message, notices and counts.
    pub aftermath: u64,
    /// Whether rows are left for another call.
    pub more: bool,
}

/// The numbers of messages and attempts that [`Store::recover`] or [`Store::give_back`] released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Messages without an intent: requeued.
    pub requeued: u64,
    /// Attempts with an intent and no outcome: unknown from now on.
    pub unknown: u64,
}

/// The store of messages.
///
/// **Work**: every message has one [`Work`]. *In hand*: one process owns the message. *Due*: no process owns the message, and a claim takes
/// it from that time on. *Ended*: every recipient has an end, and only an operator's act, the caller's act or feedback changes the message.
///
/// **Word and kept status**: a [`Step`] gives the message's word, and a [`MessageRecord`] gives it back; both follow the first recipient. A row
/// may keep another status: for a message with open recipients whose word is an end, a row keeps `queued` (due) or `sending` (in hand), so
/// that a replica of the release before does not take the message for ended. The legal moves ([`Status::may_become`]) are those
/// between kept statuses. No caller sees a kept status, except in [`StoreError::IllegalMove`].
///
/// **Intents name their recipients** ([`AttemptRecord::recipients`]). An attempt that the release before wrote names none
/// ([`crate::RecipientSet::NOT_RECORDED`]) and counts for every recipient.
///
/// **Suppression**: a transaction that stores a message which has not ended, or an intent, compares the suppression list with the message's
/// open recipients. The recipients count as the step leaves them, the list as the step's own entries and lifts leave it. If the list
/// names one of them, nothing is written and the answer is [`StoreError::MustNotContact`]. So no call to a provider begins for an address
/// after the commit of its opt-out. The list never refuses a step that ends its message, nor a step that was stored before.
#[async_trait]
pub trait Store: FeedbackStore + SuppressionStore + OutboxStore + RateStore + ProviderStore + TimeStore + Send + Sync + fmt::Debug {
    /// Whether stored messages outlive the process.
    fn is_durable(&self) -> bool;

    /// Whether this process may send: claim, recover and record intents. A second process on one SQLite file may not; it stores messages for
    /// the first process.
    fn is_owner(&self) -> bool {
        true
    }

    /// Hands over the list in which the store tells, from now on, that its database is gone or that another process sends from it.
    fn tell_troubles(&self, _troubles: &Troubles) {}

    /// Whether other processes send from the same store at the same time. They share breakers, probes and pace through the store.
    fn is_shared(&self) -> bool {
        false
    }

    /// Stores a message with its recipients and its first intent. The message is on stable storage when the call returns.
    ///
    /// The call may be repeated after [`StoreError::CommitUnknown`]: a message whose id is stored already is [`Stored::Replayed`] with its own id.
    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError>;

    /// Stores many messages in one transaction. Either every answer is [`Stored::New`] and all messages are on stable storage, or
    /// nothing was written and the answers say which messages were stored before.
    async fn accept_all(&self, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError>;

    /// Records a step. The step is on stable storage when the call returns. The kept status may stay as it is or make a legal move.
    ///
    /// The fence: the step's token must be the message's token, and the message must belong to this process or to nobody. A step on a message
    /// without an owner (a caller's cancel, an operator's mark) raises the token: of two such steps the store refuses one as
    /// [`StoreError::Fenced`]. The same step may be repeated after [`StoreError::CommitUnknown`].
    async fn record(&self, step: Step) -> Result<(), StoreError>;

    /// Reads one message with its events; none if the tenant has no such message.
    ///
    /// A record that the store reads, here and in every list and claim, carries the envelope of a large content ([`MessageRecord::body`]).
    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError>;

    /// Reads the whole content of one message, however large; none if the tenant has no such message.
    async fn content(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Content>, StoreError>;

    /// Lists messages, newest first, at most `limit`, older than `cursor`. The records come without events.
    async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError>;

    /// Claims messages that are due: they are in hand of this process, with a raised token and the status that they had. A message is due by its
    /// [`Work`], whatever its word is: a message that is `sent` is claimed for the recipients that are still open.
    ///
    /// The order: lane after lane (`otp` first); in a lane the tenants in turn; of a tenant the earliest due, then the smaller id. A claim
    /// takes no more of a lane than its [`Room`], and no message in hand of another process.
    async fn claim_due(&self, now: Timestamp, room: Room) -> Result<Vec<MessageRecord>, StoreError>;

    /// When the next message is due; none if no message waits.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Number of messages that are due, now or later; the count stops at `at_most`.
    async fn backlog(&self, at_most: u64) -> Result<u64, StoreError>;

    /// Renews this process's lease. A process that the store took for dead gets a new registration.
    async fn renew(&self) -> Result<Lease, StoreError> {
        Ok(Lease::FOREVER)
    }

    /// Releases the messages of dead processes. Each is due at `now`. A message without an intent was never handed over. An attempt with an
    /// intent and no outcome becomes unknown for its recipients, and the message's duplicates policy decides what follows.
    async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError>;

    /// Messages in hand of this process, as the store keeps them; at most `limit`.
    async fn under_way(&self, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError>;

    /// Releases messages of this process, as [`Store::recover`] releases those of a dead process. The process calls it for messages that it
    /// does not know: the answer to their claim was lost.
    async fn give_back(&self, messages: &[(TenantId, MessageId)], now: Timestamp) -> Result<Recovered, StoreError>;

    /// Empties or removes rows whose retention is over, at most `limit` rows of each kind, so that the transaction is short.
    async fn prune(&self, retention: Retention, now: Timestamp, limit: usize) -> Result<Pruned, StoreError>;

    /// Replaces the stored state of a breaker.
    async fn save_breaker(&self, record: BreakerRecord) -> Result<(), StoreError>;

    /// The stored states of all breakers.
    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError>;

    /// Leases the probe of a recovering provider to this process for `length` from now, or renews the lease. One process at a time holds
    /// it; the answer is whether this process does. A length of zero releases it.
    async fn lease_probe(&self, provider: ProviderKind, account: &AccountId, length: Duration) -> Result<bool, StoreError> {
        let _ = (provider, account, length);
        Ok(true)
    }

    /// Leases a chore that one process at a time does, such as asking a provider for feedback, to this process for `length` from now, or
    /// renews the lease. The answer is whether this process holds it. A length of zero releases it.
    async fn lease_chore(&self, chore: &str, length: Duration) -> Result<bool, StoreError> {
        let _ = (chore, length);
        Ok(true)
    }

    /// Reserves a part of an account's pace for this process. Only a store that [is shared](Store::is_shared) is asked.
    async fn reserve_pace(&self, request: PaceRequest) -> Result<PaceGrant, StoreError> {
        Ok(PaceGrant::Granted(request.units))
    }

    /// Number of recipients whom the provider took, or may have taken, in calls since `since`, so that a daily limit outlives a restart.
    ///
    /// An attempt counts the recipients that it carried ([`AttemptRecord::recipients`]). An attempt of the release before, which names none,
    /// counts every recipient of its message that is neither `suppressed` nor `unsubscribed`.
    async fn recipients_sent_since(&self, provider: ProviderKind, account: &AccountId, since: Timestamp) -> Result<u64, StoreError>;

    /// Writes a row and reads it back, to prove that the store works.
    async fn check(&self) -> Result<(), StoreError>;

    /// Finishes the writes under way, for at most `wait`, releases the lease, and closes the store.
    async fn close(&self, wait: Duration);
}
