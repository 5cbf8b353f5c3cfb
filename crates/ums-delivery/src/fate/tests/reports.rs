//! What becomes of a message by reports: rows written by hand, and reports in any order upon whatever the engine may leave.

use std::time::Duration;

use proptest::prelude::*;
use ums_core::{
    AccountId, AttemptOutcome, AttemptRecord, EventKind, EventRecord, FailureClass, MessageRecord, RecipientSet, SettledBy, Status, Work,
};

use super::world::{ADDRESSES, CHAIN, Wishes, attempt_id, report, second, with_reports};

/// When the reports of these tests are decided upon.
const NOW: i64 = 200;

fn attempt(place: usize, outcome: AttemptOutcome, recipients: RecipientSet) -> AttemptRecord {
    let called_at = second(i64::try_from(place).unwrap());
    let mut attempt = AttemptRecord::intent(attempt_id(place), CHAIN[place], AccountId::default(), called_at, recipients);
    attempt.outcome = outcome;
    attempt.class = match outcome {
        AttemptOutcome::Failed | AttemptOutcome::NotCalled(_) => Some(FailureClass::Unavailable),
        AttemptOutcome::Unknown => Some(FailureClass::Unknown),
        AttemptOutcome::Calling | AttemptOutcome::Accepted => None,
    };
    attempt
}

/// A message with these attempts that stands so, as the engine leaves one. Each attempt was for all recipients, as releases that did not
/// record it have it.
fn record(recipients: usize, outcomes: &[AttemptOutcome], status: Status) -> MessageRecord {
    record_of(recipients, outcomes, status, RecipientSet::NOT_RECORDED)
}

fn record_of(recipients: usize, outcomes: &[AttemptOutcome], status: Status, carried: RecipientSet) -> MessageRecord {
    let mut record = Wishes::USUAL.email(recipients);
    record.status = status;
    for recipient in &mut record.recipients {
        recipient.status = status;
    }
    let attempts = outcomes.iter().enumerate();
    record.attempts = attempts.map(|(place, outcome)| attempt(place, *outcome, carried)).collect();
    record.work = if status.is_final() { Work::Ended } else { Work::Due(second(500)) };
    record.sent_at = (status == Status::Sent).then(|| second(100));
    record
}

fn event(number: i64, kind: EventKind, about: Option<usize>, recipient: Option<&str>) -> EventRecord {
    report(number, kind, about, recipient)
}

fn with(record: MessageRecord, events: &[EventRecord]) -> MessageRecord {
    with_reports(record, events, second(NOW))
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
    assert_eq!(attempt.settled_by, Some(SettledBy::Feedback));
    assert_eq!(attempt.detail.as_deref(), Some("settled by feedback"));
    assert_eq!(attempt.provider_message_id.as_deref(), Some("id-0"));
    assert_eq!(attempt.reported, Some(Status::Delivered));
    assert_eq!((accepted.sent_at, accepted.delivered_at), (Some(second(0)), Some(second(1))));
    assert_eq!(accepted.work, Work::Ended);

    let failed = after(&[AttemptOutcome::Unknown], Status::Queued, &[(0, EventKind::Failed)]);
    let attempt = &failed.attempts[0];
    assert_eq!(
        (attempt.outcome, attempt.class),
        (AttemptOutcome::Failed, Some(FailureClass::Unavailable))
    );
    assert_eq!(attempt.code.as_deref(), Some("word-failed"));
    assert_eq!(failed.work, Work::Due(second(NOW)), "it goes on at once");
}

#[test]
fn a_settled_attempt_costs_what_an_accepted_one_costs_and_says_how_long_it_was_unknown() {
    use AttemptOutcome as O;
    let first_two: RecipientSet = [0, 1].into_iter().collect();
    // Its outcome, the report, the cost of the two recipients whom it was for, whether it had been unknown.
    for (outcome, kind, cost, was_unknown) in [
        (O::Unknown, EventKind::Delivered, Some(14), true),
        (O::Unknown, EventKind::Bounced, Some(14), true),
        (O::Unknown, EventKind::Failed, None, true),
        (O::Unknown, EventKind::Unknown, None, false),
        (O::Failed, EventKind::Delivered, Some(14), false),
        (O::Failed, EventKind::Failed, None, false),
        (O::NotCalled(ums_core::NotCalled::Closing), EventKind::Sent, Some(14), false),
    ] {
        let mut before = record_of(3, &[outcome], Status::Queued, first_two);
        before.attempts[0].price_micros = Some(7);
        let events: Vec<_> = [0, 1]
            .map(|place| event(place, kind, Some(0), Some(ADDRESSES[usize::try_from(place).unwrap()])))
            .into();
        let attempt = &with(before.clone(), &events).attempts[0];
        assert_eq!(attempt.cost_micros, cost, "{outcome:?} {kind}");
        assert_eq!(attempt.unknown_until, was_unknown.then(|| second(NOW)), "{outcome:?} {kind}");
        assert_eq!(attempt.settled_by.is_some(), was_unknown || cost.is_some(), "{outcome:?} {kind}");
        // A provider without a known price.
        before.attempts[0].price_micros = None;
        assert_eq!(with(before, &events).attempts[0].cost_micros, None);
    }
    // What the call gave stays, whatever is reported later.
    let mut taken = record(1, &[O::Accepted], Status::Sent);
    (taken.attempts[0].price_micros, taken.attempts[0].cost_micros) = (Some(9), Some(7));
    let bounced = with(taken, &[event(1, EventKind::Bounced, Some(0), None)]);
    assert_eq!(
        (bounced.attempts[0].cost_micros, bounced.attempts[0].unknown_until),
        (Some(7), None)
    );
}

#[test]
fn an_attempt_was_unknown_to_each_that_was_called_before_it_was_settled_whatever_the_clock_says() {
    use AttemptOutcome as O;
    let mut before = record(1, &[O::Unknown, O::Unknown], Status::Unknown);
    before.attempts[1].called_at = second(NOW + 50);
    let settled = with(before, &[event(1, EventKind::Sent, Some(0), Some(ADDRESSES[0]))]);
    let until = settled.attempts[0].unknown_until.unwrap();
    assert!(settled.attempts[0].was_unknown_at(settled.attempts[1].called_at), "{until}");
    assert_eq!(settled.attempts[1].unknown_until, None, "nothing is known of the other one");
    assert!(settled.attempts[1].was_unknown_at(second(NOW + 1_000)));
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
    marked.attempts[0].settled_by = Some(SettledBy::MarkedDelivered);
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
    doubled.attempts[0].settled_by = Some(SettledBy::Feedback);
    let lifted = with(doubled, &[event(1, EventKind::Bounced, Some(0), Some(ADDRESSES[1]))]);
    assert_eq!(lifted.recipients[1].status, Status::Sent);
}

/// What the engine may leave: outcomes of attempts, and where the message stands with them.
fn bases() -> impl Strategy<Value = MessageRecord> {
    use AttemptOutcome as O;
    let outcomes = prop::collection::vec(prop::sample::select(vec![O::Unknown, O::Failed]), 0..3);
    let carried = any::<bool>();
    (1..=3_usize, outcomes, prop::option::of(Just(O::Accepted)), 0..3_usize, carried).prop_map(
        |(recipients, mut outcomes, last, which, carried)| {
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
            let everybody = (0..recipients).collect();
            record_of(
                recipients,
                &outcomes,
                status,
                if carried { everybody } else { RecipientSet::NOT_RECORDED },
            )
        },
    )
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
pub(super) fn end_of(mut record: MessageRecord) -> MessageRecord {
    record.events.sort_by(|one, other| one.event.id.cmp(&other.event.id));
    // When a message goes on, and what is said while it waits, depends on when it was told that an attempt failed.
    if let Work::Due(at) = &mut record.work {
        *at = second(0);
        record.error = None;
        for recipient in record.recipients.iter_mut().filter(|recipient| !recipient.status.is_final()) {
            (recipient.status, recipient.reason) = (Status::Queued, None);
        }
        if !record.status.is_final() {
            record.status = Status::Queued;
        }
    }
    record
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4_000) })]

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
