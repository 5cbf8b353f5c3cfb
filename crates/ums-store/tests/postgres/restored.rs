//! A database that PostgreSQL's own tools restored is marked before a service starts on it.

use std::time::Duration;

use ums_core::{Clock as _, Recovered, Room, Status, Store as _, StoreError, Timestamp};
use ums_store::conformance::Sample;

use crate::ground::{Database, clock};

/// Long enough for what is written before it ends, on a busy machine.
const LEASE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn what_had_not_ended_is_unknown_and_goes_out_to_nobody() {
    let database = Database::new().await;
    // Made before the lease runs: reading the first number takes long on a busy machine.
    let calling = Sample::sms(5).sending().unwrap();
    let store = database.store_with_lease(LEASE).await;
    let soon = clock().now() + Duration::from_hours(1);
    let due = |number, status, at| Sample::sms(number).new_message(status, Some(at)).unwrap();
    let past = Timestamp::from_micros(1);
    for (number, status, at) in [
        (1, Status::Queued, past),
        (2, Status::Queued, soon),
        (3, Status::Scheduled, past),
        (4, Status::Scheduled, soon),
    ] {
        store.accept(due(number, status, at)).await.unwrap();
    }
    store.accept(calling).await.unwrap();
    let refused = ums_store::mark_restored(&database.url, clock()).await;
    assert!(
        matches!(&refused, Err(StoreError::Unusable(words)) if words.contains("stop every service")),
        "{refused:?}"
    );
    drop(store);
    let held = loop {
        match ums_store::mark_restored(&database.url, clock()).await {
            // Sleeps because leases end by the database's clock.
            Err(StoreError::Unusable(_)) => tokio::time::sleep(LEASE / 20).await,
            done => break done.unwrap(),
        }
    };
    assert_eq!((held.held, held.scheduled), (4, 1));
    let store = database.store().await;
    assert_eq!(store.recover(clock().now()).await.unwrap(), Recovered::default());
    assert_eq!(store.claim_due(clock().now(), Room::of_each(9)).await.unwrap().len(), 0);
    for (number, status) in [
        (1, Status::Unknown),
        (2, Status::Unknown),
        (3, Status::Unknown),
        (4, Status::Scheduled),
        (5, Status::Unknown),
    ] {
        let sample = Sample::sms(number);
        let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        assert_eq!((number, record.status, record.recipients[0].status), (number, status, status));
        assert_eq!(
            record.attempts.first().and_then(|attempt| attempt.code.as_deref()),
            (number == 5).then_some("restored")
        );
    }
    let newest = "SELECT max(id) FROM owners";
    let id: i64 = database.stranger().await.query_one(newest, &[]).await.unwrap().get(0);
    assert!(id > 1 << 32, "{id}: no process of before has it");
}
