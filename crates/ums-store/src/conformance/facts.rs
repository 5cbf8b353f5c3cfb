//! Typed facts of attempts and skips: each is read back as it was written.

use ums_core::{
    AccountId, AttemptOutcome, AttemptRecord, Failure, FailureClass, NotCalled, ProviderKind, RecipientSet, RefusedRecipient, SettledBy,
    SkipReason, Status, Step,
};

use super::aftermath::read;
use super::sample::skip;
use super::{Ground, Outcome, Sample};

/// An attempt as the release before wrote it, in texts alone, and what they say.
#[derive(Clone, Copy, Debug)]
pub struct OldAttempt {
    /// The word of its outcome.
    pub outcome: &'static str,
    /// The word of its class.
    pub class: Option<&'static str>,
    /// The provider's code, or ours.
    pub code: Option<&'static str>,
    /// For people.
    pub detail: Option<&'static str>,
    /// How it ended.
    pub ended: AttemptOutcome,
    /// Who settled it.
    pub settled_by: Option<SettledBy>,
}

const fn old(
    (outcome, class): (&'static str, Option<&'static str>),
    (code, detail): (Option<&'static str>, Option<&'static str>),
    (ended, settled_by): (AttemptOutcome, Option<SettledBy>),
) -> OldAttempt {
    OldAttempt {
        outcome,
        class,
        code,
        detail,
        ended,
        settled_by,
    }
}

const FAILED: (&str, Option<&str>) = ("failed", Some("unavailable"));
const ACCEPTED: (&str, Option<&str>) = ("accepted", None);
const UNCALLED: Option<&str> = Some("the provider was not called");

/// What the release before wrote of attempts that were not called or were settled later, and what looks like it.
pub const OLD_ATTEMPTS: [OldAttempt; 13] = [
    old(
        FAILED,
        (Some("closing"), UNCALLED),
        (AttemptOutcome::NotCalled(NotCalled::Closing), None),
    ),
    old(
        FAILED,
        (Some("lease_lost"), UNCALLED),
        (AttemptOutcome::NotCalled(NotCalled::LeaseLost), None),
    ),
    old(
        FAILED,
        (Some("not_called"), UNCALLED),
        (AttemptOutcome::NotCalled(NotCalled::IntentLate), None),
    ),
    old(
        FAILED,
        (Some("expired"), UNCALLED),
        (AttemptOutcome::NotCalled(NotCalled::Expired), None),
    ),
    // A provider's own code.
    old(
        FAILED,
        (Some("expired"), Some("the token is too old")),
        (AttemptOutcome::Failed, None),
    ),
    old(FAILED, (Some("503"), None), (AttemptOutcome::Failed, None)),
    old(
        ("unknown", Some("unknown")),
        (Some("closing"), UNCALLED),
        (AttemptOutcome::Unknown, None),
    ),
    old(ACCEPTED, (None, None), (AttemptOutcome::Accepted, None)),
    old(
        ACCEPTED,
        (None, Some("settled by feedback")),
        (AttemptOutcome::Accepted, Some(SettledBy::Feedback)),
    ),
    old(
        ACCEPTED,
        (None, Some("marked as sent")),
        (AttemptOutcome::Accepted, Some(SettledBy::MarkedSent)),
    ),
    old(
        ACCEPTED,
        (None, Some("marked as delivered")),
        (AttemptOutcome::Accepted, Some(SettledBy::MarkedDelivered)),
    ),
    old(
        ("failed", Some("unknown")),
        (Some("process_ended"), Some("marked as failed")),
        (AttemptOutcome::Failed, Some(SettledBy::MarkedFailed)),
    ),
    old(
        ("unknown", Some("unknown")),
        (None, Some("marked as sent")),
        (AttemptOutcome::Unknown, None),
    ),
];

fn refused(place: usize, class: FailureClass) -> RefusedRecipient {
    RefusedRecipient {
        place,
        failure: Failure::provider(class, "450 \"4.2.2\"", "größe \u{0} full")
            .with_retry_after(Some(std::time::Duration::from_millis(1_500))),
    }
}

/// One after the other in the place of one attempt, so that none leaves anything behind.
pub async fn every_fact_of_an_attempt_is_kept(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    store.accept(sample.sending()?).await?;
    let intent = sample.intent(1);
    let ended = |outcome| AttemptRecord { outcome, ..intent.clone() };
    let settled = |outcome, by: SettledBy| AttemptRecord {
        settled_by: Some(by),
        detail: Some(by.describe().to_owned()),
        ..ended(outcome)
    };
    let mut attempts: Vec<AttemptRecord> = NotCalled::ALL.iter().map(|why| ended(AttemptOutcome::NotCalled(*why))).collect();
    attempts.extend([
        ended(AttemptOutcome::Failed),
        settled(AttemptOutcome::Failed, SettledBy::Feedback),
        settled(AttemptOutcome::Failed, SettledBy::MarkedFailed),
        settled(AttemptOutcome::Accepted, SettledBy::Feedback),
        settled(AttemptOutcome::Accepted, SettledBy::MarkedSent),
        settled(AttemptOutcome::Accepted, SettledBy::MarkedDelivered),
    ]);
    let sets = [
        RecipientSet::NOT_RECORDED,
        RecipientSet::NOBODY,
        [0].into_iter().collect(),
        [1, 2, 49, 63].into_iter().collect(),
    ];
    attempts.extend(sets.map(|recipients| AttemptRecord {
        recipients,
        ..ended(AttemptOutcome::Unknown)
    }));
    for list in [
        vec![refused(1, FailureClass::Throttled), refused(2, FailureClass::InvalidRecipient)],
        Vec::new(),
    ] {
        attempts.push(AttemptRecord {
            refused: list,
            ..ended(AttemptOutcome::Accepted)
        });
    }
    for attempt in attempts {
        store
            .record(Step {
                attempts: vec![attempt.clone()],
                ..sample.step(Status::Sending)
            })
            .await?;
        assert_eq!(read(&*store, &sample).await?.attempts, [attempt]);
    }
    let first = AttemptRecord {
        recipients: [0, 2].into_iter().collect(),
        refused: vec![refused(1, FailureClass::Unavailable)],
        ..Sample::email(2).intent(1)
    };
    let new = ums_core::NewMessage {
        intent: Some(first.clone()),
        ..Sample::email(2).sending()?
    };
    store.accept(new).await?;
    assert_eq!(read(&*store, &Sample::email(2)).await?.attempts, [first], "at the door, too");
    Ok(())
}

/// What a provider reports later of an attempt comes with other facts, which are kept with it.
pub async fn a_report_keeps_the_facts_of_its_attempt(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    let mut attempt = AttemptRecord {
        outcome: AttemptOutcome::Accepted,
        refused: vec![refused(2, FailureClass::Throttled)],
        ..sample.intent(1)
    };
    store.accept(sample.sending()?).await?;
    for (reported, settled_by, set) in [
        (Status::Sent, None, [0, 1]),
        (Status::Delivered, Some(SettledBy::Feedback), [0, 2]),
        (Status::Bounced, None, [1, 2]),
    ] {
        attempt.reported = Some(reported);
        attempt.settled_by = settled_by;
        attempt.recipients = set.into_iter().collect();
        store
            .record(Step {
                attempts: vec![attempt.clone()],
                ..sample.step(Status::Sending)
            })
            .await?;
        assert_eq!(read(&*store, &sample).await?.attempts, [attempt.clone()]);
        attempt.refused.clear();
    }
    Ok(())
}

/// An attempt of which every fact is known. It names every field, so that a new one gets a value here, and the stores that do not
/// keep it are found.
fn complete(sample: &Sample) -> AttemptRecord {
    let intent = sample.intent(1);
    AttemptRecord {
        id: intent.id,
        provider: ProviderKind::SendGrid,
        account: AccountId::new("second"),
        called_at: intent.called_at,
        outcome: AttemptOutcome::Accepted,
        class: Some(FailureClass::Throttled),
        code: Some("451".to_owned()),
        detail: Some("größe full".to_owned()),
        duration_ms: Some(12),
        provider_message_id: Some("sg-1".to_owned()),
        simulated: true,
        from_substituted: true,
        cost_micros: Some(-100),
        price_micros: Some(50),
        reported: Some(Status::Delivered),
        recipients: [0, 2].into_iter().collect(),
        refused: vec![refused(1, FailureClass::Throttled)],
        settled_by: Some(SettledBy::Feedback),
        unknown_until: Some(intent.called_at + std::time::Duration::from_secs(7)),
    }
}

/// At the door, over an attempt with other facts, and as a report of one that stands as it stood. A fact that is gone is gone.
pub async fn an_attempt_with_every_fact_is_kept_however_it_is_written(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let at_the_door = Sample::email(1);
    let new = ums_core::NewMessage {
        intent: Some(complete(&at_the_door)),
        ..at_the_door.sending()?
    };
    store.accept(new).await?;
    assert_eq!(read(&*store, &at_the_door).await?.attempts, [complete(&at_the_door)]);

    let sample = Sample::email(2);
    store.accept(sample.sending()?).await?;
    let complete = complete(&sample);
    let bare = AttemptRecord {
        provider: complete.provider,
        account: complete.account.clone(),
        outcome: complete.outcome,
        provider_message_id: complete.provider_message_id.clone(),
        ..sample.intent(1)
    };
    let reported = AttemptRecord {
        reported: Some(Status::Sent),
        ..bare.clone()
    };
    for attempt in [complete.clone(), bare, complete, reported] {
        store
            .record(Step {
                attempts: vec![attempt.clone()],
                ..sample.step(Status::Sending)
            })
            .await?;
        assert_eq!(read(&*store, &sample).await?.attempts, [attempt]);
    }
    Ok(())
}

/// Each word of the set.
pub async fn every_reason_for_a_skip_is_kept(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    let skips: Vec<_> = SkipReason::ALL.iter().map(|reason| skip(ProviderKind::Smtp, *reason)).collect();
    store.accept(sample.sending()?).await?;
    store
        .record(Step {
            skips: skips.clone(),
            ..sample.step(Status::Sending)
        })
        .await?;
    assert_eq!(read(&*store, &sample).await?.skips, skips);
    Ok(())
}
