//! The main stories, as people read them.

use ums_core::{
    ActKind, AttemptOutcome, AttemptRecord, Event, EventKind, EventRecord, FailureClass, MessageRecord, NotCalled, OutcomeWord,
    ProviderKind, RecipientSet, SettledBy, SkipReason, Status, Work,
};
use ums_story::{Explanation, MessageStory};

use crate::records::{act, at, call, failed, receipt, record, refused, skip, stand, stands, taken};

const SES: ProviderKind = ProviderKind::AwsSes;
const SENDGRID: ProviderKind = ProviderKind::SendGrid;
const SMTP: ProviderKind = ProviderKind::Smtp;

macro_rules! expected {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stories/", $name)).trim_end()
    };
}

#[track_caller]
fn check(record: &MessageRecord, expected: &str) {
    let told = Explanation::of(record, &[]).for_people();
    assert_eq!(told, expected, "\n{told}\n");
}

#[test]
fn ses_is_passed_over_then_fails_and_sendgrid_takes_the_message() {
    let mut record = receipt();
    record.skips.push(skip(SMTP, 1, SkipReason::Degraded, "31 % delivered of 240"));
    let mut attempt = failed(SES, 1, FailureClass::Unavailable, "503");
    attempt.detail = Some("The request failed.".to_owned());
    record.attempts.push(attempt);
    record.attempts.push(taken(SENDGRID, 14, &[0]));
    record.events.push(EventRecord {
        event: Event::new(SENDGRID, "1", EventKind::Delivered, "delivered"),
        received_at: at(2_000),
        attempt_id: None,
    });
    stand(&mut record, Status::Delivered);
    check(&record, expected!("failover.txt"));
    let story = MessageStory::of(&record, &[]);
    assert!(
        expected!("failover.txt").ends_with(&story.steps_for_people()),
        "{}",
        story.steps_for_people()
    );
}

/// Three recipients: one is taken, one is refused for now, one for good.
fn partly_taken() -> MessageRecord {
    let mut record = record(&["a@example.com", "b@example.com", "c@example.com"]);
    let mut attempt = taken(SMTP, 1, &[0]);
    attempt.refused = vec![
        refused(1, FailureClass::Throttled, "452 4.5.3", "452 4.5.3 too many recipients"),
        refused(2, FailureClass::InvalidRecipient, "550 5.1.1", "550 5.1.1 no such user"),
    ];
    record.attempts.push(attempt);
    stand(&mut record, Status::Sent);
    stands(&mut record, 1, Status::Queued, Some("452 4.5.3"));
    stands(&mut record, 2, Status::Failed, Some("550 5.1.1"));
    record.work = Work::Due(at(60_000));
    record
}

#[test]
fn who_was_refused_is_named_with_the_reply_and_who_is_held_is_told() {
    check(&partly_taken(), expected!("partly-taken.txt"));
}

#[test]
fn who_was_refused_for_now_is_tried_again_alone() {
    let mut record = partly_taken();
    record.attempts.push(taken(SMTP, 60_000, &[1]));
    stands(&mut record, 1, Status::Sent, None);
    record.work = Work::Ended;
    check(&record, expected!("taken-later.txt"));
}

#[test]
fn a_message_that_its_first_recipient_does_not_have_names_who_has_it() {
    let mut record = record(&["a@example.com", "b@example.com", "c@example.com"]);
    let mut attempt = taken(SMTP, 1, &[1, 2]);
    attempt.refused = vec![refused(0, FailureClass::InvalidRecipient, "550 5.1.1", "5.1.1 no such user")];
    record.attempts.push(attempt);
    stand(&mut record, Status::Sent);
    stands(&mut record, 0, Status::Failed, Some("550 5.1.1"));
    (record.status, record.work) = (Status::Failed, Work::Ended);
    record.error = Some("invalid_recipient (550 5.1.1): 5.1.1 no such user".to_owned());
    assert_eq!(
        Explanation::of(&record, &[]).summary,
        "Not sent: invalid_recipient (550 5.1.1): 5.1.1 no such user; 2 recipients have another end: b@example.com sent, c@example.com sent."
    );
}

#[test]
fn several_recipients_are_held_while_the_message_is_in_hand() {
    let mut record = record(&["a@example.com", "b@example.com", "c@example.com"]);
    let mut attempt = taken(SMTP, 1, &[0]);
    attempt.refused = [1, 2]
        .map(|place| refused(place, FailureClass::Throttled, "452 4.5.3", "4.5.3 too many recipients"))
        .into();
    record.attempts.push(attempt);
    record.attempts.push(AttemptRecord {
        recipients: [2].into_iter().collect(),
        ..failed(SES, 14, FailureClass::Unavailable, "503")
    });
    stand(&mut record, Status::Queued);
    stands(&mut record, 0, Status::Sent, None);
    (record.status, record.work) = (Status::Sent, Work::InHand);
    record.error = Some("no provider took it: aws_ses: unavailable (503)".to_owned());
    let told = Explanation::of(&record, &[]);
    assert_eq!(
        told.summary,
        "Sent by smtp after 1 failed attempt(s); 2 recipients are still held: b@example.com (452 4.5.3: too many recipients), \
         c@example.com (no provider took it: aws_ses: unavailable (503))."
    );
    assert_eq!(
        told.next.as_deref(),
        Some("It is being worked on for the 2 recipients who are held; if nobody takes it, it is given up at 2026-11-25T10:00:00Z.")
    );
    // The first recipient is held, another one has the message.
    stands(&mut record, 0, Status::Queued, None);
    stands(&mut record, 1, Status::Sent, None);
    (record.status, record.error) = (Status::Queued, None);
    let told = Explanation::of(&record, &[]);
    assert_eq!(told.summary, "Held for 2 of 3 recipients after 1 failed attempt(s), not lost.");
    assert!(told.next.as_deref().unwrap().starts_with("It is being worked on; "));
}

#[test]
fn a_provider_that_was_not_called_is_no_failed_attempt() {
    let mut record = receipt();
    record.attempts.push(AttemptRecord {
        outcome: AttemptOutcome::NotCalled(NotCalled::Closing),
        class: Some(FailureClass::Unavailable),
        code: Some("closing".to_owned()),
        detail: Some("the provider was not called".to_owned()),
        ..call(SES, 1, &[0])
    });
    let told = |record: &MessageRecord| Explanation::of(record, &[]).steps.pop().unwrap();
    let step = told(&record);
    assert_eq!(
        step.text,
        "aws_ses was not called: the process was ending, so it is tried again. Nothing reached the provider."
    );
    assert_eq!((step.outcome, step.code.as_deref()), (Some(OutcomeWord::Failed), Some("closing")));
    record.attempts.push(taken(SES, 5_000, &[0]));
    stand(&mut record, Status::Sent);
    check(&record, expected!("not-called.txt"));
}

#[test]
fn a_call_whose_process_died_is_told_and_settled_by_its_report() {
    let mut record = receipt();
    let mut lost = call(SES, 1, &[0]);
    assert!(lost.lose());
    record.attempts.push(lost);
    stand(&mut record, Status::Queued);
    record.error = Some("waits for what aws_ses reports".to_owned());
    check(&record, expected!("process-ended.txt"));

    record.attempts[0].outcome = AttemptOutcome::Accepted;
    record.attempts[0].settled_by = Some(SettledBy::Feedback);
    (record.attempts[0].class, record.attempts[0].code) = (None, None);
    record.error = None;
    stand(&mut record, Status::Sent);
    let told = Explanation::of(&record, &[]);
    assert_eq!(told.summary, "Sent by aws_ses.");
    assert_eq!(told.steps[1].text, "aws_ses has it: its report says so.");
    record.attempts[0].unknown_until = Some(at(6_000));
    record.attempts.push(taken(ProviderKind::SendGrid, 5_000, &[0]));
    let told = Explanation::of(&record, &[]);
    let unknown = "aws_ses has it: its report says so. Nobody knew when sendgrid was called next.";
    assert_eq!(told.steps[1].text, unknown);
    record.attempts[0].unknown_until = Some(at(5_000));
    let told = Explanation::of(&record, &[]);
    assert_eq!(told.steps[1].text, "aws_ses has it: its report says so.", "it was known by then");
}

#[test]
fn what_an_operator_said_is_not_told_as_a_providers_report() {
    let mut record = receipt();
    let mut attempt = failed(SES, 1, FailureClass::Unknown, "timeout");
    attempt.outcome = AttemptOutcome::Accepted;
    attempt.settled_by = Some(SettledBy::MarkedDelivered);
    record.attempts.push(attempt);
    record.acts.push(act(9_000, ActKind::Marked, "was unknown, marked as delivered"));
    stand(&mut record, Status::Delivered);
    record.delivered_at = Some(at(9_000));
    check(&record, expected!("marked.txt"));
}

#[test]
fn what_followed_depends_on_the_next_call_for_the_same_recipients() {
    let told = |failed: &AttemptRecord, next: Option<AttemptRecord>| {
        let mut record = record(&["a@example.com", "b@example.com"]);
        record.attempts.push(AttemptRecord {
            recipients: [0].into_iter().collect(),
            ..failed.clone()
        });
        record.attempts.extend(next);
        Explanation::of(&record, &[]).steps[1].text.clone()
    };
    let refused = failed(SES, 0, FailureClass::Unavailable, "503");
    assert!(told(&refused, Some(taken(SMTP, 20, &[0]))).contains("so the next provider was tried"));
    assert!(told(&refused, Some(taken(SMTP, 5_000, &[0]))).contains("so it was tried again later"));
    assert!(told(&refused, Some(taken(SMTP, 20, &[1]))).contains("so the next provider is tried"));
    assert!(told(&refused, None).starts_with("aws_ses did not confirm it for 1 of 2 recipients in 12 ms"));
    let old = AttemptRecord {
        recipients: RecipientSet::NOT_RECORDED,
        ..taken(SMTP, 20, &[])
    };
    assert!(told(&refused, Some(old)).contains("so the next provider was tried"));
}

#[test]
fn what_follows_when_no_call_came_yet_depends_on_the_table() {
    let told = |class, work, status| {
        let mut record = receipt();
        record.attempts.push(failed(SES, 0, class, "code"));
        stand(&mut record, status);
        record.work = work;
        Explanation::of(&record, &[]).steps[1].text.clone()
    };
    let due = Work::Due(at(60_000));
    for (class, work, status, then) in [
        (
            FailureClass::Unavailable,
            Work::InHand,
            Status::Sending,
            "so the next provider is tried",
        ),
        (FailureClass::Unavailable, due, Status::Queued, "so it is tried again later"),
        (
            FailureClass::Misconfigured,
            due,
            Status::Queued,
            "so it is tried again after the longest wait",
        ),
        (FailureClass::Unsupported, due, Status::Queued, "so it waits for another provider"),
        (
            FailureClass::Unavailable,
            Work::Ended,
            Status::Failed,
            "and no further provider was left",
        ),
        (
            FailureClass::InvalidRecipient,
            Work::Ended,
            Status::Failed,
            "so no other provider was asked",
        ),
    ] {
        let text = told(class, work, status);
        assert!(text.contains(then), "{class}: {text}");
    }
}

#[test]
fn a_stored_story_is_read_back_from_its_json() {
    let record = partly_taken();
    let explanation = Explanation::of(&record, &[]);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["steps"][1]["outcome"], "accepted");
    assert!(json["steps"][1].get("event").is_none());
    assert!(serde_json::from_value::<Explanation>(json).unwrap() == explanation);
    let story = MessageStory::of(&record, &[]);
    let json = serde_json::to_value(&story).unwrap();
    assert_eq!(json["open_recipients"], 1);
    let back: MessageStory = serde_json::from_value(json).unwrap();
    assert!(back.story == story.story);
}
