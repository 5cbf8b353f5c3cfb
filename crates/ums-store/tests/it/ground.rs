//! Where the stores of these tests are.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use ums_core::{Clock, Store, StoreError, SystemClock};
use ums_store::conformance::Ground;
use ums_store::{MemoryStore, SqliteOptions, SqliteStore};

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

pub(crate) struct Memory(Arc<MemoryStore>);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(Arc::new(MemoryStore::new(clock())))
    }
}

#[async_trait]
impl Ground for Memory {
    async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        let store: Arc<MemoryStore> = Arc::clone(&self.0);
        Ok(store)
    }
}

pub(crate) struct SqliteMemory;

#[async_trait]
impl Ground for SqliteMemory {
    async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(SqliteStore::open("sqlite::memory:", clock()).await?))
    }
}

/// A file in a directory of its own, which ends with the test.
pub(crate) struct SqliteFile(TempDir);

impl SqliteFile {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("ums.db")
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.path().display())
    }

    pub(crate) async fn store(&self) -> Arc<SqliteStore> {
        self.try_store().await.unwrap()
    }

    pub(crate) async fn try_store(&self) -> Result<Arc<SqliteStore>, StoreError> {
        let options = SqliteOptions {
            busy_timeout: Duration::from_millis(50),
            ..SqliteOptions::default()
        };
        SqliteStore::open_with(&self.url(), clock(), options).await.map(Arc::new)
    }

    /// A connection of somebody else's program to the same file.
    pub(crate) fn stranger(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
}

#[async_trait]
impl Ground for SqliteFile {
    async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(SqliteStore::open(&self.url(), clock()).await?))
    }

    async fn open_beside(&self) -> Result<Option<Arc<dyn Store>>, StoreError> {
        self.open().await.map(Some)
    }
}
