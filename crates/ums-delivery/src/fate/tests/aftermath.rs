//! Every act and every kind of report upon every message at rest, beside rules written down once more.

use ums_core::{AccountId, AttemptOutcome, AttemptRecord, EventKind, FailureClass, MessageRecord, RecipientSet, Status, Work};

use super::super::{Act, Mark, act};
use super::world::{ADDRESSES, CHAIN, Wishes, attempt_id, places, report, rules, second, with_reports};

const NOW: i64 = 100;
const DUE: i64 = 160;
/// Where a recipient may stand; `Queued` for one without an end.
const STANDS: [Status; 8] = [
    Status::Queued,
    Status::Sent,
    Status::Delivered,
    Status::Bounced,
    Status::Failed,
    Status::Expired,
    Status::Suppressed,
    Status::Unknown,
];

fn attempt(record: &mut MessageRecord, whom: RecipientSet, outcome: AttemptOutcome) {
    let number = record.attempts.len();
    let mut attempt = AttemptRecord::intent(attempt_id(number), CHAIN[number], AccountId::default(), second(1), whom);
    attempt.outcome = outcome;
    attempt.class = match outcome {
        AttemptOutcome::Unknown => Some(FailureClass::Unknown),
        AttemptOutcome::Failed | AttemptOutcome::NotCalled(_) => Some(FailureClass::Unavailable),
        AttemptOutcome::Calling | AttemptOutcome::Accepted => None,
    };
    record.attempts.push(attempt);
}

/// The message's word and what is left to be done, from where its recipients stand.
fn at_rest(mut record: MessageRecord) -> MessageRecord {
    record.status = word(&record);
    let is_open = !record.open_recipients().is_empty();
    record.work = if is_open { Work::Due(second(DUE)) } else { Work::Ended };
    record
}

fn word(record: &MessageRecord) -> Status {
    let first = record.recipients[0].status;
    let is_failed = matches!(first, Status::Failed | Status::Expired);
    if is_failed && record.has_unknown_attempt() {
        Status::Unknown
    } else {
        first
    }
}

/// Messages to one and to two, with and without an attempt that may have reached those without an end.
fn messages() -> Vec<MessageRecord> {
    let mut all = Vec::new();
    for first in STANDS {
        let alone = vec![first];
        for stands in STANDS.map(|second| vec![first, second]).into_iter().chain([alone]) {
            for open_are_unknown in [false, true] {
                let mut record = Wishes::USUAL.email(stands.len());
                let unknown = stands.iter().enumerate().filter(|(_, status)| {
                    let is_open = **status == Status::Queued;
                    (is_open && open_are_unknown) || **status == Status::Unknown
                });
                let unknown: RecipientSet = unknown.map(|(place, _)| place).collect();
                for (recipient, status) in record.recipients.iter_mut().zip(&stands) {
                    recipient.status = *status;
                }
                if !unknown.is_empty() {
                    attempt(&mut record, unknown, AttemptOutcome::Unknown);
                }
                all.push(at_rest(record));
            }
        }
    }
    all
}

/// Where each recipient stands after an act; none when it is not possible.
fn acted(before: &MessageRecord, what: Act) -> Option<Vec<Status>> {
    let first = before.recipients[0].status;
    let is_open = !before.open_recipients().is_empty();
    let may_be_again = |status| matches!(status, Status::Failed | Status::Expired | Status::Unknown);
    let is_possible = match what {
        Act::Cancel => is_open,
        Act::Resend => !is_open && may_be_again(first),
        Act::Replay => !is_open && first == Status::Failed && !before.has_unknown_attempt(),
        Act::Mark(_) => before.status == Status::Unknown || (is_open && before.has_unknown_attempt()),
    };
    let after = before.recipients.iter().enumerate().map(|(place, recipient)| {
        let (stands, is_unknown) = (
            recipient.status,
            before.attempts.iter().any(|attempt| attempt.is_unknown_for(place)),
        );
        match what {
            Act::Cancel if stands == Status::Queued && is_unknown => Status::Unknown,
            Act::Cancel if stands == Status::Queued => Status::Cancelled,
            Act::Resend | Act::Replay if may_be_again(stands) => Status::Queued,
            Act::Mark(Mark::Sent) if is_unknown => Status::Sent,
            Act::Mark(Mark::Delivered) if is_unknown => Status::Delivered,
            Act::Mark(Mark::Failed) if is_unknown => Status::Failed,
            Act::Cancel | Act::Resend | Act::Replay | Act::Mark(_) => stands,
        }
    });
    is_possible.then(|| after.collect())
}

#[test]
fn every_act() {
    let acts = [
        Act::Cancel,
        Act::Resend,
        Act::Replay,
        Act::Mark(Mark::Sent),
        Act::Mark(Mark::Delivered),
        Act::Mark(Mark::Failed),
    ];
    for before in messages() {
        for what in acts {
            let mut after = before.clone();
            let kept = act(&mut after, what, &rules(), second(NOW));
            let text = format!("{what:?} {} {:?} {:?}", before.status, before.recipients, before.attempts.len());
            let Some(expected) = acted(&before, what) else {
                assert!(kept.is_err(), "{text}");
                assert_eq!(after, before, "{text}");
                continue;
            };
            assert!(kept.is_ok(), "{text}");
            let stands: Vec<Status> = after.recipients.iter().map(|recipient| recipient.status).collect();
            assert_eq!(stands, expected, "{text}");
            assert_eq!(after.status, word(&after), "{text}");
            let due = match what {
                Act::Resend => second(NOW),
                Act::Replay => second(0),
                Act::Cancel | Act::Mark(_) => second(DUE),
            };
            let is_open = !after.open_recipients().is_empty();
            assert_eq!(after.work, if is_open { Work::Due(due) } else { Work::Ended }, "{text}");
        }
    }
}

/// A message to two, of which one attempt was for some, and where these and the others stand.
fn reported_on() -> Vec<MessageRecord> {
    use {AttemptOutcome as O, Status as S};
    let mut all = Vec::new();
    for (outcome, carried_stand) in [
        (O::Accepted, S::Sent),
        (O::Unknown, S::Queued),
        (O::Unknown, S::Unknown),
        (O::Failed, S::Queued),
        (O::Failed, S::Failed),
    ] {
        for carried in [places(&[0]), places(&[1]), places(&[0, 1])] {
            for other in [S::Queued, S::Sent, S::Failed, S::Suppressed] {
                let mut record = Wishes::USUAL.email(2);
                for (place, recipient) in record.recipients.iter_mut().enumerate() {
                    recipient.status = if carried.contains(place) { carried_stand } else { other };
                }
                attempt(&mut record, carried, outcome);
                // A first recipient who must not be contacted leaves nobody.
                if record.recipients[0].status != S::Suppressed {
                    all.push(at_rest(record));
                }
            }
        }
    }
    all
}

/// Where a recipient whom the attempt was for stands after a report.
fn after_report(before: &MessageRecord, kind: EventKind, place: usize, is_meant: bool, all_meant: bool) -> Status {
    use {AttemptOutcome as O, EventKind as K, Status as S};
    let (stands, outcome) = (before.recipients[place].status, before.attempts[0].outcome);
    match kind {
        K::Delivered if is_meant => S::Delivered,
        K::Bounced if is_meant => S::Bounced,
        K::Rejected | K::Failed if !is_meant => stands,
        K::Rejected | K::Failed if outcome == O::Accepted => S::Failed,
        // Another provider may try; a rejected message no other would take.
        K::Failed if stands == S::Queued => S::Queued,
        K::Rejected | K::Failed if outcome == O::Unknown && !all_meant => S::Unknown,
        K::Rejected | K::Failed => S::Failed,
        K::Subscribed | K::Inbound | K::Unknown => stands,
        // The provider has the message, or had it.
        K::Queued
        | K::Sent
        | K::Delivered
        | K::Deferred
        | K::Bounced
        | K::Complained
        | K::Unsubscribed
        | K::Opened
        | K::Clicked
        | K::Autoresponded => S::Sent,
    }
}

#[test]
fn every_kind_of_report() {
    for before in reported_on() {
        let carried = before.attempts[0].recipients;
        for kind in EventKind::ALL {
            for named in [None, Some(0), Some(1)] {
                if named.is_some_and(|named| !carried.contains(named)) {
                    continue;
                }
                let event = report(1, *kind, Some(0), named.map(|named| ADDRESSES[named]));
                let after = with_reports(before.clone(), &[event], second(NOW));
                let all_meant = named.is_none() || carried.count(2) == 1;
                let expected: Vec<Status> = (0..2)
                    .map(|place| {
                        let is_meant = named.is_none_or(|named| named == place);
                        if carried.contains(place) {
                            after_report(&before, *kind, place, is_meant, all_meant)
                        } else {
                            before.recipients[place].status
                        }
                    })
                    .collect();
                let stands: Vec<Status> = after.recipients.iter().map(|recipient| recipient.status).collect();
                let text = format!("{kind} of {named:?}: {:?} {:?}", before.recipients, before.attempts[0].outcome);
                assert_eq!(stands, expected, "{text}");
                assert_eq!(after.status, word(&after), "{text}");
                assert_eq!(after.has_ended(), after.open_recipients().is_empty(), "{text}");
            }
        }
    }
}
