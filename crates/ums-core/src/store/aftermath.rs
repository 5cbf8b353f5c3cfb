//! What stores keep beside the messages: feedback, suppressions, notices, rates.
//!
//! Parts of [`Store`](crate::Store), each with its own methods; every method is one transaction.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, AttemptId, Channel, Endpoint, EndpointId, Event, EventRecord, Lift, MessageId, MessageRecord, Notice, NoticeFilter,
    NoticeId, NoticeOutcome, NoticePage, ProviderKind, Step, StoreError, Suppression, SuppressionCursor, SuppressionFilter,
    SuppressionOrigin, SuppressionPage, SuppressionReason, TenantId, Timestamp,
};

/// What an event turned out to be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The event was kept before, with its message or for good without one.
    Known,
    /// It belongs to this message (a place in [`Targets::messages`]), and to this attempt if that is known.
    Message(usize, Option<AttemptId>),
    /// No message with these ids is kept (yet).
    Nobody,
}

/// Events sorted to messages.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// For each event that was asked for, in order.
    pub of: Vec<Target>,
    /// The messages, each once, with their attempts, recipients and events.
    pub messages: Vec<MessageRecord>,
}

/// Events to be kept, and what follows from them.
#[derive(Clone, Debug)]
pub enum FeedbackStep {
    /// Events of one message (in [`Step::events`]) with the step that they make. Nobody may be working on the message.
    Apply(Box<Step>),
    /// An event that belongs to nobody yet, or to a message that somebody works on.
    Park(Box<Parked>),
}

/// An event that cannot be applied now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The event.
    pub record: EventRecord,
    /// When to look at it again; none when nothing more is to be done with it.
    pub due_at: Option<Timestamp>,
    /// How often it was looked at.
    pub looks: u32,
    /// What it says of its recipient all the same; done once, when the event is kept first.
    pub suppress: Vec<Suppression>,
    /// The same for those who want messages again.
    pub lift: Vec<Lift>,
    /// What applications are told; done once likewise.
    pub notices: Vec<Notice>,
}

/// What became of one [`FeedbackStep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackTaken {
    /// It is kept.
    Kept,
    /// Nothing was written: every event of it was known already.
    Known,
    /// Nothing was written: the message changed meanwhile ([`StoreError::Fenced`], [`StoreError::IllegalMove`]) or is gone. Look again.
    Refused,
}

/// Feedback of providers.
#[async_trait]
pub trait FeedbackStore: Send + Sync {
    /// Finds the messages that events are about: by our attempt id, else by our message id, else by the provider's id of the message (with
    /// the provider and account of the event). An event id that is kept and not parked is [`Target::Known`]. Where the attempt is not named, the one that
    /// has the provider's id; else the only one of that provider and account in the message.
    async fn feedback_targets(&self, events: &[Event]) -> Result<Targets, StoreError>;

    /// Keeps events with what follows from them: all in one transaction, each step alone in what it answers.
    ///
    /// An applied step is as [`Store::record`](crate::Store::record): fence and moves hold, and nobody works on the message, not even this
    /// process. Its events that are kept already are left out; parked ones become the message's. Parking an event that is parked moves its time
    /// and keeps the greater number of looks, so that the same report told again counts for nothing; what it says otherwise stays. One that is
    /// kept otherwise is [`FeedbackTaken::Known`], and so is one that was parked without a time: nothing more is done with it.
    async fn take_feedback(&self, steps: Vec<FeedbackStep>) -> Result<Vec<FeedbackTaken>, StoreError>;

    /// Parked events whose time has come, longest due first. What followed from them when they were parked is done and not told again.
    async fn parked_events(&self, now: Timestamp, limit: usize) -> Result<Vec<Parked>, StoreError>;

    /// Messages with an attempt of this provider and account whose outcome is unknown, that was called in `[since, until]`, and with this
    /// recipient (compared as [`suppression_address`](crate::suppression_address)), in the order of their ids, at most `limit`: for providers
    /// that echo none of our ids. Their events are left out.
    async fn unknown_attempts_to(
        &self,
        provider: ProviderKind,
        account: &AccountId,
        address: &str,
        window: (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError>;

    /// How far a feedback source was read.
    async fn feedback_cursor(&self, source: &str) -> Result<Option<String>, StoreError>;

    /// Keeps how far a feedback source was read.
    async fn save_feedback_cursor(&self, source: &str, cursor: &str) -> Result<(), StoreError>;
}

/// The suppression list.
#[async_trait]
pub trait SuppressionStore: Send + Sync {
    /// Entries in force for any of these addresses, in any case; in the order of address and reason.
    async fn suppressed(
        &self,
        tenant: &TenantId,
        channel: Channel,
        addresses: &[String],
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError>;

    /// Puts entries on the list. An entry that is there (same tenant, channel, address, reason) keeps the later `since`, with its origin, provider, message,
    /// detail and end (of two from the same time, the one that ends later); `lifted_at` keeps the later time, too. Addresses are kept as
    /// [`suppression_address`](crate::suppression_address) writes them. Whether each is in force now and was not before, in order.
    async fn suppress(&self, entries: Vec<Suppression>, notices: Vec<Notice>) -> Result<Vec<bool>, StoreError>;

    /// Takes entries off the list. A lift for which there is no entry is kept all the same when its reason is [`SuppressionReason::Stop`] or
    /// [`SuppressionReason::Unsubscribe`]: the wish that it takes back may be reported later. Such a lift is not an entry and is never listed.
    /// Whether each was in force before and is not any more, in order.
    async fn lift(&self, lifts: Vec<Lift>, notices: Vec<Notice>) -> Result<Vec<bool>, StoreError>;

    /// Entries in the order of channel, address and reason (each as its word or text, byte by byte), at most `limit`, after `cursor`.
    async fn suppressions(
        &self,
        tenant: &TenantId,
        filter: &SuppressionFilter,
        cursor: Option<&SuppressionCursor>,
        now: Timestamp,
        limit: usize,
    ) -> Result<SuppressionPage, StoreError>;

    /// Takes off the list, for all tenants, what a provider put there for a reason, by an origin, since a time (compared with the entry's
    /// `since`) and what is in force at [`Undo::at`]; also when its `since` is later than that. Says how many.
    async fn undo_suppressions(&self, undo: Undo) -> Result<u64, StoreError>;
}

/// Entries that a provider's own fault brought onto the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undo {
    /// Which provider.
    pub provider: ProviderKind,
    /// Which reason.
    pub reason: SuppressionReason,
    /// How they came onto the list.
    pub origin: SuppressionOrigin,
    /// Since when.
    pub since: Timestamp,
    /// When they are lifted.
    pub at: Timestamp,
}

/// Endpoints of the user's application, and what they are told.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Keeps an endpoint, new or changed; what [`OutboxStore::settle_notice`] keeps of it stays, but is cleared when the endpoint was
    /// disabled and is not any more.
    async fn save_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError>;

    /// Forgets an endpoint and all notices to it. Whether there was one.
    async fn forget_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError>;

    /// All endpoints of all tenants.
    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError>;

    /// Adds notices. One that is there already is left as it is, and one to an endpoint that is gone is dropped; so it is wherever notices are
    /// part of something else.
    async fn add_notices(&self, notices: Vec<Notice>) -> Result<(), StoreError>;

    /// Takes pending notices to an endpoint that are due, earliest first, at most `limit`: each counts a try and is due again at `until`, so that
    /// another process takes it when this one dies.
    async fn claim_notices(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        (now, until): (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<Vec<Notice>, StoreError>;

    /// Records how a post ended; a notice that the endpoint took stays delivered. A success clears the endpoint's `failing_since`, a failure sets it where it is not set.
    async fn settle_notice(&self, outcome: NoticeOutcome) -> Result<(), StoreError>;

    /// When the next pending notice of any endpoint that is not disabled is due.
    async fn next_notice_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Notices, newest first, at most `limit`, older than `cursor`.
    async fn notices(
        &self,
        tenant: &TenantId,
        filter: &NoticeFilter,
        cursor: Option<NoticeId>,
        limit: usize,
    ) -> Result<NoticePage, StoreError>;

    /// Makes notices that match pending again, due at once, with no tries; at most `limit`, oldest first. Says how many.
    async fn requeue_notices(&self, tenant: &TenantId, filter: &NoticeFilter, now: Timestamp, limit: usize) -> Result<u64, StoreError>;
}

/// Counts of what one sender handed to one provider account within five minutes, by the time of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRow {
    /// Which provider.
    pub provider: ProviderKind,
    /// Which account.
    pub account: AccountId,
    /// The sender's domain or number; `default` for the provider's own.
    pub sender: String,
    /// Start of the five minutes.
    pub bucket: Timestamp,
    /// Recipients for whom the provider took a message.
    pub accepted: u64,
    /// Those of them for whom a receipt came in time.
    pub receipts: u64,
    /// Those of them for whom it bounced hard.
    pub hard_bounces: u64,
    /// Those of them who complained.
    pub complaints: u64,
}

/// Counts for rates.
#[async_trait]
pub trait RateStore: Send + Sync {
    /// Adds counts to those that are kept.
    async fn add_rates(&self, rows: Vec<RateRow>) -> Result<(), StoreError>;

    /// Counts since a bucket, oldest first, then by provider, account and sender.
    async fn rates(&self, since: Timestamp) -> Result<Vec<RateRow>, StoreError>;
}

/// A recipient for whom nothing was written, because it must not be contacted.
#[derive(Clone, PartialEq, Eq)]
pub struct MustNotContact {
    /// The message.
    pub message_id: MessageId,
    /// The entries of the list that say so.
    pub entries: Vec<Suppression>,
}

impl fmt::Debug for MustNotContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MustNotContact({}, {:?})", self.message_id, self.entries)
    }
}
