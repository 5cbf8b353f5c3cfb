//! Connections that read, beside the writer: with a write-ahead log they never wait for it.
//!
//! Only here: connections to a file are cheap and are opened for reading alone.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use ums_core::StoreError;

use super::connection::{Opening, store_error};
use super::owners::Ownership;
use super::writer::read_once;

/// A few connections, opened when they are first needed.
#[derive(Debug)]
pub(crate) struct Readers {
    opening: Arc<Opening>,
    ownership: Arc<Ownership>,
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(opening: Arc<Opening>, ownership: Arc<Ownership>, path: PathBuf, connections: usize) -> Self {
        Self {
            opening,
            ownership,
            path,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(connections.max(1))),
        }
    }

    /// Runs work on a connection of its own, in one read transaction, off the async threads.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let unavailable = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Unavailable(error);
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|error| unavailable(error.into()))?;
        let (opening, path, idle) = (Arc::clone(&self.opening), self.path.clone(), Arc::clone(&self.idle));
        let ownership = Arc::clone(&self.ownership);
        let reading = tokio::task::spawn_blocking(move || {
            // Before a connection is opened, which would open whatever lies there now.
            ownership.check()?;
            let spare = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = spare.map_or_else(|| opening.reader(&path), Ok).map_err(store_error)?;
            let result = read_once(&connection, work);
            // A connection that failed is not used again.
            if !matches!(result, Err(StoreError::Unavailable(_) | StoreError::Unusable(_))) {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            drop(permit);
            result
        });
        reading.await.map_err(|error| unavailable(error.into()))?
    }

    /// Closes the idle connections and opens no more.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
