//! Batches: all of it is safe, or nothing was written.

use ums_core::{NewMessage, Status, Store, Stored, Work};

use super::sample::{key, moment};
use super::{Ground, Outcome, Sample};

fn batch(numbers: std::ops::RangeInclusive<u32>) -> Result<Vec<NewMessage>, Box<dyn std::error::Error>> {
    let one = |number: u32| -> Result<NewMessage, Box<dyn std::error::Error>> {
        let sample = Sample::email(number);
        Ok(NewMessage {
            idempotency: number.is_multiple_of(2).then(|| key(&format!("order-{number}"), 1)),
            ..sample.new_message(Status::Queued, Some(moment(1)))?
        })
    };
    numbers.map(one).collect()
}

async fn kept(store: &dyn Store, numbers: std::ops::RangeInclusive<u32>) -> Result<usize, Box<dyn std::error::Error>> {
    let mut count = 0;
    for number in numbers {
        let sample = Sample::email(number);
        count += usize::from(store.message(sample.tenant(), sample.id()).await?.is_some());
    }
    Ok(count)
}

/// A thousand messages in one accept; each reads back as it was given. No message is no work.
pub async fn a_batch_is_stored_whole(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    assert_eq!(store.accept_all(Vec::new()).await?, []);
    let new = batch(1..=1_000)?;
    assert_eq!(store.accept_all(new.clone()).await?, vec![Stored::New; 1_000]);
    assert_eq!(store.backlog(10_000).await?, 1_000);
    for new in new.iter().step_by(333) {
        let record = store.message(&new.message.tenant, new.message.id).await?.ok_or("not stored")?;
        assert_eq!(record.message, new.message);
        assert_eq!(
            (record.status, record.work, record.recipients),
            (Status::Queued, Work::Due(moment(1)), new.recipients.clone())
        );
    }
    Ok(())
}

/// One key of many was used for another request: nothing is written, and the answers say which.
pub async fn a_batch_with_one_conflict_stores_nothing(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let (conflict, replay) = (Sample::sms(100), Sample::sms(101));
    for (sample, key) in [(&conflict, key("order-6", 9)), (&replay, key("order-8", 1))] {
        store
            .accept(NewMessage {
                idempotency: Some(key),
                ..sample.sending()?
            })
            .await?;
    }
    let answers = store.accept_all(batch(1..=10)?).await?;
    let mut expected = vec![Stored::New; 10];
    for (place, answer) in [(5, Stored::KeyConflict), (7, Stored::Replayed(replay.id()))] {
        *expected.get_mut(place).ok_or("too short")? = answer;
    }
    assert_eq!(answers, expected);
    assert_eq!(kept(&*store, 1..=10).await?, 0);
    // Nor was a key taken.
    let free = NewMessage {
        idempotency: Some(key("order-2", 7)),
        ..Sample::sms(102).sending()?
    };
    assert_eq!(store.accept(free).await?, Stored::New);
    Ok(())
}

/// A batch whose answer was lost may be given again, with or without keys.
pub async fn a_repeated_batch_is_replayed(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let new = batch(1..=10)?;
    store.accept_all(new.clone()).await?;
    let replayed: Vec<Stored> = new.iter().map(|new| Stored::Replayed(new.message.id)).collect();
    assert_eq!(store.accept_all(new).await?, replayed);
    assert_eq!(store.accept_all(batch(10..=11)?).await?.first(), replayed.last());
    assert_eq!(kept(&*store, 1..=11).await?, 10);
    assert_eq!(store.backlog(100).await?, 10);
    Ok(())
}

/// The second message under one key in a batch is a conflict: there is nothing stored that it could repeat.
pub async fn a_batch_with_twins_stores_nothing(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let mut new = batch(1..=4)?;
    if let Some(last) = new.last_mut() {
        last.idempotency = Some(key("order-2", 1));
    }
    let answers = store.accept_all(new).await?;
    assert_eq!(answers, [Stored::New, Stored::New, Stored::New, Stored::KeyConflict]);
    assert_eq!(kept(&*store, 1..=4).await?, 0);
    Ok(())
}
