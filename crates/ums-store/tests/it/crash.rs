//! What a process leaves behind that ends without closing: all that it answered.

use std::sync::Arc;

use ums_core::{AttemptOutcome, Recovered, Status, Step, Store, Timestamp};
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
