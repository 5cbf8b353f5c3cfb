//! The record of a message: its word, the work that is left, its recipients, attempts, skips, acts and events.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::attempt::{AttemptOutcome, AttemptRecord, RecipientSet};
use crate::channel::words;
use crate::{AccountId, Content, EventRecord, Message, ProviderKind, RecipientKind, Status, Timestamp};

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
        /// The provider asked for a delay, which is not over.
        Throttled = "throttled",
        /// The provider recovers, and another call holds its probe permit.
        Probing = "probing",
        /// The pace per second is used up.
        Paced = "paced",
        /// The pace per day is used up.
        DayLimit = "day_limit",
        /// An operator has taken it out of service.
        Disabled = "disabled",
        /// The provider takes messages and few receipts come: the other providers are tried first.
        Degraded = "degraded",
        /// Too much of this sender's mail to many bounces.
        BounceRate = "bounce_rate",
        /// Too many recipients complain of this sender's mail to many.
        ComplaintRate = "complaint_rate",
        /// The recipient is on the provider's own list of those who unsubscribed.
        Unsubscribed = "unsubscribed",
        /// A later release wrote a word that this release does not know.
        Other = "other",
    }
}

/// A provider that was considered and passed over, with the reason, for `explain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skip {
    /// The provider.
    pub provider: ProviderKind,
    /// The account at the provider.
    pub account: AccountId,
    /// Time of the skip.
    pub at: Timestamp,
    /// The reason.
    pub reason: SkipReason,
    /// The reason in words, for people.
    pub detail: String,
}

/// One recipient of a message.
#[derive(Clone, PartialEq, Eq)]
pub struct RecipientRecord {
    /// Full address or number.
    pub address: String,
    /// The recipient's line: to, cc or bcc.
    pub kind: RecipientKind,
    /// The recipient's own status.
    pub status: Status,
    /// The reason for the status, where the status does not say it; redacted.
    pub reason: Option<String>,
}

impl fmt::Debug for RecipientRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.status)
    }
}

words! {
    /// The kind of an act.
    ActKind {
        /// The message was stopped before a provider took it.
        Cancelled = "cancelled",
        /// The message was sent again; a new turn began.
        Resent = "resent",
        /// The message was sent again together with others, after an outage; a new turn began.
        Replayed = "replayed",
        /// An operator said what became of the message.
        Marked = "marked",
    }
}

/// What a caller or an operator did with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActRecord {
    /// Time of the act.
    pub at: Timestamp,
    /// Kind of the act.
    pub kind: ActKind,
    /// The status before the act and the operator's words, for people.
    pub detail: String,
}

/// The work that is left for a message. A fact of its own: the message's word does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A process works on the message.
    InHand,
    /// The message waits; a process claims it from this time on.
    Due(Timestamp),
    /// Every recipient has an end.
    Ended,
}

impl Work {
    /// Time from which a process claims the message, if the message waits.
    pub const fn due_at(self) -> Option<Timestamp> {
        match self {
            Self::Due(at) => Some(at),
            Self::InHand | Self::Ended => None,
        }
    }

    /// Reads the work of a row: an owner, a time, or neither.
    pub const fn of_row(has_owner: bool, due_at: Option<Timestamp>) -> Self {
        match (has_owner, due_at) {
            (true, _) => Self::InHand,
            (false, Some(at)) => Self::Due(at),
            (false, None) => Self::Ended,
        }
    }
}

/// Where the body of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The record carries the whole content.
    Here(&'a Content),
    /// The record carries the envelope only ([`Content::envelope`]); [`crate::Store::content`] reads the whole.
    Apart {
        /// Bytes of the whole content as the store keeps it.
        bytes: usize,
    },
    /// Retention has emptied it.
    Forgotten,
}

/// All that is known of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    /// The message as it was accepted; its content is an envelope when `apart` says so.
    pub message: Arc<Message>,
    /// Bytes of the whole content, when the record carries only its envelope because the content is large ([`MessageRecord::body`]).
    pub apart: Option<usize>,
    /// The message's word ([`MessageRecord::word`]): it follows the first recipient.
    pub status: Status,
    /// The work that is left. A message that is `sent` may still be due for recipients whom a provider refused for now.
    pub work: Work,
    /// When a provider took the message.
    pub sent_at: Option<Timestamp>,
    /// When a provider reported delivery.
    pub delivered_at: Option<Timestamp>,
    /// The reason for the word, for people; redacted.
    pub error: Option<String>,
    /// The recipients: to, cc, bcc in order.
    pub recipients: Vec<RecipientRecord>,
    /// The attempts, in order of their calls.
    pub attempts: Vec<AttemptRecord>,
    /// Providers that were passed over, in order.
    pub skips: Vec<Skip>,
    /// Acts of callers and operators, in order.
    pub acts: Vec<ActRecord>,
    /// Events, in the order in which the store got them. [`crate::Store::message`] and [`crate::Targets`] fill the list; it is empty in lists
    /// and claims.
    pub events: Vec<EventRecord>,
    /// The fence: a number that grows whenever the message changes hands.
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
            apart: None,
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

    /// Where the body is. Whoever hands the content to a provider takes it from here, so that no envelope goes out as if it were the mail.
    pub fn body(&self) -> Body<'_> {
        match self.apart {
            Some(bytes) => Body::Apart { bytes },
            None if self.message.content.has_body() => Body::Here(&self.message.content),
            None => Body::Forgotten,
        }
    }

    /// Whether the body is still kept.
    pub fn has_body(&self) -> bool {
        self.body() != Body::Forgotten
    }

    /// Whether every recipient has an end.
    pub fn has_ended(&self) -> bool {
        self.work == Work::Ended
    }

    /// Whether the message is in a process's hand.
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

    /// The attempts whose outcome is unknown.
    pub fn unknown_attempts(&self) -> impl Iterator<Item = &AttemptRecord> {
        self.attempts.iter().filter(|attempt| attempt.outcome == AttemptOutcome::Unknown)
    }

    /// Whether the message has an unknown attempt.
    pub fn has_unknown_attempt(&self) -> bool {
        self.unknown_attempts().next().is_some()
    }

    /// The message's word: the first recipient's end; `open` while the first recipient has none.
    ///
    /// **Invariant:** while the message has an unknown attempt, the word is neither `failed` nor `expired`. While the first recipient has
    /// one, the word is not `cancelled`, `suppressed` or `unsubscribed` either.
    pub fn word(&self, open: Status) -> Status {
        let is_maybe_sent = |first| match first {
            Status::Failed | Status::Expired => self.has_unknown_attempt(),
            // These words hold for the first recipient, whatever the attempts of other recipients are.
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
