//! Accepting: what is answered is stored, once for each key.

use std::sync::Arc;

use ums_core::{
    IdempotencyKey, NewMessage, ProviderKind, Retention, SkipReason, Status, Store, StoreError, Stored, TenantId, Timestamp, Work,
};

use super::sample::{key, skip};
use super::{Ground, Outcome, Sample};

/// Everything that was accepted is read back, for an e-mail and a text message.
pub async fn a_message_reads_back_as_it_was_accepted(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    for sample in [Sample::email(1), Sample::sms(2)] {
        let mut new = sample.sending()?;
        new.skips = vec![
            skip(ProviderKind::Smtp, SkipReason::Open),
            skip(ProviderKind::Console, SkipReason::Quota),
        ];
        new.error = Some("waits".to_owned());
        assert_eq!(store.accept(new.clone()).await?, Stored::New);
        let record = store.message(sample.tenant(), sample.id()).await?.ok_or("not stored")?;
        assert_eq!(*record.message, *new.message);
        assert_eq!(
            (record.status, record.error, record.work),
            (Status::Sending, new.error, Work::InHand)
        );
        assert_eq!((record.sent_at, record.delivered_at), (None, None));
        assert_eq!(record.recipients, new.recipients);
        assert_eq!(record.attempts, Vec::from_iter(new.intent));
        assert_eq!(record.skips, new.skips);
    }
    Ok(())
}

/// Neither an unknown id nor another tenant's is there.
pub async fn a_message_is_its_tenants_alone(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1).of("one");
    store.accept(sample.sending()?).await?;
    assert!(store.message(&TenantId::new("one"), sample.id()).await?.is_some());
    assert!(store.message(&TenantId::new("two"), sample.id()).await?.is_none());
    assert!(store.message(&TenantId::new("one"), Sample::sms(2).id()).await?.is_none());
    assert!(
        store
            .messages(&TenantId::new("two"), &ums_core::MessageFilter::default(), None, 10)
            .await?
            .messages
            .is_empty()
    );
    let refused = store.record(Sample::sms(1).of("two").step(Status::Sent)).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    Ok(())
}

fn keyed(sample: &Sample, idempotency: IdempotencyKey) -> Result<NewMessage, Box<dyn std::error::Error>> {
    Ok(NewMessage {
        idempotency: Some(idempotency),
        ..sample.sending()?
    })
}

/// One key, one message; the same key for another request is a conflict. Neither stores anything.
pub async fn the_same_key_replays_and_another_request_conflicts(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let first = Sample::email(1);
    assert_eq!(store.accept(keyed(&first, key("order-1", 1))?).await?, Stored::New);
    assert_eq!(
        store.accept(keyed(&Sample::email(2), key("order-1", 1))?).await?,
        Stored::Replayed(first.id())
    );
    assert_eq!(
        store.accept(keyed(&Sample::email(3), key("order-1", 9))?).await?,
        Stored::KeyConflict
    );
    assert_eq!(store.accept(keyed(&Sample::email(4), key("order-2", 1))?).await?, Stored::New);
    assert!(store.message(first.tenant(), Sample::email(2).id()).await?.is_none());
    assert!(store.message(first.tenant(), Sample::email(3).id()).await?.is_none());
    Ok(())
}

/// A key whose time is over holds until it is pruned: the clock may be wrong. Another tenant may use it at any time.
pub async fn a_key_holds_until_it_is_pruned_and_is_a_tenants_own(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let over = IdempotencyKey {
        expires_at: Timestamp::from_micros(1),
        ..key("order-1", 1)
    };
    let first = Sample::sms(1);
    assert_eq!(store.accept(keyed(&first, over)?).await?, Stored::New);
    assert_eq!(
        store.accept(keyed(&Sample::sms(2), key("order-1", 1))?).await?,
        Stored::Replayed(first.id())
    );
    assert_eq!(store.accept(keyed(&Sample::sms(2), key("order-1", 2))?).await?, Stored::KeyConflict);
    let batch = vec![keyed(&Sample::sms(2), key("order-1", 1))?];
    assert_eq!(store.accept_all(batch).await?, [Stored::Replayed(first.id())]);
    assert_eq!(
        store.accept(keyed(&Sample::sms(4).of("two"), key("order-1", 3))?).await?,
        Stored::New
    );
    let nothing_else = Retention {
        bodies_before: Timestamp::from_micros(0),
        messages_before: Timestamp::from_micros(0),
        aftermath_before: Timestamp::from_micros(0),
    };
    assert_eq!(store.prune(nothing_else, Timestamp::from_micros(1), 10).await?.keys, 1);
    assert_eq!(store.accept(keyed(&Sample::sms(2), key("order-1", 2))?).await?, Stored::New);
    Ok(())
}

/// A caller that does not know whether its commit was done may do it again.
pub async fn a_repeated_accept_is_replayed_as_itself(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::email(1);
    for new in [sample.sending()?, keyed(&Sample::email(2), key("order-2", 1))?] {
        let id = new.message.id;
        assert_eq!(store.accept(new.clone()).await?, Stored::New);
        assert_eq!(store.accept(new).await?, Stored::Replayed(id));
        let record = store.message(sample.tenant(), id).await?.ok_or("not stored")?;
        assert_eq!((record.attempts.len(), record.recipients.len()), (1, 3));
    }
    Ok(())
}

/// Of many requests with one key at the same time, one is stored, and the others are told which.
pub async fn concurrent_twins_with_one_key_become_one_message(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let mut tasks = Vec::new();
    for number in 1..=40 {
        let new = keyed(&Sample::sms(number), key("order-1", 1))?;
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move { (new.message.id, store.accept(new).await) }));
    }
    let (mut stored, mut replayed) = (Vec::new(), Vec::new());
    for task in tasks {
        match task.await? {
            (id, Ok(Stored::New)) => stored.push(id),
            (_, Ok(Stored::Replayed(id))) => replayed.push(id),
            (_, other) => return Err(format!("{other:?}").into()),
        }
    }
    assert_eq!((stored.len(), replayed.len()), (1, 39));
    assert!(replayed.iter().all(|id| Some(id) == stored.first()));
    Ok(())
}

/// A message that a gate refused is stored with its end and its reason, and is never due.
pub async fn an_end_decided_at_the_door_is_kept(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    let sample = Sample::sms(1);
    let new = NewMessage {
        error: Some("opted out".to_owned()),
        ..sample.new_message(Status::Unsubscribed, None)?
    };
    assert_eq!(store.accept(new).await?, Stored::New);
    let record = store.message(sample.tenant(), sample.id()).await?.ok_or("not stored")?;
    assert_eq!(
        (record.status, record.error.as_deref(), record.work),
        (Status::Unsubscribed, Some("opted out"), Work::Ended)
    );
    assert_eq!(store.next_due().await?, None);
    Ok(())
}

/// What was answered is there for the next process.
pub async fn what_was_answered_outlives_the_process(ground: &dyn Ground) -> Outcome {
    let store = ground.open().await?;
    if !store.is_durable() {
        return Ok(());
    }
    let sample = Sample::email(1);
    store.accept(keyed(&sample, key("order-1", 1))?).await?;
    store.record(Sample::email(1).step(Status::Sent)).await?;
    let before = store.message(sample.tenant(), sample.id()).await?;
    store.close(std::time::Duration::from_secs(10)).await;
    drop::<Arc<dyn Store>>(store);
    let store = ground.open().await?;
    assert!(before.is_some());
    assert_eq!(store.message(sample.tenant(), sample.id()).await?, before);
    assert_eq!(
        store.accept(keyed(&Sample::email(2), key("order-1", 1))?).await?,
        Stored::Replayed(sample.id())
    );
    Ok(())
}
