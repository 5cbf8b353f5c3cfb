//! Leases: who is dead, who takes over, and what the late one may still write.
//!
//! These tests sleep, because leases end by the database's clock.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{Clock, Recovered, Room, Status, Step, Store, StoreError, SystemClock, Timestamp};
use ums_store::PostgresStore;
use ums_store::conformance::Sample;

use crate::ground::Database;

const LEASE: Duration = Duration::from_secs(1);
const FAR: Timestamp = Timestamp::from_micros(i64::MAX);

fn now() -> Timestamp {
    SystemClock::new().now()
}

/// Recovers until another process's lease is seen to be over.
async fn recover(store: &PostgresStore) -> Recovered {
    for _ in 0..50 {
        store.renew().await.unwrap();
        let recovered = store.recover(now()).await.unwrap();
        if recovered != Recovered::default() {
            return recovered;
        }
        // Sleeps because leases end by the database's clock.
        tokio::time::sleep(LEASE / 8).await;
    }
    panic!("nothing was recovered");
}

#[tokio::test]
async fn a_late_write_after_a_takeover_is_refused_and_the_process_registers_anew() {
    let database = Database::new().await;
    let (called, claimed) = (Sample::sms(1), Sample::sms(2));
    // Made before the lease runs: reading the first number takes longer than that on a busy machine.
    let sending = called.sending().unwrap();
    let waiting = claimed.new_message(Status::Queued, Some(now())).unwrap();
    let (late, other) = (database.store_with_lease(LEASE).await, database.store_with_lease(LEASE).await);
    let before = late.renew().await.unwrap();
    assert_eq!(before.length, LEASE);
    late.accept(sending).await.unwrap();
    assert_eq!(late.renew().await.unwrap(), before);
    late.accept(waiting).await.unwrap();
    assert_eq!(late.claim_due(FAR, Room::of_each(9)).await.unwrap().len(), 1);

    assert_eq!(recover(&other).await, Recovered { requeued: 1, unknown: 1 });
    for (sample, token) in [(&called, 0), (&claimed, 1)] {
        let refused = late
            .record(Step {
                token,
                ..sample.step(Status::Sent)
            })
            .await;
        assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
    }
    let after = late.renew().await.unwrap();
    assert_ne!(after.owner, before.owner);
    assert_eq!(late.renew().await.unwrap().owner, after.owner);
    assert_eq!(
        late.claim_due(FAR, Room::of_each(9)).await.unwrap().len(),
        2,
        "it goes on under its new name"
    );
}

#[tokio::test]
async fn without_a_lease_nothing_new_is_begun_and_what_ended_is_still_told() {
    let database = Database::new().await;
    let store = database.store_with_lease(LEASE).await;
    let (called, waiting) = (Sample::sms(1), Sample::sms(2));
    store.accept(called.sending().unwrap()).await.unwrap();
    store
        .accept(waiting.new_message(Status::Queued, Some(now())).unwrap())
        .await
        .unwrap();
    // Sleeps because leases end by the database's clock.
    tokio::time::sleep(LEASE + LEASE / 4).await;

    assert!(store.claim_due(FAR, Room::of_each(9)).await.unwrap().is_empty());
    let intent = store.accept(Sample::sms(3).sending().unwrap()).await;
    assert!(matches!(intent, Err(StoreError::Fenced)), "{intent:?}");
    let mut next = called.step(Status::Sending);
    next.attempts = vec![called.intent(2)];
    let intent = store.record(next).await;
    assert!(matches!(intent, Err(StoreError::Fenced)), "{intent:?}");
    let pending = Sample::sms(4).new_message(Status::Pending, None).unwrap();
    store.accept(pending).await.unwrap();
    let record = store.message(called.tenant(), Sample::sms(4).id()).await.unwrap().unwrap();
    assert!(record.work.due_at().is_some(), "it is left to those who may work on it");

    store.record(called.step(Status::Sent)).await.unwrap();
    let before = store.renew().await.unwrap();
    assert_eq!(store.renew().await.unwrap(), before, "nobody found it dead, so it is who it was");
    assert_eq!(store.claim_due(FAR, Room::of_each(9)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn many_who_recover_at_once_take_each_message_once() {
    let database = Database::new().await;
    let dead = database.store().await;
    let samples: Vec<_> = (1..=1_300)
        .map(|number| Sample::sms(number).new_message(Status::Pending, None).unwrap())
        .collect();
    for batch in samples.chunks(500) {
        dead.accept_all(batch.to_vec()).await.unwrap();
    }
    let others = [database.store().await, database.store().await, database.store().await];
    assert_eq!(others[0].recover(now()).await.unwrap(), Recovered::default(), "it lives");
    dead.close(Duration::from_secs(10)).await;
    let tasks: Vec<_> = others
        .iter()
        .map(|store| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.recover(now()).await.unwrap() })
        })
        .collect();
    let mut requeued = 0;
    for task in tasks {
        requeued += task.await.unwrap().requeued;
    }
    // One that finds all that is left locked by another leaves it to that one.
    requeued += others[0].recover(now()).await.unwrap().requeued;
    assert_eq!(requeued, 1_300);
    let rows = database
        .stranger()
        .await
        .query_one("SELECT count(*), max(token) FROM messages WHERE owner IS NULL", &[])
        .await
        .unwrap();
    assert_eq!((rows.get::<_, i64>(0), rows.get::<_, i64>(1)), (1_300, 1));
    let left: i64 = database
        .stranger()
        .await
        .query_one("SELECT count(*) FROM owners", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 3, "the dead one's row is gone");
}

#[tokio::test]
async fn what_a_forgotten_process_committed_late_is_found() {
    let database = Database::new().await;
    let store = database.store().await;
    let sample = Sample::sms(1);
    store.accept(sample.sending().unwrap()).await.unwrap();
    let stranger = database.stranger().await;
    stranger.batch_execute("UPDATE messages SET owner = 900").await.unwrap();
    assert_eq!(store.recover(now()).await.unwrap(), Recovered { requeued: 0, unknown: 1 });
}
