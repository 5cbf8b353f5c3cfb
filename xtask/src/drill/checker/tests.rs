//! The judge before planted faults.

use serde_json::json;

use super::{Attempt, Findings, Row, judge};
use crate::drill::journal::{Ack, Arrival};

/// A second of the drill.
fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn ack(number: u32, may_duplicate: bool) -> Ack {
    Ack {
        at: at(0),
        mark: format!("drill-{number}"),
        id: format!("id-{number}"),
        key: format!("key-{number}"),
        may_duplicate,
        status: 202,
    }
}

fn arrival(number: u32, provider: &str, second: i64) -> Arrival {
    serde_json::from_value(json!({
        "at": at(second).to_string(), "provider": provider, "verdict": "recorded", "fault": null,
        "message": {"subject": format!("Drill drill-{number} of many"), "body": null},
    }))
    .unwrap()
}

fn attempt(provider: &str, outcome: &str, second: i64) -> Attempt {
    Attempt {
        provider: provider.to_owned(),
        outcome: outcome.to_owned(),
        code: None,
        called_at: Some(at(second)),
        unknown_until: None,
    }
}

/// An attempt whose outcome was unknown at first, and was settled so at that second.
fn settled(provider: &str, outcome: &str, second: i64, until: i64) -> Attempt {
    Attempt {
        unknown_until: Some(at(until)),
        ..attempt(provider, outcome, second)
    }
}

fn row(number: u32, status: &str, attempts: &[Attempt]) -> Row {
    Row {
        id: format!("id-{number}"),
        mark: Some(format!("drill-{number}")),
        may_duplicate: false,
        status: status.to_owned(),
        attempts: attempts.to_vec(),
        acts: Vec::new(),
    }
}

/// Judges and compares the counts: lost, stuck, explained, unexplained, never contacted, untold, doubled, unpromised.
#[track_caller]
fn check(acks: &[Ack], arrivals: &[Arrival], rows: &[Row], counts: [usize; 8]) -> Findings {
    let found = judge(acks, arrivals, rows);
    let seen = [
        &found.lost,
        &found.stuck,
        &found.explained,
        &found.unexplained,
        &found.never_contacted,
        &found.untold,
        &found.doubled_rows,
        &found.unpromised,
    ]
    .map(Vec::len);
    assert_eq!(seen, counts, "{found:#?}");
    found
}

#[test]
fn a_clean_drill_has_no_findings() {
    let rows = [
        row(1, "sent", &[attempt("aws_ses", "failed", 1), attempt("sendgrid", "accepted", 2)]),
        row(2, "expired", &[attempt("aws_sns", "failed", 1)]),
        row(3, "unknown", &[attempt("twilio", "unknown", 1)]),
    ];
    let arrivals = [arrival(1, "sendgrid", 2), arrival(3, "twilio", 1)];
    let found = check(&[ack(1, true), ack(2, false), ack(3, false)], &arrivals, &rows, [0; 8]);
    assert_eq!((found.acks, found.rows, found.arrivals), (3, 3, 2));
}

#[test]
fn a_promise_without_a_row_is_lost() {
    let found = check(&[ack(1, true)], &[], &[], [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(found.lost, ["id-1 (drill-1)"]);
}

#[test]
fn a_promise_that_comes_to_no_end_is_stuck() {
    for status in ["pending", "scheduled", "queued", "sending", "no such word"] {
        check(&[ack(1, true)], &[], &[row(1, status, &[])], [0, 1, 0, 0, 0, 0, 0, 0]);
    }
}

#[test]
fn a_second_arrival_wants_an_unknown_attempt_before_it() {
    let rows = [row(
        1,
        "sent",
        &[attempt("aws_ses", "unknown", 1), attempt("sendgrid", "accepted", 9)],
    )];
    let arrivals = [arrival(1, "ses", 1), arrival(1, "sendgrid", 9)];
    check(&[ack(1, true)], &arrivals, &rows, [0, 0, 1, 0, 0, 0, 0, 0]);
    // The same is a fault when the message may not be doubled.
    check(&[ack(1, false)], &arrivals, &rows, [0, 0, 0, 1, 0, 0, 0, 0]);
    // An attempt that began after the first arrival is not its cause.
    let rows = [row(
        1,
        "sent",
        &[attempt("aws_ses", "unknown", 5), attempt("sendgrid", "accepted", 9)],
    )];
    check(&[ack(1, true)], &arrivals, &rows, [0, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn an_attempt_that_was_unknown_when_the_next_was_made_explains_a_double_although_it_is_settled() {
    let arrivals = [arrival(1, "twilio", 1), arrival(1, "sns", 9)];
    for (first, counts) in [
        (settled("twilio", "accepted", 1, 30), [0, 0, 1, 0, 0, 0, 0, 0]),
        (settled("twilio", "failed", 1, 30), [0, 0, 1, 0, 0, 0, 0, 0]),
        // It was known already, so the next one was made without a cause.
        (settled("twilio", "accepted", 1, 8), [0, 0, 0, 1, 0, 0, 0, 0]),
        (settled("twilio", "accepted", 1, 9), [0, 0, 0, 1, 0, 0, 0, 0]),
        (attempt("twilio", "accepted", 1), [0, 0, 0, 1, 0, 0, 0, 0]),
        (attempt("twilio", "failed", 1), [0, 0, 0, 1, 0, 1, 0, 0]),
    ] {
        let rows = [row(1, "delivered", &[first, attempt("aws_sns", "accepted", 9)])];
        check(&[ack(1, true)], &arrivals, &rows, counts);
    }
    // Whatever the attempt was, a message that must not be doubled was.
    let rows = [row(
        1,
        "delivered",
        &[settled("twilio", "accepted", 1, 30), attempt("aws_sns", "accepted", 9)],
    )];
    check(&[ack(1, false)], &arrivals, &rows, [0, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn one_cause_explains_one_arrival() {
    let rows = [row(
        1,
        "sent",
        &[attempt("aws_ses", "unknown", 1), attempt("aws_ses", "accepted", 3)],
    )];
    let arrivals = [arrival(1, "ses", 1), arrival(1, "ses", 3), arrival(1, "ses", 5)];
    check(&[ack(1, true)], &arrivals, &rows, [0, 0, 1, 1, 0, 1, 0, 0]);
}

#[test]
fn an_operators_act_explains_an_arrival_whatever_the_policy() {
    let mut resent = row(1, "sent", &[attempt("aws_ses", "accepted", 1), attempt("aws_ses", "accepted", 20)]);
    resent.acts = vec![at(10)];
    let arrivals = [arrival(1, "ses", 1), arrival(1, "ses", 20)];
    check(&[ack(1, false)], &arrivals, &[resent.clone()], [0, 0, 1, 0, 0, 0, 0, 0]);
    resent.acts = vec![at(40)];
    check(&[ack(1, false)], &arrivals, &[resent], [0, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn a_doubled_arrival_is_unexplained_and_untold() {
    let rows = [row(1, "sent", &[attempt("aws_ses", "accepted", 1)])];
    let arrivals = [arrival(1, "ses", 1), arrival(1, "ses", 1)];
    check(&[ack(1, true)], &arrivals, &rows, [0, 0, 0, 1, 0, 1, 0, 0]);
}

#[test]
fn sent_without_an_arrival_is_a_claim_without_ground() {
    let rows = [row(1, "sent", &[attempt("aws_ses", "accepted", 1)])];
    check(&[ack(1, true)], &[], &rows, [0, 0, 0, 0, 2, 0, 0, 0]);
    // Nor does an arrival at another provider count.
    check(&[ack(1, true)], &[arrival(1, "smtp", 1)], &rows, [0, 0, 0, 0, 1, 1, 0, 0]);
}

#[test]
fn an_arrival_that_the_store_calls_failed_is_untold() {
    let rows = [row(1, "failed", &[attempt("aws_ses", "failed", 1)])];
    check(&[ack(1, true)], &[arrival(1, "ses", 1)], &rows, [0, 0, 0, 0, 0, 1, 0, 0]);
    // So is one of a message that is in no store at all.
    check(&[], &[arrival(1, "ses", 1)], &[], [0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn one_key_with_two_messages_is_found() {
    let mut again = ack(1, true);
    again.id = "id-2".to_owned();
    let mut twin = row(2, "expired", &[]);
    twin.mark = Some("drill-1".to_owned());
    check(
        &[ack(1, true), again],
        &[],
        &[row(1, "expired", &[]), twin],
        [0, 0, 0, 0, 0, 0, 2, 0],
    );
}

#[test]
fn a_row_that_nobody_was_promised_is_counted_and_judged_by_its_own_word() {
    let mut rows = [row(
        1,
        "sent",
        &[attempt("aws_ses", "unknown", 1), attempt("aws_ses", "accepted", 3)],
    )];
    let arrivals = [arrival(1, "ses", 1), arrival(1, "ses", 3)];
    check(&[], &arrivals, &rows, [0, 0, 0, 1, 0, 0, 0, 1]);
    rows[0].may_duplicate = true;
    check(&[], &arrivals, &rows, [0, 0, 1, 0, 0, 0, 0, 1]);
}

#[test]
fn what_a_fault_turned_away_did_not_arrive() {
    let mut refused = arrival(1, "ses", 1);
    refused.verdict = "refused".to_owned();
    check(&[ack(1, true)], &[refused], &[row(1, "expired", &[])], [0; 8]);
}
