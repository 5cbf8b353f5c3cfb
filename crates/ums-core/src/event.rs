//! Events: the reports of providers about recipients, in one vocabulary for all providers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::{AccountId, AttemptId, Channel, FailureClass, ListName, MessageId, ProviderKind, Status, SuppressionReason, Timestamp};

words! {
    /// The kind of an event.
    EventKind {
        /// The provider has the message and has not passed it on yet.
        Queued = "queued",
        /// The provider passed the message on, or surely will.
        Sent = "sent",
        /// The recipient's server or carrier has the message.
        Delivered = "delivered",
        /// The recipient's server does not take the message at the moment; the provider tries again.
        Deferred = "deferred",
        /// The recipient's server or carrier refused the message or sent it back.
        Bounced = "bounced",
        /// The provider took the message and then refused to send it.
        Rejected = "rejected",
        /// The provider took the message and then could not send it.
        Failed = "failed",
        /// The recipient called the message spam.
        Complained = "complained",
        /// The recipient opted out.
        Unsubscribed = "unsubscribed",
        /// The recipient opted in again.
        Subscribed = "subscribed",
        /// The message was opened, perhaps by a machine.
        Opened = "opened",
        /// A link in the message was followed.
        Clicked = "clicked",
        /// A machine answered the message.
        Autoresponded = "autoresponded",
        /// The recipient wrote a text that is neither an opt-in nor an opt-out.
        Inbound = "inbound",
        /// The provider's word is not in our tables; the event is kept as it came.
        Unknown = "unknown",
    }
}

impl EventKind {
    /// The attempt's status after such an event; none for kinds that do not tell of delivery.
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

    /// Whether the event is a receipt: the provider's last word on whether the message arrived.
    pub const fn is_receipt(self) -> bool {
        matches!(self, Self::Delivered | Self::Bounced | Self::Rejected | Self::Failed)
    }
}

words! {
    /// What a bounce says of the address.
    BounceKind {
        /// The address does not exist.
        Hard = "hard",
        /// The address may take the next message.
        Soft = "soft",
    }
}

/// The ids by which an event names its message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSubject {
    /// Our id of the attempt, which travelled with the message.
    pub attempt_id: Option<AttemptId>,
    /// Our id of the message, which travelled with the message.
    pub message_id: Option<MessageId>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
}

/// One report about one recipient, read from a payload whose signature was checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The provider that reports.
    pub provider: ProviderKind,
    /// The account at the provider.
    pub account: AccountId,
    /// Id of the event: the provider's id, made unique for each recipient, or an id made of the fields that distinguish the event. A
    /// repeated report has the same id. At most 255 bytes.
    pub id: String,
    /// Kind of the event.
    pub kind: EventKind,
    /// What a bounce says of the address.
    pub bounce: Option<BounceKind>,
    /// The provider's own words, such as `Bounce/Permanent/General`.
    pub word: String,
    /// Full address or number of the recipient; none if the provider does not tell.
    pub recipient: Option<String>,
    /// Time of the event, by the provider's clock.
    pub at: Option<Timestamp>,
    /// The ids by which the event names its message.
    pub about: EventSubject,
    /// The provider's code or an SMTP status: `30003`, `5.1.1`.
    pub code: Option<String>,
    /// The provider's text, for people; redacted.
    pub detail: Option<String>,
    /// Class of a `failed`, `rejected` or `bounced`, as for a failed call.
    pub class: Option<FailureClass>,
    /// Why the recipient must not be contacted again; none if the event gives no reason.
    pub suppress: Option<SuppressionReason>,
    /// The mailing list that the recipient left or came back to; none for all lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListName>,
    /// Whether a machine, not a person, caused the event: some mail clients open every message.
    pub by_machine: bool,
    /// The raw event, at most 4 KiB, if its word is not in our tables.
    pub raw: Option<String>,
}

impl Event {
    /// Makes an event with these fields; all others are empty.
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
            list: None,
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

/// An event, as stores keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// The event.
    pub event: Event,
    /// When the service received the event, by our clock.
    pub received_at: Timestamp,
    /// The attempt that the event belongs to; none if no id tells.
    pub attempt_id: Option<AttemptId>,
}

impl EventRecord {
    /// Time of the event: by the provider's clock, or the time of receipt if the provider's clock is ahead of ours.
    pub fn happened_at(&self) -> Timestamp {
        self.event.at.map_or(self.received_at, |at| at.min(self.received_at))
    }
}
