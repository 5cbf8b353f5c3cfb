use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use ums_core::{
    AccountId, AttemptId, AttemptOutcome, AttemptRecord, Content, Event, EventKind, EventRecord, FailureClass, Message, MessageRecord,
    ProviderKind, SendEmail, Status, TenantId, Timestamp,
};

use super::{SETTLED, lift};
use crate::acts::MARKED_DELIVERED;

const ADDRESSES: [&str; 3] = ["ada@example.com", "ben@example.net", "cleo@example.org"];
const CHAIN: [ProviderKind; 3] = [ProviderKind::AwsSes, ProviderKind::SendGrid, ProviderKind::Smtp];

fn second(second: i64) -> Timestamp {
    Timestamp::from_micros(1_795_341_600_000_000 + second * 1_000_000)
}

fn attempt_id(place: usize) -> AttemptId {
    format!("01993c00-0000-7000-8000-0000000000a{place}").parse().unwrap()
}

fn attempt(place: usize, outcome: AttemptOutcome) -> AttemptRecord {
    let called_at = second(i64::try_from(place).unwrap());
    let mut attempt = AttemptRecord::intent(attempt_id(place), CHAIN[place], AccountId::default(), called_at);
    attempt.outcome = outcome;
    attempt.class = match outcome {
        AttemptOutcome::Failed => Some(FailureClass::Unavailable),
        AttemptOutcome::Unknown => Some(FailureClass::Unknown),
        AttemptOutcome::Calling | AttemptOutcome::Accepted => None,
    };
    attempt
}

/// A message with these attempts that stands so, as the engine leaves one.
fn record(recipients: usize, outcomes: &[AttemptOutcome], status: Status) -> MessageRecord {
    let parsed = SendEmail::new(ADDRESSES[..recipients].to_vec(), "Notice")
        .text("Hello")
        .parse()
        .unwrap();
    let message = Message {
        id: "01993c00-0000-7000-8000-000000000001".parse().unwrap(),
        tenant: TenantId::default(),
        content: match parsed.content {
            Content::Email(email) => Content::Email(email),
            Content::Sms(_) => unreachable!(),
        },
        handling: parsed.handling,
        metadata: parsed.metadata,
        accepted_at: second(0),
        expires_at: second(1_000_000),
    };
    let mut record = MessageRecord::accepted(Arc::new(message), status);
    record.attempts = outcomes
        .iter()
        .enumerate()
        .map(|(place, outcome)| attempt(place, *outcome))
        .collect();
    record.due_at = (status == Status::Queued).then(|| second(500));
    record.sent_at = (status == Status::Sent).then(|| second(100));
    record
}

fn event(number: i64, kind: EventKind, about: Option<usize>, recipient: Option<&str>) -> EventRecord {
    let provider = about.map_or(ProviderKind::AwsSes, |place| CHAIN[place]);
    let mut event = Event::new(provider, format!("event-{number}"), kind, format!("word-{kind}"));
    event.recipient = recipient.map(str::to_owned);
    event.at = Some(second(number));
    event.about.provider_message_id = about.map(|place| format!("id-{place}"));
    EventRecord {
        event,
        received_at: second(10_000 + number),
        attempt_id: about.map(attempt_id),
    }
}

fn with(mut record: MessageRecord, events: &[EventRecord]) -> MessageRecord {
    for event in events {
        if record.events.iter().all(|known| known.event.id != event.event.id) {
            record.events.push(event.clone());
        }
    }
    lift(&record, second(200))
}

/// Where the only recipient's message stands after these kinds of events about its attempts.
fn after(outcomes: &[AttemptOutcome], status: Status, kinds: &[(usize, EventKind)]) -> MessageRecord {
    let events: Vec<_> = kinds
        .iter()
        .enumerate()
        .map(|(number, (about, kind))| event(i64::try_from(number).unwrap(), *kind, Some(*about), Some(ADDRESSES[0])))
        .collect();
    with(record(1, outcomes, status), &events)
}

/// Outcomes, where it stood, what was reported of which attempt, where it stands.
type Row = (&'static [AttemptOutcome], Status, &'static [(usize, EventKind)], Status);

#[test]
fn the_rules_row_by_row() {
    use {AttemptOutcome as O, EventKind as K, Status as S};
    let rows: &[Row] = &[
        (&[O::Accepted], S::Sent, &[(0, K::Delivered)], S::Delivered),
        (&[O::Accepted], S::Sent, &[(0, K::Bounced)], S::Bounced),
        (&[O::Accepted], S::Sent, &[(0, K::Delivered), (0, K::Bounced)], S::Bounced),
        (&[O::Accepted], S::Sent, &[(0, K::Failed)], S::Failed),
        (&[O::Accepted], S::Sent, &[(0, K::Failed), (0, K::Delivered)], S::Delivered),
        // Side events say nothing of the way.
        (
            &[O::Accepted],
            S::Sent,
            &[
                (0, K::Complained),
                (0, K::Opened),
                (0, K::Clicked),
                (0, K::Deferred),
                (0, K::Unsubscribed),
            ],
            S::Sent,
        ),
        // What another attempt holds still stands.
        (&[O::Unknown, O::Accepted], S::Sent, &[(0, K::Bounced)], S::Sent),
        (&[O::Unknown, O::Accepted], S::Sent, &[(0, K::Bounced), (1, K::Bounced)], S::Bounced),
        (
            &[O::Unknown, O::Accepted],
            S::Sent,
            &[(0, K::Delivered), (1, K::Bounced)],
            S::Delivered,
        ),
        // Nobody is called failed while an attempt is unknown.
        (&[O::Unknown, O::Accepted], S::Sent, &[(1, K::Failed)], S::Unknown),
        (&[O::Unknown, O::Accepted], S::Sent, &[(1, K::Failed), (0, K::Rejected)], S::Failed),
        // Late feedback lifts ends.
        (&[O::Failed], S::Failed, &[(0, K::Delivered)], S::Delivered),
        (&[O::Failed], S::Expired, &[(0, K::Sent)], S::Sent),
        (&[O::Unknown], S::Unknown, &[(0, K::Opened)], S::Sent),
        (&[O::Unknown], S::Unknown, &[(0, K::Bounced)], S::Bounced),
        (&[O::Unknown], S::Unknown, &[(0, K::Failed)], S::Failed),
        (&[O::Unknown], S::Unknown, &[(0, K::Unknown)], S::Unknown),
        // What waits because an attempt is unknown is sent no more once that was taken.
        (&[O::Unknown], S::Queued, &[(0, K::Queued)], S::Sent),
        (&[O::Unknown], S::Queued, &[(0, K::Delivered)], S::Delivered),
        (&[O::Unknown], S::Queued, &[(0, K::Bounced)], S::Bounced),
        // It goes on when the failure lets the next provider try, and was not taken first.
        (&[O::Unknown], S::Queued, &[(0, K::Failed)], S::Queued),
        (&[O::Unknown], S::Queued, &[(0, K::Rejected)], S::Failed),
        (&[O::Unknown], S::Queued, &[(0, K::Sent), (0, K::Failed)], S::Failed),
        (&[O::Unknown, O::Unknown], S::Queued, &[(1, K::Rejected)], S::Unknown),
        // Who must not be contacted stays so.
        (&[O::Failed], S::Suppressed, &[(0, K::Delivered)], S::Suppressed),
    ];
    for (outcomes, status, kinds, expected) in rows {
        let record = after(outcomes, *status, kinds);
        assert_eq!(record.status, *expected, "{outcomes:?} {status} {kinds:?}");
        assert_eq!(record.recipients[0].status, *expected, "{outcomes:?} {status} {kinds:?}");
        let good = matches!(expected, Status::Sent | Status::Delivered | Status::Queued | Status::Suppressed);
        assert_eq!(
            record.error.is_none(),
            good || kinds.len() == 1 && kinds[0].1 == K::Unknown,
            "{outcomes:?} {kinds:?}"
        );
    }
}

#[test]
fn an_unknown_attempt_is_settled_with_its_id_and_times() {
    let accepted = after(
        &[AttemptOutcome::Unknown],
        Status::Queued,
        &[(0, EventKind::Sent), (0, EventKind::Delivered)],
    );
    let attempt = &accepted.attempts[0];
    assert_eq!(attempt.outcome, AttemptOutcome::Accepted);
    assert_eq!(attempt.detail.as_deref(), Some(SETTLED));
    assert_eq!(attempt.provider_message_id.as_deref(), Some("id-0"));
    assert_eq!(attempt.reported, Some(Status::Delivered));
    assert_eq!((accepted.sent_at, accepted.delivered_at), (Some(second(0)), Some(second(1))));
    assert_eq!(accepted.due_at, None);

    let failed = after(&[AttemptOutcome::Unknown], Status::Queued, &[(0, EventKind::Failed)]);
    let attempt = &failed.attempts[0];
    assert_eq!(
        (attempt.outcome, attempt.class),
        (AttemptOutcome::Failed, Some(FailureClass::Unavailable))
    );
    assert_eq!(attempt.code.as_deref(), Some("word-failed"));
    assert_eq!(failed.due_at, Some(second(200)), "it goes on at once");
}

#[test]
fn a_provider_whose_clock_is_ahead_delivers_no_later_than_it_is_told() {
    let mut early = event(1, EventKind::Delivered, Some(0), None);
    early.event.at = Some(early.received_at + Duration::from_hours(1));
    let record = with(record(1, &[AttemptOutcome::Accepted], Status::Sent), &[early.clone()]);
    assert_eq!(record.delivered_at, Some(early.received_at));
}

#[test]
fn an_operators_word_holds_against_less_and_not_against_a_bounce() {
    let mut marked = record(1, &[AttemptOutcome::Accepted], Status::Delivered);
    marked.attempts[0].detail = Some(MARKED_DELIVERED.to_owned());
    let sent = event(1, EventKind::Sent, Some(0), None);
    assert_eq!(with(marked.clone(), std::slice::from_ref(&sent)).status, Status::Delivered);
    let bounced = event(2, EventKind::Bounced, Some(0), None);
    assert_eq!(with(marked, &[sent, bounced]).status, Status::Bounced);
}

#[test]
fn every_recipient_stands_for_itself() {
    let both = record(2, &[AttemptOutcome::Unknown], Status::Queued);
    let lifted = with(both, &[event(1, EventKind::Bounced, Some(0), Some("BEN@example.net"))]);
    let statuses: Vec<_> = lifted.recipients.iter().map(|recipient| recipient.status).collect();
    assert_eq!(statuses, [Status::Sent, Status::Bounced]);
    assert_eq!(lifted.status, Status::Sent);
    assert_eq!(lifted.recipients[1].reason.as_deref(), Some("word-bounced"));

    // What failed for one of two was taken for the other, or nobody knows.
    let both = record(2, &[AttemptOutcome::Unknown], Status::Queued);
    let lifted = with(both, &[event(1, EventKind::Failed, Some(0), Some(ADDRESSES[1]))]);
    assert_eq!(
        (lifted.attempts[0].outcome, lifted.status),
        (AttemptOutcome::Unknown, Status::Queued)
    );
}

#[test]
fn who_opted_out_after_an_unknown_attempt_may_have_been_written_to_all_the_same() {
    let mut unknown = record(1, &[AttemptOutcome::Unknown], Status::Unknown);
    unknown.recipients[0].status = Status::Unsubscribed;
    unknown.recipients[0].reason = Some("unsubscribe".to_owned());
    let lifted = with(unknown, &[event(1, EventKind::Opened, Some(0), Some(ADDRESSES[0]))]);
    assert_eq!((lifted.status, lifted.recipients[0].status), (Status::Sent, Status::Sent));
}

#[test]
fn a_recipient_was_with_the_attempt_that_reports_on_it() {
    // The first provider took the first recipient only, the second took the other one.
    let parted = record(2, &[AttemptOutcome::Accepted, AttemptOutcome::Accepted], Status::Sent);
    let lifted = with(parted, &[event(1, EventKind::Bounced, Some(1), Some(ADDRESSES[1]))]);
    assert_eq!(lifted.recipients[1].status, Status::Bounced);
    // Taken by the one whose outcome was unknown, and by the next.
    let mut doubled = record(2, &[AttemptOutcome::Accepted, AttemptOutcome::Accepted], Status::Sent);
    doubled.attempts[0].detail = Some(SETTLED.to_owned());
    let lifted = with(doubled, &[event(1, EventKind::Bounced, Some(0), Some(ADDRESSES[1]))]);
    assert_eq!(lifted.recipients[1].status, Status::Sent);
}

/// What the engine may leave: outcomes of attempts, and where the message stands with them.
fn bases() -> impl Strategy<Value = MessageRecord> {
    use AttemptOutcome as O;
    let outcomes = prop::collection::vec(prop::sample::select(vec![O::Unknown, O::Failed]), 0..3);
    (1..=3_usize, outcomes, prop::option::of(Just(O::Accepted)), 0..3_usize).prop_map(|(recipients, mut outcomes, last, which)| {
        outcomes.extend(last);
        if outcomes.is_empty() {
            outcomes.push(O::Unknown);
        }
        let unknown = outcomes.contains(&O::Unknown);
        let status = match (last, unknown, which) {
            (Some(_), _, _) => Status::Sent,
            (None, _, 0) => Status::Queued,
            (None, true, _) => Status::Unknown,
            (None, false, 1) => Status::Failed,
            (None, false, _) => Status::Expired,
        };
        record(recipients, &outcomes, status)
    })
}

fn events() -> impl Strategy<Value = Vec<EventRecord>> {
    let classes = [
        None,
        Some(FailureClass::InvalidRecipient),
        Some(FailureClass::Misconfigured),
        Some(FailureClass::Unavailable),
    ];
    let one = (
        prop::sample::select(EventKind::ALL.to_vec()),
        prop::option::weighted(0.9, 0..3_usize),
        prop::sample::select(vec![
            Some(ADDRESSES[0]),
            Some(ADDRESSES[1]),
            Some(ADDRESSES[2]),
            Some("other@example.com"),
            None,
        ]),
        prop::sample::select(classes.to_vec()),
    );
    prop::collection::vec(one, 1..7).prop_map(|made| {
        let numbered = (1..).zip(made);
        let events = numbered.map(|(number, (kind, about, recipient, class))| {
            let mut event = event(number, kind, about, recipient);
            event.event.class = class;
            event
        });
        events.collect()
    })
}

/// Each event one to five times, in any order, cut into batches of any size.
fn tellings() -> impl Strategy<Value = (MessageRecord, Vec<EventRecord>, Vec<EventRecord>, Vec<usize>)> {
    (bases(), events()).prop_flat_map(|(base, events)| {
        let times = prop::collection::vec(1..=5_usize, events.len());
        (Just(base), Just(events), times).prop_flat_map(|(base, events, times)| {
            let told: Vec<EventRecord> = events
                .iter()
                .zip(&times)
                .flat_map(|(event, times)| std::iter::repeat_n(event.clone(), *times))
                .collect();
            let cuts = prop::collection::vec(1..=4_usize, told.len());
            (Just(base), Just(events), Just(told).prop_shuffle(), cuts)
        })
    })
}

/// What must not depend on how events came.
fn end_of(mut record: MessageRecord) -> MessageRecord {
    record.events.sort_by(|one, other| one.event.id.cmp(&other.event.id));
    // When it goes on depends on when it was told.
    record.due_at = record.due_at.map(|_| second(0));
    record
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn order_repetition_and_batches_do_not_matter((base, events, told, cuts) in tellings()) {
        let at_once = with(base.clone(), &events);
        let mut bit_by_bit = base;
        let mut rest = &told[..];
        for cut in cuts {
            let (batch, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            if batch.is_empty() {
                break;
            }
            let before = bit_by_bit.clone();
            bit_by_bit = with(bit_by_bit, batch);
            prop_assert!(
                before.status == bit_by_bit.status || before.status.may_become(bit_by_bit.status),
                "{} -> {}", before.status, bit_by_bit.status
            );
            let unsettled = bit_by_bit.has_unknown_attempt();
            prop_assert!(!(unsettled && matches!(bit_by_bit.status, Status::Failed | Status::Expired)), "{:?}", bit_by_bit);
        }
        bit_by_bit = with(bit_by_bit, rest);
        prop_assert_eq!(end_of(at_once), end_of(bit_by_bit));
    }
}
