//! Backup and restore: one instant, whole files alone, nobody's database, and nothing that goes out by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use ums_core::{AttemptOutcome, Recovered, Status, Store as _, StoreError, Timestamp};
use ums_store::conformance::Sample;
use ums_store::{Backup, Restored};

use crate::ground::{SqliteFile, clock};

const PATIENCE: Duration = Duration::from_secs(10);

fn beside(ground: &SqliteFile) -> PathBuf {
    ground.path().with_file_name("good.backup")
}

async fn backup(ground: &SqliteFile) -> Backup {
    ums_store::backup(&ground.url(), &beside(ground), clock()).await.unwrap()
}

async fn restore(ground: &SqliteFile, from: &Path, may_replace: bool) -> Result<Restored, StoreError> {
    ums_store::restore(&ground.url(), from, may_replace, clock()).await
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(done: Result<T, StoreError>) -> String {
    match done {
        Err(StoreError::Unusable(words)) => words,
        other => panic!("{other:?}"),
    }
}

fn count(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_writes_is_of_one_instant_and_has_all_that_was_answered_before() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    let (answered, end) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let writer = tokio::spawn({
        let (store, answered, end) = (Arc::clone(&store), Arc::clone(&answered), Arc::clone(&end));
        async move {
            for number in 1.. {
                if end.load(Ordering::Acquire) > 0 {
                    break;
                }
                store.accept(Sample::email(number).sending().unwrap()).await.unwrap();
                answered.store(number, Ordering::Release);
            }
        }
    });
    while answered.load(Ordering::Acquire) < 20 {
        tokio::task::yield_now().await;
    }
    let before = answered.load(Ordering::Acquire);
    let backup = backup(&ground).await;
    let after = answered.load(Ordering::Acquire) + 1;
    end.store(1, Ordering::Release);
    writer.await.unwrap();
    assert!(
        (u64::from(before)..=u64::from(after)).contains(&backup.messages),
        "{before} {backup:?} {after}"
    );
    let copy = Connection::open(beside(&ground)).unwrap();
    for sql in [
        "SELECT count(*) FROM messages",
        "SELECT count(*) FROM contents",
        "SELECT count(DISTINCT message_id) FROM recipients",
    ] {
        assert_eq!(u64::try_from(count(&copy, sql)).unwrap(), backup.messages, "{sql}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(beside(&ground)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_database_that_somebody_has_open_is_not_replaced() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    store.accept(Sample::sms(1).sending().unwrap()).await.unwrap();
    backup(&ground).await;
    let from = beside(&ground);
    let words = refusal(restore(&ground, &from, true).await);
    assert!(words.contains("open; stop the service"), "{words}");
    store.close(PATIENCE).await;
    drop(store);
    // Another program reads it, and has no lock of ours.
    let stranger = ground.stranger();
    stranger.execute_batch("BEGIN; SELECT * FROM messages").unwrap();
    let words = refusal(restore(&ground, &from, true).await);
    assert!(words.contains("open; stop the service"), "{words}");
    stranger.execute_batch("COMMIT").unwrap();
    drop(stranger);
    let words = refusal(restore(&ground, &from, false).await);
    assert!(words.contains("is not empty") && words.contains("--force"), "{words}");
    let restored = restore(&ground, &from, true).await.unwrap();
    assert!(restored.kept_aside.unwrap().exists());
    // Nobody's lock stays behind.
    assert!(ground.store().await.is_owner());
}

#[tokio::test]
async fn an_empty_database_and_none_are_replaced_without_being_asked_twice() {
    let source = SqliteFile::new();
    source.store().await.close(PATIENCE).await;
    backup(&source).await;
    let target = SqliteFile::new();
    assert_eq!(restore(&target, &beside(&source), false).await.unwrap().kept_aside, None);
    target.store().await.close(PATIENCE).await;
    assert!(restore(&target, &beside(&source), false).await.unwrap().kept_aside.is_some());
}

/// One message for each way to stand.
async fn with_all_kinds(ground: &SqliteFile) {
    let store = ground.store().await;
    let now = clock().now();
    let soon = now + Duration::from_hours(1);
    let due = |number, status, at| Sample::sms(number).new_message(status, Some(at)).unwrap();
    store.accept(due(1, Status::Queued, Timestamp::from_micros(1))).await.unwrap();
    store.accept(due(2, Status::Queued, soon)).await.unwrap();
    store.accept(due(3, Status::Scheduled, Timestamp::from_micros(1))).await.unwrap();
    store.accept(due(4, Status::Scheduled, soon)).await.unwrap();
    store.accept(Sample::sms(5).sending().unwrap()).await.unwrap();
    let sent = Sample::sms(6);
    store.accept(sent.sending().unwrap()).await.unwrap();
    let mut attempt = sent.intent(1);
    attempt.outcome = AttemptOutcome::Accepted;
    let step = ums_core::Step {
        attempts: vec![attempt],
        ..sent.step(Status::Sent)
    };
    store.record(step).await.unwrap();
    // The process ends with 5 in hand.
    std::mem::forget(store);
}

#[tokio::test]
async fn what_had_not_ended_is_unknown_and_due_to_nobody() {
    let ground = SqliteFile::new();
    with_all_kinds(&ground).await;
    backup(&ground).await;
    let target = SqliteFile::new();
    let restored = restore(&target, &beside(&ground), false).await.unwrap();
    assert_eq!((restored.held, restored.scheduled, restored.messages), (4, 1, 6));
    let store = target.store().await;
    assert_eq!(
        store.recover(clock().now()).await.unwrap(),
        Recovered { requeued: 0, unknown: 0 },
        "nothing is taken up again"
    );
    for (number, status) in [
        (1, Status::Unknown),
        (2, Status::Unknown),
        (3, Status::Unknown),
        (4, Status::Scheduled),
        (5, Status::Unknown),
        (6, Status::Sent),
    ] {
        let sample = Sample::sms(number);
        let record = store.message(sample.tenant(), sample.id()).await.unwrap().unwrap();
        assert_eq!((number, record.status), (number, status));
        assert_eq!(record.has_ended(), number != 4, "{number}");
        if number == 5 {
            assert_eq!(record.recipients[0].status, status);
            assert_eq!(record.attempts[0].outcome, AttemptOutcome::Unknown);
            assert_eq!(record.attempts[0].code.as_deref(), Some("restored"));
        }
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_not_backed_up_by_halves() {
    let ground = SqliteFile::new();
    ground.store().await.close(PATIENCE).await;
    ground
        .stranger()
        .execute_batch("UPDATE schema_migrations SET version = 9999 WHERE version = (SELECT max(version) FROM schema_migrations)")
        .unwrap();
    let words = refusal(ums_store::backup(&ground.url(), &beside(&ground), clock()).await);
    assert!(words.contains("newer") && !beside(&ground).exists(), "{words}");
}

#[tokio::test]
async fn a_backup_with_any_byte_altered_or_cut_is_refused() {
    let ground = SqliteFile::new();
    with_all_kinds(&ground).await;
    backup(&ground).await;
    let good = std::fs::read(beside(&ground)).unwrap();
    let bad = ground.path().with_file_name("bad.backup");
    let target = SqliteFile::new();
    let altered = (0..good.len()).step_by(1_021).chain([good.len() - 1, good.len() - 40]);
    for at in altered {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        std::fs::write(&bad, &bytes).unwrap();
        let words = refusal(restore(&target, &bad, false).await);
        assert!(words.contains("is damaged") || words.contains("is no backup"), "{at}: {words}");
    }
    for length in [0, 1, 100, 4096, good.len() / 2, good.len() - 1] {
        std::fs::write(&bad, &good[..length]).unwrap();
        refusal(restore(&target, &bad, false).await);
    }
    refusal(restore(&target, ground.path().parent().unwrap(), false).await);
    refusal(restore(&target, Path::new("/nowhere/at/all"), false).await);
    assert!(!target.path().exists());
    restore(&target, &beside(&ground), false).await.unwrap();
}

#[tokio::test]
async fn a_damaged_database_is_kept_aside_and_its_log_meets_no_other() {
    let ground = SqliteFile::new();
    with_all_kinds(&ground).await;
    backup(&ground).await;
    let from = beside(&ground);
    let damaged = SqliteFile::new();
    std::fs::write(damaged.path(), "no database any more ".repeat(1000)).unwrap();
    let log = format!("{}-wal", damaged.path().display());
    std::fs::write(&log, "no log either").unwrap();
    let words = refusal(restore(&damaged, &from, false).await);
    assert!(words.contains("--force"), "{words}");
    let aside = restore(&damaged, &from, true).await.unwrap().kept_aside.unwrap();
    assert!(std::fs::read(&aside).unwrap().starts_with(b"no database any more"));
    assert_eq!(damaged.store().await.count().await.unwrap(), 6);
}

#[tokio::test]
async fn the_log_of_a_database_that_was_deleted_meets_no_other_and_stays_nowhere() {
    let ground = SqliteFile::new();
    with_all_kinds(&ground).await;
    backup(&ground).await;
    let target = SqliteFile::new();
    for companion in ["-wal", "-shm"] {
        std::fs::write(format!("{}{companion}", target.path().display()), "of a database that is gone").unwrap();
    }
    assert_eq!(restore(&target, &beside(&ground), false).await.unwrap().kept_aside, None);
    let names = std::fs::read_dir(target.path().parent().unwrap()).unwrap();
    let left: Vec<_> = names
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("-wal") || name.contains("-shm"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(target.store().await.count().await.unwrap(), 6);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_to_the_database_still_leads_to_it_after_a_restore() {
    let ground = SqliteFile::new();
    with_all_kinds(&ground).await;
    backup(&ground).await;
    let target = SqliteFile::new();
    target.store().await.close(PATIENCE).await;
    let link = target.path().with_file_name("link.db");
    std::os::unix::fs::symlink(target.path(), &link).unwrap();
    let url = format!("sqlite://{}", link.display());
    let serving = target.store().await;
    let words = refusal(ums_store::restore(&url, &beside(&ground), true, clock()).await);
    assert!(words.contains("open; stop the service"), "{words}");
    serving.close(PATIENCE).await;
    drop(serving);
    let restored = ums_store::restore(&url, &beside(&ground), true, clock()).await.unwrap();
    assert_eq!(
        std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(restored.kept_aside.unwrap()).unwrap()),
        1
    );
    assert!(link.is_symlink());
    assert_eq!(target.store().await.count().await.unwrap(), 6);
}
