//! Opening: what is made, what is refused, and in which words.

use std::sync::Arc;

use ums_core::{Store, StoreError, Stored};
use ums_store::conformance::Sample;

use crate::ground::{SqliteFile, clock};

async fn refusal(ground: &SqliteFile) -> String {
    match ground.try_store().await {
        Err(StoreError::Unusable(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_url_names_its_store() {
    let ground = SqliteFile::new();
    assert!(ums_store::open(&ground.url(), clock()).await.unwrap().is_durable());
    assert!(!ums_store::open("sqlite::memory:", clock()).await.unwrap().is_durable());
    assert!(!ums_store::open("memory:", clock()).await.unwrap().is_durable());
    // Nothing listens on port 1.
    let refused = ums_store::open("postgres://me:hunter2@127.0.0.1:1/ums", clock()).await.unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("hunter2"), "{refused:?}");
}

#[tokio::test]
async fn the_files_are_for_their_owner_only_and_safe_against_power_loss() {
    let ground = SqliteFile::new();
    let store = ground.store().await;
    store.accept(Sample::sms(1).sending().unwrap()).await.unwrap();
    #[cfg(unix)]
    for suffix in ["", "-wal", ".lock"] {
        use std::os::unix::fs::PermissionsExt as _;
        let file = format!("{}{suffix}", ground.path().display());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{suffix}");
    }
    let mode: String = ground.stranger().query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn an_existing_database_is_opened_as_it_is() {
    let ground = SqliteFile::new();
    for number in 1..=3 {
        let store = ground.store().await;
        assert_eq!(store.accept(Sample::sms(number).sending().unwrap()).await.unwrap(), Stored::New);
        assert_eq!(store.count().await.unwrap(), u64::from(number));
        store.close(std::time::Duration::from_secs(10)).await;
    }
    let versions: i64 = ground
        .stranger()
        .query_row("SELECT count(*) FROM schema_migrations", [], |row| row.get(0))
        .unwrap();
    let known = ums_store::migrations_of("sqlite://ums.db").unwrap();
    assert_eq!(usize::try_from(versions).unwrap(), known.matches("-- Version ").count());
}

#[tokio::test]
async fn processes_that_start_together_make_one_schema() {
    let ground = Arc::new(SqliteFile::new());
    let opens: Vec<_> = (0..4)
        .map(|_| {
            let url = ground.url();
            tokio::spawn(async move { ums_store::open(&url, clock()).await })
        })
        .collect();
    let mut stores = Vec::new();
    for open in opens {
        stores.push(open.await.unwrap().unwrap());
    }
    assert_eq!(stores.iter().filter(|store| store.is_owner()).count(), 1);
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_clear_words() {
    let ground = SqliteFile::new();
    ground.store().await.close(std::time::Duration::from_secs(10)).await;
    ground
        .stranger()
        .execute("INSERT INTO schema_migrations VALUES (99, 'from the future', 0)", [])
        .unwrap();
    let words = refusal(&ground).await;
    assert!(words.contains("version 99") && words.contains("newer ums"), "{words}");
}

#[tokio::test]
async fn another_program_s_file_is_refused_and_left_alone() {
    let ground = SqliteFile::new();
    ground.stranger().execute_batch("CREATE TABLE theirs (a)").unwrap();
    assert!(refusal(&ground).await.contains("another program"));
    let tables: i64 = ground
        .stranger()
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);

    let text = SqliteFile::new();
    std::fs::write(
        text.path(),
        "not a database, but long enough to have a header of its own".repeat(100),
    )
    .unwrap();
    assert!(refusal(&text).await.contains("not a SQLite database"));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let missing = ums_store::open("sqlite:///nowhere/at/all/ums.db", clock()).await.unwrap_err();
    assert!(missing.to_string().contains("/nowhere/at/all/ums.db"), "{missing}");
}

#[tokio::test]
async fn an_operator_brings_a_database_forward_beforehand() {
    let ground = SqliteFile::new();
    let pending = ums_store::pending_migrations(&ground.url()).await.unwrap();
    assert_eq!(
        pending.first().map(|migration| (migration.version, migration.name)),
        Some((1, "messages"))
    );
    assert!(!ground.path().exists(), "looking makes no file");
    assert_eq!(ums_store::migrate(&ground.url(), clock()).await.unwrap(), pending);
    assert_eq!(ums_store::pending_migrations(&ground.url()).await.unwrap(), []);

    let store = ground.store().await;
    assert_eq!(
        ums_store::migrate(&ground.url(), clock()).await.unwrap(),
        [],
        "beside a program that has it open"
    );
    store.accept(Sample::sms(1).sending().unwrap()).await.unwrap();
    ground
        .stranger()
        .execute("INSERT INTO schema_migrations VALUES (99, 'from the future', 0)", [])
        .unwrap();
    for refused in [
        ums_store::pending_migrations(&ground.url()).await,
        ums_store::migrate(&ground.url(), clock()).await,
    ] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("version 99") && refused.contains("newer ums"), "{refused}");
    }
}
