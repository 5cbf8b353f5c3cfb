//! Events, entries, endpoints and notices of the suite, numbered: the same number makes the same one.

use std::time::Duration;

use ums_core::{
    AccountId, AttemptId, AttemptOutcome, Channel, Endpoint, EndpointId, Event, EventKind, EventRecord, FeedbackStep, Lift, MessageRecord,
    Notice, NoticeId, NoticeKind, NoticeState, Parked, ProviderKind, SecretGeneration, Status, Step, Store, Suppression, SuppressionOrigin,
    SuppressionReason, TenantId, Timestamp,
};
use uuid::Uuid;

use super::Sample;
use super::sample::moment;

/// So far away that no clock of a store has come there.
pub(super) const FAR: Timestamp = Timestamp::from_micros(4_000_000_000_000_000);
/// So long ago that every clock of a store has passed it.
pub(super) const LONG_AGO: Timestamp = Timestamp::from_micros(1_000_000);

/// An event of a provider with the usual account.
pub(super) fn event(provider: ProviderKind, id: &str, kind: EventKind) -> Event {
    Event {
        recipient: Some("customer1@example.com".to_owned()),
        at: Some(moment(20)),
        code: Some("5.1.1".to_owned()),
        raw: Some("{\"word\": \"grüße\"}".to_owned()),
        ..Event::new(provider, id, kind, "Word/Of/Theirs")
    }
}

/// The event as it is kept.
pub(super) fn kept(event: &Event, attempt_id: Option<AttemptId>) -> EventRecord {
    EventRecord {
        event: event.clone(),
        received_at: moment(30),
        attempt_id,
    }
}

/// An event that waits until `due` seconds.
pub(super) fn parked(event: &Event, due: Option<u64>, looks: u32) -> Parked {
    Parked {
        record: kept(event, None),
        due_at: due.map(moment),
        looks,
        suppress: Vec::new(),
        lift: Vec::new(),
        notices: Vec::new(),
    }
}

pub(super) fn park(parked: Parked) -> FeedbackStep {
    FeedbackStep::Park(Box::new(parked))
}

pub(super) fn apply(step: Step) -> FeedbackStep {
    FeedbackStep::Apply(Box::new(step))
}

/// An entry of the default tenant since some seconds.
pub(super) fn entry(address: &str, reason: SuppressionReason, since: u64) -> Suppression {
    Suppression {
        tenant: TenantId::default(),
        channel: if address.contains('@') { Channel::Email } else { Channel::Sms },
        address: address.to_owned(),
        reason,
        list: None,
        origin: SuppressionOrigin::Feedback,
        provider: Some(ProviderKind::AwsSes),
        account: Some(AccountId::new("second")),
        message_id: Some(Sample::email(1).id()),
        detail: Some(format!("since {since}")),
        since: moment(since),
        expires_at: None,
        lifted_at: None,
    }
}

/// Takes an address off the default tenant's list.
pub(super) fn lift(address: &str, reason: SuppressionReason, at: u64) -> Lift {
    Lift {
        tenant: TenantId::default(),
        channel: if address.contains('@') { Channel::Email } else { Channel::Sms },
        address: address.to_owned(),
        reason,
        list: None,
        at: moment(at),
    }
}

/// An endpoint of the default tenant.
pub(super) fn endpoint(number: u32) -> Endpoint {
    Endpoint {
        id: EndpointId::from_uuid(Uuid::from_u128(0x0199_0000_0000_7000_a000_0000_0000_0000 + u128::from(number))),
        tenant: TenantId::default(),
        url: format!("https://app.example.com/hook/{number}"),
        description: "Größe \"x\"".to_owned(),
        kinds: vec![NoticeKind::Delivered, NoticeKind::AddressSuppressed],
        secrets: vec![
            SecretGeneration {
                number: 2,
                key: "ab12".to_owned(),
                until: None,
            },
            SecretGeneration {
                number: 1,
                key: "ab12".to_owned(),
                until: Some(moment(90)),
            },
        ],
        created_at: moment(1),
        disabled: None,
        failing_since: None,
        last_success_at: None,
        last_error: None,
    }
}

/// A notice to an endpoint of the default tenant; due, like it happened, at its number in seconds.
pub(super) fn notice(number: u32, endpoint: &Endpoint) -> Notice {
    let at = moment(0) + Duration::from_secs(u64::from(number));
    Notice {
        id: NoticeId::from_uuid(Uuid::from_u128(0x0199_0000_0000_7000_b000_0000_0000_0000 + u128::from(number))),
        tenant: endpoint.tenant.clone(),
        endpoint: endpoint.id,
        kind: NoticeKind::Delivered,
        message_id: None,
        at,
        body: format!("{{\"type\": \"message.delivered\", \"number\": {number}}}"),
        state: NoticeState::Pending,
        tries: 0,
        due_at: at,
        last_result: None,
    }
}

/// Stores a message that one attempt of a provider sent, as it stands when feedback comes.
pub(super) async fn sent(store: &dyn Store, sample: &Sample) -> Result<MessageRecord, Box<dyn std::error::Error>> {
    store.accept(sample.sending()?).await?;
    let mut attempt = sample.intent(1);
    attempt.outcome = AttemptOutcome::Accepted;
    attempt.provider_message_id = Some(format!("ref-{}", sample.id()));
    let recipients = sample.sending()?.recipients.into_iter().map(|mut recipient| {
        recipient.status = Status::Sent;
        recipient
    });
    store
        .record(Step {
            attempts: vec![attempt],
            sent_at: Some(moment(5)),
            recipients: Some(recipients.collect()),
            ..sample.step(Status::Sent)
        })
        .await?;
    read(store, sample).await
}

/// The message as the store has it now.
pub(super) async fn read(store: &dyn Store, sample: &Sample) -> Result<MessageRecord, Box<dyn std::error::Error>> {
    Ok(store.message(sample.tenant(), sample.id()).await?.ok_or("not stored")?)
}

/// A step of feedback on a message as it was read.
pub(super) fn reported(sample: &Sample, record: &MessageRecord, status: Status, events: Vec<EventRecord>) -> Step {
    Step {
        token: record.token,
        events,
        ..sample.step(status)
    }
}
