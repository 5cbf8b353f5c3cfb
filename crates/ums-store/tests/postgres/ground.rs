//! A database for each test, made and dropped on the server that `UMS_TEST_POSTGRES_URL` names.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::{Client, NoTls};
use ums_core::{AttemptId, Clock, Store, StoreError, SystemClock, SystemRandom};
use ums_store::conformance::Ground;
use ums_store::{PostgresOptions, PostgresStore};

const VARIABLE: &str = "UMS_TEST_POSTGRES_URL";

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// The server's URL, which names a database in which others can be made.
#[expect(clippy::disallowed_methods, reason = "a test finds its server as told by whoever runs it")]
fn server() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: these tests need a PostgreSQL server and a superuser's URL on the loopback; run `cargo xtask test`")
    })
}

/// A client that is not the store.
pub(crate) async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    client
}

/// An empty database of its own.
#[derive(Debug)]
pub(crate) struct Database {
    name: String,
    pub(crate) url: String,
}

impl Database {
    pub(crate) async fn new() -> Self {
        let server = server();
        let id = AttemptId::new(&SystemClock::new(), &SystemRandom);
        let name = format!("ums_test_{}", id.as_uuid().simple());
        client(&server)
            .await
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        let (head, _) = server.rsplit_once('/').unwrap();
        Self {
            url: format!("{head}/{name}"),
            name,
        }
    }

    /// A store as one process opens it.
    pub(crate) async fn store(&self) -> Arc<PostgresStore> {
        self.store_with(PostgresOptions::default()).await
    }

    pub(crate) async fn store_with_lease(&self, lease: Duration) -> Arc<PostgresStore> {
        self.store_with(PostgresOptions {
            lease,
            ..PostgresOptions::default()
        })
        .await
    }

    pub(crate) async fn store_with(&self, options: PostgresOptions) -> Arc<PostgresStore> {
        Arc::new(PostgresStore::open_with(&self.url, clock(), options).await.unwrap())
    }

    /// A connection of somebody else's program to the same database.
    pub(crate) async fn stranger(&self) -> Client {
        client(&self.url).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (server(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                client(&server).await.batch_execute(&drop).await.unwrap();
            });
        });
        dropping.join().unwrap();
    }
}

/// The ground of the suite: the database is made when the store is first opened.
#[derive(Debug, Default)]
pub(crate) struct Suite {
    database: tokio::sync::OnceCell<Database>,
}

#[async_trait]
impl Ground for Suite {
    async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        let database = self.database.get_or_init(Database::new).await;
        Ok(Arc::new(PostgresStore::open(&database.url, clock()).await?))
    }
}
