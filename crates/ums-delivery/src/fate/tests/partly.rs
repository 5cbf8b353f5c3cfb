//! Messages whose recipients stand apart: what reports and acts make of them.

use std::sync::Arc;

use ums_core::{
    AccountId, AttemptId, AttemptOutcome, AttemptRecord, Content, Event, EventKind, EventRecord, FailureClass, Message, MessageRecord,
    ProviderKind, RecipientSet, SendEmail, Status, TenantId, Timestamp, Work,
};

use super::super::{Act, Mark, act, reported};
use crate::rules::Rules;

const ADDRESSES: [&str; 3] = ["ada@example.com", "ben@example.net", "cleo@example.org"];

fn second(second: i64) -> Timestamp {
    Timestamp::from_micros(1_795_341_600_000_000 + second * 1_000_000)
}

fn attempt_id() -> AttemptId {
    "01993c00-0000-7000-8000-0000000000a1".parse().unwrap()
}

/// A message whose recipients stand so, after one attempt for the last ones of them.
fn record(stands: &[Status], status: Status, work: Work, (outcome, carried): (AttemptOutcome, &[usize])) -> MessageRecord {
    let parsed = SendEmail::new(ADDRESSES[..stands.len()].to_vec(), "Notice")
        .text("Hello")
        .parse()
        .unwrap();
    let Content::Email(email) = parsed.content else { unreachable!() };
    let message = Message {
        id: "01993c00-0000-7000-8000-000000000001".parse().unwrap(),
        tenant: TenantId::default(),
        content: Content::Email(email),
        handling: parsed.handling,
        metadata: parsed.metadata,
        accepted_at: second(0),
        expires_at: second(1_000),
    };
    let mut record = MessageRecord::accepted(Arc::new(message), status);
    for (recipient, status) in record.recipients.iter_mut().zip(stands) {
        recipient.status = *status;
    }
    let carried: RecipientSet = carried.iter().copied().collect();
    let mut attempt = AttemptRecord::intent(attempt_id(), ProviderKind::SendGrid, AccountId::default(), second(1), carried);
    attempt.outcome = outcome;
    attempt.class = (outcome == AttemptOutcome::Unknown).then_some(FailureClass::Unknown);
    record.attempts.push(attempt);
    record.work = work;
    record
}

fn with(mut record: MessageRecord, kind: EventKind, places: &[usize]) -> MessageRecord {
    for place in places {
        let mut event = Event::new(ProviderKind::SendGrid, format!("event-{place}"), kind, "word");
        event.recipient = Some(ADDRESSES[*place].to_owned());
        record.events.push(EventRecord {
            event,
            received_at: second(2),
            attempt_id: Some(attempt_id()),
        });
    }
    record
}

#[test]
fn reports_reach_a_recipient_of_a_message_whose_first_one_is_suppressed() {
    let stands = [Status::Suppressed, Status::Sent];
    let before = record(&stands, Status::Suppressed, Work::Ended, (AttemptOutcome::Accepted, &[1]));
    let after = reported(&with(before, EventKind::Delivered, &[1]), second(3));
    assert_eq!(after.recipients[1].status, Status::Delivered);
    assert_eq!((after.status, after.recipients[0].status), (Status::Suppressed, Status::Suppressed));
}

#[test]
fn a_message_leaves_unknown_with_its_last_unknown_attempt() {
    let stands = [Status::Failed, Status::Unknown];
    let before = record(&stands, Status::Unknown, Work::Ended, (AttemptOutcome::Unknown, &[1]));
    let after = reported(&with(before, EventKind::Delivered, &[1]), second(3));
    assert_eq!((after.status, after.recipients[1].status), (Status::Failed, Status::Delivered));
}

#[test]
fn while_recipients_wait_the_word_follows_the_first_one_as_reports_settle_attempts() {
    let stands = [Status::Suppressed, Status::Queued, Status::Queued];
    let work = Work::Due(second(50));
    let before = record(&stands, Status::Unknown, work, (AttemptOutcome::Unknown, &[1, 2]));
    let after = reported(&with(before, EventKind::Failed, &[1, 2]), second(3));
    assert_eq!((after.status, after.work), (Status::Suppressed, Work::Due(second(3))));
}

#[test]
fn an_unknown_message_whose_recipient_opted_out_can_be_marked() {
    for (mark, message, recipient) in [
        (Mark::Failed, Status::Failed, Status::Suppressed),
        (Mark::Sent, Status::Sent, Status::Sent),
        (Mark::Delivered, Status::Delivered, Status::Delivered),
    ] {
        let mut record = record(&[Status::Suppressed], Status::Unknown, Work::Ended, (AttemptOutcome::Unknown, &[0]));
        act(&mut record, Act::Mark(mark), &Rules::default(), second(3)).unwrap();
        assert_eq!((record.status, record.recipients[0].status), (message, recipient), "{mark:?}");
        assert!(Status::Unknown.may_become(record.status), "{mark:?}");
    }
}

#[test]
fn a_replay_leaves_out_who_is_still_tried_and_who_is_written_to_no_more() {
    let accepted = (AttemptOutcome::Accepted, &[1][..]);
    for (stands, work) in [
        ([Status::Failed, Status::Sent, Status::Queued], Work::Due(second(50))),
        ([Status::Failed, Status::Sent, Status::Sending], Work::InHand),
        ([Status::Suppressed, Status::Sent, Status::Unsubscribed], Work::Ended),
    ] {
        let mut record = record(&stands, Status::Failed, work, accepted);
        let before = record.clone();
        assert!(act(&mut record, Act::Replay, &Rules::default(), second(3)).is_err(), "{work:?}");
        assert_eq!(record, before);
    }
}
