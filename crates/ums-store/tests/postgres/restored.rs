//! A database that PostgreSQL's own tools restored is marked before a service starts on it.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{Recovered, Room, Status, Store as _, StoreError, Timestamp};
use ums_store::PostgresStore;
use ums_store::conformance::Sample;

use crate::ground::{Database, clock};

/// Long enough for what is written before it ends, on a busy machine.
const LEASE: Duration = Duration::from_secs(5);

/// One message for each way to stand, the fifth in a call.
async fn with_all_kinds(database: &Database) -> Arc<PostgresStore> {
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
    store
}

/// Nothing of the five goes out but what is scheduled.
async fn is_held(database: &Database) {
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

/// What is refused while a lease holds, done when it has ended.
async fn once_unserved<T>(act: impl AsyncFn() -> Result<T, StoreError>) -> T {
    loop {
        match act().await {
            // Sleeps because leases end by the database's clock.
            Err(StoreError::Unusable(words)) if words.contains("stop every service") => tokio::time::sleep(LEASE / 20).await,
            done => break done.unwrap(),
        }
    }
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(done: Result<T, StoreError>) -> String {
    match done {
        Err(StoreError::Unusable(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_had_not_ended_is_unknown_and_goes_out_to_nobody() {
    let database = Database::new().await;
    let store = with_all_kinds(&database).await;
    let words = refusal(ums_store::mark_restored(&database.url).await);
    assert!(words.contains("stop every service"), "{words}");
    drop(store);
    let held = once_unserved(async || ums_store::mark_restored(&database.url).await).await;
    assert_eq!((held.held, held.scheduled), (4, 1));
    is_held(&database).await;
}

#[tokio::test]
async fn a_backup_takes_the_place_of_the_tables_and_of_nothing_else() {
    let database = Database::new().await;
    let store = with_all_kinds(&database).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("monday.dump");
    let backup = ums_store::backup(&database.url, &file, clock()).await.unwrap();
    assert_eq!(backup.messages, 5, "{backup:?}");
    assert!(backup.rows > 10 && backup.bytes > 1_000, "{backup:?}");
    // A table of another program is in no backup, and stays.
    let stranger = database.stranger().await;
    stranger
        .batch_execute("CREATE TABLE other (a text); INSERT INTO other VALUES ('kept')")
        .await
        .unwrap();
    store.accept(Sample::sms(6).sending().unwrap()).await.unwrap();

    let restore = async |may_replace| ums_store::restore(&database.url, &file, may_replace, clock()).await;
    let words = refusal(restore(true).await);
    assert!(words.contains("stop every service"), "{words}");
    assert!(store.message(Sample::sms(6).tenant(), Sample::sms(6).id()).await.unwrap().is_some());
    drop(store);
    let words = once_unserved(async || match restore(false).await {
        Err(StoreError::Unusable(words)) if words.contains("--force") => Ok(words),
        other => other.map(|restored| format!("{restored:?}")),
    })
    .await;
    assert!(
        words.contains("is not empty") && words.contains("ums suppressions export"),
        "{words}"
    );
    // A later schema has tables that the backup lacks.
    let restored = restore(true).await.unwrap();
    assert_eq!((restored.messages, restored.held, restored.scheduled), (5, 4, 1));
    is_held(&database).await;
    let store = database.store().await;
    assert!(store.message(Sample::sms(6).tenant(), Sample::sms(6).id()).await.unwrap().is_none());
    let kept: String = stranger.query_one("SELECT a FROM other", &[]).await.unwrap().get(0);
    assert_eq!(kept, "kept");

    // Into a database that has nothing, without being asked twice.
    let empty = Database::new().await;
    let restored = ums_store::restore(&empty.url, &file, false, clock()).await.unwrap();
    assert_eq!((restored.messages, restored.held), (5, 4));
    is_held(&empty).await;
}

#[tokio::test]
async fn a_dump_that_is_damaged_or_another_s_changes_nothing() {
    let database = Database::new().await;
    let store = database.store().await;
    store.accept(Sample::email(1).sending().unwrap()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.dump");
    ums_store::backup(&database.url, &good, clock()).await.unwrap();
    let words = refusal(ums_store::backup(&database.url, &good, clock()).await);
    assert!(words.contains("is there already"), "{words}");
    let bytes = std::fs::read(&good).unwrap();
    let target = Database::new().await;
    let bad = folder.path().join("bad.dump");
    for length in [0, 4, 100, bytes.len() / 4, bytes.len() / 2, bytes.len() - 200] {
        std::fs::write(&bad, &bytes[..length]).unwrap();
        let done = ums_store::restore(&target.url, &bad, true, clock()).await;
        assert!(done.is_err(), "{length} of {}: {done:?}", bytes.len());
    }
    let cut_off = folder.path().join("cut.dump.partial-123");
    std::fs::write(&cut_off, &bytes).unwrap();
    let words = refusal(ums_store::restore(&target.url, &cut_off, true, clock()).await);
    assert!(words.contains("was cut off"), "{words}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()";
    let left: i64 = target.stranger().await.query_one(tables, &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "all of it or nothing");
    let nothing = Database::new().await;
    let words = refusal(ums_store::backup(&nothing.url, &folder.path().join("none.dump"), clock()).await);
    assert!(words.contains("nothing of this service"), "{words}");
}

#[tokio::test]
async fn the_lines_of_the_manual_do_what_it_says() {
    let manual = include_str!("../../../../docs/backup.md");
    let database = Database::new().await;
    drop(with_all_kinds(&database).await);
    let folder = tempfile::tempdir().unwrap();
    let run = |program: &str| {
        let line = manual.lines().find(|line| line.starts_with(program)).unwrap();
        let mut shell = std::process::Command::new("sh");
        let shell = shell.args(["-c", line]).current_dir(folder.path());
        let output = shell.env("UMS_DATABASE_URL", &database.url).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("pg_dump ");
    database.stranger().await.batch_execute("DELETE FROM messages").await.unwrap();
    run("pg_restore ");
    let held = once_unserved(async || ums_store::mark_restored(&database.url).await).await;
    assert_eq!((held.held, held.scheduled), (4, 1));
    is_held(&database).await;
    // Such a dump is one that `ums restore` takes, too.
    let empty = Database::new().await;
    let dump = folder.path().join("monday.dump");
    assert_eq!(ums_store::restore(&empty.url, &dump, false, clock()).await.unwrap().held, 4);
    is_held(&empty).await;
}
