//! Messages in a SQLite file: the default, no server.
//!
//! A write-ahead log with `synchronous = FULL`: a commit is on the disk before it is answered. All
//! writes go through one thread ([`writer`]), reads through a few connections beside it. The SQL stands in
//! the function that runs it, in the file named after its table or its use.

mod acts;
mod aftermath;
mod attempts;
pub(crate) mod backup;
mod breakers;
mod clock;
mod codes;
mod connection;
mod content;
mod contents;
mod cursors;
mod descriptors;
mod endpoints;
mod events;
mod feedback;
mod ground;
mod idempotency;
mod identity;
mod listing;
mod messages;
pub(crate) mod migrate;
mod mounts;
mod notices;
mod owners;
mod queue;
mod rates;
mod readers;
mod recipients;
pub(crate) mod restore;
mod retention;
mod row;
mod seal;
mod skips;
mod standing;
mod suppressions;
mod switches;
mod targets;
mod undos;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use ums_core::{
    AccountId, BreakerRecord, Clock, Content, Lease, MessageFilter, MessageId, MessagePage, MessageRecord, NewMessage, ProviderKind,
    Pruned, Recovered, Retention, Room, Step, Store, StoreError, Stored, TenantId, Timestamp, Troubles,
};

use crate::encoded::{Encoded, EncodedStep};
use crate::fence::{self, Process};
use crate::location::Location;
use crate::plain;
use connection::{Opening, store_error};
use ground::Loss;
use identity::Identity;
use owners::Ownership;
use queue::Turns;
use readers::Readers;
use writer::Writer;

/// For how long the row of a process that has gone is kept, for people who look into the file.
const FORGET_OWNERS_AFTER: Duration = Duration::from_hours(24);

/// How a SQLite store is opened.
#[derive(Clone, Copy, Debug)]
pub struct SqliteOptions {
    /// Connections that read.
    pub readers: usize,
    /// How long a write waits for another process's write.
    pub busy_timeout: Duration,
    /// Largest size of the file in pages of 4 KiB; beyond it writes fail as on a full disk.
    pub max_pages: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            max_pages: None,
        }
    }
}

/// A store in a SQLite file, or in SQLite's memory for tests.
pub struct SqliteStore {
    writer: Writer,
    /// None for a database in memory: there is one connection to it.
    readers: Option<Readers>,
    ownership: Arc<Ownership>,
    identity: Arc<Identity>,
    opening: Arc<Opening>,
    owner: i64,
    turns: Arc<Turns>,
    clock: Arc<dyn Clock>,
}

impl SqliteStore {
    /// Opens a database by its URL, as [`open`](crate::open) reads it, or makes it.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the file cannot be used as it is, [`StoreError::Unavailable`] when
    /// another process keeps it locked.
    pub async fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_with(url, clock, SqliteOptions::default()).await
    }

    /// Opens a database with options.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_with(url: &str, clock: Arc<dyn Clock>, options: SqliteOptions) -> Result<Self, StoreError> {
        let path = match Location::parse(url)? {
            Location::SqliteFile(path) => Some(path),
            Location::SqliteMemory => None,
            Location::Memory | Location::Postgres(_) => {
                return Err(StoreError::Unusable("the database URL does not name a SQLite database".to_owned()));
            }
        };
        let opened = tokio::task::spawn_blocking(move || open_blocking(path.as_deref(), clock, options));
        opened.await.map_err(|error| StoreError::Unavailable(Box::new(error)))?
    }

    /// Commits so far: far fewer than requests when many come at once.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// Sets the largest size of the file, in pages of 4 KiB; none for no limit.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the writer cannot be reached.
    pub async fn limit_pages(&self, pages: Option<u32>) -> Result<(), StoreError> {
        self.opening.max_pages.store(pages.unwrap_or(0), Ordering::Relaxed);
        let opening = Arc::clone(&self.opening);
        self.writer
            .submit(0, move |connection| opening.apply_limit(connection).map_err(store_error))
            .await
    }

    /// How many messages are kept.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn count(&self) -> Result<u64, StoreError> {
        self.read(messages::count).await
    }

    async fn store(&self, rows: Arc<[Encoded]>, accept: messages::Accept) -> Result<Vec<Stored>, StoreError> {
        let (process, now) = (self.process(), self.clock.now());
        plain::until_stored(rows, |rows| {
            let bytes = rows.iter().map(Encoded::bytes).sum();
            let work = move |connection: &Connection| accept(connection, process, &rows, now);
            self.writer.submit(bytes, work)
        })
        .await
    }

    fn process(&self) -> Process {
        Process {
            owner: self.owner,
            may_send: self.ownership.is_held(),
        }
    }

    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        match &self.readers {
            Some(readers) => readers.read(work).await,
            None => self.writer.submit(0, work).await,
        }
    }
}

fn open_blocking(path: Option<&Path>, clock: Arc<dyn Clock>, options: SqliteOptions) -> Result<SqliteStore, StoreError> {
    let ownership = Arc::new(match path {
        Some(path) => Ownership::of(path)?,
        None => Ownership::alone(),
    });
    let opening = Arc::new(Opening {
        path: ownership.path().map(Path::to_owned),
        busy: options.busy_timeout,
        max_pages: AtomicU32::new(options.max_pages.unwrap_or(0)),
    });
    let mut connection = opening.writer().map_err(store_error)?;
    drop(migrate::migrate(&mut connection, clock.now())?);
    let owner = owners::register(&connection, clock.now())?;
    let identity = Arc::new(Identity::of(&connection)?);
    if !ownership.is_held() {
        tracing::info!("{}", ownership.holder());
    }
    let readers = opening
        .path
        .as_deref()
        .map(|path: &Path| Readers::new(Arc::clone(&opening), Arc::clone(&ownership), path.to_owned(), options.readers));
    let writer = Writer::start(connection, Arc::clone(&opening), Arc::clone(&ownership), Arc::clone(&clock))?;
    owners::watch(&ownership)?;
    Ok(SqliteStore {
        writer,
        readers,
        ownership,
        identity,
        opening,
        owner,
        turns: Arc::default(),
        clock,
    })
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteStore({:?}, owner {})", self.opening.path, self.ownership.is_held())
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn is_durable(&self) -> bool {
        self.opening.path.is_some()
    }

    fn is_owner(&self) -> bool {
        self.ownership.is_held()
    }

    fn tell_troubles(&self, troubles: &Troubles) {
        self.ownership.tell(troubles.clone(), Arc::clone(&self.clock));
    }

    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError> {
        let answers = self.store(Arc::new([Encoded::new(new)?]), messages::accept_each).await?;
        answers
            .first()
            .copied()
            .ok_or_else(|| StoreError::CommitUnknown("the answer was lost".into()))
    }

    async fn record(&self, step: Step) -> Result<(), StoreError> {
        let (process, now) = (self.process(), self.clock.now());
        // The mark of the step as it was given: by it the step is known when it is repeated.
        let mark = fence::mark(process.owner, &step);
        plain::until_taken(step, |step| async move {
            let step = EncodedStep::new(step, mark)?;
            let work = move |connection: &Connection| messages::record(connection, (process, fence::judge), &step, now);
            self.writer.submit(0, work).await
        })
        .await
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |connection| messages::whole(connection, &tenant, id)).await
    }

    async fn content(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Content>, StoreError> {
        let tenant = tenant.clone();
        self.read(move |connection| contents::whole(connection, &tenant, id)).await
    }

    async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError> {
        let (tenant, filter) = (tenant.clone(), filter.clone());
        self.read(move |connection| listing::messages(connection, &tenant, &filter, cursor, limit))
            .await
    }

    async fn claim_due(&self, now: Timestamp, room: Room) -> Result<Vec<MessageRecord>, StoreError> {
        let Process { owner, may_send } = self.process();
        if !may_send {
            return Ok(Vec::new());
        }
        let turns = Arc::clone(&self.turns);
        let keys = self
            .writer
            .submit(0, move |connection| queue::claim_due(connection, owner, now, room, &turns))
            .await?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Arc<[(TenantId, MessageId)]> = keys.into();
        let claimed = Arc::clone(&keys);
        let records = self.read(move |connection| queue::claimed(connection, &claimed)).await;
        if records.is_err() {
            // Nobody would send what nobody was told of. When this fails too, the process finds them among its own.
            drop(self.give_back(&keys, now).await);
        }
        records
    }

    async fn accept_all(&self, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError> {
        self.store(new.into_iter().map(Encoded::new).collect::<Result<_, _>>()?, messages::accept_all)
            .await
    }

    async fn backlog(&self, at_most: u64) -> Result<u64, StoreError> {
        self.read(move |connection| queue::backlog(connection, at_most)).await
    }

    async fn renew(&self) -> Result<Lease, StoreError> {
        Ok(Lease {
            owner: self.owner,
            ..Lease::FOREVER
        })
    }

    async fn under_way(&self, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        let owner = self.owner;
        self.read(move |connection| queue::under_way(connection, owner, limit)).await
    }

    async fn give_back(&self, messages: &[(TenantId, MessageId)], now: Timestamp) -> Result<Recovered, StoreError> {
        let (owner, messages) = (self.owner, messages.to_vec());
        self.writer
            .submit(0, move |connection| queue::give_back(connection, owner, &messages, now))
            .await
    }

    /// Only the process that sends does this.
    async fn prune(&self, retention: Retention, now: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        if !self.ownership.is_held() {
            return Ok(Pruned::default());
        }
        self.writer
            .submit(0, move |connection| retention::prune(connection, retention, now, limit))
            .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(queue::next_due).await
    }

    /// A process that was not the owner becomes it here when the owner has died.
    async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError> {
        if !self.ownership.try_take()? {
            return Ok(Recovered::default());
        }
        let owner = self.owner;
        let (identity, ownership) = (Arc::clone(&self.identity), Arc::clone(&self.ownership));
        let work = move |connection: &Connection| {
            let Some(proof) = identity.prove(connection)? else {
                return Err(ownership.lose(Loss::Restored).into());
            };
            owners::forget_others(connection, owner, now - FORGET_OWNERS_AFTER)?;
            Ok((proof, queue::recover(connection, owner, now)?))
        };
        let (proof, recovered) = self.writer.submit(0, work).await?;
        self.identity.note(proof);
        Ok(recovered)
    }

    async fn save_breaker(&self, record: BreakerRecord) -> Result<(), StoreError> {
        let owner = self.owner;
        self.writer
            .submit(0, move |connection| breakers::save(connection, owner, &record))
            .await
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        self.read(breakers::all).await
    }

    async fn recipients_sent_since(&self, provider: ProviderKind, account: &AccountId, since: Timestamp) -> Result<u64, StoreError> {
        let account = account.clone();
        self.read(move |connection| attempts::recipients_sent_since(connection, provider, &account, since))
            .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        let (owner, now) = (self.owner, self.clock.now());
        self.writer
            .submit(0, move |connection| owners::renew(connection, owner, now))
            .await?;
        let seen = self.read(move |connection| owners::seen(connection, owner)).await?;
        if seen >= Some(now) {
            Ok(())
        } else {
            Err(StoreError::Unavailable("what was written could not be read back".into()))
        }
    }

    async fn close(&self, wait: Duration) {
        self.writer.stop(wait).await;
        if let Some(readers) = &self.readers {
            readers.close();
        }
    }
}
