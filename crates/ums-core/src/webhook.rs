//! Webhooks to the user's application: endpoints, notices, and the port that posts notices.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::{EndpointId, EventKind, MessageId, NoticeId, Shortage, Status, TenantId, Timestamp};

words! {
    /// The kind of a notice.
    NoticeKind {
        /// A provider took the message.
        Sent = "message.sent",
        /// A provider reported delivery.
        Delivered = "message.delivered",
        /// A provider reported a bounce.
        Bounced = "message.bounced",
        /// No provider took the message.
        Failed = "message.failed",
        /// The message's time ran out.
        Expired = "message.expired",
        /// The caller cancelled the message.
        Cancelled = "message.cancelled",
        /// The recipient is on the suppression list.
        Suppressed = "message.suppressed",
        /// The recipient opted out.
        Unsubscribed = "message.unsubscribed",
        /// No provider is tried any more, and a provider may have taken the message.
        Unknown = "message.unknown",
        /// The message is held: no provider takes it at the moment.
        Held = "message.held",
        /// The recipient's server does not take the message at the moment.
        Deferred = "message.deferred",
        /// The recipient called the message spam.
        Complained = "message.complained",
        /// The message was opened.
        Opened = "message.opened",
        /// A link in the message was followed.
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
    /// The notice about a message that gets this word; none for words that applications are not told.
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

    /// The notice about an event that changes no status; none for the other kinds.
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

/// One generation of an endpoint's signing secret. Stores do not keep the secret: the service derives it from one of its keys, the endpoint's
/// id and the generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretGeneration {
    /// Counts up from 1.
    pub number: u32,
    /// Fingerprint of the service's key from which the secret is derived.
    pub key: String,
    /// End of the time in which an older secret signs beside the newest; none for the newest.
    pub until: Option<Timestamp>,
}

/// A URL of the user's application that gets notices.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Id of the endpoint.
    pub id: EndpointId,
    /// The tenant that owns the endpoint.
    pub tenant: TenantId,
    /// The URL for posts. The URL may hold a token of the user's; logs never show the URL.
    pub url: String,
    /// The endpoint's use, in the user's words.
    pub description: String,
    /// The kinds of notices that the endpoint wants; empty for all.
    pub kinds: Vec<NoticeKind>,
    /// Generations of the signing secret, newest first.
    pub secrets: Vec<SecretGeneration>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Set if the endpoint gets no posts.
    pub disabled: Option<Disabled>,
    /// Start of the failures, if every post since then has failed. [`crate::OutboxStore::settle_notice`] writes the field;
    /// [`crate::OutboxStore::save_endpoint`] ignores it.
    pub failing_since: Option<Timestamp>,
    /// When the endpoint last took a notice; written likewise.
    pub last_success_at: Option<Timestamp>,
    /// Result of the last failed post; written likewise.
    pub last_error: Option<String>,
}

impl Endpoint {
    /// Whether the endpoint gets notices of this kind. A test goes to every enabled endpoint, whatever kinds it wants.
    pub fn wants(&self, kind: NoticeKind) -> bool {
        self.disabled.is_none() && (self.kinds.is_empty() || kind == NoticeKind::Test || self.kinds.contains(&kind))
    }
}

/// A change of an endpoint. The store applies it to the endpoint as it is at that moment, in one transaction, so that changes of several
/// writers at the same time are all kept.
#[derive(Clone)]
pub enum EndpointUpdate {
    /// Its owner changes settings; none leaves a setting as it is.
    Settings {
        /// The URL for posts.
        url: Option<String>,
        /// The endpoint's use.
        description: Option<String>,
        /// The kinds of notices; empty for all.
        kinds: Option<Vec<NoticeKind>>,
        /// Whether the endpoint gets posts. An endpoint that is disabled already keeps its reason.
        enabled: Option<bool>,
        /// Time of the change.
        at: Timestamp,
    },
    /// Its owner gives it a new secret. Older secrets sign beside the newest one for `overlap`; at most `most` secrets are kept.
    Rotate {
        /// Fingerprint of the service's key from which the new secret is derived.
        key: String,
        /// Time of the rotation.
        at: Timestamp,
        /// How long the secret before signs beside the new one.
        overlap: Duration,
        /// Most secrets.
        most: usize,
    },
    /// Posts to it fail: it is disabled, unless its owner or another post changed what the decision was made on.
    Disable {
        /// The URL that was posted to.
        url: String,
        /// Start of the failures that count against it; none if the last answer alone decides.
        failing_since: Option<Timestamp>,
        /// When and why.
        disabled: Disabled,
    },
}

impl EndpointUpdate {
    /// Applies the change. Whether it applies to the endpoint as it is; else the endpoint stays so.
    pub fn apply(&self, endpoint: &mut Endpoint) -> bool {
        match self {
            Self::Settings {
                url,
                description,
                kinds,
                enabled,
                at,
            } => {
                endpoint.url = url.as_ref().unwrap_or(&endpoint.url).clone();
                endpoint.description = description.as_ref().unwrap_or(&endpoint.description).clone();
                endpoint.kinds = kinds.as_ref().unwrap_or(&endpoint.kinds).clone();
                endpoint.disabled = match enabled {
                    Some(true) => None,
                    Some(false) => endpoint.disabled.take().or_else(|| Some(Disabled::by_owner(*at))),
                    None => endpoint.disabled.take(),
                };
                true
            }
            Self::Rotate { key, at, overlap, most } => {
                rotate(&mut endpoint.secrets, key, *at, *overlap);
                endpoint.secrets.truncate(*most);
                true
            }
            Self::Disable {
                url,
                failing_since,
                disabled,
            } => {
                let is_as_it_was = endpoint.url == *url && endpoint.disabled.is_none();
                let applies = is_as_it_was && failing_since.is_none_or(|since| endpoint.failing_since == Some(since));
                if applies {
                    endpoint.disabled = Some(disabled.clone());
                }
                applies
            }
        }
    }
}

fn rotate(secrets: &mut Vec<SecretGeneration>, key: &str, at: Timestamp, overlap: Duration) {
    // Read before old secrets are dropped: a number must never be used twice, or an old secret would sign again.
    let last = secrets.iter().map(|generation| generation.number).max().unwrap_or(0);
    for generation in secrets.iter_mut().filter(|generation| generation.until.is_none()) {
        generation.until = Some(at + overlap);
    }
    secrets.retain(|generation| generation.until.is_some_and(|until| until > at));
    let newest = SecretGeneration {
        number: last + 1,
        key: key.to_owned(),
        until: None,
    };
    secrets.insert(0, newest);
}

impl fmt::Debug for EndpointUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settings { .. } => "EndpointUpdate(settings)",
            Self::Rotate { .. } => "EndpointUpdate(rotate)",
            Self::Disable { .. } => "EndpointUpdate(disable)",
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({} of {}, {:?})", self.id, self.tenant, self.disabled)
    }
}

/// Why an endpoint gets no posts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Time of the disabling.
    pub at: Timestamp,
    /// The reason, for people.
    pub reason: String,
}

impl Disabled {
    /// Disabled by the endpoint's owner.
    pub fn by_owner(at: Timestamp) -> Self {
        Self {
            at,
            reason: "switched off by its owner".to_owned(),
        }
    }
}

words! {
    /// The state of a notice.
    NoticeState {
        /// The notice waits for a post.
        Pending = "pending",
        /// The endpoint took the notice.
        Delivered = "delivered",
        /// The service gave the notice up.
        Failed = "failed",
    }
}

/// One notice to one endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Id of the notice: the same in every try, so that the application can drop doubles.
    pub id: NoticeId,
    /// The tenant that owns the notice.
    pub tenant: TenantId,
    /// The endpoint that gets the notice.
    pub endpoint: EndpointId,
    /// Kind of the notice.
    pub kind: NoticeKind,
    /// The message that the notice is about; none for the suppression list and for tests.
    pub message_id: Option<MessageId>,
    /// Time of what the notice tells.
    pub at: Timestamp,
    /// The body: JSON.
    pub body: String,
    /// State of the notice.
    pub state: NoticeState,
    /// Number of posts so far.
    pub tries: u32,
    /// Time of the next post, while the notice is pending.
    pub due_at: Timestamp,
    /// Result of the last post: an HTTP status, or a word.
    pub last_result: Option<String>,
}

/// A change of the suppression list: the place of an entry among the entries, or of a lift among the lifts, that are given with a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListChange {
    /// The entry at that place comes into force.
    Suppressed(usize),
    /// The lift at that place takes an entry off the list that was in force.
    Lifted(usize),
}

/// A notice of a change of the suppression list. The store makes the change and adds the notice in one transaction, and it adds the notice
/// only if the change has an effect: an address that is on the list already is not told again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListNotice {
    /// The change that the notice tells.
    pub of: ListChange,
    /// The notice.
    pub notice: Notice,
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
    /// The tenant that owns the notice.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The notice.
    pub id: NoticeId,
    /// State of the notice after the post.
    pub state: NoticeState,
    /// Time of the next post, if the notice is still pending.
    pub due_at: Timestamp,
    /// Result of the post: an HTTP status, or a word.
    pub result: String,
    /// End of the post.
    pub at: Timestamp,
}

/// Which notices to list; all fields that are set must match.
#[derive(Clone, Debug, Default)]
pub struct NoticeFilter {
    /// Endpoint.
    pub endpoint: Option<EndpointId>,
    /// State.
    pub state: Option<NoticeState>,
    /// Message.
    pub message_id: Option<MessageId>,
    /// Notices whose [`Notice::at`] is this time or later.
    pub since: Option<Timestamp>,
    /// Notices whose [`Notice::at`] is before this time.
    pub until: Option<Timestamp>,
}

/// Notices, newest first.
#[derive(Clone, Debug, Default)]
pub struct NoticePage {
    /// The notices.
    pub notices: Vec<Notice>,
    /// Cursor for the next page; none at the end.
    pub next_cursor: Option<NoticeId>,
}

/// One post of a signed notice.
#[derive(Clone, Debug)]
pub struct WebhookCall {
    /// The endpoint's URL.
    pub url: String,
    /// Headers: the name in lower case, and the value.
    pub headers: Vec<(&'static str, String)>,
    /// The body: JSON.
    pub body: String,
}

/// Why a post had no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookFault {
    /// The URL is not allowed, or its host has no address that may be contacted; no connection was made.
    #[error("{0}")]
    NotAllowed(String),
    /// No connection, no answer in time, or an unreadable answer: a short stable word.
    #[error("{0}")]
    NoAnswer(String),
    /// Our own machine had no descriptor, port or memory left; no connection was made, and the receiver is not to blame.
    #[error("{0}")]
    LocalShortage(Shortage),
}

/// The port that posts notices to the user's application.
///
/// An implementation follows no redirects, limits the time and the size of the answer, resolves the host's name, and connects only if the
/// resolved address may be contacted.
#[async_trait]
pub trait WebhookPost: Send + Sync + fmt::Debug {
    /// Checks the scheme and the host of a URL, and that the URL has no credentials. Resolves no name.
    ///
    /// # Errors
    /// The fault of the URL, for people.
    fn check_url(&self, url: &str) -> Result<(), String>;

    /// Posts once and returns the answer's HTTP status, even if the status is a failure.
    ///
    /// # Errors
    /// A [`WebhookFault`] if there was no answer.
    async fn post(&self, call: WebhookCall) -> Result<u16, WebhookFault>;
}
