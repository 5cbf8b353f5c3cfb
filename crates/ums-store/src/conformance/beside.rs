//! Two living processes on one store. Where there can be no second one, there is nothing to show.

use std::sync::Arc;

use ums_core::{ActKind, Recovered, Room, Status, Step, StoreError};

use super::sample::{act, moment};
use super::{Ground, Outcome, Sample};

/// However they race, each message is given to one of them.
pub async fn two_processes_never_claim_the_same_message(ground: &dyn Ground) -> Outcome {
    let one = ground.open().await?;
    let Some(other) = ground.open_beside().await? else { return Ok(()) };
    let new = (1..=200).map(|number| {
        Sample::sms(number)
            .of(if number % 2 == 0 { "even" } else { "odd" })
            .new_message(Status::Queued, Some(moment(1)))
    });
    one.accept_all(new.collect::<Result<_, _>>()?).await?;
    let mut tasks = Vec::new();
    for store in [&one, &other, &one, &other] {
        let store = Arc::clone(store);
        tasks.push(tokio::spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..20 {
                let claimed = store.claim_due(moment(1), Room::of_each(7)).await?;
                ids.extend(claimed.into_iter().map(|record| record.message.id));
            }
            Ok::<_, StoreError>(ids)
        }));
    }
    let mut claimed = Vec::new();
    for task in tasks {
        claimed.extend(task.await??);
    }
    let count = claimed.len();
    claimed.sort();
    claimed.dedup();
    assert_eq!((count, claimed.len()), (200, 200));
    Ok(())
}

/// What one works on is neither taken by the other's recovery, nor given back by it, nor written to by it.
pub async fn a_living_process_beside_is_left_alone(ground: &dyn Ground) -> Outcome {
    let one = ground.open().await?;
    let Some(other) = ground.open_beside().await? else { return Ok(()) };
    let sample = Sample::sms(1);
    one.accept(sample.sending()?).await?;
    let before = one.message(sample.tenant(), sample.id()).await?;
    let key = [(sample.tenant().clone(), sample.id())];
    assert_eq!(other.recover(moment(500)).await?, Recovered::default());
    assert_eq!(other.give_back(&key, moment(500)).await?, Recovered::default());
    assert!(other.under_way(10).await?.is_empty());
    assert!(other.claim_due(moment(500), Room::of_each(10)).await?.is_empty());
    for status in [Status::Sent, Status::Sending, Status::Failed] {
        let refused = other.record(sample.step(status)).await;
        assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    }
    assert_eq!(one.message(sample.tenant(), sample.id()).await?, before);
    one.record(sample.step(Status::Sent)).await?;
    Ok(())
}

/// Both cancel what nobody works on, in the same words and at the same time: one of them did it.
pub async fn of_two_processes_that_act_at_once_one_is_refused(ground: &dyn Ground) -> Outcome {
    let one = ground.open().await?;
    let Some(other) = ground.open_beside().await? else { return Ok(()) };
    for number in 1..=10 {
        let sample = Sample::sms(number);
        one.accept(sample.new_message(Status::Scheduled, Some(moment(900)))?).await?;
        let step = Step {
            act: Some(act(ActKind::Cancelled, "was scheduled")),
            ..sample.step(Status::Cancelled)
        };
        let answers: [Result<(), StoreError>; 2] = tokio::join!(one.record(step.clone()), other.record(step)).into();
        let done = answers.iter().filter(|answer| answer.is_ok()).count();
        let refused = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Fenced))).count();
        assert_eq!((done, refused), (1, 1), "{answers:?}");
        let record = other.message(sample.tenant(), sample.id()).await?.ok_or("not stored")?;
        assert_eq!((record.status, record.acts.len()), (Status::Cancelled, 1));
    }
    Ok(())
}
