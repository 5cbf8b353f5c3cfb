//! Many requests, few commits; one bad request harms no other.

use std::sync::Arc;

use ums_core::{IdempotencyKey, Status, Store, StoreError, Stored, Timestamp};
use ums_store::conformance::Sample;

use crate::ground::Database;

#[tokio::test]
async fn concurrent_accepts_share_commits() {
    let database = Database::new().await;
    let store = database.store().await;
    let tasks: Vec<_> = (1..=500)
        .map(|number| {
            let store = Arc::clone(&store);
            let new = Sample::email(number).sending().unwrap();
            tokio::spawn(async move { store.accept(new).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), Stored::New);
    }
    assert!(store.commits() <= 100, "{} commits for 500 requests", store.commits());
    assert_eq!(store.count().await.unwrap(), 500);
}

#[tokio::test]
async fn one_bad_request_does_not_fail_the_others() {
    let database = Database::new().await;
    let store = database.store().await;
    let tasks: Vec<_> = (1..=200)
        .map(|number| {
            let sample = Sample::sms(number);
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                if number % 2 == 0 {
                    store.accept(sample.sending().unwrap()).await.map(|stored| stored == Stored::New)
                } else {
                    store.record(sample.step(Status::Sent)).await.map(|()| false)
                }
            })
        })
        .collect();
    for (task, number) in tasks.into_iter().zip(1..) {
        let answer = task.await.unwrap();
        let as_wanted = if number % 2 == 0 {
            matches!(answer, Ok(true))
        } else {
            matches!(answer, Err(StoreError::NotFound))
        };
        assert!(as_wanted, "{number}: {answer:?}");
    }
    assert_eq!(store.count().await.unwrap(), 100);
}

#[tokio::test]
async fn a_request_that_fails_after_it_wrote_leaves_nothing_and_harms_nobody() {
    let database = Database::new().await;
    let store = database.store().await;
    let fault = "CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN RAISE EXCEPTION 'a fault about %', new.address; END $$;
                 CREATE TRIGGER fault BEFORE INSERT ON recipients FOR EACH ROW
                 WHEN (new.address = 'customer13@example.com') EXECUTE FUNCTION fault()";
    database.stranger().await.batch_execute(fault).await.unwrap();
    let accepts = (1..=100).map(|number| {
        let store = Arc::clone(&store);
        let new = Sample::email(number).sending().unwrap();
        tokio::spawn(async move { store.accept(new).await })
    });
    for (task, number) in accepts.collect::<Vec<_>>().into_iter().zip(1..) {
        let answer = task.await.unwrap();
        assert_eq!(answer.is_ok(), number != 13, "{number}: {answer:?}");
        assert!(
            !format!("{answer:?}").contains("customer13"),
            "an error repeats no data: {answer:?}"
        );
    }
    assert_eq!(store.count().await.unwrap(), 99);
    let bad = Sample::email(13);
    assert!(store.message(bad.tenant(), bad.id()).await.unwrap().is_none());
}

#[tokio::test]
async fn steps_of_one_message_that_come_at_once_keep_their_order() {
    let database = Database::new().await;
    let store = database.store().await;
    let samples: Vec<_> = (1..=20).map(Sample::sms).collect();
    for sample in &samples {
        store.accept(sample.sending().unwrap()).await.unwrap();
    }
    let mut steps = Vec::new();
    for turn in 1..=5 {
        for sample in &samples {
            let mut step = sample.step(Status::Sending);
            step.error = Some(turn.to_string());
            steps.push(step);
        }
    }
    // Each is handed over by its first poll, so in this order.
    let mut waiting = Vec::new();
    for step in steps {
        let mut record = Box::pin(store.record(step));
        let poll = std::future::poll_fn(|context| std::task::Poll::Ready(record.as_mut().poll(context))).await;
        assert!(poll.is_pending());
        waiting.push(record);
    }
    for record in waiting {
        record.await.unwrap();
    }
    for sample in &samples {
        let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        assert_eq!(record.error.as_deref(), Some("5"));
    }
}

#[tokio::test]
async fn two_hundred_twins_over_two_processes_become_one_message() {
    let database = Database::new().await;
    let stores = [database.store().await, database.store().await];
    let tasks: Vec<_> = (1..=200)
        .map(|number: u32| {
            let store = Arc::clone(&stores[usize::from(number.is_multiple_of(2))]);
            let mut new = Sample::sms(number).sending().unwrap();
            new.idempotency = Some(IdempotencyKey {
                key: "order-1".to_owned(),
                fingerprint: [7; 32],
                expires_at: Timestamp::from_micros(i64::MAX),
            });
            tokio::spawn(async move { (new.message.id, store.accept(new).await) })
        })
        .collect();
    let (mut fresh, mut replayed) = (Vec::new(), Vec::new());
    for task in tasks {
        match task.await.unwrap() {
            (id, Ok(Stored::New)) => fresh.push(id),
            (_, Ok(Stored::Replayed(id))) => replayed.push(id),
            (_, other) => panic!("{other:?}"),
        }
    }
    assert_eq!((fresh.len(), replayed.len()), (1, 199));
    assert!(replayed.iter().all(|id| *id == fresh[0]));
    assert_eq!(stores[0].count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_nothing() {
    let database = Database::new().await;
    let store = database.store().await;
    let sample = Sample::sms(1);
    let mut accept = Box::pin(store.accept(sample.sending().unwrap()));
    // One poll hands the request over; the caller then leaves.
    assert!(
        std::future::poll_fn(|context| std::task::Poll::Ready(accept.as_mut().poll(context)))
            .await
            .is_pending()
    );
    drop(accept);
    store.close(std::time::Duration::from_secs(10)).await;
    assert_eq!(database.store().await.count().await.unwrap(), 1);
}

#[tokio::test]
async fn texts_that_postgresql_cannot_hold_are_kept_without_the_character() {
    let database = Database::new().await;
    let store = database.store().await;
    let sample = Sample::sms(1);
    store.accept(sample.sending().unwrap()).await.unwrap();
    let mut step = sample.step(Status::Failed);
    step.error = Some("bad\0answer".to_owned());
    store.record(step).await.unwrap();
    let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
    assert_eq!(record.error.as_deref(), Some("bad\u{fffd}answer"));
}
