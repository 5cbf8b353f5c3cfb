//! What the user's application is told, and where: endpoints, notices, and the port that posts them.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::{EndpointId, EventKind, MessageId, NoticeId, Status, TenantId, Timestamp};

words! {
    /// What an application is told about.
    NoticeKind {
        /// A provider took the message.
        Sent = "message.sent",
        /// The recipient's side has it.
        Delivered = "message.delivered",
        /// It came back.
        Bounced = "message.bounced",
        /// Nobody took it.
        Failed = "message.failed",
        /// Its time ran out.
        Expired = "message.expired",
        /// It was stopped.
        Cancelled = "message.cancelled",
        /// Its recipient is on the suppression list.
        Suppressed = "message.suppressed",
        /// Its recipient opted out.
        Unsubscribed = "message.unsubscribed",
        /// Nobody can say what became of it.
        Unknown = "message.unknown",
        /// It is held: no provider takes it at the moment.
        Held = "message.held",
        /// The recipient's side does not take it at the moment.
        Deferred = "message.deferred",
        /// The recipient called it spam.
        Complained = "message.complained",
        /// It was opened.
        Opened = "message.opened",
        /// A link in it was followed.
        Clicked = "message.clicked",
        /// An address came onto the suppression list.
        AddressSuppressed = "suppression.created",
        /// An address was taken off the suppression list.
        AddressLifted = "suppression.lifted",
        /// A test of the endpoint.
        Test = "test.ping",
    }
}

impl NoticeKind {
    /// What is told when a message comes to stand so.
    pub const fn of_status(status: Status) -> Option<Self> {
        match status {
            Status::Sent => Some(Self::Sent),
            Status::Delivered => Some(Self::Delivered),
            Status::Bounced => Some(Self::Bounced),
            Status::Failed => Some(Self::Failed),
            Status::Expired => Some(Self::Expired),
            Status::Cancelled => Some(Self::Cancelled),
            Status::Suppressed => Some(Self::Suppressed),
            Status::Unsubscribed => Some(Self::Unsubscribed),
            Status::Unknown => Some(Self::Unknown),
            Status::Queued => Some(Self::Held),
            Status::Pending | Status::Scheduled | Status::Sending => None,
        }
    }

    /// What is told of an event that changes no status.
    pub const fn of_event(kind: EventKind) -> Option<Self> {
        match kind {
            EventKind::Deferred => Some(Self::Deferred),
            EventKind::Complained => Some(Self::Complained),
            EventKind::Opened => Some(Self::Opened),
            EventKind::Clicked => Some(Self::Clicked),
            EventKind::Queued
            | EventKind::Sent
            | EventKind::Delivered
            | EventKind::Bounced
            | EventKind::Rejected
            | EventKind::Failed
            | EventKind::Unsubscribed
            | EventKind::Subscribed
            | EventKind::Autoresponded
            | EventKind::Inbound
            | EventKind::Unknown => None,
        }
    }
}

/// One generation of an endpoint's signing secret. The secret itself is not kept: it is derived from one of the service's keys, the
/// endpoint's id and the generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretGeneration {
    /// Counts up from 1.
    pub number: u32,
    /// Which of the service's keys it is derived from: a fingerprint.
    pub key: String,
    /// Until when it still signs beside the newest; none for the newest.
    pub until: Option<Timestamp>,
}

/// A URL of the user's application that is told what became of messages.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Where notices are posted. May hold a token of the user's: not for logs.
    pub url: String,
    /// What it is for, in the user's words.
    pub description: String,
    /// What it is told about; empty for everything.
    pub kinds: Vec<NoticeKind>,
    /// Its signing secrets, newest first.
    pub secrets: Vec<SecretGeneration>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when nothing is posted to it, and why.
    pub disabled: Option<Disabled>,
    /// Since when every post to it has failed; kept by [`crate::OutboxStore::settle_notice`], of no meaning when it is saved.
    pub failing_since: Option<Timestamp>,
    /// When it last took a notice; kept likewise.
    pub last_success_at: Option<Timestamp>,
    /// How the last post that failed did; kept likewise.
    pub last_error: Option<String>,
}

impl Endpoint {
    /// Whether it wants to be told about this. A test goes to everybody who asks for one.
    pub fn wants(&self, kind: NoticeKind) -> bool {
        self.disabled.is_none() && (self.kinds.is_empty() || kind == NoticeKind::Test || self.kinds.contains(&kind))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({} of {}, {:?})", self.id, self.tenant, self.disabled)
    }
}

/// Why nothing is posted to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// Why, for people.
    pub reason: String,
}

words! {
    /// Where a notice stands.
    NoticeState {
        /// Waits to be posted.
        Pending = "pending",
        /// The endpoint took it.
        Delivered = "delivered",
        /// It was given up.
        Failed = "failed",
    }
}

/// One thing to tell one endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its id: the same in every try, so that the application can drop doubles.
    pub id: NoticeId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who is told.
    pub endpoint: EndpointId,
    /// What it is about.
    pub kind: NoticeKind,
    /// Which message, if it is about one.
    pub message_id: Option<MessageId>,
    /// When it happened.
    pub at: Timestamp,
    /// The body: JSON.
    pub body: String,
    /// Where it stands.
    pub state: NoticeState,
    /// How often it was posted.
    pub tries: u32,
    /// When it is posted next, while it is pending.
    pub due_at: Timestamp,
    /// How the last post ended: a status or a word for what happened.
    pub last_result: Option<String>,
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Notice({} {} to {}, {} after {} tries)",
            self.id, self.kind, self.endpoint, self.state, self.tries
        )
    }
}

/// How a post of a notice ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeOutcome {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Which notice.
    pub id: NoticeId,
    /// Where it stands now.
    pub state: NoticeState,
    /// When it is posted again, if it is still pending.
    pub due_at: Timestamp,
    /// A status or a word for what happened.
    pub result: String,
    /// When the post ended.
    pub at: Timestamp,
}

/// Which notices to list; all fields that are set must match.
#[derive(Clone, Debug, Default)]
pub struct NoticeFilter {
    /// Endpoint.
    pub endpoint: Option<EndpointId>,
    /// Where it stands.
    pub state: Option<NoticeState>,
    /// Of one message.
    pub message_id: Option<MessageId>,
    /// Happened at or after.
    pub since: Option<Timestamp>,
    /// Happened before.
    pub until: Option<Timestamp>,
}

/// Notices, newest first.
#[derive(Clone, Debug, Default)]
pub struct NoticePage {
    /// The notices.
    pub notices: Vec<Notice>,
    /// Give it to the next call to go on; none at the end.
    pub next_cursor: Option<NoticeId>,
}

/// A signed notice on its way out.
#[derive(Clone, Debug)]
pub struct WebhookCall {
    /// Where to.
    pub url: String,
    /// Names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body: JSON.
    pub body: String,
}

/// Why a post had no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookFault {
    /// The URL is not one that is posted to, or its host has no address that may be contacted; nothing was connected to.
    #[error("{0}")]
    NotAllowed(String),
    /// No connection, no answer in time, or an unreadable one. A short stable word.
    #[error("{0}")]
    NoAnswer(String),
}

/// Posts to the user's application.
///
/// An implementation follows no redirects, bounds time and reply, and connects only to addresses that may be contacted, decided after
/// the name was resolved.
#[async_trait]
pub trait WebhookPost: Send + Sync + fmt::Debug {
    /// Says whether a URL could be posted to at all: scheme, host, no credentials. Resolves nothing.
    ///
    /// # Errors
    /// For people: what is wrong with it.
    fn check_url(&self, url: &str) -> Result<(), String>;

    /// Posts once; the answer's status, whatever it is.
    async fn post(&self, call: WebhookCall) -> Result<u16, WebhookFault>;
}
