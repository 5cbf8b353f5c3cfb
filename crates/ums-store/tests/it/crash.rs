//! What a process leaves behind that ends without closing: all that it answered.

use std::sync::Arc;

use ums_core::{
    AttemptOutcome, Channel, Event, EventKind, EventRecord, FeedbackStep, FeedbackStore as _, FeedbackTaken, ProviderKind, Recovered,
    Status, Step, Store, Suppression, SuppressionOrigin, SuppressionReason, SuppressionStore as _, TenantId, Timestamp,
};
use ums_store::conformance::Sample;

use crate::ground::SqliteFile;

/// Copies the database's files as they are on the disk while the store is open.
fn copy_of(ground: &SqliteFile) -> SqliteFile {
    let copy = SqliteFile::new();
    for suffix in ["", "-wal"] {
        let name = |path: std::path::PathBuf| format!("{}{suffix}", path.display());
        std::fs::copy(name(ground.path()), name(copy.path())).unwrap();
    }
    copy
}

#[tokio::test]
async fn everything_answered_is_there_after_a_crash() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let tasks: Vec<_> = (1..=300)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let sample = Sample::sms(number);
                store.accept(sample.sending().unwrap()).await.unwrap();
                if number % 3 == 0 {
                    let mut attempt = sample.intent(1);
                    attempt.outcome = AttemptOutcome::Accepted;
                    store
                        .record(Step {
                            attempts: vec![attempt],
                            ..sample.step(Status::Sent)
                        })
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let copy = copy_of(&ground);
    let after = copy.store().await;
    assert!(after.is_owner());
    assert_eq!(
        after.recover(Timestamp::from_micros(1)).await.unwrap(),
        Recovered { requeued: 0, unknown: 200 }
    );
    for number in 1..=300 {
        let sample = Sample::sms(number);
        let record = after.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        let (status, outcome) = if number % 3 == 0 {
            (Status::Sent, AttemptOutcome::Accepted)
        } else {
            (Status::Queued, AttemptOutcome::Unknown)
        };
        assert_eq!((record.status, record.attempts[0].outcome), (status, outcome));
    }
    let sound: String = copy.stranger().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[tokio::test]
async fn feedback_that_was_answered_is_there_whole_after_a_crash() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let event = |number: u32| Event::new(ProviderKind::AwsSns, format!("event {number}"), EventKind::Delivered, "SUCCESS");
    let entry = |number: u32| Suppression {
        tenant: TenantId::default(),
        channel: Channel::Sms,
        address: format!("+1416555{number:04}"),
        reason: SuppressionReason::Stop,
        list: None,
        origin: SuppressionOrigin::Feedback,
        provider: Some(ProviderKind::AwsSns),
        account: None,
        message_id: Some(Sample::sms(number).id()),
        detail: None,
        since: Timestamp::from_micros(1),
        expires_at: None,
        lifted_at: None,
    };
    let tasks: Vec<_> = (0..20)
        .map(|batch| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut steps = Vec::new();
                for number in batch * 10 + 1..=batch * 10 + 10 {
                    let sample = Sample::sms(number);
                    store.accept(sample.new_message(Status::Sent, None).unwrap()).await.unwrap();
                    let record = EventRecord {
                        event: event(number),
                        received_at: Timestamp::from_micros(1),
                        attempt_id: None,
                    };
                    steps.push(FeedbackStep::Apply(Box::new(Step {
                        events: vec![record],
                        suppress: vec![entry(number)],
                        ..sample.step(Status::Delivered)
                    })));
                }
                assert_eq!(store.take_feedback(steps).await.unwrap(), [FeedbackTaken::Kept; 10]);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let copy = copy_of(&ground);
    let after = copy.store().await;
    for number in 1..=200 {
        let sample = Sample::sms(number);
        let record = after.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        assert_eq!((record.status, record.events.len()), (Status::Delivered, 1));
        let addresses = [entry(number).address];
        let listed = after
            .suppressed(sample.tenant(), Channel::Sms, &addresses, Timestamp::from_micros(2))
            .await
            .unwrap();
        assert_eq!(listed, [entry(number)]);
    }
}

#[tokio::test]
async fn a_store_that_is_dropped_finishes_what_it_was_handed() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    store.accept(Sample::sms(1).sending().unwrap()).await.unwrap();
    drop(store);
    let kept: i64 = ground
        .stranger()
        .query_row("SELECT count(*) FROM messages", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, 1);
}
