//! A database that breaks, hangs, goes away and comes back.
//!
//! Some of these tests sleep, because a server needs real time.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{Clock, Room, Status, Store, StoreError, Stored, SystemClock, Timestamp};
use ums_store::conformance::Sample;

use crate::ground::{Database, client};

/// Ends all other connections to this database, as a crash of the server does.
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test]
async fn a_connection_cut_during_the_commit_leaves_the_outcome_unknown_and_a_repeat_is_safe() {
    let database = Database::new().await;
    let store = database.store().await;
    let stranger = database.stranger().await;
    // Sleeps because a server needs real time.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$;
                CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON messages DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()";
    stranger.batch_execute(slow).await.unwrap();
    let sample = Sample::email(1);
    let accept = {
        let (store, new) = (Arc::clone(&store), sample.sending().unwrap());
        tokio::spawn(async move { store.accept(new).await })
    };
    let committing = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' AND state = 'active'";
    while stranger.query_one(committing, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        // Sleeps because a server needs real time.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stranger.batch_execute(CUT).await.unwrap();
    let answer = accept.await.unwrap();
    assert!(matches!(answer, Err(StoreError::CommitUnknown(_))), "{answer:?}");
    stranger.batch_execute("DROP TRIGGER slow ON messages").await.unwrap();
    let repeated = store.accept(sample.sending().unwrap()).await.unwrap();
    assert!(matches!(repeated, Stored::New | Stored::Replayed(_)));
    assert_eq!(
        store.accept(sample.sending().unwrap()).await.unwrap(),
        Stored::Replayed(sample.id())
    );
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_however_often_connections_are_cut() {
    let database = Database::new().await;
    let store = database.store().await;
    let tasks: Vec<_> = (0..8_u32)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut unknown = 0;
                for number in caller * 1_000..caller * 1_000 + 40 {
                    loop {
                        match store.accept(Sample::email(number).sending().unwrap()).await {
                            Ok(Stored::New | Stored::Replayed(_)) => break,
                            // Sleeps because a server needs real time.
                            Err(StoreError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(2)).await,
                            Err(StoreError::CommitUnknown(_)) => unknown += 1,
                            other => panic!("{other:?}"),
                        }
                    }
                }
                unknown
            })
        })
        .collect();
    let stranger = database.stranger().await;
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        stranger.batch_execute(CUT).await.unwrap();
        // Sleeps because a server needs real time.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.count().await.unwrap(), 320);
}

#[tokio::test]
async fn a_database_that_went_away_is_used_again_as_soon_as_it_is_back() {
    let database = Database::new().await;
    let store = database.store().await;
    store.accept(Sample::sms(1).sending().unwrap()).await.unwrap();
    let (head, name) = database.url.rsplit_once('/').unwrap();
    let outside = client(&format!("{head}/postgres")).await;
    let away = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false");
    outside.batch_execute(&away).await.unwrap();
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    outside.batch_execute(&cut).await.unwrap();
    let clock = SystemClock::new();
    let start = clock.monotonic();
    for answer in [
        store.accept(Sample::sms(2).sending().unwrap()).await.map(drop),
        store.check().await,
        store.next_due().await.map(drop),
    ] {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    assert!(clock.monotonic().since(start) < Duration::from_secs(5));
    outside
        .batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        .await
        .unwrap();
    store.check().await.unwrap();
    assert_eq!(store.accept(Sample::sms(2).sending().unwrap()).await.unwrap(), Stored::New);
    store.record(Sample::sms(1).step(Status::Sent)).await.unwrap();
}

#[tokio::test]
async fn a_database_that_hangs_is_answered_in_time_and_recovers() {
    let database = Database::new().await;
    let store = database.store().await;
    let mut stranger = database.stranger().await;
    let transaction = stranger.transaction().await.unwrap();
    transaction
        .batch_execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let clock = SystemClock::new();
    let start = clock.monotonic();
    let tasks: Vec<_> = (1..=20)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.accept(Sample::sms(number).sending().unwrap()).await })
        })
        .collect();
    for task in tasks {
        let answer = task.await.unwrap();
        assert!(
            matches!(answer, Err(StoreError::Unavailable(_) | StoreError::CommitUnknown(_))),
            "{answer:?}"
        );
    }
    assert!(store.claim_due(Timestamp::from_micros(1), Room::of_each(1)).await.is_err());
    let took = clock.monotonic().since(start);
    assert!(took < Duration::from_secs(10), "{took:?}");
    transaction.rollback().await.unwrap();
    store.accept(Sample::sms(99).sending().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_corrupt_row_is_named_and_keeps_no_other_back() {
    let database = Database::new().await;
    let store = database.store().await;
    let due = Timestamp::from_micros(1);
    for number in 1..=3 {
        store
            .accept(Sample::sms(number).new_message(Status::Queued, Some(due)).unwrap())
            .await
            .unwrap();
    }
    let bad = Sample::sms(2);
    let broken = "UPDATE contents SET content = '{\"channel\":' WHERE message_id = $1";
    database.stranger().await.execute(broken, &[&bad.id().as_uuid()]).await.unwrap();
    let error = store.message(bad.tenant(), bad.id()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("contents.content of {} cannot be read", bad.id()));
    assert_eq!(store.claim_due(due, Room::of_each(10)).await.unwrap().len(), 2);
    assert!(store.claim_due(due, Room::of_each(10)).await.unwrap().is_empty());
}
