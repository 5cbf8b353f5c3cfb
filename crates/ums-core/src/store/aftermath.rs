//! The parts of [`Store`](crate::Store) beside the messages: feedback, suppressions, notices, rates.
//!
//! Every method is one transaction.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, AttemptId, Channel, Endpoint, EndpointId, EndpointUpdate, Event, EventRecord, Lift, ListNotice, MessageId, MessageRecord,
    Notice, NoticeFilter, NoticeId, NoticeOutcome, NoticePage, ProviderKind, ProviderSwitch, Step, StoreError, Suppression,
    SuppressionCursor, SuppressionFilter, SuppressionOrigin, SuppressionPage, SuppressionReason, SwitchedOff, TenantId, Timestamp,
};

/// The message that an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The store keeps the event already, with its message or without one, and nothing is left to be done with the event.
    Known,
    /// The event belongs to this message (a place in [`Targets::messages`]), and to this attempt if the store knows the attempt.
    Message(usize, Option<AttemptId>),
    /// The store keeps no message with the event's ids, perhaps not yet.
    Nobody,
}

/// Events, each with its message.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// One target for each event that was asked for, in order.
    pub of: Vec<Target>,
    /// The messages, each once, with their attempts, recipients and events.
    pub messages: Vec<MessageRecord>,
}

/// Events to be stored, and what follows from them.
#[derive(Clone, Debug)]
pub enum FeedbackStep {
    /// Events of one message (in [`Step::events`]) with the step that follows from them. The message must be in no process's hand.
    Apply(Box<Step>),
    /// An event without a message, or of a message that is in a process's hand.
    Park(Box<Parked>),
}

/// An event that cannot be applied now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The event.
    pub record: EventRecord,
    /// Time of the next look; none when nothing more follows from the event.
    pub due_at: Option<Timestamp>,
    /// Number of looks so far.
    pub looks: u32,
    /// Entries for the suppression list that follow from the event without its message; added once, when the store first keeps the event.
    pub suppress: Vec<Suppression>,
    /// Lifts that follow from the event without its message; made once likewise.
    pub lift: Vec<Lift>,
    /// Notices about these entries and lifts; added once likewise.
    pub notices: Vec<ListNotice>,
}

/// The store's answer to one [`FeedbackStep`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackTaken {
    /// The step is stored.
    Kept,
    /// Nothing was written: the store knew every event of the step.
    Known,
    /// Nothing was written: the message changed meanwhile ([`StoreError::Fenced`], [`StoreError::IllegalMove`]) or is gone. The caller reads the
    /// message again.
    Refused,
}

/// Feedback of providers.
#[async_trait]
pub trait FeedbackStore: Send + Sync {
    /// Finds the messages that events belong to: by our attempt id, else by our message id, else by the provider's id of the message (together
    /// with the provider and account of the event). An event whose id is stored and not parked is [`Target::Known`].
    ///
    /// If the event names no attempt, the attempt with the provider's id counts, else the only attempt of that provider and account.
    async fn feedback_targets(&self, events: &[Event]) -> Result<Targets, StoreError>;

    /// Stores events with what follows from them, all in one transaction. Each step has an answer of its own, and a refused step does not
    /// harm the others.
    ///
    /// *Apply* obeys the fence and the legal moves of [`Store::record`](crate::Store::record); the message must be in no process's hand, not
    /// even this process's. The store leaves out events that it keeps already; a parked event moves to the message.
    ///
    /// *Park* of a parked event sets the new time and keeps the greater number of looks and all else, so that a repeated report
    /// changes nothing. An event that the store keeps unparked, or parked without a time, is [`FeedbackTaken::Known`].
    async fn take_feedback(&self, steps: Vec<FeedbackStep>) -> Result<Vec<FeedbackTaken>, StoreError>;

    /// Parked events that are due, longest due first, at most `limit`. Their entries, lifts and notices are left out: they were made when the
    /// event was parked.
    async fn parked_events(&self, now: Timestamp, limit: usize) -> Result<Vec<Parked>, StoreError>;

    /// Messages with an unknown attempt of this provider and account for this recipient, called within `called`; in the order of their ids,
    /// at most `limit`, without events. Events of providers that return none of our ids are matched so.
    ///
    /// Addresses are compared by [`subscriber_key`](crate::subscriber_key). An attempt matches only the recipients that
    /// it was for ([`AttemptRecord::recipients`](crate::AttemptRecord::recipients)): neither a recipient whom the provider refused by name,
    /// nor one whom another attempt carried. An attempt of the release before names none and matches every recipient of its message.
    async fn unknown_attempts_to(
        &self,
        provider: ProviderKind,
        account: &AccountId,
        address: &str,
        called: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError>;

    /// The cursor up to which a feedback source was read; none before the first read.
    async fn feedback_cursor(&self, source: &str) -> Result<Option<String>, StoreError>;

    /// Stores the cursor up to which a feedback source was read.
    async fn save_feedback_cursor(&self, source: &str, cursor: &str) -> Result<(), StoreError>;
}

/// The suppression list.
#[async_trait]
pub trait SuppressionStore: Send + Sync {
    /// Entries in force for any of these addresses, in any spelling; in the order of address and reason.
    async fn suppressed(
        &self,
        tenant: &TenantId,
        channel: Channel,
        addresses: &[String],
        now: Timestamp,
    ) -> Result<Vec<Suppression>, StoreError>;

    /// Puts entries on the list, and adds the notices of those that come into force. The answers, in order: whether the entry is in force now
    /// and none was before for its reason and any spelling of its address ([`spellings`](crate::spellings)).
    ///
    /// The list has one entry for each tenant, channel, address and reason. Of two, the later `since` wins, with its origin, provider, message,
    /// detail and end; of two from the same time, the entry that ends later. `lifted_at` keeps the later time. Addresses are stored as
    /// [`suppression_address`](crate::suppression_address) writes them.
    async fn suppress(&self, entries: Vec<Suppression>, notices: Vec<ListNotice>) -> Result<Vec<bool>, StoreError>;

    /// Lifts entries off the list, and adds the notices of those lifts that take one off that was in force. A lift takes off the entries of every
    /// spelling of its address ([`spellings`](crate::spellings)). The answers, in order: whether an entry was in force before and is not any more.
    ///
    /// A lift without an entry is stored if its reason is [`SuppressionReason::Stop`] or [`SuppressionReason::Unsubscribe`], because the
    /// provider may report the earlier opt-out later. Such a lift is no entry and is never listed.
    async fn lift(&self, lifts: Vec<Lift>, notices: Vec<ListNotice>) -> Result<Vec<bool>, StoreError>;

    /// Entries in the order of channel, address and reason (each as its word or text, byte by byte), at most `limit`, after `cursor`.
    async fn suppressions(
        &self,
        tenant: &TenantId,
        filter: &SuppressionFilter,
        cursor: Option<&SuppressionCursor>,
        now: Timestamp,
        limit: usize,
    ) -> Result<SuppressionPage, StoreError>;

    /// Carries out again what [`Step::undo`](crate::Step::undo) decided: lifts the entries of all tenants that an [`Undo`] describes and that
    /// are in force at `now`. Undos that [are over](Undo::is_over) are forgotten.
    ///
    /// A step carries out its own undos. But an answer or a report that another process had in hand at that moment may be stored later,
    /// with its entry.
    async fn carry_out_undos(&self, now: Timestamp) -> Result<Undone, StoreError>;
}

/// The decision that a provider account put entries on the list by its own fault. The store keeps it, so that it outlives the process that
/// made it.
///
/// One decision has one row: of two with the same provider, account, reason, origin and `since`, the later `until` and the earlier `at`
/// are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// The provider.
    pub provider: ProviderKind,
    /// The account at the provider.
    pub account: AccountId,
    /// The entries' reason.
    pub reason: SuppressionReason,
    /// The entries' origin.
    pub origin: SuppressionOrigin,
    /// The earliest `since` of the entries.
    pub since: Timestamp,
    /// The latest `since` of the entries. It may lie after the decision: more answers of that kind are under way, and a provider's clock
    /// may run ahead.
    pub until: Timestamp,
    /// Time of the decision.
    pub at: Timestamp,
}

impl Undo {
    /// How long after `until` an entry may still be stored: a store that is away holds up what is to be stored.
    const KEPT_FOR: Duration = Duration::from_hours(1);

    /// Whether the undo need not be carried out again.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until < Self::over_before(now)
    }

    /// Undos whose `until` is earlier are over.
    pub fn over_before(now: Timestamp) -> Timestamp {
        now - Self::KEPT_FOR
    }

    /// Whether an entry is one of those that are undone.
    pub fn concerns(&self, entry: &Suppression) -> bool {
        let account = entry.account.clone().unwrap_or_default();
        (entry.provider, account, entry.reason, entry.origin) == (Some(self.provider), self.account.clone(), self.reason, self.origin)
            && (self.since..=self.until).contains(&entry.since)
    }
}

/// What [`SuppressionStore::carry_out_undos`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// The undos that are not over.
    pub undos: Vec<Undo>,
    /// Number of entries that it lifted.
    pub lifted: u64,
}

/// Endpoints of the user's application, and the notices to them.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Stores a new endpoint. Of an endpoint that is stored already the settings are replaced as a whole.
    async fn save_endpoint(&self, endpoint: Endpoint) -> Result<(), StoreError>;

    /// Changes an endpoint as it is in the transaction ([`EndpointUpdate::apply`]). The fields that [`OutboxStore::settle_notice`] writes stay;
    /// they are cleared when a disabled endpoint is enabled again. Returns the endpoint afterwards, even if the change does not apply; none
    /// if there is no such endpoint.
    async fn change_endpoint(&self, tenant: &TenantId, id: EndpointId, update: EndpointUpdate) -> Result<Option<Endpoint>, StoreError>;

    /// Removes an endpoint and all notices to it. Returns whether the endpoint existed.
    async fn forget_endpoint(&self, tenant: &TenantId, id: EndpointId) -> Result<bool, StoreError>;

    /// All endpoints of all tenants.
    async fn endpoints(&self) -> Result<Vec<Endpoint>, StoreError>;

    /// Adds notices. A notice whose id is stored stays as it is; a notice to a removed endpoint is dropped. The same holds for the notices of a
    /// step, a suppression or a lift.
    async fn add_notices(&self, notices: Vec<Notice>) -> Result<(), StoreError>;

    /// Claims pending notices to an endpoint that are due at `now`, earliest first, at most `limit`. Each notice counts a try and is due again
    /// at `again_at`: another process claims it then if this process has died.
    async fn claim_notices(
        &self,
        tenant: &TenantId,
        endpoint: EndpointId,
        now: Timestamp,
        again_at: Timestamp,
        limit: usize,
    ) -> Result<Vec<Notice>, StoreError>;

    /// Settles a notice after a post; a delivered notice stays delivered. A success clears the endpoint's `failing_since`; a failure sets
    /// the field if it is empty.
    async fn settle_notice(&self, outcome: NoticeOutcome) -> Result<(), StoreError>;

    /// When the next pending notice to an enabled endpoint is due; none if no notice waits.
    async fn next_notice_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Lists notices, newest first, at most `limit`, older than `cursor`.
    async fn notices(
        &self,
        tenant: &TenantId,
        filter: &NoticeFilter,
        cursor: Option<NoticeId>,
        limit: usize,
    ) -> Result<NoticePage, StoreError>;

    /// Requeues the notices that match: pending, due at `now`, without tries; at most `limit`, oldest first. Returns their number.
    async fn requeue_notices(&self, tenant: &TenantId, filter: &NoticeFilter, now: Timestamp, limit: usize) -> Result<u64, StoreError>;
}

/// Counts of the recipients for whom one sender called one provider account within five minutes, by the time of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateRow {
    /// The provider.
    pub provider: ProviderKind,
    /// The account at the provider.
    pub account: AccountId,
    /// The sender's domain or number; `default` for the provider's own.
    pub sender: String,
    /// Start of the five minutes.
    pub bucket: Timestamp,
    /// Recipients for whom the provider took a message.
    pub accepted: u64,
    /// Accepted recipients with a receipt in time.
    pub receipts: u64,
    /// Accepted recipients with a hard bounce.
    pub hard_bounces: u64,
    /// Accepted recipients with a complaint.
    pub complaints: u64,
}

/// Counts for rates.
#[async_trait]
pub trait RateStore: Send + Sync {
    /// Adds counts to the stored counts of the same provider, account, sender and bucket.
    async fn add_rates(&self, rows: Vec<RateRow>) -> Result<(), StoreError>;

    /// Counts of the buckets from `since` on, oldest first, then by provider, account and sender.
    async fn rates(&self, since: Timestamp) -> Result<Vec<RateRow>, StoreError>;
}

/// A message that was not written because the suppression list names an open recipient of it.
#[derive(Clone, PartialEq, Eq)]
pub struct MustNotContact {
    /// The message.
    pub message_id: MessageId,
    /// The entries of the list that name its recipients.
    pub entries: Vec<Suppression>,
}

impl fmt::Debug for MustNotContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MustNotContact({}, {:?})", self.message_id, self.entries)
    }
}

/// What operators decide about provider accounts, and what the store knows of the accounts by their attempts.
#[async_trait]
pub trait ProviderStore: Send + Sync {
    /// Takes a provider account out of service, or brings it back. Every process that sends from the store obeys within a second.
    async fn switch_provider(&self, provider: ProviderKind, account: &AccountId, off: Option<SwitchedOff>) -> Result<(), StoreError>;

    /// Notes that an operator had the provider tried, and that it did not say no.
    async fn note_trial(&self, provider: ProviderKind, account: &AccountId, at: Timestamp) -> Result<(), StoreError>;

    /// The switches of all accounts that an operator ever changed, ordered by provider and account.
    async fn provider_switches(&self) -> Result<Vec<ProviderSwitch>, StoreError>;

    /// When the account last took a message: the latest call of all attempts that are accepted and kept.
    async fn last_accepted(&self, provider: ProviderKind, account: &AccountId) -> Result<Option<Timestamp>, StoreError>;
}
