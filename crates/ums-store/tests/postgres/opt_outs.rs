//! No call is begun for an address after its opt-out was committed, whichever processes they are in.
//!
//! Some of these tests wait for nothing to happen, because the database's locks decide.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    AccountId, AttemptOutcome, Channel, FeedbackStore, FeedbackTaken, Lift, NewMessage, ProviderKind, Status, Step, Store, StoreError,
    SuppressionReason, SuppressionStore, TenantId, Timestamp, Work,
};
use ums_store::conformance::Sample;

use crate::aftermath::{FAR, NOW, bounce, entry, sent};
use crate::ground::Database;

/// The lock of the suppression list, as another process has it.
const LOOKS: &str = "SELECT pg_advisory_xact_lock_shared(7893522, hashtext(current_schema()))";
const CHANGES: &str = "SELECT pg_advisory_xact_lock(7893522, hashtext(current_schema()))";

/// A message to an address, with its first intent.
fn sending_to(number: u32, address: &str) -> NewMessage {
    let mut new = Sample::email(number).sending().unwrap();
    new.recipients.truncate(1);
    address.clone_into(&mut new.recipients[0].address);
    new
}

/// A step that begins a call for a message that waits.
fn intent_of(number: u32) -> Step {
    let sample = Sample::email(number);
    Step {
        attempts: vec![sample.intent(1)],
        ..sample.step(Status::Sending)
    }
}

fn is_forbidden<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::MustNotContact(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_intent_is_committed_after_an_opt_out_on_another_replica() {
    let database = Database::new().await;
    let (sender, other) = (database.store().await, database.store().await);
    let stranger = database.stranger().await;
    let (mut committed, mut refused) = (0, 0);
    for round in 0..60_u32 {
        let address = format!("ann{round}@example.com");
        let first = 1 + round * 10;
        // Three are accepted with an intent, three wait for theirs.
        for number in first + 3..first + 6 {
            let mut waiting = sending_to(number, &address);
            (waiting.intent, waiting.status, waiting.work) = (None, Status::Queued, Work::Due(FAR));
            sender.accept(waiting).await.unwrap();
        }
        let calls: Vec<_> = (first..first + 6)
            .map(|number| {
                let (store, new) = (Arc::clone(&sender), sending_to(number, &address));
                tokio::spawn(async move {
                    for _ in 0..number % 4 {
                        tokio::task::yield_now().await;
                    }
                    if number < first + 3 {
                        store.accept(new).await.map(drop)
                    } else {
                        store.record(intent_of(number)).await
                    }
                })
            })
            .collect();
        let count = "SELECT count(*) FROM attempts a JOIN recipients r ON r.tenant = a.tenant AND r.message_id = a.message_id
             WHERE r.address = $1";
        let opted_out = other.suppress(vec![entry(Channel::Email, &address)], Vec::new()).await;
        let at_once: i64 = stranger.query_one(count, &[&address]).await.unwrap().get(0);
        assert_eq!(opted_out.unwrap(), [true]);
        let late = sender.accept(sending_to(first + 6, &address)).await;
        assert!(is_forbidden(&late), "{late:?}");
        for call in calls {
            let result = call.await.unwrap();
            assert!(result.is_ok() || is_forbidden(&result), "{result:?}");
            if result.is_ok() {
                committed += 1;
            } else {
                refused += 1;
            }
        }
        let in_the_end: i64 = stranger.query_one(count, &[&address]).await.unwrap().get(0);
        assert_eq!(at_once, in_the_end, "an intent was committed after the opt-out in round {round}");
    }
    assert!(committed + refused == 360 && refused > 0, "{committed} before, {refused} after");
}

#[tokio::test]
async fn an_intent_waits_for_an_opt_out_that_is_being_committed() {
    let database = Database::new().await;
    let store = database.store().await;
    let stranger = database.stranger().await;
    let opt_out = "INSERT INTO suppressions (tenant, channel, address, reason, since, origin)
         VALUES ('default', 'email', 'ann@example.com', 'stop', 1, 'link')";
    stranger.batch_execute("BEGIN").await.unwrap();
    stranger.batch_execute(CHANGES).await.unwrap();
    stranger.batch_execute(opt_out).await.unwrap();
    let accepting = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.accept(sending_to(1, "Ann@Example.com")).await })
    };
    // Sleeps because the database decides when a lock is waited for.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!accepting.is_finished(), "it cannot know yet");
    stranger.batch_execute("COMMIT").await.unwrap();
    let result = accepting.await.unwrap();
    assert!(is_forbidden(&result), "{result:?}");
}

#[tokio::test]
async fn an_opt_out_is_answered_after_the_intents_that_did_not_see_it() {
    let database = Database::new().await;
    let store = database.store().await;
    let stranger = database.stranger().await;
    stranger.batch_execute("BEGIN").await.unwrap();
    stranger.batch_execute(LOOKS).await.unwrap();
    // Others look at the list at the same time.
    store.accept(sending_to(1, "ann@example.com")).await.unwrap();
    sent(&store, 3).await;
    let token = store
        .message(&TenantId::default(), Sample::email(3).id())
        .await
        .unwrap()
        .unwrap()
        .token;
    let opting_out = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.suppress(vec![entry(Channel::Email, "ann@example.com")], Vec::new()).await })
    };
    let bouncing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.take_feedback(vec![bounce(3, token, "bounce", 1)]).await })
    };
    // Sleeps because the database decides when a lock is waited for.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(
        !opting_out.is_finished() && !bouncing.is_finished(),
        "an intent may be committed yet"
    );
    stranger.batch_execute("COMMIT").await.unwrap();
    assert_eq!(opting_out.await.unwrap().unwrap(), [true]);
    assert_eq!(bouncing.await.unwrap().unwrap(), [FeedbackTaken::Kept]);
}

#[tokio::test]
async fn an_address_that_is_not_ascii_is_known_in_the_database_too() {
    let database = Database::new().await;
    let store = database.store().await;
    let mut waiting = sending_to(1, "GRÜßE@example.com");
    (waiting.intent, waiting.status, waiting.work) = (None, Status::Queued, Work::Due(FAR));
    store.accept(waiting).await.unwrap();
    let entries = vec![entry(Channel::Email, "Grüße@Example.com")];
    store.suppress(entries, Vec::new()).await.unwrap();
    // The step does not name the recipients: the database looks for them.
    let result = store.record(intent_of(1)).await;
    assert!(is_forbidden(&result), "{result:?}");
    let lift = Lift {
        tenant: TenantId::default(),
        channel: Channel::Email,
        address: "GRÜßE@example.com".to_owned(),
        reason: SuppressionReason::Stop,
        list: None,
        at: NOW,
    };
    assert_eq!(store.lift(vec![lift], Vec::new()).await.unwrap(), [true]);
    store.record(intent_of(1)).await.unwrap();
    let unknown = Step {
        attempts: vec![ums_core::AttemptRecord {
            outcome: AttemptOutcome::Unknown,
            ..Sample::email(1).intent(1)
        }],
        token: 1,
        ..Sample::email(1).step(Status::Unknown)
    };
    store.record(unknown).await.unwrap();
    let account = AccountId::default();
    let called = Timestamp::from_micros(0)..=FAR;
    let found = store
        .unknown_attempts_to(ProviderKind::AwsSes, &account, "grÜße@EXAMPLE.com", called, 9)
        .await;
    assert_eq!(found.unwrap().len(), 1);
}

#[tokio::test]
async fn a_group_takes_nobody_down_with_a_listed_recipient() {
    let database = Database::new().await;
    let store = database.store().await;
    store
        .suppress(vec![entry(Channel::Email, "ann@example.com")], Vec::new())
        .await
        .unwrap();
    let calls: Vec<_> = (1..=200_u32)
        .map(|number| {
            let address = if number % 10 == 0 { "ANN@example.com" } else { "bob@example.com" };
            let (store, new) = (Arc::clone(&store), sending_to(number, address));
            tokio::spawn(async move { (number, store.accept(new).await) })
        })
        .collect();
    for call in calls {
        let (number, result) = call.await.unwrap();
        assert_eq!(is_forbidden(&result), number % 10 == 0, "{number}: {result:?}");
        assert!(result.is_ok() || number % 10 == 0);
    }
    assert_eq!(store.count().await.unwrap(), 180);
    assert!(store.commits() < 150, "still in groups");
}
