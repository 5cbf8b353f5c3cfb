//! Opening: the schema is brought forward once, and what cannot be used is refused in words.

use ums_core::{Store, StoreError};
use ums_store::PostgresStore;

use crate::ground::{Database, clock};

async fn refusal(url: &str) -> String {
    match PostgresStore::open(url, clock()).await {
        Err(StoreError::Unusable(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn processes_that_start_together_make_the_schema_once() {
    let database = Database::new().await;
    let known = ums_store::migrations_of(&database.url).unwrap();
    let lacking = ums_store::pending_migrations(&database.url).await.unwrap();
    assert_eq!(lacking.len(), known.matches("-- Version ").count());
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let url = database.url.clone();
            tokio::spawn(async move { PostgresStore::open(&url, clock()).await.map(|store| store.is_owner()) })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().unwrap());
    }
    assert_eq!(ums_store::pending_migrations(&database.url).await.unwrap(), []);
    assert_eq!(ums_store::migrate(&database.url, clock()).await.unwrap(), []);
    assert!(ums_store::migrations_of(&database.url).unwrap().contains("CREATE TABLE pace_days"));
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_what_to_do() {
    let database = Database::new().await;
    database.store().await;
    let newer = "INSERT INTO schema_migrations (version, name, applied_at) VALUES (99, 'later', 0)";
    database.stranger().await.batch_execute(newer).await.unwrap();
    let text = refusal(&database.url).await;
    assert!(text.contains("99") && text.contains("newer ums"), "{text}");
}

#[tokio::test]
async fn another_program_s_tables_are_left_alone() {
    let database = Database::new().await;
    database
        .stranger()
        .await
        .batch_execute("CREATE TABLE messages (id integer)")
        .await
        .unwrap();
    assert!(refusal(&database.url).await.contains("another program"));
    let database = Database::new().await;
    let theirs = "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)";
    database.stranger().await.batch_execute(theirs).await.unwrap();
    assert!(refusal(&database.url).await.contains("another program"));
    assert!(matches!(
        ums_store::pending_migrations(&database.url).await,
        Err(StoreError::Unusable(_))
    ));
}

#[tokio::test]
async fn other_tables_in_the_same_database_do_no_harm() {
    let database = Database::new().await;
    database
        .stranger()
        .await
        .batch_execute("CREATE TABLE orders (id integer)")
        .await
        .unwrap();
    database.store().await.check().await.unwrap();
}

#[tokio::test]
async fn a_wrong_database_is_named_and_a_password_is_not() {
    let database = Database::new().await;
    let (head, _) = database.url.rsplit_once('/').unwrap();
    let (_, place) = head.rsplit_once('@').unwrap();
    let text = refusal(&format!("{head}/no_such_database")).await;
    assert!(text.contains("no_such_database"), "{text}");
    let wrong = PostgresStore::open(&format!("postgres://nobody_here:hunter2@{place}/ums"), clock()).await;
    assert!(!format!("{wrong:?}").contains("hunter2"), "{wrong:?}");
    let closed = PostgresStore::open("postgres://ums:hunter2@127.0.0.1:1/ums", clock()).await;
    assert!(matches!(closed, Err(StoreError::Unavailable(_))), "{closed:?}");
    assert!(!format!("{closed:?}").contains("hunter2"));
    let shown = format!("{:?}", database.store().await);
    assert!(shown.contains("owner") && !shown.contains("ums:"), "{shown}");
}

#[tokio::test]
async fn a_database_of_another_encoding_or_that_only_reads_is_refused_with_what_to_do() {
    let database = Database::new().await;
    let stranger = database.stranger().await;
    let (head, name) = database.url.rsplit_once('/').unwrap();
    for (options, word) in [
        ("ENCODING 'SQL_ASCII'", "ENCODING 'UTF8'"),
        ("ENCODING 'LATIN1'", "ENCODING 'UTF8'"),
    ] {
        let other = format!("{name}_other");
        let make = format!("CREATE DATABASE {other} {options} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        stranger.batch_execute(&make).await.unwrap();
        let text = refusal(&format!("{head}/{other}")).await;
        stranger
            .batch_execute(&format!("DROP DATABASE {other} WITH (FORCE)"))
            .await
            .unwrap();
        assert!(text.contains(word), "{text}");
    }
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    stranger.batch_execute(&read_only).await.unwrap();
    let text = refusal(&database.url).await;
    assert!(text.contains("default_transaction_read_only"), "{text}");
}
