//! Recording: a step is done whole or not at all.

use std::sync::Arc;

use ums_core::{
    ActKind, AttemptOutcome, FailureClass, Message, MessageRecord, NewMessage, ProviderKind, SkipReason, Status, Step, StoreError, Work,
};

use super::sample::{act, moment, skip};
use super::{Ground, Outcome, Sample};

/// Attempts, skips, recipients, status, reason and times are as the step says.
pub async fn a_step_moves_the_message_and_adds_to_its_story(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    let new = NewMessage {
        skips: vec![skip(ProviderKind::Smtp, SkipReason::Open)],
        ..sample.sending()?
    };
    let mut recipients = new.recipients.clone();
    store.accept(new).await?;

    let mut failed = sample.intent(1);
    failed.outcome = AttemptOutcome::Failed;
    failed.class = Some(FailureClass::Unavailable);
    failed.code = Some("503".to_owned());
    failed.detail = Some("try later".to_owned());
    failed.duration_ms = Some(12);
    let mut second = sample.intent(2);
    second.provider = ProviderKind::SendGrid;
    let attempts = vec![failed.clone(), second.clone()];
    store
        .record(Step {
            attempts,
            skips: vec![skip(ProviderKind::SendGrid, SkipReason::Paced)],
            ..sample.step(Status::Sending)
        })
        .await?;

    second.outcome = AttemptOutcome::Accepted;
    second.provider_message_id = Some("sg-1".to_owned());
    second.simulated = true;
    second.from_substituted = true;
    second.cost_micros = Some(-100);
    for recipient in &mut recipients {
        recipient.status = Status::Sent;
        recipient.reason = Some("taken".to_owned());
    }
    let step = Step {
        attempts: vec![second.clone()],
        sent_at: Some(moment(5)),
        recipients: Some(recipients.clone()),
        error: Some("all well".to_owned()),
        ..sample.step(Status::Sent)
    };
    store.record(step).await?;

    let record = store.message(sample.tenant(), sample.id()).await?.ok_or("not stored")?;
    assert_eq!(
        (record.status, record.sent_at, record.work),
        (Status::Sent, Some(moment(5)), Work::Ended)
    );
    assert_eq!(record.error.as_deref(), Some("all well"));
    assert_eq!(record.attempts, [failed, second]);
    assert_eq!(
        record.skips,
        [
            skip(ProviderKind::Smtp, SkipReason::Open),
            skip(ProviderKind::SendGrid, SkipReason::Paced)
        ]
    );
    assert_eq!(record.recipients, recipients);
    Ok(())
}

/// What is read back is compared with a record that names every field, so that a new one gets a value here, and the stores that do not
/// keep it are found.
pub async fn a_message_with_every_fact_is_kept(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    let new = sample.sending()?;
    let message = Message {
        expires_at: moment(90),
        ..Message::clone(&new.message)
    };
    let expected = MessageRecord {
        message: Arc::new(message),
        apart: None,
        status: Status::Sending,
        work: Work::InHand,
        sent_at: Some(moment(5)),
        delivered_at: Some(moment(6)),
        error: Some("not yet".to_owned()),
        recipients: new.recipients.clone(),
        attempts: vec![sample.intent(1)],
        skips: vec![skip(ProviderKind::Smtp, SkipReason::Open)],
        acts: vec![act(ActKind::Marked, "as sent")],
        events: Vec::new(),
        token: ums_core::FIRST_TOKEN,
    };
    store.accept(new).await?;
    store
        .record(Step {
            sent_at: expected.sent_at,
            delivered_at: expected.delivered_at,
            error: expected.error.clone(),
            skips: expected.skips.clone(),
            act: expected.acts.first().cloned(),
            expires_at: Some(expected.message.expires_at),
            ..sample.step(expected.status)
        })
        .await?;
    assert_eq!(store.message(sample.tenant(), sample.id()).await?.ok_or("not stored")?, expected);
    Ok(())
}

/// A step without a time of sending leaves the one that is known; the reason is the last step's.
pub async fn a_later_step_keeps_when_it_was_sent(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    store.accept(sample.sending()?).await?;
    store
        .record(Step {
            sent_at: Some(moment(5)),
            error: Some("once".to_owned()),
            ..sample.step(Status::Sent)
        })
        .await?;
    store.record(sample.step(Status::Delivered)).await?;
    let record = store.message(sample.tenant(), sample.id()).await?.ok_or("not stored")?;
    assert_eq!(
        (record.status, record.sent_at, record.error),
        (Status::Delivered, Some(moment(5)), None)
    );
    Ok(())
}

/// An attempt that is recorded again is replaced where it stands; fewer recipients replace more.
pub async fn an_attempt_is_replaced_in_its_place(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    let new = sample.sending()?;
    let mut recipients = new.recipients.clone();
    store.accept(new).await?;
    store
        .record(Step {
            attempts: vec![sample.intent(2), sample.intent(3)],
            ..sample.step(Status::Sending)
        })
        .await?;
    let mut first = sample.intent(1);
    first.outcome = AttemptOutcome::Unknown;
    first.class = Some(FailureClass::Unknown);
    recipients.remove(1);
    let step = Step {
        attempts: vec![first.clone()],
        recipients: Some(recipients.clone()),
        ..sample.step(Status::Sending)
    };
    store.record(step).await?;
    let record = store.message(sample.tenant(), sample.id()).await?.ok_or("not stored")?;
    assert_eq!(record.attempts, [first, sample.intent(2), sample.intent(3)]);
    assert_eq!(record.recipients, recipients);
    Ok(())
}

/// Every pair of statuses: the move is made, or it is an error and nothing has changed.
pub async fn an_illegal_move_changes_nothing(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let mut number = 0;
    for from in Status::ALL {
        for to in Status::ALL {
            number += 1;
            let sample = Sample::sms(number);
            store.accept(sample.new_message(*from, None)?).await?;
            let before = store.message(sample.tenant(), sample.id()).await?.ok_or("not stored")?;
            let step = Step {
                attempts: vec![sample.intent(1)],
                error: Some("moved".to_owned()),
                recipients: Some(sample.new_message(*to, None)?.recipients),
                ..sample.step(*to)
            };
            let moved = store.record(step).await;
            let after = store.message(sample.tenant(), sample.id()).await?.ok_or("lost")?;
            if from == to || from.may_become(*to) {
                assert!(moved.is_ok(), "{from} to {to}: {moved:?}");
                assert_eq!((after.status, after.attempts.len()), (*to, 1));
            } else {
                assert!(matches!(moved, Err(StoreError::IllegalMove { .. })), "{from} to {to}: {moved:?}");
                assert_eq!(after, before);
            }
        }
    }
    Ok(())
}

/// A step for a message that is not there is an error.
pub async fn a_step_for_nobody_is_not_found(ground: &dyn Ground) -> Outcome {
    let refused = ground.open().await?.record(Sample::sms(1).step(Status::Sent)).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    Ok(())
}

/// An operator takes a failed message back to the queue, from where it is claimed.
pub async fn a_failed_message_can_be_sent_again(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    store.accept(sample.sending()?).await?;
    store
        .record(Step {
            error: Some("refused".to_owned()),
            ..sample.step(Status::Failed)
        })
        .await?;
    store
        .record(Step {
            work: Work::Due(moment(1)),
            ..sample.step(Status::Queued)
        })
        .await?;
    let claimed = store.claim_due(moment(1), ums_core::Room::of_each(10)).await?;
    let token = claimed.first().ok_or("not claimed")?.token;
    for status in [Status::Sending, Status::Sent] {
        store
            .record(Step {
                token,
                ..sample.step(status)
            })
            .await?;
    }
    Ok(())
}
