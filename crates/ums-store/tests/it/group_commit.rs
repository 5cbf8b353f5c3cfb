//! Many requests, few commits; one bad request harms no other; faults of the disk pass.

use std::sync::Arc;

use ums_core::{NewMessage, Status, Step, Store, StoreError, Stored, TenantId};
use ums_store::conformance::Sample;

use crate::ground::SqliteFile;

#[tokio::test]
async fn concurrent_accepts_share_commits() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let before = store.commits();
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
    let commits = store.commits() - before;
    assert!(commits <= 100, "{commits} commits for 500 requests");
    assert_eq!(store.count().await.unwrap(), 500);
}

#[tokio::test]
async fn large_requests_are_split_over_commits() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let tasks: Vec<_> = (1..=8)
        .map(|number| {
            let mut new = Sample::sms(number).sending().unwrap();
            let message = Arc::get_mut(&mut new.message).unwrap();
            message.metadata.insert("note".to_owned(), "x".repeat(3 << 20).into());
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.accept(new).await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), Stored::New);
    }
    assert!(store.commits() >= 8, "two of them are more than a group takes");
}

#[tokio::test]
async fn one_bad_request_does_not_fail_the_others() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let other = Arc::clone(&store);
    let tasks: Vec<_> = (1..=200)
        .map(|number| {
            let sample = Sample::sms(number);
            let store = Arc::clone(&other);
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
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let fault = "CREATE TRIGGER fault BEFORE INSERT ON recipients WHEN new.address = 'customer13@example.com'
                 BEGIN SELECT RAISE(ABORT, 'a fault'); END";
    ground.stranger().execute_batch(fault).unwrap();
    let accepts = (1..=100).map(|number| {
        let store = Arc::clone(&store);
        let new = Sample::email(number).sending().unwrap();
        tokio::spawn(async move { store.accept(new).await })
    });
    for (task, number) in accepts.collect::<Vec<_>>().into_iter().zip(1..) {
        let answer = task.await.unwrap();
        assert_eq!(answer.is_ok(), number != 13, "{number}: {answer:?}");
    }
    assert_eq!(store.count().await.unwrap(), 99);
    let bad = Sample::email(13);
    assert!(store.message(bad.tenant(), bad.id()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_nothing() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
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
    assert_eq!(ground.store().await.count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_without_a_restart() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let pages: u32 = ground.stranger().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    store.limit_pages(Some(pages + 40)).await.unwrap();
    let mut answered = 0;
    let mut refused = 0;
    for number in 1..=200 {
        match store.accept(Sample::email(number).sending().unwrap()).await {
            Ok(stored) => {
                assert_eq!(stored, Stored::New);
                answered += 1;
            }
            Err(StoreError::Unavailable(_)) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(answered > 10 && refused > 10, "{answered} answered, {refused} refused");
    assert_eq!(store.count().await.unwrap(), answered);

    store.limit_pages(None).await.unwrap();
    assert_eq!(store.accept(Sample::email(1_000).sending().unwrap()).await.unwrap(), Stored::New);
    assert_eq!(store.count().await.unwrap(), answered + 1);
}

#[tokio::test]
async fn a_file_locked_by_another_program_refuses_and_recovers() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let stranger = ground.stranger();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.accept(Sample::sms(1).sending().unwrap()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(store.check().await.is_err());
    assert!(
        store.message(&TenantId::default(), Sample::sms(1).id()).await.unwrap().is_none(),
        "readers do not wait"
    );
    stranger.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.accept(Sample::sms(1).sending().unwrap()).await.unwrap(), Stored::New);
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_second_process_stores_for_the_first_and_takes_over_when_it_dies() {
    let ground = SqliteFile::new();
    let (first, second) = (ground.store().await, ground.store().await);
    assert!(first.is_owner() && !second.is_owner());

    let sample = Sample::sms(1);
    assert_eq!(
        second.accept(sample.new_message(Status::Pending, None).unwrap()).await.unwrap(),
        Stored::New
    );
    assert!(
        matches!(second.accept(Sample::sms(2).sending().unwrap()).await, Err(StoreError::Fenced)),
        "it may not send"
    );
    assert!(
        matches!(second.record(sample.step(Status::Sending)).await, Err(StoreError::Fenced)),
        "nor take a message up"
    );
    let other = Sample::sms(3);
    first
        .accept(
            other
                .new_message(Status::Scheduled, Some(ums_core::Timestamp::from_micros(i64::MAX)))
                .unwrap(),
        )
        .await
        .unwrap();
    second.record(other.step(Status::Cancelled)).await.unwrap();
    let far = ums_core::Timestamp::from_micros(i64::MAX);
    assert!(second.claim_due(far, ums_core::Room::of_each(10)).await.unwrap().is_empty());
    assert_eq!(second.recover(far).await.unwrap(), ums_core::Recovered::default());
    second.check().await.unwrap();

    let claimed = first.claim_due(far, ums_core::Room::of_each(10)).await.unwrap();
    assert_eq!(claimed.len(), 1, "the owner finds it by its time");
    first.close(std::time::Duration::from_secs(10)).await;
    assert!(!first.is_owner());
    let recovered = second.recover(far).await.unwrap();
    assert_eq!((second.is_owner(), recovered.requeued), (true, 1));
    let claimed = second.claim_due(far, ums_core::Room::of_each(10)).await.unwrap();
    let step = Step {
        token: claimed[0].token,
        ..sample.step(Status::Sending)
    };
    second.record(step).await.unwrap();
}

#[tokio::test]
async fn a_corrupt_row_is_named_and_keeps_no_other_back() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    for number in 1..=3 {
        let new: NewMessage = Sample::sms(number)
            .new_message(Status::Queued, Some(ums_core::Timestamp::from_micros(1)))
            .unwrap();
        store.accept(new).await.unwrap();
    }
    let bad = Sample::sms(2);
    let broken = ground.stranger();
    broken
        .execute(
            "UPDATE contents SET content = '{\"channel\":' WHERE message_id = ?1",
            [bad.id().as_uuid().into_bytes()],
        )
        .unwrap();
    let error = store.message(bad.tenant(), bad.id()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("contents.content of {} cannot be read", bad.id()));
    assert_eq!(
        store
            .claim_due(ums_core::Timestamp::from_micros(1), ums_core::Room::of_each(10))
            .await
            .unwrap()
            .len(),
        2
    );
    assert!(
        store
            .claim_due(ums_core::Timestamp::from_micros(1), ums_core::Room::of_each(10))
            .await
            .unwrap()
            .is_empty()
    );
}
