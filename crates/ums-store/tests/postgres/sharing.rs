//! What processes on one database share: claims, probes, pace, breakers.
//!
//! Some of these tests sleep, because the database's clock decides.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ums_core::{AccountId, BreakerRecord, Clock, PaceGrant, PaceRequest, ProviderKind, Room, Status, Store, SystemClock, Timestamp};
use ums_store::conformance::Sample;

use crate::ground::Database;

#[tokio::test]
async fn two_processes_empty_a_queue_without_overlap() {
    let database = Database::new().await;
    let stores = [database.store().await, database.store().await];
    let samples: Vec<_> = (1..=1_000)
        .map(|number: u32| {
            let tenant = ["one", "two", "three"][number as usize % 3];
            Sample::sms(number)
                .of(tenant)
                .new_message(Status::Queued, Some(Timestamp::from_micros(number.into())))
                .unwrap()
        })
        .collect();
    stores[0].accept_all(samples).await.unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|worker| {
            let store = Arc::clone(&stores[worker % 2]);
            tokio::spawn(async move {
                let mut claimed = Vec::new();
                loop {
                    let records = store.claim_due(Timestamp::from_micros(i64::MAX), Room::of_each(37)).await.unwrap();
                    if records.is_empty() {
                        return claimed;
                    }
                    claimed.extend(records.into_iter().map(|record| record.message.id));
                }
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for task in tasks {
        claimed.extend(task.await.unwrap());
    }
    assert_eq!(claimed.len(), 1_000);
    assert_eq!(claimed.iter().collect::<HashSet<_>>().len(), 1_000);
}

#[tokio::test]
async fn what_another_process_stores_earlier_is_found_behind_a_long_queue() {
    let database = Database::new().await;
    let (busy, other) = (database.store().await, database.store().await);
    let far = Timestamp::from_micros(i64::MAX);
    let queued = |number: u32| {
        Sample::sms(number)
            .new_message(Status::Queued, Some(Timestamp::from_micros(number.into())))
            .unwrap()
    };
    busy.accept_all((1_000..2_000).map(queued).collect()).await.unwrap();
    assert_eq!(busy.claim_due(far, Room::of_each(10)).await.unwrap().len(), 10);
    other.accept(queued(1)).await.unwrap();
    let mut found = false;
    for _ in 0..50 {
        let claimed = busy.claim_due(far, Room::of_each(1)).await.unwrap();
        found = found || claimed[0].message.id == Sample::sms(1).id();
        // Sleeps because the database's clock decides.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(found, "a look from the start comes in time");
}

#[tokio::test]
async fn one_process_at_a_time_may_probe() {
    let database = Database::new().await;
    let (one, other) = (database.store().await, database.store().await);
    let account = AccountId::default();
    let length = Duration::from_millis(600);
    let probe = async |store: &dyn Store| store.lease_probe(ProviderKind::AwsSes, &account, length).await.unwrap();
    assert!(probe(&*one).await);
    assert!(!probe(&*other).await);
    assert!(probe(&*one).await, "who has it keeps it");
    assert!(
        other.lease_probe(ProviderKind::Twilio, &account, length).await.unwrap(),
        "another provider is another leave"
    );
    // Sleeps because the database's clock decides.
    tokio::time::sleep(length + Duration::from_millis(100)).await;
    assert!(probe(&*other).await, "it ends by itself");
    assert!(!probe(&*one).await);
}

#[tokio::test]
async fn a_pace_a_second_holds_over_two_processes() {
    let database = Database::new().await;
    let stores = [database.store().await, database.store().await];
    let clock = SystemClock::new();
    let (start, length, rate, block) = (clock.monotonic(), Duration::from_secs(3), 500_u32, 25_u32);
    let tasks: Vec<_> = stores
        .iter()
        .map(|store| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let clock = SystemClock::new();
                let mut granted = 0;
                while clock.monotonic().since(start) < length {
                    let request = PaceRequest {
                        provider: ProviderKind::AwsSes,
                        account: AccountId::default(),
                        units: block,
                        per_second: NonZeroU32::new(rate),
                        per_day: None,
                    };
                    match store.reserve_pace(request).await.unwrap() {
                        PaceGrant::Granted(units) => granted += units,
                        // Sleeps because the database's clock decides.
                        PaceGrant::Paced(wait) => tokio::time::sleep(wait).await,
                        PaceGrant::DayLimit(_) => panic!("there is none"),
                    }
                }
                granted
            })
        })
        .collect();
    let mut granted = 0;
    for task in tasks {
        granted += task.await.unwrap();
    }
    let took = clock.monotonic().since(start).as_secs_f64();
    let most = f64::from(rate) * took + f64::from(2 * block);
    assert!(f64::from(granted) <= most, "{granted} in {took:.2} s");
    assert!(
        f64::from(granted) >= 0.9 * f64::from(rate) * length.as_secs_f64(),
        "{granted} in {took:.2} s"
    );
}

#[tokio::test]
async fn a_limit_a_day_holds_over_two_processes() {
    let database = Database::new().await;
    let stores = [database.store().await, database.store().await];
    let request = PaceRequest {
        provider: ProviderKind::AwsSes,
        account: AccountId::default(),
        units: 30,
        per_second: None,
        per_day: NonZeroU32::new(100),
    };
    let mut grants = Vec::new();
    for turn in 0..5 {
        grants.push(stores[turn % 2].reserve_pace(request.clone()).await.unwrap());
    }
    assert_eq!(grants[..4], [30, 30, 30, 10].map(PaceGrant::Granted));
    assert!(
        matches!(grants[4], PaceGrant::DayLimit(wait) if wait > Duration::from_hours(23) && wait < Duration::from_hours(25)),
        "{grants:?}"
    );
}

#[tokio::test]
async fn a_breaker_says_who_wrote_it_and_that_it_changed() {
    let database = Database::new().await;
    let (one, other) = (database.store().await, database.store().await);
    let record = BreakerRecord {
        provider: ProviderKind::AwsSes,
        account: AccountId::default(),
        state: serde_json::json!({ "state": "open" }),
        changed_at: Timestamp::from_micros(1),
        version: 0,
        writer: 0,
    };
    one.save_breaker(record.clone()).await.unwrap();
    let first = other.breakers().await.unwrap().remove(0);
    other.save_breaker(record).await.unwrap();
    let second = one.breakers().await.unwrap().remove(0);
    assert_eq!(first.writer, one.renew().await.unwrap().owner);
    assert_eq!(second.writer, other.renew().await.unwrap().owner);
    assert!(second.version > first.version);
    assert!(one.is_shared());
}
