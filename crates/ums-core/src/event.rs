//! What providers report afterwards, in one vocabulary: the words that senders of mail have in common, whatever the provider calls them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::{AccountId, AttemptId, Channel, FailureClass, MessageId, ProviderKind, Status, SuppressionReason, Timestamp};

words! {
    /// What a provider reports.
    EventKind {
        /// It has the message and has not passed it on yet.
        Queued = "queued",
        /// It passed the message on, or surely will.
        Sent = "sent",
        /// The recipient's side has it.
        Delivered = "delivered",
        /// The recipient's side does not take it at the moment; the provider goes on trying.
        Deferred = "deferred",
        /// The recipient's side refused it or sent it back.
        Bounced = "bounced",
        /// The provider took it and then would not send it.
        Rejected = "rejected",
        /// The provider took it and then could not send it.
        Failed = "failed",
        /// The recipient called it spam.
        Complained = "complained",
        /// The recipient does not want more.
        Unsubscribed = "unsubscribed",
        /// The recipient wants messages again.
        Subscribed = "subscribed",
        /// It was opened, perhaps by a machine.
        Opened = "opened",
        /// A link in it was followed.
        Clicked = "clicked",
        /// A machine answered it.
        Autoresponded = "autoresponded",
        /// The recipient wrote something that is no wish to opt in or out.
        Inbound = "inbound",
        /// A word that is not in our tables; kept as it is.
        Unknown = "unknown",
    }
}

impl EventKind {
    /// Where an attempt stands after such a report; none for what says nothing about its way.
    pub const fn status(self) -> Option<Status> {
        match self {
            Self::Sent => Some(Status::Sent),
            Self::Delivered => Some(Status::Delivered),
            Self::Bounced => Some(Status::Bounced),
            Self::Rejected | Self::Failed => Some(Status::Failed),
            Self::Queued
            | Self::Deferred
            | Self::Complained
            | Self::Unsubscribed
            | Self::Subscribed
            | Self::Opened
            | Self::Clicked
            | Self::Autoresponded
            | Self::Inbound
            | Self::Unknown => None,
        }
    }

    /// Whether it is a receipt: the last word on whether the message arrived.
    pub const fn is_receipt(self) -> bool {
        matches!(self, Self::Delivered | Self::Bounced | Self::Rejected | Self::Failed)
    }
}

words! {
    /// What a bounce says of the address.
    BounceKind {
        /// It does not exist.
        Hard = "hard",
        /// It may take the next one.
        Soft = "soft",
    }
}

/// What an event says of itself about the message that it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSubject {
    /// Our id of the attempt, which travelled with the message.
    pub attempt_id: Option<AttemptId>,
    /// Our id of the message, which travelled with it.
    pub message_id: Option<MessageId>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
}

/// One report about one recipient, read from a payload that was found genuine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Who reports.
    pub provider: ProviderKind,
    /// Account at the provider.
    pub account: AccountId,
    /// The provider's id of the event, made unique for each recipient; where the provider gives none, made of what tells the event from
    /// others. The same event told twice has the same id. At most 255 bytes.
    pub id: String,
    /// What is reported.
    pub kind: EventKind,
    /// What a bounce says of the address.
    pub bounce: Option<BounceKind>,
    /// The provider's own words, such as `Bounce/Permanent/General`.
    pub word: String,
    /// Full address or number; none when the provider does not say.
    pub recipient: Option<String>,
    /// When it happened, by the provider's clock.
    pub at: Option<Timestamp>,
    /// Which message it belongs to, by its own account.
    pub about: EventSubject,
    /// The provider's code or an SMTP status: `30003`, `5.1.1`.
    pub code: Option<String>,
    /// For people; redacted.
    pub detail: Option<String>,
    /// What a `failed`, `rejected` or `bounced` means, as for an answer to a send.
    pub class: Option<FailureClass>,
    /// Why the recipient must not be contacted again; none when it says nothing like that.
    pub suppress: Option<SuppressionReason>,
    /// Whether a machine did it, not a person (mail clients that open everything).
    pub by_machine: bool,
    /// The raw event, at most 4 KiB, when its word is not in our tables.
    pub raw: Option<String>,
}

impl Event {
    /// An event of which no more is known than this.
    pub fn new(provider: ProviderKind, id: impl Into<String>, kind: EventKind, word: impl Into<String>) -> Self {
        Self {
            provider,
            account: AccountId::default(),
            id: id.into(),
            kind,
            bounce: None,
            word: word.into(),
            recipient: None,
            at: None,
            about: EventSubject::default(),
            code: None,
            detail: None,
            class: None,
            suppress: None,
            by_machine: false,
            raw: None,
        }
    }

    /// The channel of the provider.
    pub const fn channel(&self) -> Channel {
        self.provider.channel()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({} {} {:?} {:?})", self.provider, self.kind, self.word, self.at)
    }
}

/// An event as it is kept with its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// The event.
    pub event: Event,
    /// When it came, by our clock.
    pub received_at: Timestamp,
    /// The attempt that it is about; none when nobody can say which.
    pub attempt_id: Option<AttemptId>,
}

impl EventRecord {
    /// When it happened, by the provider's clock unless that is ahead of ours.
    pub fn happened_at(&self) -> Timestamp {
        self.event.at.map_or(self.received_at, |at| at.min(self.received_at))
    }
}
