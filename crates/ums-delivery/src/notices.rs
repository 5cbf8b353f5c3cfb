//! Notices: one for each change and endpoint, made in the step that makes the change.
//!
//! Its place in the flow: `journal`, `accept`, `feedback` and `suppressions` have notices made and store them in the transaction of the
//! change; `outbox` claims and posts them later. This module posts nothing and stores nothing.
//!
//! **Invariant:** a notice holds no content and no address but the first recipient's.

use std::sync::Arc;

use serde::Serialize;
use ums_core::{
    BounceKind, Channel, Endpoint, EndpointId, EventKind, EventRecord, FailureClass, Lift, ListChange, ListName, ListNotice, MessageId,
    MessageRecord, Metadata, Notice, NoticeId, NoticeKind, NoticeState, ProviderKind, Purpose, Status, Suppression, SuppressionOrigin,
    SuppressionReason, SuppressionScope, TenantId, Timestamp, subscriber_key,
};

use crate::endpoints::Endpoints;
use crate::fate::{Says, told};
use crate::ports::Ports;

/// Makes the notices.
#[derive(Debug)]
pub(crate) struct Notices {
    ports: Arc<Ports>,
    endpoints: Arc<Endpoints>,
}

impl Notices {
    pub(crate) fn new(ports: Arc<Ports>, endpoints: Arc<Endpoints>) -> Self {
        Self { ports, endpoints }
    }

    /// The notices of a step: `record` is the message after the step, `before` the status that was [`told`] last, `events` the events of
    /// the step. Empty, without work, when no endpoint wants them.
    pub(crate) fn of_step(&self, record: &MessageRecord, before: Option<Status>, events: &[EventRecord]) -> Vec<Notice> {
        let status = told(record).filter(|status| Some(*status) != before);
        let by_status = status.and_then(NoticeKind::of_status);
        let by_events = events.iter().filter_map(|event| NoticeKind::of_event(event.event.kind));
        let tenant = &record.message.tenant;
        let Some(endpoints) = self.endpoints.wanting(tenant, &by_status.into_iter().chain(by_events)) else {
            return Vec::new();
        };
        let subject = |kind, at| Subject {
            tenant,
            message_id: Some(record.message.id),
            kind,
            at,
        };
        let mut notices = Vec::new();
        if let Some((kind, status)) = by_status.zip(status) {
            let leads = |event: &&EventRecord| event.event.kind.status() == Some(status);
            let event = events.iter().rev().find(leads).map(|event| AboutEvent::of(record, event));
            let subject = subject(kind, self.ports.clock.now());
            notices.extend(self.tell(&endpoints, &subject, &AboutMessage::of(record, event)));
        }
        for event in events {
            if let Some(kind) = NoticeKind::of_event(event.event.kind) {
                let subject = subject(kind, event.event.at.unwrap_or(event.received_at));
                let data = AboutMessage::of(record, Some(AboutEvent::of(record, event)));
                notices.extend(self.tell(&endpoints, &subject, &data));
            }
        }
        notices
    }

    /// The notices of changes to the suppression list. The store adds those of the changes that have an effect.
    pub(crate) fn of_list(&self, says: &Says) -> Vec<ListNotice> {
        let suppressed = says.suppress.iter().enumerate();
        let suppressed = suppressed.map(|(place, entry)| (ListChange::Suppressed(place), self.of_suppression(entry)));
        let lifted = says.lift.iter().enumerate();
        let lifted = lifted.map(|(place, lift)| (ListChange::Lifted(place), self.of_lift(lift)));
        let of_each = suppressed.chain(lifted);
        of_each
            .flat_map(|(of, notices)| notices.into_iter().map(move |notice| ListNotice { of, notice }))
            .collect()
    }

    /// The notices of a new entry of the suppression list.
    fn of_suppression(&self, entry: &Suppression) -> Vec<Notice> {
        let kind = NoticeKind::AddressSuppressed;
        let Some(endpoints) = self.endpoints.wanting(&entry.tenant, &std::iter::once(kind)) else {
            return Vec::new();
        };
        let data = AboutAddress {
            channel: entry.channel,
            recipient_id: &entry.address,
            reason: entry.reason,
            scope: entry.reason.scope(),
            list: entry.list.as_ref(),
            origin: Some(entry.origin),
            provider: entry.provider,
            message_id: entry.message_id,
            since: Some(entry.since),
            expires_at: entry.expires_at,
        };
        let subject = Subject {
            tenant: &entry.tenant,
            message_id: entry.message_id,
            kind,
            at: self.ports.clock.now(),
        };
        self.tell(&endpoints, &subject, &data)
    }

    /// The notices of a lifted entry of the suppression list.
    fn of_lift(&self, lift: &Lift) -> Vec<Notice> {
        let kind = NoticeKind::AddressLifted;
        let Some(endpoints) = self.endpoints.wanting(&lift.tenant, &std::iter::once(kind)) else {
            return Vec::new();
        };
        let data = AboutAddress {
            channel: lift.channel,
            recipient_id: &lift.address,
            reason: lift.reason,
            scope: lift.reason.scope(),
            list: lift.list.as_ref(),
            origin: None,
            provider: None,
            message_id: None,
            since: None,
            expires_at: None,
        };
        let subject = Subject {
            tenant: &lift.tenant,
            message_id: None,
            kind,
            at: lift.at,
        };
        self.tell(&endpoints, &subject, &data)
    }

    /// The notice of a test. The caller posts it at once and stores it nowhere.
    pub(crate) fn of_test(&self, endpoint: &Endpoint) -> Notice {
        #[derive(Serialize)]
        struct Ping {
            endpoint_id: EndpointId,
        }
        let subject = Subject {
            tenant: &endpoint.tenant,
            message_id: None,
            kind: NoticeKind::Test,
            at: self.ports.clock.now(),
        };
        let ping = Ping { endpoint_id: endpoint.id };
        subject.notice(&self.ports, endpoint, subject.body(&ping))
    }

    fn tell(&self, endpoints: &[Endpoint], subject: &Subject<'_>, data: &impl Serialize) -> Vec<Notice> {
        let body = subject.body(data);
        self.endpoints.wake();
        endpoints
            .iter()
            .filter(|endpoint| endpoint.tenant == *subject.tenant && endpoint.wants(subject.kind))
            .map(|endpoint| subject.notice(&self.ports, endpoint, body.clone()))
            .collect()
    }
}

/// The parts that the notices of one change share.
struct Subject<'a> {
    tenant: &'a TenantId,
    message_id: Option<MessageId>,
    kind: NoticeKind,
    at: Timestamp,
}

impl Subject<'_> {
    fn body(&self, data: &impl Serialize) -> String {
        let body = Body {
            r#type: self.kind,
            timestamp: self.at,
            data,
        };
        // JSON has every value of a body, so serialising cannot fail.
        serde_json::to_string(&body).unwrap_or_default()
    }

    fn notice(&self, ports: &Ports, endpoint: &Endpoint, body: String) -> Notice {
        Notice {
            id: NoticeId::new(&*ports.clock, &*ports.random),
            tenant: endpoint.tenant.clone(),
            endpoint: endpoint.id,
            kind: self.kind,
            message_id: self.message_id,
            at: self.at,
            body,
            state: NoticeState::Pending,
            tries: 0,
            due_at: ports.clock.now(),
            last_result: None,
        }
    }
}

#[derive(Serialize)]
struct Body<'a, D> {
    r#type: NoticeKind,
    timestamp: Timestamp,
    data: &'a D,
}

#[derive(Serialize)]
struct AboutMessage<'a> {
    message_id: MessageId,
    status: Status,
    channel: Channel,
    recipient_id: &'a str,
    purpose: Purpose,
    provider: Option<ProviderKind>,
    provider_message_id: Option<&'a str>,
    error_message: Option<&'a str>,
    metadata: &'a Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<AboutEvent<'a>>,
}

impl<'a> AboutMessage<'a> {
    fn of(record: &'a MessageRecord, event: Option<AboutEvent<'a>>) -> Self {
        let attempt = record.carrier();
        let is_good = matches!(record.status, Status::Sent | Status::Delivered | Status::Scheduled);
        Self {
            message_id: record.message.id,
            status: record.status,
            channel: record.message.content.channel(),
            recipient_id: record.recipients.first().map_or("", |recipient| &recipient.address),
            purpose: record.message.handling.purpose,
            provider: attempt.map(|attempt| attempt.provider),
            provider_message_id: attempt.and_then(|attempt| attempt.provider_message_id.as_deref()),
            error_message: record.error.as_deref().filter(|_| !is_good),
            metadata: &record.message.metadata,
            event,
        }
    }
}

#[derive(Serialize)]
struct AboutEvent<'a> {
    kind: EventKind,
    provider: ProviderKind,
    word: &'a str,
    at: Option<Timestamp>,
    bounce: Option<BounceKind>,
    class: Option<FailureClass>,
    code: Option<&'a str>,
    detail: Option<&'a str>,
    by_machine: bool,
    /// Index of the recipient in the message, from 0: a notice holds no address but the first recipient's.
    recipient_index: Option<usize>,
}

impl<'a> AboutEvent<'a> {
    fn of(record: &MessageRecord, kept: &'a EventRecord) -> Self {
        let event = &kept.event;
        let key = |address: &str| subscriber_key(event.channel(), address);
        let index = |address: &String| record.recipients.iter().position(|other| key(&other.address) == key(address));
        Self {
            kind: event.kind,
            provider: event.provider,
            word: &event.word,
            at: event.at,
            bounce: event.bounce,
            class: event.class,
            code: event.code.as_deref(),
            detail: event.detail.as_deref(),
            by_machine: event.by_machine,
            recipient_index: event.recipient.as_ref().and_then(index),
        }
    }
}

#[derive(Serialize)]
struct AboutAddress<'a> {
    channel: Channel,
    recipient_id: &'a str,
    reason: SuppressionReason,
    scope: SuppressionScope,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<&'a ListName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<SuppressionOrigin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<ProviderKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}
