//! The fence: who writes late or twice changes nothing.

use ums_core::{ActKind, AttemptOutcome, MessageRecord, ProviderKind, Recovered, Room, SkipReason, Status, Step, Store, StoreError, Work};

use super::sample::{act, moment, skip};
use super::{Ground, Outcome, Sample};

async fn read(store: &dyn Store, sample: &Sample) -> Result<MessageRecord, Box<dyn std::error::Error>> {
    Ok(store.message(sample.tenant(), sample.id()).await?.ok_or("not stored")?)
}

fn is_fenced(answer: &Result<(), StoreError>) -> bool {
    matches!(answer, Err(StoreError::Fenced))
}

/// A claim raises the token; who still has the one from before is refused, and nothing is changed.
pub async fn a_stale_token_is_refused(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    store.accept(sample.new_message(Status::Queued, Some(moment(1)))?).await?;
    let before = read(&*store, &sample).await?;
    assert_eq!(before.token, ums_core::FIRST_TOKEN);
    let claimed = store.claim_due(moment(1), Room::of_each(1)).await?;
    let claimed = claimed.first().ok_or("not claimed")?;
    assert!(claimed.token > before.token);
    for token in [before.token, claimed.token + 1] {
        let step = Step {
            token,
            attempts: vec![sample.intent(1)],
            ..sample.step(Status::Sending)
        };
        let refused = store.record(step).await;
        assert!(is_fenced(&refused), "{refused:?}");
    }
    assert_eq!(read(&*store, &sample).await?, *claimed);
    let step = Step {
        token: claimed.token,
        ..sample.step(Status::Sending)
    };
    store.record(step).await?;
    assert_eq!(read(&*store, &sample).await?.token, claimed.token, "what is ours keeps its token");
    Ok(())
}

/// The outcome of a call comes after the message was given back: it is refused, now and after the next claim.
pub async fn a_late_write_is_refused_after_the_message_was_given_back(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    store.accept(sample.sending()?).await?;
    let mine = [(sample.tenant().clone(), sample.id())];
    assert_eq!(store.give_back(&mine, moment(2)).await?, Recovered { requeued: 0, unknown: 1 });
    let mut accepted = sample.intent(1);
    accepted.outcome = AttemptOutcome::Accepted;
    let late = Step {
        attempts: vec![accepted],
        ..sample.step(Status::Sent)
    };
    let refused = store.record(late.clone()).await;
    assert!(is_fenced(&refused), "{refused:?}");
    let claimed = store.claim_due(moment(2), Room::of_each(1)).await?;
    assert_eq!(claimed.len(), 1);
    let refused = store.record(late).await;
    assert!(is_fenced(&refused), "{refused:?}");
    let record = read(&*store, &sample).await?;
    assert_eq!(Some(&record), claimed.first());
    assert_eq!(
        record.attempts.first().map(|attempt| attempt.outcome),
        Some(AttemptOutcome::Unknown)
    );
    Ok(())
}

/// A step whose answer was lost may be recorded again and again: what it adds is there once.
pub async fn a_repeated_step_is_done_once(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (ours, nobodys) = (Sample::sms(1), Sample::sms(2));
    store.accept(ours.sending()?).await?;
    store.accept(nobodys.new_message(Status::Scheduled, Some(moment(50)))?).await?;
    let goes_on = Step {
        attempts: vec![ours.intent(2)],
        skips: vec![skip(ProviderKind::Smtp, SkipReason::Open)],
        ..ours.step(Status::Sending)
    };
    let ends = Step {
        skips: vec![skip(ProviderKind::Console, SkipReason::Probing)],
        sent_at: Some(moment(5)),
        ..ours.step(Status::Sent)
    };
    let cancels = Step {
        act: Some(act(ActKind::Cancelled, "was scheduled")),
        ..nobodys.step(Status::Cancelled)
    };
    for (sample, step) in [(&ours, goes_on), (&ours, ends), (&nobodys, cancels)] {
        store.record(step.clone()).await?;
        let once = read(&*store, sample).await?;
        for _ in 0..2 {
            store.record(step.clone()).await?;
        }
        assert_eq!(read(&*store, sample).await?, once);
    }
    let (ours, nobodys) = (read(&*store, &ours).await?, read(&*store, &nobodys).await?);
    assert_eq!((ours.attempts.len(), ours.skips.len(), nobodys.acts.len()), (2, 2, 1));
    Ok(())
}

/// A step that put a message back was written although its answer was lost; that the message has been claimed
/// meanwhile does not make it wrong.
pub async fn a_repeated_step_is_known_after_the_message_was_claimed(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    store.accept(sample.sending()?).await?;
    let put_back = Step {
        work: Work::Due(moment(3)),
        ..sample.step(Status::Queued)
    };
    store.record(put_back.clone()).await?;
    let claimed = store.claim_due(moment(3), Room::of_each(1)).await?;
    store.record(put_back).await?;
    assert_eq!(Some(&read(&*store, &sample).await?), claimed.first(), "nothing was written");
    Ok(())
}

/// An intent was committed unseen, then the message was taken away: the repeat must not let a provider be called.
pub async fn an_intent_is_not_good_after_the_message_was_taken_away(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    store.accept(sample.new_message(Status::Queued, Some(moment(1)))?).await?;
    let claimed = store.claim_due(moment(1), Room::of_each(1)).await?;
    let intent = Step {
        token: claimed.first().ok_or("not claimed")?.token,
        attempts: vec![sample.intent(1)],
        ..sample.step(Status::Sending)
    };
    store.record(intent.clone()).await?;
    store.give_back(&[(sample.tenant().clone(), sample.id())], moment(2)).await?;
    let refused = store.record(intent.clone()).await;
    assert!(is_fenced(&refused), "{refused:?}");
    assert_eq!(store.claim_due(moment(2), Room::of_each(1)).await?.len(), 1);
    let refused = store.record(intent).await;
    assert!(is_fenced(&refused), "{refused:?}");
    Ok(())
}

/// Two who read the same state of a message that nobody works on: the second has to look again.
pub async fn of_two_acts_on_one_state_one_is_refused(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    store.accept(sample.new_message(Status::Failed, None)?).await?;
    let resend = |detail: &str| Step {
        work: Work::Due(moment(9)),
        act: Some(act(ActKind::Resent, detail)),
        ..sample.step(Status::Queued)
    };
    store.record(resend("one")).await?;
    let refused = store.record(resend("other")).await;
    assert!(is_fenced(&refused), "{refused:?}");
    let record = read(&*store, &sample).await?;
    assert_eq!((record.acts.len(), record.token), (1, ums_core::FIRST_TOKEN + 1));
    Ok(())
}

/// Acts stand in the story in the order in which they were done.
pub async fn acts_are_kept_in_order(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    store.accept(sample.new_message(Status::Unknown, None)?).await?;
    let acts = [
        act(ActKind::Resent, "was unknown"),
        act(ActKind::Marked, "sent: the provider says so"),
    ];
    for (one, status) in acts.iter().zip([Status::Queued, Status::Sent]) {
        let token = read(&*store, &sample).await?.token;
        store
            .record(Step {
                token,
                work: if status.is_final() { Work::Ended } else { Work::Due(moment(60)) },
                act: Some(one.clone()),
                ..sample.step(status)
            })
            .await?;
    }
    assert_eq!(read(&*store, &sample).await?.acts, acts);
    Ok(())
}

/// What was said is gone with the step; to whom, how, and the caller's own data stay.
pub async fn a_body_is_forgotten_and_the_rest_kept(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    for sample in [Sample::email(1), Sample::sms(2)] {
        store.accept(sample.sending()?).await?;
        let step = Step {
            forget_body: true,
            ..sample.step(Status::Sent)
        };
        store.record(step).await?;
        let (record, message) = (read(&*store, &sample).await?, sample.message()?);
        assert!(!record.message.content.has_body());
        let mut kept = (*message).clone();
        kept.content = kept.content.without_body();
        assert_eq!((*record.message).clone(), kept);
        assert_eq!(record.recipients, sample.sending()?.recipients);
    }
    Ok(())
}

/// A message that is sent again is given up later; a step that says nothing of it leaves the time.
pub async fn a_message_may_get_new_time(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    store.accept(sample.new_message(Status::Expired, None)?).await?;
    let again = Step {
        work: Work::Due(moment(9)),
        expires_at: Some(moment(5_000)),
        ..sample.step(Status::Queued)
    };
    store.record(again).await?;
    let claimed = store.claim_due(moment(9), Room::of_each(1)).await?;
    let claimed = claimed.first().ok_or("not claimed")?;
    assert_eq!(claimed.message.expires_at, moment(5_000));
    let step = Step {
        token: claimed.token,
        ..sample.step(Status::Sending)
    };
    store.record(step).await?;
    assert_eq!(read(&*store, &sample).await?.message.expires_at, moment(5_000));
    Ok(())
}
