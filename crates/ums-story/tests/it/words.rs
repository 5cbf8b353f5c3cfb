//! Each word of a closed set has a sentence of its own: a word that is added without one, or with another's, is found here.

use std::collections::HashSet;

use ums_core::{
    ActKind, AttemptOutcome, AttemptRecord, BounceKind, Event, EventKind, EventRecord, FailureClass, MessageRecord, NotCalled,
    ProviderKind, SettledBy, SkipReason, Status, Suppression, SuppressionOrigin, SuppressionReason, TenantId,
};
use ums_story::Explanation;

use crate::records::{act, at, call, failed, receipt, skip, stand};

const SES: ProviderKind = ProviderKind::AwsSes;

/// Holds that the words of a set are told in texts that differ, and in a sentence.
fn check<T: Copy + std::fmt::Debug>(words: &[T], tell: impl Fn(T) -> String) {
    let texts: Vec<String> = words.iter().map(|word| tell(*word)).collect();
    for (word, text) in words.iter().zip(&texts) {
        assert!(text.ends_with('.'), "{word:?}: {text}");
    }
    let distinct: HashSet<_> = texts.iter().collect();
    assert_eq!(distinct.len(), words.len(), "{texts:#?}");
}

/// The text of the last step.
fn last(record: &MessageRecord) -> String {
    Explanation::of(record, &[]).steps.pop().unwrap().text
}

fn attempt(attempt: AttemptRecord) -> String {
    let mut record = receipt();
    record.attempts.push(attempt);
    last(&record)
}

#[test]
fn each_reason_to_pass_a_provider_over_has_a_sentence() {
    check(SkipReason::ALL, |reason| {
        let mut record = receipt();
        record.skips.push(skip(SES, 0, reason, ""));
        let step = Explanation::of(&record, &[]).steps.pop().unwrap();
        assert_eq!(step.code.as_deref(), Some(reason.as_str()));
        step.text
    });
}

#[test]
fn each_act_has_a_sentence() {
    check(ActKind::ALL, |kind| {
        let mut record = receipt();
        record.acts.push(act(5, kind, ""));
        let step = Explanation::of(&record, &[]).steps.pop().unwrap();
        assert_eq!(step.code.as_deref(), Some(kind.as_str()));
        step.text
    });
}

#[test]
fn each_reason_not_to_call_a_provider_has_a_sentence() {
    check(NotCalled::ALL, |why| {
        attempt(AttemptRecord {
            outcome: AttemptOutcome::NotCalled(why),
            class: Some(FailureClass::Unavailable),
            code: Some(why.to_string()),
            ..call(SES, 0, &[0])
        })
    });
}

#[test]
fn each_way_to_settle_an_attempt_has_a_sentence() {
    for outcome in [AttemptOutcome::Accepted, AttemptOutcome::Failed] {
        check(SettledBy::ALL, |by| {
            attempt(AttemptRecord {
                outcome,
                settled_by: Some(by),
                detail: Some(by.describe().to_owned()),
                ..call(SES, 0, &[0])
            })
        });
    }
}

#[test]
fn each_outcome_has_a_sentence() {
    let outcomes = [
        AttemptOutcome::Calling,
        AttemptOutcome::Accepted,
        AttemptOutcome::Failed,
        AttemptOutcome::Unknown,
        AttemptOutcome::NotCalled(NotCalled::Closing),
    ];
    check(&outcomes, |outcome| {
        let call = call(SES, 0, &[0]);
        attempt(AttemptRecord { outcome, ..call })
    });
}

#[test]
fn each_class_of_failure_has_a_sentence() {
    let meaning = |text: String| text.split_once("). ").unwrap().1.to_owned();
    check(FailureClass::ALL, |class| meaning(attempt(failed(SES, 0, class, "503"))));
}

#[test]
fn each_report_has_a_sentence() {
    let tell = |kind, bounce| {
        let mut record = receipt();
        let mut event = Event::new(SES, "1", kind, "word");
        event.bounce = bounce;
        record.events.push(EventRecord {
            event,
            received_at: at(100),
            attempt_id: None,
        });
        last(&record)
    };
    check(EventKind::ALL, |kind| tell(kind, None));
    check(&[None, Some(BounceKind::Hard), Some(BounceKind::Soft)], |bounce| {
        tell(EventKind::Bounced, bounce)
    });
}

#[test]
fn each_reason_not_to_contact_an_address_has_a_sentence() {
    let tell = |reason, origin, is_own: bool| {
        let mut record = receipt();
        stand(&mut record, Status::Suppressed);
        let entry = Suppression {
            tenant: TenantId::default(),
            channel: record.message.content.channel(),
            address: "a@example.com".to_owned(),
            reason,
            list: None,
            origin,
            provider: None,
            account: None,
            message_id: is_own.then_some(record.message.id),
            detail: None,
            since: at(0),
            expires_at: None,
            lifted_at: None,
        };
        Explanation::of(&record, &[entry]).steps.pop().unwrap().text
    };
    for is_own in [true, false] {
        check(SuppressionReason::ALL, |reason| tell(reason, SuppressionOrigin::Feedback, is_own));
        check(SuppressionOrigin::ALL, |origin| tell(SuppressionReason::Manual, origin, is_own));
    }
}

#[test]
fn each_status_has_a_summary() {
    check(Status::ALL, |status| {
        let mut record = receipt();
        stand(&mut record, status);
        Explanation::of(&record, &[]).summary
    });
}
