//! The one writer: group commit.
//!
//! A commit is a wait for the disk, and costs the same for one request as for a hundred. So one
//! thread owns the connection that writes; it takes all requests that came while the last commit was
//! under way, runs them in one transaction, commits once and then answers all. A request that
//! fails takes no other with it: the group is run again with each in a savepoint of its own.
//!
//! A lone caller never waits for others to come. But many callers who have just been answered are about to come
//! back: the first of them would get a commit for itself, and all others would wait for it. So after
//! a group of several the thread lets them arrive, for a small part of what the commit took. With 64
//! callers that makes groups of about 62 instead of 40, which counts where the disk is slow.
//!
//! SQLite is called directly on that thread, without a hop between threads for each statement.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};
use ums_core::{Clock, StoreError, failpoint};

use super::connection::{Opening, store_error, wants_reopening};

use super::ground::Lost;
use super::owners::Ownership;

/// Most requests in one commit.
const GROUP_REQUESTS: usize = 256;
/// Most bytes in one commit, as far as requests say their size.
const GROUP_BYTES: usize = 4 << 20;
/// What part of a commit's duration the callers of a group get to come back in.
const RETURN_SHARE: u32 = 8;
/// The longest that they get.
const RETURN_LIMIT: Duration = Duration::from_millis(1);
/// How often their arrival is looked at.
const RETURN_LOOK: Duration = Duration::from_micros(50);
/// Requests that may wait; more callers wait outside.
const QUEUE: usize = 1_024;

/// Why a whole group was not committed.
#[derive(Debug)]
enum Fault {
    /// Nothing was written.
    NotWritten(Arc<rusqlite::Error>),
    /// The disk failed during the commit.
    Unknown(Arc<rusqlite::Error>),
    /// The database was taken away, perhaps after the commit: what was written can be anywhere.
    Lost(Lost),
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

    fn wants_reopening(&self) -> bool {
        match self {
            Self::NotWritten(error) | Self::Unknown(error) => wants_reopening(error),
            Self::Lost(lost) => matches!(lost, Lost::Gone(_)),
        }
    }

    fn store_error(&self) -> StoreError {
        match self {
            Self::NotWritten(error) => StoreError::Unavailable(Box::new(Arc::clone(error))),
            Self::Unknown(error) => StoreError::CommitUnknown(Box::new(Arc::clone(error))),
            Self::Lost(lost) => lost.clone().into(),
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
    /// Runs within the group's transaction. False when what it wrote must be rolled back.
    fn run(&mut self, connection: &Connection) -> bool;
    fn answer(self: Box<Self>, group: &Result<(), Fault>);
}

struct Request<T, F> {
    bytes: usize,
    work: F,
    /// None until the work was run.
    outcome: Option<Result<T, StoreError>>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Request<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<T, StoreError> + Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let caught = catch_unwind(AssertUnwindSafe(|| (self.work)(connection)));
        let outcome = caught.unwrap_or_else(|_| Err(StoreError::Unavailable(Box::new(Refused::Panicked))));
        self.outcome.insert(outcome).is_ok()
    }

    fn answer(self: Box<Self>, group: &Result<(), Fault>) {
        let answer = match (self.outcome, group) {
            (Some(Ok(_)) | None, Err(fault)) => Err(fault.store_error()),
            (Some(outcome), _) => outcome,
            (None, Ok(())) => Err(StoreError::Unavailable(Box::new(Refused::Lost))),
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
    pub(crate) fn start(
        connection: Connection,
        opening: Arc<Opening>,
        ownership: Arc<Ownership>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let (errands, inbox) = mpsc::channel(QUEUE);
        let (ending, ended) = watch::channel(false);
        let commits = Arc::new(AtomicU64::new(0));
        let thread = WriterThread {
            connection: Some(connection),
            opening,
            ownership: Arc::clone(&ownership),
            clock,
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

    /// Runs work in the next group and waits until it is committed. What it wrote is rolled back when it
    /// returns an error. It may be run twice: again when another request spoiled the group.
    ///
    /// # Cancel safety
    /// Once handed over it is done, whether or not the caller waits.
    pub(crate) async fn submit<T, F>(&self, bytes: usize, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let request = Request {
            bytes,
            work,
            outcome: None,
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
    ownership: Arc<Ownership>,
    clock: Arc<dyn Clock>,
    commits: Arc<AtomicU64>,
}

impl WriterThread {
    fn run(mut self, mut inbox: mpsc::Receiver<Errand>) {
        let mut waiting = Vec::with_capacity(GROUP_REQUESTS);
        while inbox.blocking_recv_many(&mut waiting, GROUP_REQUESTS) > 0 {
            let (requests, start) = (waiting.len(), self.clock.monotonic());
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
            if requests > 1 {
                let patience = (self.clock.monotonic().since(start) / RETURN_SHARE).min(RETURN_LIMIT);
                let_return(&inbox, requests, patience);
            }
        }
        self.ownership.disown();
    }

    fn commit(&mut self, mut group: Vec<Box<dyn Job>>) {
        if group.is_empty() {
            return;
        }
        let result = match self.ownership.gone() {
            Some(gone) => Err(Fault::Lost(gone)),
            None => self.try_commit(&mut group).and_then(|()| self.is_still_there()),
        };
        if let Err(fault) = &result {
            if !matches!(fault, Fault::Lost(Lost::Gone(_))) {
                tracing::warn!(error = %fault.store_error(), requests = group.len(), "a commit failed");
            }
            if fault.wants_reopening() {
                self.ownership.disown();
                self.connection = None;
            }
        }
        for job in group {
            job.answer(&result);
        }
    }

    /// Before anybody is answered: a file that is gone keeps no promise.
    fn is_still_there(&self) -> Result<(), Fault> {
        self.ownership.adopt();
        self.ownership.look().map_err(Fault::Lost)
    }

    fn try_commit(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Fault> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            broken => {
                // Else SQLite would open whatever lies there now.
                self.ownership.check().map_err(Fault::Lost)?;
                broken.insert(self.opening.writer().map_err(Fault::not_written)?)
            }
        };
        let mut result = run_group(connection, group, Savepoints::None);
        if matches!(result, Ok(End::Spoiled)) {
            result = roll_back(connection).and_then(|()| run_group(connection, group, Savepoints::Each));
        }
        if result.is_err() && !connection.is_autocommit() {
            drop(execute(connection, "ROLLBACK"));
        }
        if result.is_ok() {
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        result.map(drop)
    }
}

/// Waits until as many requests wait as were answered just now, or patience ends.
fn let_return(inbox: &mpsc::Receiver<Errand>, answered: usize, patience: Duration) {
    let looks = patience.as_micros() / RETURN_LOOK.as_micros();
    let expected = (inbox.len() + answered).min(GROUP_REQUESTS);
    for _ in 0..looks {
        if inbox.len() >= expected {
            break;
        }
        std::thread::park_timeout(RETURN_LOOK);
    }
}

/// How the run of a group ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Committed,
    /// A request failed after it had written; nothing is committed.
    Spoiled,
}

/// Whether each request of a group gets a savepoint of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Savepoints {
    None,
    Each,
}

fn run_group(connection: &Connection, group: &mut [Box<dyn Job>], savepoints: Savepoints) -> Result<End, Fault> {
    execute(connection, "BEGIN IMMEDIATE").map_err(Fault::not_written)?;
    for job in group {
        match savepoints {
            Savepoints::Each => run_apart(connection, &mut **job)?,
            Savepoints::None if !run_trusting(connection, &mut **job) => return Ok(End::Spoiled),
            Savepoints::None => {}
        }
    }
    failpoint::pass("group.before_commit");
    execute(connection, "COMMIT").map_err(Fault::at_commit)?;
    failpoint::pass("group.after_commit");
    Ok(End::Committed)
}

/// Without a savepoint, since SQLite copies each page that is changed under one, which costs more than the
/// changes themselves. Requests fail before they write, as a rule; then there is nothing to undo.
/// False when there is.
fn run_trusting(connection: &Connection, job: &mut dyn Job) -> bool {
    let before = connection.total_changes();
    job.run(connection) || (connection.total_changes() == before && !connection.is_autocommit())
}

/// In a savepoint of its own, so that what it wrote can be undone without harm to the others.
fn run_apart(connection: &Connection, job: &mut dyn Job) -> Result<(), Fault> {
    execute(connection, "SAVEPOINT request").map_err(Fault::not_written)?;
    if !job.run(connection) {
        // Some errors (a full disk) end the whole transaction; then this fails, and all is lost.
        execute(connection, "ROLLBACK TO request").map_err(Fault::not_written)?;
    }
    execute(connection, "RELEASE request").map_err(Fault::not_written)
}

fn roll_back(connection: &Connection) -> Result<(), Fault> {
    if connection.is_autocommit() {
        Ok(())
    } else {
        execute(connection, "ROLLBACK").map_err(Fault::not_written)
    }
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
