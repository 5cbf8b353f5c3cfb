//! The store port: one method for each change of state, each one transaction.
//!
//! No transaction is open while a provider is called: the intent is one, the outcome (with the
//! next intent, if there is one) is the next.

mod aftermath;
mod forward;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, ActRecord, AttemptRecord, Channel, EventRecord, Lift, Message, MessageId, MessageRecord, Notice, ProviderKind, Purpose,
    RecipientRecord, Skip, Status, Suppression, TenantId, Timestamp, Work,
};

pub use aftermath::{
    FeedbackStep, FeedbackStore, FeedbackTaken, MustNotContact, OutboxStore, Parked, RateRow, RateStore, SuppressionStore, Target, Targets,
    Undo,
};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written; the same call may work in a moment.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nobody knows whether it was written (the connection broke at commit).
    #[error("the outcome of a commit is unknown")]
    CommitUnknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The message belongs to another owner by now; this write was refused by the fence.
    #[error("the message was taken over by another process")]
    Fenced,
    /// There is no such message; nothing was written.
    #[error("there is no such message")]
    NotFound,
    /// The status cannot follow the one that the message has; nothing was written.
    #[error("a message that is {from} cannot become {to}")]
    IllegalMove {
        /// Where it stands.
        from: Status,
        /// Where it should have gone.
        to: Status,
    },
    /// Recipients are on the suppression list, and a call to a provider would contact them; nothing was written.
    #[error("a recipient is on the suppression list")]
    MustNotContact(Vec<MustNotContact>),
    /// What is stored cannot be read back.
    #[error("{table}.{column} of {id} cannot be read")]
    Corrupt {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Key of the row.
        id: String,
    },
    /// The store cannot be opened as it is: wrong file, newer schema, held by another process.
    #[error("{0}")]
    Unusable(String),
}

/// This process's leave to work on messages, as the store gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Id of the process's registration. Another one than before means that the process was taken
    /// for dead: whatever it had in hand belongs to others by now.
    pub owner: i64,
    /// How long it lasts from the moment the renewal was asked for. Other processes take this one's messages
    /// only later than that.
    pub length: Duration,
}

impl Lease {
    /// The lease where nobody else can take a message over while this process lives.
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
    /// Why it has that status, when a gate decided; redacted.
    pub error: Option<String>,
    /// What is left to be done.
    pub work: Work,
    /// Its recipients.
    pub recipients: Vec<RecipientRecord>,
    /// The first attempt's intent, when a dispatch slot is in hand.
    pub intent: Option<AttemptRecord>,
    /// Providers that were passed over before that intent.
    pub skips: Vec<Skip>,
    /// The caller's key, to be stored with the message.
    pub idempotency: Option<IdempotencyKey>,
    /// What applications are told of it.
    pub notices: Vec<Notice>,
}

/// The caller's key for one message, unique for a tenant.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// 1 to 255 characters.
    pub key: String,
    /// Keyed hash of the request.
    pub fingerprint: [u8; 32],
    /// When the key may be forgotten.
    pub expires_at: Timestamp,
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(***)")
    }
}

/// What became of a message that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is on stable storage.
    New,
    /// The same request was stored before under its key.
    Replayed(MessageId),
    /// Another request was stored before under its key.
    KeyConflict,
}

/// One step in a message's life: what happened, and where it stands now. One transaction.
#[derive(Clone, Debug)]
pub struct Step {
    /// Whose message.
    pub tenant: TenantId,
    /// Which message.
    pub message_id: MessageId,
    /// The fence: the token that the message had when it was claimed or read.
    pub token: i64,
    /// Attempts that began or ended with this step; each replaces the row of its id.
    pub attempts: Vec<AttemptRecord>,
    /// Providers that were passed over in this step.
    pub skips: Vec<Skip>,
    /// Where the message stands after it.
    pub status: Status,
    /// Why; redacted.
    pub error: Option<String>,
    /// What is left to be done after it.
    pub work: Work,
    /// When a provider took it.
    pub sent_at: Option<Timestamp>,
    /// When a provider reported delivery.
    pub delivered_at: Option<Timestamp>,
    /// Its recipients, when any of them changed.
    pub recipients: Option<Vec<RecipientRecord>>,
    /// What an operator or the caller did, when the step is theirs.
    pub act: Option<ActRecord>,
    /// When it is given up, when that changed: a message that is sent again gets new time.
    pub expires_at: Option<Timestamp>,
    /// Whether its body is of no more use and must not be kept.
    pub forget_body: bool,
    /// Events of providers that are part of it; those that are kept already are left out.
    pub events: Vec<EventRecord>,
    /// Addresses that come onto the suppression list with it.
    pub suppress: Vec<Suppression>,
    /// Addresses that are taken off the suppression list with it.
    pub lift: Vec<Lift>,
    /// What applications are told of it.
    pub notices: Vec<Notice>,
}

/// Which messages to list; all fields that are set must match.
#[derive(Clone, Default)]
pub struct MessageFilter {
    /// Full address or number of any recipient.
    pub to: Option<String>,
    /// Status.
    pub status: Option<Status>,
    /// Channel.
    pub channel: Option<Channel>,
    /// Provider of any attempt.
    pub provider: Option<ProviderKind>,
    /// Purpose.
    pub purpose: Option<Purpose>,
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    /// Accepted before.
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
    /// Give it to the next call to go on; none at the end.
    pub next_cursor: Option<MessageId>,
}

/// A provider account's breaker as it is kept over restarts, and as processes on one store share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRecord {
    /// Which provider.
    pub provider: ProviderKind,
    /// Which account.
    pub account: AccountId,
    /// What is kept; the breaker alone reads it.
    pub state: serde_json::Value,
    /// When it was written.
    pub changed_at: Timestamp,
    /// Grows with each write; given by the store, of no meaning when it is saved.
    pub version: i64,
    /// Which process wrote it ([`Lease::owner`]); given by the store, of no meaning when it is saved.
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

/// Room in an account's pace that a process asks for, where several processes share a pace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaceRequest {
    /// Which provider.
    pub provider: ProviderKind,
    /// Which account.
    pub account: AccountId,
    /// Recipients.
    pub units: u32,
    /// Most recipients a second.
    pub per_second: Option<NonZeroU32>,
    /// Most recipients in any 24 hours.
    pub per_day: Option<NonZeroU32>,
}

/// What a process was given of an account's pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaceGrant {
    /// That many recipients may be handed over, by this process alone.
    Granted(u32),
    /// Nothing before that time has passed, because of the pace a second.
    Paced(Duration),
    /// Nothing before that time has passed, because of the limit a day.
    DayLimit(Duration),
}

/// What is kept, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Bodies, subjects, attachments and headers of ended messages that were accepted before are emptied.
    pub bodies_before: Timestamp,
    /// Ended messages that were accepted before are forgotten.
    pub messages_before: Timestamp,
    /// Events without a message, notices that are not pending, and counts for rates from before are forgotten.
    pub aftermath_before: Timestamp,
}

/// What was removed by one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Bodies.
    pub bodies: u64,
    /// Messages.
    pub messages: u64,
    /// Idempotency keys whose time was over.
    pub keys: u64,
    /// Events without a message, notices and counts.
    pub aftermath: u64,
    /// Whether more is left to be removed.
    pub more: bool,
}

/// What a start found and put right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Messages without an intent: will be sent.
    pub requeued: u64,
    /// Attempts with an intent and no outcome: unknown from now on.
    pub unknown: u64,
}

/// Where messages are kept.
///
/// **Suppression**: a transaction that stores a message which has not ended, or the intent of an attempt, looks at the suppression list for
/// the message's recipients that have no outcome yet: as the step leaves them, and the list as the step's own entries and lifts leave it. If any
/// is on it nothing is written and the answer is [`StoreError::MustNotContact`]. So no call to a provider is begun for an address after its
/// opt-out was committed. What was stored before is answered as that, and a step that ends its message is never refused by the list.
#[async_trait]
pub trait Store: FeedbackStore + SuppressionStore + OutboxStore + RateStore + Send + Sync + fmt::Debug {
    /// Whether what is stored outlives the process.
    fn is_durable(&self) -> bool;

    /// Whether this process may send: claim, recover and record. Only a second process on one
    /// SQLite file may not; it stores messages for the first one.
    fn is_owner(&self) -> bool {
        true
    }

    /// Whether other processes send from the same store at the same time: then breakers, probes and pace are
    /// shared through it.
    fn is_shared(&self) -> bool {
        false
    }

    /// Stores a message with its recipients and its first intent. When this returns, it is safe.
    /// A message whose id is stored already (the call is repeated after
    /// [`StoreError::CommitUnknown`]) is [`Stored::Replayed`] as itself.
    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError>;

    /// Stores many messages as one transaction: either every answer is [`Stored::New`] and all are safe, or
    /// nothing was written and the answers say which were stored before.
    async fn accept_all(&self, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError>;

    /// Records a step. When this returns, it is safe. The message may stay where it is, else
    /// [`Status::may_become`] decides.
    ///
    /// The fence: the message's token must be the step's, and this process must be its owner or nobody. A step on a
    /// message that nobody works on (a caller cancels, an operator resolves) raises the token, so that of two
    /// such steps one is [`StoreError::Fenced`]. The same step may be repeated after [`StoreError::CommitUnknown`].
    async fn record(&self, step: Step) -> Result<(), StoreError>;

    /// One message.
    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError>;

    /// Messages, newest first, at most `limit`, older than `cursor`.
    async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError>;

    /// Takes queued and scheduled messages that are due and marks them as being worked on by this process, raising
    /// their tokens: lane after lane (`otp` first), in a lane the tenants in turn, of a tenant the earliest due, then the smaller
    /// id. At most as many of each lane as it has room for. Never one that another process works on.
    async fn claim_due(&self, now: Timestamp, room: Room) -> Result<Vec<MessageRecord>, StoreError>;

    /// When the next queued or scheduled message is due.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// How many messages wait to be claimed, now or later; counts no further than `at_most`.
    async fn backlog(&self, at_most: u64) -> Result<u64, StoreError>;

    /// Renews this process's lease; registers it anew when it was taken for dead.
    async fn renew(&self) -> Result<Lease, StoreError> {
        Ok(Lease::FOREVER)
    }

    /// Gives back what dead processes were working on, by what was recorded: without an intent it
    /// is queued again, with an intent and no outcome the attempt is unknown and the message is
    /// queued (to be decided by its duplicates policy).
    async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError>;

    /// Messages that this process works on, as far as the store knows; at most `limit`.
    async fn under_way(&self, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError>;

    /// Gives back messages of this process that it knows nothing of (their commit was lost), as
    /// [`Store::recover`] does with a dead one's.
    async fn give_back(&self, messages: &[(TenantId, MessageId)], now: Timestamp) -> Result<Recovered, StoreError>;

    /// Removes what need not be kept, at most `limit` rows of each kind, as a transaction that is short.
    async fn prune(&self, retention: Retention, now: Timestamp, limit: usize) -> Result<Pruned, StoreError>;

    /// Keeps a breaker's state.
    async fn save_breaker(&self, record: BreakerRecord) -> Result<(), StoreError>;

    /// The breakers that were kept.
    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError>;

    /// Takes (or keeps) the leave to probe a recovering provider, which one process at a time has; for that long from now. With a
    /// length of zero the one that has it gives it back.
    async fn lease_probe(&self, provider: ProviderKind, account: &AccountId, length: Duration) -> Result<bool, StoreError> {
        let _ = (provider, account, length);
        Ok(true)
    }

    /// Takes (or keeps) a turn at something that one process at a time should do, such as asking a provider for feedback; for that long from
    /// now.
    async fn take_turn(&self, chore: &str, length: Duration) -> Result<bool, StoreError> {
        let _ = (chore, length);
        Ok(true)
    }

    /// Takes room in an account's pace, shared by all processes. Only asked where [`Store::is_shared`].
    async fn reserve_pace(&self, request: PaceRequest) -> Result<PaceGrant, StoreError> {
        Ok(PaceGrant::Granted(request.units))
    }

    /// Counts of messages by provider that were accepted since a time, for allowances that must
    /// outlive a restart (recipients, not messages).
    async fn recipients_sent_since(&self, provider: ProviderKind, account: &AccountId, since: Timestamp) -> Result<u64, StoreError>;

    /// Writes and reads back, to say whether the store works.
    async fn check(&self) -> Result<(), StoreError>;

    /// Ends work in hand and closes. At most `wait`.
    async fn close(&self, wait: Duration);
}
