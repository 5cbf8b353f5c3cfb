//! What is known of a message: where it stands, its attempts, its recipients, why providers were skipped.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::attempt::{AttemptOutcome, AttemptRecord, RecipientSet};
use crate::channel::words;
use crate::{AccountId, EventRecord, Message, ProviderKind, RecipientKind, Status, Timestamp};

/// The token of a message that was just accepted.
pub const FIRST_TOKEN: i64 = 0;

words! {
    /// Why a provider was passed over.
    SkipReason {
        /// Its breaker is open after failures.
        Open = "open",
        /// Its account or settings need mending.
        Misconfigured = "misconfigured",
        /// Its allowance is used up.
        Quota = "quota",
        /// It asked to be left alone for a while.
        Throttled = "throttled",
        /// It recovers, and another call probes it.
        Probing = "probing",
        /// It already has as many messages a second as its pace allows.
        Paced = "paced",
        /// It already has as many messages today as its pace allows.
        DayLimit = "day_limit",
        /// It takes messages and few receipts come: it is tried after the others.
        Degraded = "degraded",
        /// Too much of this sender's mail to many bounces.
        BounceRate = "bounce_rate",
        /// Too many recipients complain of this sender's mail to many.
        ComplaintRate = "complaint_rate",
        /// A later release wrote a word that this one does not know.
        Other = "other",
    }
}

/// A provider that was considered and passed over, with the reason, for `explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skip {
    /// Which provider.
    pub provider: ProviderKind,
    /// Which account at the provider.
    pub account: AccountId,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: SkipReason,
    /// For people.
    pub detail: String,
}

/// One recipient of a message.
#[derive(Clone, PartialEq, Eq)]
pub struct RecipientRecord {
    /// Full address or number.
    pub address: String,
    /// The line it stands on.
    pub kind: RecipientKind,
    /// Where it stands.
    pub status: Status,
    /// Why it stands there, when that is not clear from the status; redacted.
    pub reason: Option<String>,
}

impl fmt::Debug for RecipientRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.status)
    }
}

words! {
    /// What a caller or an operator did to a message.
    ActKind {
        /// Stopped it before it was sent.
        Cancelled = "cancelled",
        /// Had it sent again.
        Resent = "resent",
        /// Had it sent again together with others, after an outage.
        Replayed = "replayed",
        /// Said what became of it.
        Marked = "marked",
    }
}

/// Something that a caller or an operator did to a message, kept in its story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActRecord {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: ActKind,
    /// For people: where it stood before, and what was said.
    pub detail: String,
}

/// What is left to be done for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A process works on it.
    InHand,
    /// It waits, and is taken up then.
    Due(Timestamp),
    /// Every recipient has an end.
    Ended,
}

impl Work {
    /// When it is taken up, if it waits.
    pub const fn due_at(self) -> Option<Timestamp> {
        match self {
            Self::Due(at) => Some(at),
            Self::InHand | Self::Ended => None,
        }
    }

    /// As stores keep it: a message has an owner, a time, or neither.
    pub const fn of_row(has_owner: bool, due_at: Option<Timestamp>) -> Self {
        match (has_owner, due_at) {
            (true, _) => Self::InHand,
            (false, Some(at)) => Self::Due(at),
            (false, None) => Self::Ended,
        }
    }
}

/// All that is known of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// The message as it was accepted.
    pub message: Arc<Message>,
    /// The word for it: the first recipient's, once that one has an end.
    pub status: Status,
    /// What is left to be done. A message that is `sent` may still be due for recipients who were refused for now.
    pub work: Work,
    /// When a provider took it.
    pub sent_at: Option<Timestamp>,
    /// When a provider reported delivery.
    pub delivered_at: Option<Timestamp>,
    /// Why it stands where it stands, for people; redacted.
    pub error: Option<String>,
    /// Its recipients: to, cc, bcc in order.
    pub recipients: Vec<RecipientRecord>,
    /// Its attempts in order.
    pub attempts: Vec<AttemptRecord>,
    /// Providers that were passed over, in order.
    pub skips: Vec<Skip>,
    /// What callers and operators did, in order.
    pub acts: Vec<ActRecord>,
    /// What providers reported, in the order in which the store was told first. Only where one message is looked up, and in [`crate::Targets`]; empty in lists and
    /// claims.
    pub events: Vec<EventRecord>,
    /// The fence: grows whenever the message changes hands.
    pub token: i64,
}

impl MessageRecord {
    /// The record of a message that was just accepted.
    pub fn accepted(message: Arc<Message>, status: Status) -> Self {
        let recipients = message
            .content
            .recipients()
            .into_iter()
            .map(|(kind, address)| RecipientRecord {
                address,
                kind,
                status,
                reason: None,
            })
            .collect();
        Self {
            message,
            status,
            work: if status.is_final() { Work::Ended } else { Work::InHand },
            sent_at: None,
            delivered_at: None,
            error: None,
            recipients,
            attempts: Vec::new(),
            skips: Vec::new(),
            acts: Vec::new(),
            events: Vec::new(),
            token: FIRST_TOKEN,
        }
    }

    /// Whether every recipient has an end, so that nothing more is tried by itself.
    pub fn has_ended(&self) -> bool {
        self.work == Work::Ended
    }

    /// Whether a process works on it right now.
    pub fn is_under_way(&self) -> bool {
        self.work == Work::InHand
    }

    /// The recipients without an end.
    pub fn open_recipients(&self) -> RecipientSet {
        let open = self
            .recipients
            .iter()
            .enumerate()
            .filter(|(_, recipient)| !recipient.status.is_final());
        open.map(|(place, _)| place).collect()
    }

    /// The attempts that the provider may have accepted, and nobody knows.
    pub fn unknown_attempts(&self) -> impl Iterator<Item = &AttemptRecord> {
        self.attempts.iter().filter(|attempt| attempt.outcome == AttemptOutcome::Unknown)
    }

    /// Whether an attempt may have been accepted and nobody knows.
    pub fn has_unknown_attempt(&self) -> bool {
        self.unknown_attempts().next().is_some()
    }

    /// The word for the message: its first recipient's once that one has an end, before that `open`.
    ///
    /// **Invariant:** while a provider may have taken the message for any recipient, the word is neither `failed` nor `expired`; while one
    /// may have taken it for the first recipient, no word says that nobody did.
    pub fn word(&self, open: Status) -> Status {
        let is_maybe_sent = |first| match first {
            Status::Failed | Status::Expired => self.has_unknown_attempt(),
            // These stay: the message may stand so while others wait.
            Status::Cancelled | Status::Suppressed | Status::Unsubscribed => self.attempts.iter().any(|attempt| attempt.is_unknown_for(0)),
            Status::Pending
            | Status::Scheduled
            | Status::Queued
            | Status::Sending
            | Status::Sent
            | Status::Delivered
            | Status::Bounced
            | Status::Unknown => false,
        };
        match self.recipients.first().map(|first| first.status) {
            Some(first) if !first.is_final() => open,
            Some(first) if is_maybe_sent(first) => Status::Unknown,
            Some(first) => first,
            None => open,
        }
    }
}
