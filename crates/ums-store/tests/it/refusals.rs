//! Values that the database refuses: a step is written with its texts replaced, a message is refused.

use std::sync::Arc;

use ums_core::{AttemptOutcome, AttemptRecord, Status, Step, Store, StoreError};
use ums_store::conformance::Sample;

use crate::ground::SqliteFile;

fn sent(number: u32, detail: &str) -> Step {
    let sample = Sample::sms(number);
    let attempt = AttemptRecord {
        outcome: AttemptOutcome::Accepted,
        detail: Some(detail.to_owned()),
        ..sample.intent(1)
    };
    Step {
        attempts: vec![attempt],
        ..sample.step(Status::Sent)
    }
}

/// A trigger of somebody else that refuses rows.
fn refuse(ground: &SqliteFile, table: &str, condition: &str) {
    let write =
        |act: &str| format!("CREATE TRIGGER no_{act} BEFORE {act} ON {table} WHEN {condition} BEGIN SELECT RAISE(ABORT, 'no'); END;");
    ground.stranger().execute_batch(&(write("INSERT") + &write("UPDATE"))).unwrap();
}

#[tokio::test]
async fn a_step_that_is_refused_for_its_data_is_written_with_its_texts_replaced() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    for number in 1..=30 {
        store.accept(Sample::sms(number).sending().unwrap()).await.unwrap();
    }
    refuse(&ground, "attempts", "NEW.detail LIKE '%ü%' OR NEW.detail LIKE 'word%'");
    let detail = |number: u32| match number {
        7 => "gr\u{fc}n",
        8 => "word",
        _ => "fine",
    };
    let tasks: Vec<_> = (1..=30)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.record(sent(number, detail(number))).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    for (number, kept) in [(6, "fine"), (7, "gr?n"), (8, "(replaced)")] {
        let sample = Sample::sms(number);
        let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        assert_eq!(record.status, Status::Sent, "{number}");
        assert_eq!(record.attempts.first().unwrap().detail.as_deref(), Some(kept), "{number}");
    }
}

#[tokio::test]
async fn a_message_that_is_refused_for_its_data_is_told_so() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    refuse(&ground, "recipients", "NEW.address = 'customer2@example.com'");
    for number in 1..=3 {
        let answer = store.accept(Sample::email(number).sending().unwrap()).await;
        assert_eq!(matches!(answer, Err(StoreError::RefusedData(_))), number == 2, "{answer:?}");
    }
    assert_eq!(store.count().await.unwrap(), 2);
}
