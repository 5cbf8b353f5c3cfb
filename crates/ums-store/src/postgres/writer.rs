//! The writers: group commit.
//!
//! A commit is a wait for the disk and the network, and costs nearly the same for one request as for a hundred. So a
//! few tasks with a connection each take all requests that wait and write them as one transaction ([`group`](super::group)).
//! While one of them commits, the next requests gather for the next one.
//!
//! A request that finds no group on its way is written at once. While some are, a writer waits until it has its share of
//! all requests that are in hand, or until none is on its way any more: many small groups would cost more than that wait.
//!
//! Two requests about one message or one key are never in two transactions at once, nor twice in one: the
//! later one waits, so that they keep their order and no statement meets a row twice.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot, watch};
use ums_core::{Clock, StoreError, Stored};

use super::address::Address;
use super::connection::{Fault, Session};
use super::group::{self, Written};
use super::heads::Heads;
use super::request::{Answer, Request, TAKEN, WAITS, WITHDRAWN, Work, subjects};
use super::{ANSWER_WITHIN, Identity, STATEMENT_WITHIN};
use crate::encoded::Encoded;

/// Most requests in one commit.
const GROUP_REQUESTS: usize = 256;
/// Most bytes in one commit, as far as requests say their size.
const GROUP_BYTES: usize = 4 << 20;
/// Requests that may wait; more callers wait outside.
const QUEUE: usize = 1_024;
/// How often a group is written again when others were in its way.
const TRIES: usize = 8;

/// Why a request came to nothing without the database having been asked.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the store is closed")]
    Closed,
    #[error("the store's writer ended before it answered")]
    Lost,
    #[error("the database did not answer in time")]
    Late,
    #[error("others were in the way again and again")]
    Contended,
}

/// Requests that wait, and what is being written.
#[derive(Debug)]
struct Inbox {
    state: Mutex<Waiting>,
    arrived: Notify,
    room: Semaphore,
    writers: usize,
    commits: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<Request>,
    /// Subjects of the groups that are being written.
    busy: HashSet<u64>,
    /// Groups that are being written, and the requests in them.
    groups: usize,
    taken: usize,
    closed: bool,
}

/// A group, with its subjects busy until it is dropped.
#[derive(Debug)]
struct Group {
    requests: Vec<Request>,
    count: usize,
    subjects: Vec<u64>,
    inbox: Arc<Inbox>,
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut waiting = self.inbox.lock();
        for subject in &self.subjects {
            waiting.busy.remove(subject);
        }
        waiting.groups -= 1;
        waiting.taken -= self.count;
        if !waiting.requests.is_empty() {
            self.inbox.arrived.notify_one();
        }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what waits is enough for a group.
    fn is_worth_it(&self, waiting: &Waiting) -> bool {
        let share = (waiting.taken + waiting.requests.len()) / self.writers;
        waiting.groups == 0 || waiting.closed || waiting.requests.len() >= share
    }

    /// Takes all that can be written now. None when nothing can be; then whether the writer may end.
    fn take(self: &Arc<Self>) -> Result<Group, bool> {
        let mut waiting = self.lock();
        if !self.is_worth_it(&waiting) {
            return Err(false);
        }
        let (mut requests, mut subjects, mut kept) = (Vec::new(), Vec::new(), VecDeque::new());
        // Subjects of requests that must wait: those who come later must not overtake them.
        let mut blocked: HashSet<u64> = HashSet::new();
        let mut bytes = 0;
        while let Some(request) = waiting.requests.pop_front() {
            if requests.len() >= GROUP_REQUESTS || (bytes > 0 && bytes + request.bytes > GROUP_BYTES) {
                kept.push_back(request);
                break;
            }
            let is_free = |subject: &u64| !waiting.busy.contains(subject) && !blocked.contains(subject);
            if !request.subjects.iter().all(is_free) {
                blocked.extend(&request.subjects);
                kept.push_back(request);
                continue;
            }
            self.room.add_permits(1);
            if request
                .state
                .compare_exchange(WAITS, TAKEN, Ordering::AcqRel, Ordering::Acquire)
                .is_err()
            {
                continue;
            }
            bytes += request.bytes;
            waiting.busy.extend(&request.subjects);
            subjects.extend(&request.subjects);
            requests.push(request);
        }
        kept.append(&mut waiting.requests);
        waiting.requests = kept;
        if requests.is_empty() {
            return Err(waiting.closed && waiting.requests.is_empty());
        }
        if !waiting.requests.is_empty() {
            self.arrived.notify_one();
        }
        waiting.groups += 1;
        waiting.taken += requests.len();
        drop(waiting);
        Ok(Group {
            count: requests.len(),
            requests,
            subjects,
            inbox: Arc::clone(self),
        })
    }
}

/// The way to the writers.
#[derive(Debug)]
pub(crate) struct Writers {
    inbox: Arc<Inbox>,
    /// Writers that have not ended.
    running: watch::Receiver<usize>,
}

/// What every writer needs.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) address: Arc<Address>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) heads: Arc<Heads>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Writers {
    /// Starts the tasks; they connect when they are first needed.
    pub(crate) fn start(desk: &Desk, writers: usize) -> Self {
        let writers = writers.max(1);
        let inbox = Arc::new(Inbox {
            state: Mutex::default(),
            writers,
            arrived: Notify::new(),
            room: Semaphore::new(QUEUE),
            commits: AtomicU64::new(0),
        });
        let (ending, running) = watch::channel(writers);
        let ending = Arc::new(ending);
        for _ in 0..writers {
            let (inbox, desk, ending) = (Arc::clone(&inbox), desk.clone(), Arc::clone(&ending));
            drop(tokio::spawn(async move {
                run(&inbox, &desk).await;
                ending.send_modify(|running| *running -= 1);
            }));
        }
        Self { inbox, running }
    }

    /// Has work written in one of the next groups and waits until it is committed.
    ///
    /// # Cancel safety
    /// Once handed over it is done, whether or not the caller waits.
    pub(crate) async fn submit(&self, work: Work) -> Result<Answer, StoreError> {
        let state = Arc::new(AtomicU8::new(WAITS));
        let waiting = self.wait(work, Arc::clone(&state));
        let Ok(answer) = tokio::time::timeout(ANSWER_WITHIN, waiting).await else {
            let late = Box::new(Refused::Late);
            let is_withdrawn = state
                .compare_exchange(WAITS, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire)
                .is_ok();
            return Err(if is_withdrawn {
                StoreError::Unavailable(late)
            } else {
                StoreError::CommitUnknown(late)
            });
        };
        answer
    }

    async fn wait(&self, work: Work, state: Arc<AtomicU8>) -> Result<Answer, StoreError> {
        let closed = || StoreError::Unavailable(Box::new(Refused::Closed));
        let (caller, answer) = oneshot::channel();
        let bytes = match &work {
            Work::Accept(rows) => rows.iter().map(Encoded::bytes).sum(),
            Work::Record(..) => 0,
        };
        let request = Request {
            subjects: subjects(&work),
            work,
            bytes,
            state,
            caller,
        };
        self.inbox.room.acquire().await.map_err(|_| closed())?.forget();
        let is_worth_it = {
            let mut waiting = self.inbox.lock();
            if waiting.closed {
                return Err(closed());
            }
            waiting.requests.push_back(request);
            self.inbox.is_worth_it(&waiting)
        };
        if is_worth_it {
            self.inbox.arrived.notify_one();
        }
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::CommitUnknown(Box::new(Refused::Lost))))
    }

    /// Takes no more requests, does those that are waiting, and ends the tasks.
    pub(crate) async fn stop(&self, wait: Duration) {
        self.inbox.lock().closed = true;
        self.inbox.room.close();
        self.inbox.arrived.notify_waiters();
        self.inbox.arrived.notify_one();
        let mut running = self.running.clone();
        let stopped = running.wait_for(|running| *running == 0);
        if tokio::time::timeout(wait, stopped).await.is_err() {
            tracing::warn!("the store did not finish its writes in time");
        }
    }

    /// Commits so far.
    pub(crate) fn commits(&self) -> u64 {
        self.inbox.commits.load(Ordering::Relaxed)
    }
}

async fn run(inbox: &Arc<Inbox>, desk: &Desk) {
    let mut session = None;
    loop {
        let arrived = inbox.arrived.notified();
        match inbox.take() {
            Ok(group) => {
                // In a task of its own: a fault in it must not end the writer.
                let mut pen = Pen {
                    session: session.take(),
                    desk: desk.clone(),
                    inbox: Arc::clone(inbox),
                };
                let written = tokio::spawn(async move {
                    pen.write(group).await;
                    pen.session
                });
                session = written.await.unwrap_or_else(|error| {
                    tracing::error!(%error, "a commit was given up");
                    None
                });
            }
            Err(true) => {
                inbox.arrived.notify_one();
                return;
            }
            Err(false) => arrived.await,
        }
    }
}

/// Writes groups on a connection.
struct Pen {
    /// None until it is needed, and after a fault.
    session: Option<Session>,
    desk: Desk,
    inbox: Arc<Inbox>,
}

impl Pen {
    async fn write(&mut self, mut group: Group) {
        let mut parts = vec![std::mem::take(&mut group.requests)];
        while let Some(part) = parts.pop() {
            // The database refuses one of them, and the others must not suffer. One alone is always answered.
            if let Some(mut first) = self.write_together(part).await {
                parts.push(first.split_off(first.len() / 2));
                parts.push(first);
            }
        }
    }

    /// Writes requests as one transaction and answers them. Returns those that must be written in smaller parts.
    async fn write_together(&mut self, mut requests: Vec<Request>) -> Option<Vec<Request>> {
        for _ in 0..TRIES {
            if requests.is_empty() {
                return None;
            }
            // A connection that was good a moment ago may have ended with its server.
            let is_old = self.session.is_some();
            let mut committing = false;
            let trying = self.try_write(&mut requests, &mut committing);
            let (is_hung, written) = match tokio::time::timeout(STATEMENT_WITHIN, trying).await {
                Ok(written) => (false, written),
                Err(_) => (true, Err(Fault::hung())),
            };
            let fault = match written {
                Ok(Written::All) => {
                    self.inbox.commits.fetch_add(1, Ordering::Relaxed);
                    self.answer_written(requests);
                    return None;
                }
                Ok(Written::Sorted) => continue,
                Err(fault) => fault,
            };
            match &fault {
                Fault::Lost(_) => self.session = None,
                Fault::Busy(_) | Fault::Taken(_) | Fault::Data(_) | Fault::Refused(_) | Fault::Store(_) => self.roll_back().await,
            }
            match fault {
                Fault::Busy(_) => {}
                Fault::Lost(_) if is_old && !is_hung && !committing => {}
                Fault::Taken(_) | Fault::Data(_) if requests.len() > 1 => return Some(requests),
                fault @ (Fault::Lost(_) | Fault::Taken(_) | Fault::Data(_) | Fault::Refused(_) | Fault::Store(_)) => {
                    tracing::warn!(error = %fault, requests = requests.len(), "a commit failed");
                    answer_fault(requests, &fault, !committing);
                    return None;
                }
            }
        }
        for request in requests {
            request.answer(Err(StoreError::Unavailable(Box::new(Refused::Contended))));
        }
        None
    }

    /// Writes the requests, or answers and takes out those that cannot be written.
    async fn try_write(&mut self, requests: &mut Vec<Request>, committing: &mut bool) -> Result<Written, Fault> {
        let session = match self.session.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => Session::open(&self.desk.address).await?,
        };
        let session = self.session.insert(session);
        let (owner, now) = (self.desk.identity.owner(), self.desk.clock.now());
        group::write(session, owner, now, requests, committing).await
    }

    /// Ends a transaction that failed. Where that fails, too, the connection is given up.
    async fn roll_back(&mut self) {
        if let Some(session) = &self.session
            && super::connection::within(session.run("ROLLBACK")).await.is_err()
        {
            self.session = None;
        }
    }

    fn answer_written(&self, requests: Vec<Request>) {
        for request in requests {
            let answer = match &request.work {
                Work::Accept(rows) => {
                    for row in rows.iter() {
                        self.desk.heads.stored(&row.new);
                    }
                    Answer::Stored(rows.iter().map(|_| Stored::New).collect())
                }
                Work::Record(step, _) => {
                    self.desk.heads.moved(step);
                    Answer::Recorded
                }
            };
            request.answer(Ok(answer));
        }
    }
}

/// Tells all callers that nothing was written, or that nobody knows.
fn answer_fault(requests: Vec<Request>, fault: &Fault, not_written: bool) {
    for request in requests {
        let answer = match fault {
            Fault::Lost(_) if !not_written => StoreError::CommitUnknown(fault.to_string().into()),
            Fault::Store(StoreError::Unusable(text)) => StoreError::Unusable(text.clone()),
            Fault::Data(reason) => StoreError::RefusedData(reason.to_string()),
            Fault::Lost(_) | Fault::Busy(_) | Fault::Taken(_) | Fault::Refused(_) | Fault::Store(_) => {
                StoreError::Unavailable(fault.to_string().into())
            }
        };
        request.answer(Err(answer));
    }
}
