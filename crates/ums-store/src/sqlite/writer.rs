//! The one writer: group commit.
//!
//! A commit is a wait for the disk, and costs the same for one request as for a hundred. So one
//! thread owns the connection that writes; it takes all requests that came while the last commit was
//! under way, runs each in a savepoint of its own, commits once and then answers all. It never
//! waits for more to come: a lone caller pays for one commit and nothing else.
//!
//! SQLite is called directly on that thread, without a hop between threads for each statement.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};
use ums_core::StoreError;

use super::connection::{Opening, store_error, wants_reopening};
use super::owners::Ownership;

/// Most requests in one commit.
const GROUP_REQUESTS: usize = 256;
/// Most bytes in one commit, as far as requests say their size.
const GROUP_BYTES: usize = 4 << 20;
/// Requests that may wait; more callers wait outside.
const QUEUE: usize = 1_024;

/// Why a whole group was not committed.
#[derive(Debug)]
enum Fault {
    /// Nothing was written.
    NotWritten(Arc<rusqlite::Error>),
    /// The disk failed during the commit.
    Unknown(Arc<rusqlite::Error>),
}

impl Fault {
    fn not_written(error: rusqlite::Error) -> Self {
        Self::NotWritten(Arc::new(error))
    }

    /// A commit that found no room or no memory wrote no end mark, so it is surely not there.
    /// After any other fault the mark may or may not have reached the disk.
    fn at_commit(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::OutOfMemory | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::NotWritten(Arc::new(error))
            }
            _ => Self::Unknown(Arc::new(error)),
        }
    }

    fn source(&self) -> &rusqlite::Error {
        match self {
            Self::NotWritten(error) | Self::Unknown(error) => error,
        }
    }

    fn store_error(&self) -> StoreError {
        match self {
            Self::NotWritten(error) => StoreError::Unavailable(Box::new(Arc::clone(error))),
            Self::Unknown(error) => StoreError::CommitUnknown(Box::new(Arc::clone(error))),
        }
    }
}

/// Why a request came to nothing without SQLite having been asked.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the store is closed")]
    Closed,
    #[error("the store's writer ended before it answered")]
    Lost,
    #[error("the request panicked")]
    Panicked,
}

/// One request of a group, whatever it asks for.
trait Job: Send {
    fn bytes(&self) -> usize;
    /// Runs within the group's transaction. False when it must be rolled back.
    fn run(&mut self, connection: &Connection) -> bool;
    fn answer(self: Box<Self>, group: &Result<(), Fault>);
}

struct Request<T, F> {
    bytes: usize,
    work: Option<F>,
    outcome: Result<T, StoreError>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Request<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn run(&mut self, connection: &Connection) -> bool {
        if let Some(work) = self.work.take() {
            let caught = catch_unwind(AssertUnwindSafe(|| work(connection)));
            self.outcome = caught.unwrap_or_else(|_| Err(StoreError::Unavailable(Box::new(Refused::Panicked))));
        }
        self.outcome.is_ok()
    }

    fn answer(self: Box<Self>, group: &Result<(), Fault>) {
        let answer = match (self.outcome, group) {
            (Ok(_), Err(fault)) => Err(fault.store_error()),
            (outcome, _) => outcome,
        };
        // A caller who has gone away wants no answer.
        drop(self.caller.send(answer));
    }
}

enum Errand {
    Do(Box<dyn Job>),
    Stop,
}

/// The way to the writer's thread.
#[derive(Debug)]
pub(crate) struct Writer {
    errands: mpsc::Sender<Errand>,
    ended: watch::Receiver<bool>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread on an open connection. It holds the ownership until its last write.
    pub(crate) fn start(connection: Connection, opening: Arc<Opening>, ownership: Arc<Ownership>) -> Result<Self, StoreError> {
        let (errands, inbox) = mpsc::channel(QUEUE);
        let (ending, ended) = watch::channel(false);
        let commits = Arc::new(AtomicU64::new(0));
        let thread = WriterThread {
            connection: Some(connection),
            opening,
            commits: Arc::clone(&commits),
        };
        let work = move || {
            thread.run(inbox);
            ownership.release();
            ending.send_replace(true);
        };
        let spawned = std::thread::Builder::new().name("ums-store-writer".to_owned()).spawn(work);
        spawned.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        Ok(Self { errands, ended, commits })
    }

    /// Runs work in the next group and waits until it is committed.
    ///
    /// # Cancel safety
    /// Once handed over it is done, whether or not the caller waits.
    pub(crate) async fn submit<T, F>(&self, bytes: usize, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let outcome = Err(StoreError::Unavailable(Box::new(Refused::Lost)));
        let request = Request {
            bytes,
            work: Some(work),
            outcome,
            caller,
        };
        let handed_over = self.errands.send(Errand::Do(Box::new(request))).await;
        handed_over.map_err(|_| StoreError::Unavailable(Box::new(Refused::Closed)))?;
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::CommitUnknown(Box::new(Refused::Lost))))
    }

    /// Takes no more requests, does those that are waiting, and ends the thread.
    pub(crate) async fn stop(&self, wait: Duration) {
        let mut ended = self.ended.clone();
        let stopped = async {
            // An error means that it has stopped already.
            drop(self.errands.send(Errand::Stop).await);
            drop(ended.wait_for(|ended| *ended).await);
        };
        if tokio::time::timeout(wait, stopped).await.is_err() {
            tracing::warn!("the store did not finish its writes in time");
        }
    }

    /// Commits so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

struct WriterThread {
    /// None after a fault, until it is opened again.
    connection: Option<Connection>,
    opening: Arc<Opening>,
    commits: Arc<AtomicU64>,
}

impl WriterThread {
    fn run(mut self, mut inbox: mpsc::Receiver<Errand>) {
        let mut waiting = Vec::with_capacity(GROUP_REQUESTS);
        while inbox.blocking_recv_many(&mut waiting, GROUP_REQUESTS) > 0 {
            let mut group = Vec::with_capacity(waiting.len());
            let mut bytes = 0;
            for errand in waiting.drain(..) {
                let Errand::Do(job) = errand else {
                    inbox.close();
                    continue;
                };
                if bytes > 0 && bytes + job.bytes() > GROUP_BYTES {
                    self.commit(std::mem::take(&mut group));
                    bytes = 0;
                }
                bytes += job.bytes();
                group.push(job);
            }
            self.commit(group);
        }
    }

    fn commit(&mut self, mut group: Vec<Box<dyn Job>>) {
        if group.is_empty() {
            return;
        }
        let result = self.try_commit(&mut group);
        if let Err(fault) = &result {
            tracing::warn!(error = %fault.source(), requests = group.len(), "a commit failed");
            if wants_reopening(fault.source()) {
                self.connection = None;
            }
        }
        for job in group {
            job.answer(&result);
        }
    }

    fn try_commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Fault> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            broken => broken.insert(self.opening.writer().map_err(Fault::not_written)?),
        };
        let result = run_group(connection, group);
        if result.is_err() && !connection.is_autocommit() {
            drop(execute(connection, "ROLLBACK"));
        }
        if result.is_ok() {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
}

fn run_group(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), Fault> {
    execute(connection, "BEGIN IMMEDIATE").map_err(Fault::not_written)?;
    for job in group {
        execute(connection, "SAVEPOINT request").map_err(Fault::not_written)?;
        let keep = job.run(connection);
        if !keep {
            // Some errors (a full disk) end the whole transaction; then this fails, and all is lost.
            execute(connection, "ROLLBACK TO request").map_err(Fault::not_written)?;
        }
        execute(connection, "RELEASE request").map_err(Fault::not_written)?;
    }
    execute(connection, "COMMIT").map_err(Fault::at_commit)
}

fn execute(connection: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Runs work that reads in a transaction of its own, so that it sees one state.
pub(crate) fn read_once<T>(connection: &Connection, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
    execute(connection, "BEGIN").map_err(store_error)?;
    let result = work(connection);
    execute(connection, "COMMIT").map_err(store_error)?;
    result
}
