//! Connections that read, beside the writer: with a write-ahead log they never wait for it.
//!
//! Each has a thread of its own. The blocking threads of the runtime are no substitute: a read that ends leaves its thread busy for a
//! moment, in which the next read gets a new thread, and at many reads a second none of them is idle long enough to end.
//!
//! Only here: connections to a file are cheap and are opened for reading alone.

use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};
use ums_core::StoreError;

use super::connection::{Opening, store_error};
use super::owners::Ownership;
use super::writer::read_once;

type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug, thiserror::Error)]
#[error("a reader of the store ended before it answered")]
struct ReaderLost;

/// A few connections, opened when they are first needed.
#[derive(Debug)]
pub(crate) struct Readers {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared {
    opening: Arc<Opening>,
    ownership: Arc<Ownership>,
    path: PathBuf,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    readers: Vec<Reader>,
    is_closed: bool,
}

/// A thread and the connection on which it reads. The thread ends when its reader is dropped.
#[derive(Debug)]
struct Reader {
    jobs: Sender<Job>,
    /// None until it is first needed, and after a fault.
    connection: Option<Connection>,
}

impl Readers {
    pub(crate) fn new(opening: Arc<Opening>, ownership: Arc<Ownership>, path: PathBuf, connections: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                opening,
                ownership,
                path,
                idle: Mutex::default(),
            }),
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
        let mut reader = self.shared.take().map_err(|error| unavailable(error.into()))?;
        let (shared, jobs) = (Arc::clone(&self.shared), reader.jobs.clone());
        let (caller, answer) = oneshot::channel();
        let job = move || {
            let result = shared.read_on(&mut reader, work);
            shared.put_back(reader);
            // After the reader: whoever gets the permit finds it.
            drop(permit);
            // A caller who has gone wants no answer.
            drop(caller.send(result));
        };
        jobs.send(Box::new(job)).map_err(|_| unavailable(ReaderLost.into()))?;
        answer.await.unwrap_or_else(|_| Err(unavailable(ReaderLost.into())))
    }

    /// Closes the idle connections and opens no more.
    pub(crate) fn close(&self) {
        self.permits.close();
        let readers = {
            let mut idle = self.shared.idle();
            idle.is_closed = true;
            std::mem::take(&mut idle.readers)
        };
        for reader in readers {
            self.shared.close(reader);
        }
    }
}

impl Shared {
    /// An idle reader, or a new one: there are never more than permits.
    fn take(&self) -> std::io::Result<Reader> {
        let idle = self.idle().readers.pop();
        idle.map_or_else(Reader::start, Ok)
    }

    fn put_back(&self, reader: Reader) {
        let mut idle = self.idle();
        if idle.is_closed {
            drop(idle);
            self.close(reader);
        } else {
            idle.readers.push(reader);
        }
    }

    fn close(&self, reader: Reader) {
        if let Some(connection) = reader.connection {
            self.ownership.close(connection);
        }
    }

    fn read_on<T>(&self, reader: &mut Reader, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // Before a connection is opened, which would open whatever lies there now.
        self.ownership.check()?;
        let kept = reader.connection.take();
        let connection = kept.map_or_else(|| self.opening.reader(&self.path), Ok).map_err(store_error)?;
        let result = read_once(&connection, work);
        // A connection that failed is not used again.
        if !matches!(result, Err(StoreError::Unavailable(_) | StoreError::Unusable(_))) {
            reader.connection = Some(connection);
        }
        result
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    fn start() -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let work = move || inbox.into_iter().for_each(|job| job());
        std::thread::Builder::new().name("ums-store-reader".to_owned()).spawn(work)?;
        Ok(Self { jobs, connection: None })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use ums_core::SystemClock;

    use crate::sqlite::{SqliteOptions, SqliteStore};

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn reads_take_as_many_threads_as_connections_however_many_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("ums.db").display());
        let options = SqliteOptions {
            readers: 2,
            ..SqliteOptions::default()
        };
        let store = SqliteStore::open_with(&url, Arc::new(SystemClock::new()), options).await.unwrap();
        let store = Arc::new(store);
        let callers: Vec<_> = (0..16)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let mut threads = HashSet::new();
                    for _ in 0..200 {
                        threads.insert(store.read(|_| Ok(std::thread::current().id())).await.unwrap());
                    }
                    threads
                })
            })
            .collect();
        let mut threads = HashSet::new();
        for caller in callers {
            threads.extend(caller.await.unwrap());
        }
        assert!(threads.len() <= 2, "{} threads read on two connections", threads.len());
    }
}
