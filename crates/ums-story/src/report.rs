//! What providers reported after a message was handed over.

use std::fmt;

use serde::{Deserialize, Serialize};
use ums_core::{BounceKind, EventKind, EventRecord, FailureClass, ProviderKind, Timestamp};

use crate::step::{StepKind, StoryStep, after_colon};

/// A report of a provider about one recipient, as callers see it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedEvent {
    /// What is reported.
    pub kind: EventKind,
    /// Who reports.
    pub provider: ProviderKind,
    /// When it happened, by the provider's clock; null when it does not say.
    pub at: Option<Timestamp>,
    /// When the report came, by our clock.
    pub received_at: Timestamp,
    /// Full address or number; null when the provider does not say.
    pub recipient: Option<String>,
    /// What a bounce says of the address.
    pub bounce: Option<BounceKind>,
    /// The provider's own words.
    pub word: String,
    /// The provider's code or an SMTP status.
    pub code: Option<String>,
    /// Class of a failure that is reported.
    pub class: Option<FailureClass>,
    /// For people.
    pub detail: Option<String>,
    /// Whether a machine did it, not a person.
    pub by_machine: bool,
}

impl fmt::Debug for ReportedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReportedEvent({} {} {:?})", self.provider, self.kind, self.at)
    }
}

impl From<&EventRecord> for ReportedEvent {
    fn from(record: &EventRecord) -> Self {
        let event = &record.event;
        Self {
            kind: event.kind,
            provider: event.provider,
            at: event.at,
            received_at: record.received_at,
            recipient: event.recipient.clone(),
            bounce: event.bounce,
            word: event.word.clone(),
            code: event.code.clone(),
            class: event.class,
            detail: event.detail.clone(),
            by_machine: event.by_machine,
        }
    }
}

/// The step of a provider's report. It names no address: a story may be shown to more people than the message's own answer.
pub(crate) fn reported(record: &EventRecord) -> StoryStep {
    let event = &record.event;
    let said = said(event.kind, event.bounce);
    let machine = if event.by_machine { ", by a machine" } else { "" };
    let code = event.code.as_ref().map(|code| format!(", code {code}")).unwrap_or_default();
    let class = event.class.map(|class| format!(", {class}")).unwrap_or_default();
    let detail = after_colon(event.detail.as_deref());
    let then = if event.suppress.is_some() {
        " The recipient is not contacted again."
    } else {
        ""
    };
    let text = format!(
        "{} reports that {said}{machine} ({}{class}{code}){detail}.{then}",
        event.provider, event.word
    );
    let at = event.at.unwrap_or(record.received_at);
    StoryStep {
        code: event.code.clone(),
        class: event.class,
        event: Some(event.kind),
        word: Some(event.word.clone()),
        received_at: Some(record.received_at),
        ..StoryStep::new(at, StepKind::Reported, Some(event.provider), text)
    }
}

const fn said(kind: EventKind, bounce: Option<BounceKind>) -> &'static str {
    match (kind, bounce) {
        (EventKind::Queued, _) => "it has the message and has not passed it on yet",
        (EventKind::Sent, _) => "it passed the message on",
        (EventKind::Delivered, _) => "the recipient's side has the message",
        (EventKind::Deferred, _) => "the recipient's side does not take it at the moment; it goes on trying",
        (EventKind::Bounced, Some(BounceKind::Hard)) => "it came back: the address does not exist",
        (EventKind::Bounced, Some(BounceKind::Soft)) => "it came back; the address may take the next one",
        (EventKind::Bounced, None) => "it came back",
        (EventKind::Rejected, _) => "it would not send the message after all",
        (EventKind::Failed, _) => "it could not send the message after all",
        (EventKind::Complained, _) => "the recipient called the message spam",
        (EventKind::Unsubscribed, _) => "the recipient does not want more",
        (EventKind::Subscribed, _) => "the recipient wants messages again",
        (EventKind::Opened, _) => "the message was opened",
        (EventKind::Clicked, _) => "a link in the message was followed",
        (EventKind::Autoresponded, _) => "a machine answered the message",
        (EventKind::Inbound, _) => "the recipient wrote something",
        (EventKind::Unknown, _) => "something happened for which we have no word",
    }
}
