//! A PostgreSQL database of the release before, on the server that `UMS_TEST_POSTGRES_URL` names.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

#[path = "../it/shown.rs"]
mod shown;
#[path = "../it/upgrade.rs"]
mod upgrade;

use std::time::Duration;

use tokio_postgres::{Client, NoTls};
use ums_core::{AttemptId, SystemClock, SystemRandom};

use upgrade::Before;

const VARIABLE: &str = "UMS_TEST_POSTGRES_URL";

/// The server's URL, which names a database in which others can be made.
#[expect(clippy::disallowed_methods, reason = "a test finds its server as told by whoever runs it")]
fn server() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: these tests need a PostgreSQL server and a superuser's URL on the loopback; run `cargo xtask test`")
    })
}

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    client
}

/// Runs a test over a database as the release before left it, with what that release showed of it.
async fn over_the_database(test: impl AsyncFnOnce(String, Before)) {
    let server = server();
    let id = AttemptId::new(&SystemClock::new(), &SystemRandom);
    let name = format!("ums_test_{}", id.as_uuid().simple());
    let admin = client(&server).await;
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (head, _) = server.rsplit_once('/').unwrap();
    let url = format!("{head}/{name}");
    let dump = include_str!("../fixtures/before/postgres.sql");
    client(&url).await.batch_execute(dump).await.unwrap();
    test(url, Before::read(include_str!("../fixtures/before/postgres.json"))).await;
    // One that is left after a failure goes with the scratch server.
    admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}

#[tokio::test]
async fn a_database_of_the_release_before_shows_what_it_showed() {
    over_the_database(async |url, before: Before| {
        let store = ums_store::open(&url, before.clock.clone()).await.unwrap();
        before.is_shown_by(&*store).await;
        store.close(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn a_database_of_the_release_before_is_carried_on() {
    over_the_database(async |url, before: Before| {
        let store = ums_store::open(&url, before.clock.clone()).await.unwrap();
        before.is_carried_on(store).await;
    })
    .await;
}

#[tokio::test]
async fn attempts_of_the_release_before_that_called_nobody_are_no_calls() {
    over_the_database(async |url, before: Before| {
        let store = ums_store::open(&url, before.clock.clone()).await.unwrap();
        before.is_told_apart_by_calls(store).await;
    })
    .await;
}
