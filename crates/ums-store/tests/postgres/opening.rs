//! Opening: the schema is brought forward once, and what cannot be used is refused in words.
//!
//! One of these tests sleeps, because a server needs real time.

use std::time::Duration;

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
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let other = format!("{name}_other");
        let make = format!("CREATE DATABASE {other} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
        stranger.batch_execute(&make).await.unwrap();
        let text = refusal(&format!("{head}/{other}")).await;
        let drop = format!("DROP DATABASE {other} WITH (FORCE)");
        stranger.batch_execute(&drop).await.unwrap();
        assert!(text.contains(encoding) && text.contains("ENCODING 'UTF8'"), "{text}");
    }
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    stranger.batch_execute(&read_only).await.unwrap();
    let text = refusal(&database.url).await;
    assert!(text.contains("default_transaction_read_only"), "{text}");
}

#[tokio::test]
async fn a_standby_is_refused_with_what_to_do() {
    let database = Database::new().await;
    let stranger = database.stranger().await;
    // A function that is found before the system's stands for a second server.
    let (_, name) = database.url.rsplit_once('/').unwrap();
    let standby = format!(
        "CREATE FUNCTION public.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true';
         ALTER DATABASE {name} SET search_path = public, pg_catalog"
    );
    stranger.batch_execute(&standby).await.unwrap();
    let text = refusal(&database.url).await;
    assert!(
        text.contains("standby") && text.contains("target_session_attrs=read-write"),
        "{text}"
    );
}

#[tokio::test]
async fn a_user_without_rights_is_refused_with_the_rights_to_grant() {
    let database = Database::new().await;
    let stranger = database.stranger().await;
    let (head, name) = database.url.rsplit_once('/').unwrap();
    let (_, place) = head.rsplit_once('@').unwrap();
    let user = format!("{name}_user");
    let url = format!("postgres://{user}:made-up@{place}/{name}");
    let run = |sql: String| {
        let (stranger, sql) = (&stranger, sql.replace("USER", &user));
        async move { stranger.batch_execute(&sql).await.unwrap() }
    };
    run("CREATE ROLE USER LOGIN PASSWORD 'made-up'; REVOKE ALL ON SCHEMA public FROM PUBLIC".to_owned()).await;
    let nowhere = refusal(&url).await;
    assert!(nowhere.contains("no schema to work in"), "{nowhere}");
    run("GRANT USAGE ON SCHEMA public TO USER".to_owned()).await;
    let no_schema = refusal(&url).await;
    assert!(
        no_schema.contains("permission denied for schema public") && no_schema.contains("GRANT USAGE, CREATE ON SCHEMA"),
        "{no_schema}"
    );
    // Another user brings the schema forward; tables of others do not count.
    database.store().await;
    run(
        "CREATE TABLE orders (id integer); GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO USER;
         REVOKE ALL ON orders FROM USER"
            .to_owned(),
    )
    .await;
    let no_sequence = refusal(&url).await;
    assert!(
        no_sequence.contains("breaker_versions") && no_sequence.contains("ON ALL SEQUENCES"),
        "{no_sequence}"
    );
    run("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO USER".to_owned()).await;
    PostgresStore::open(&url, clock()).await.unwrap().check().await.unwrap();
    for right in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        run(format!("REVOKE {right} ON attempts FROM USER")).await;
        let text = refusal(&url).await;
        assert!(
            text.contains("lacks rights to attempts") && text.contains("GRANT SELECT"),
            "{right}: {text}"
        );
        run(format!("GRANT {right} ON attempts TO USER")).await;
    }
    run("REVOKE SELECT ON schema_migrations FROM USER".to_owned()).await;
    let text = refusal(&url).await;
    assert!(text.contains("permission denied for table schema_migrations"), "{text}");
    run("DROP OWNED BY USER; DROP ROLE USER".to_owned()).await;
}

#[tokio::test]
async fn a_start_whose_first_commit_is_cut_off_says_so_and_a_second_start_goes_well() {
    let database = Database::new().await;
    database.store().await;
    let stranger = database.stranger().await;
    // Sleeps because a server needs real time.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; END $$;
                CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON owners DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()";
    stranger.batch_execute(slow).await.unwrap();
    let opening = {
        let url = database.url.clone();
        tokio::spawn(async move { PostgresStore::open(&url, clock()).await })
    };
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%INSERT INTO owners%'";
    while stranger.query_one(cut, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        // Sleeps because a server needs real time.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let opened = opening.await.unwrap();
    assert!(matches!(opened, Err(StoreError::CommitUnknown(_))), "{opened:?}");
    stranger.batch_execute("DROP TRIGGER slow ON owners").await.unwrap();
    database.store().await.check().await.unwrap();
}
