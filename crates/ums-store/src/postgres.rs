//! Messages in PostgreSQL: for several processes on one database.
//!
//! Any number of processes send from it at the same time. Each has a lease on the messages that it works on
//! ([`owners`]), on the database's clock. Writes go in groups through a few connections ([`writer`]), reads and what is
//! a transaction of its own through a few others. The SQL stands in the function that runs it, in the file named after its
//! table or its use, as it does for SQLite.

mod acts;
mod address;
mod aftermath;
mod attempts;
pub(crate) mod backup;
mod breakers;
mod clock;
mod codes;
mod connection;
mod contacts;
mod contents;
mod cursors;
mod door;
mod endpoints;
mod events;
mod feedback;
mod group;
mod heads;
mod idempotency;
mod listing;
mod messages;
pub(crate) mod migrate;
mod notices;
mod owners;
mod pace;
mod programs;
mod queue;
mod rates;
mod recipients;
mod request;
pub(crate) mod restore;
mod retention;
mod row;
mod sessions;
mod skips;
mod suppressions;
mod switches;
mod tables;
mod targets;
mod tls;
mod undos;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{
    AccountId, BreakerRecord, Clock, Content, Lease, MessageFilter, MessageId, MessagePage, MessageRecord, NewMessage, PaceGrant,
    PaceRequest, ProviderKind, Pruned, Recovered, Retention, Room, Step, Store, StoreError, Stored, TenantId, Timestamp,
};

pub(crate) use address::Address;
use connection::{Fault, Session, within};
use request::{Answer, Work};
use retention::Walks;
use sessions::Sessions;
use writer::{Desk, Writers};

use crate::encoded::Encoded;
use crate::fence;
use crate::location::Location;
use crate::plain;

/// How long a connection may take to be ready.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long a transaction may take, seen from here; the database itself gives up a statement a little earlier.
pub(crate) const STATEMENT_WITHIN: Duration = Duration::from_millis(4_500);
/// How long a caller waits for a write at most.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How a PostgreSQL store is opened.
#[derive(Clone, Copy, Debug)]
pub struct PostgresOptions {
    /// Connections that write groups of requests.
    pub writers: usize,
    /// Connections that read.
    pub readers: usize,
    /// How long this process's lease on its messages lasts.
    pub lease: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            writers: 3,
            readers: 4,
            lease: Duration::from_mins(1),
        }
    }
}

/// Connections for claims, leases, recovery and what else must not wait behind reads.
const ERRANDS: usize = 2;
/// Connections for feedback, suppressions, notices and rates.
const AFTERMATH: usize = 2;

/// This process's registration; another one after it was found dead.
#[derive(Debug)]
pub(crate) struct Identity {
    owner: AtomicI64,
}

impl Identity {
    pub(crate) fn owner(&self) -> i64 {
        self.owner.load(Ordering::Acquire)
    }
}

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    writers: Writers,
    readers: Sessions,
    errands: Sessions,
    /// For what comes back from providers and goes out to applications: it may wait for the suppression list.
    aftermath: Sessions,
    desk: Desk,
    walks: Walks,
    lease: Duration,
}

impl PostgresStore {
    /// Opens a database by its URL and brings its schema forward.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the database cannot be used as it is, [`StoreError::Unavailable`] when it
    /// cannot be reached.
    pub async fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::open_with(url, clock, PostgresOptions::default()).await
    }

    /// Opens a database with options.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub async fn open_with(url: &str, clock: Arc<dyn Clock>, options: PostgresOptions) -> Result<Self, StoreError> {
        let Location::Postgres(url) = Location::parse(url)? else {
            return Err(StoreError::Unusable("the URL is not a PostgreSQL database's".to_owned()));
        };
        let address = Arc::new(Address::parse(url.expose())?);
        // Boxed: callers would carry its room ever after.
        Box::pin(migrate::migrate(&address, clock.now())).await?;
        let errands = Sessions::new(Arc::clone(&address), ERRANDS);
        let session = errands.take().await?;
        let registered = within(async {
            warn_of_settings(&session).await?;
            owners::register(&session, options.lease).await
        });
        let registered = registered.await;
        let owner = AtomicI64::new(session.wrote(registered)?);
        let desk = Desk {
            address: Arc::clone(&address),
            identity: Arc::new(Identity { owner }),
            heads: Arc::default(),
            clock,
        };
        Ok(Self {
            writers: Writers::start(&desk, options.writers),
            aftermath: Sessions::new(Arc::clone(&address), AFTERMATH),
            readers: Sessions::new(address, options.readers),
            errands,
            desk,
            walks: Walks::default(),
            lease: options.lease,
        })
    }

    /// Commits of groups so far: far fewer than requests when many come at once.
    pub fn commits(&self) -> u64 {
        self.writers.commits()
    }

    /// How many messages are kept.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn count(&self) -> Result<u64, StoreError> {
        let session = self.readers.take().await?;
        let result = within(messages::count(&session)).await;
        session.read(result)
    }

    fn owner(&self) -> i64 {
        self.desk.identity.owner()
    }

    async fn store(&self, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError> {
        let rows = new.into_iter().map(Encoded::new).collect::<Result<_, _>>()?;
        match plain::until_stored(rows, |rows| self.writers.submit(Work::Accept(rows))).await? {
            Answer::Stored(answers) => Ok(answers),
            Answer::Recorded => Ok(Vec::new()),
        }
    }
}

/// Says when the database is set to lose what it has confirmed.
async fn warn_of_settings(session: &Session) -> Result<(), Fault> {
    let settings = "SELECT current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS safe";
    if !row::one::<bool>(&session.query(settings, &[]).await?, "safe")? {
        tracing::warn!("the database runs with fsync or full_page_writes off: messages that were accepted may be lost in a power cut");
    }
    Ok(())
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresStore({:?}, owner {})", self.desk.address, self.owner())
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn is_durable(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError> {
        let answers = self.store(vec![new]).await?;
        answers
            .first()
            .copied()
            .ok_or_else(|| StoreError::CommitUnknown("the answer was lost".into()))
    }

    async fn accept_all(&self, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        self.store(new).await
    }

    async fn record(&self, step: Step) -> Result<(), StoreError> {
        // The mark of the step as it was given: by it the step is known when it is repeated.
        let mark = fence::mark(self.owner(), &step);
        plain::until_taken(
            step,
            |step| async move { self.writers.submit(Work::Record(step, mark)).await.map(drop) },
        )
        .await
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        let session = self.readers.take().await?;
        let result = within(messages::records(&session, &[(tenant.clone(), id)], messages::Whole::WithEvents)).await;
        session.read(result)?.into_iter().next().flatten().transpose()
    }

    async fn content(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Content>, StoreError> {
        let session = self.readers.take().await?;
        let result = within(contents::whole(&session, tenant, id)).await;
        session.read(result)
    }

    async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError> {
        let session = self.readers.take().await?;
        let result = within(listing::messages(&session, tenant, filter, cursor, limit)).await;
        session.read(result)
    }

    async fn claim_due(&self, now: Timestamp, room: Room) -> Result<Vec<MessageRecord>, StoreError> {
        let session = self.errands.take().await?;
        let desk = (&*self.desk.heads, &*self.desk.clock);
        let result = within(queue::claim_due(&session, desk, self.owner(), now, room)).await;
        session.wrote(result)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let session = self.errands.take().await?;
        let result = within(queue::next_due(&session)).await;
        session.read(result)
    }

    async fn backlog(&self, at_most: u64) -> Result<u64, StoreError> {
        let session = self.readers.take().await?;
        let result = within(queue::backlog(&session, at_most)).await;
        session.read(result)
    }

    /// The process's row is not touched when it was found dead: it gets a new one, and what it had in
    /// hand belongs to others.
    async fn renew(&self) -> Result<Lease, StoreError> {
        let session = self.errands.take().await?;
        let (owner, length) = (self.owner(), self.lease);
        let renewing = async {
            if owners::renew(&session, owner, length).await? {
                return Ok(owner);
            }
            owners::register(&session, length).await
        };
        let result = within(renewing).await;
        let renewed = session.wrote(result)?;
        if renewed != owner {
            tracing::warn!("this process was taken for dead; what it was working on is sent by others");
            // Of two who renew at once, the later registration counts; the other's lease runs out.
            self.desk.identity.owner.fetch_max(renewed, Ordering::AcqRel);
        }
        Ok(Lease {
            owner: self.owner(),
            length,
        })
    }

    async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError> {
        let session = self.errands.take().await?;
        // A process that lives has renewed its lease once in that time.
        let grace = self.lease / 4;
        let result = within(owners::find_dead(&session, self.owner(), grace)).await;
        session.wrote(result)?;
        let mut recovered = Recovered::default();
        loop {
            let session = self.errands.take().await?;
            let result = within(queue::recover(&session, self.owner(), now)).await;
            let (messages, Recovered { requeued, unknown }) = session.wrote(result)?;
            if messages == 0 {
                break;
            }
            recovered.requeued += requeued;
            recovered.unknown += unknown;
            self.desk.heads.forget();
        }
        let session = self.errands.take().await?;
        let result = within(owners::forget_dead(&session, self.owner())).await;
        session.wrote(result)?;
        Ok(recovered)
    }

    async fn under_way(&self, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        let session = self.errands.take().await?;
        let result = within(queue::under_way(&session, self.owner(), limit)).await;
        session.read(result)
    }

    async fn give_back(&self, messages: &[(TenantId, MessageId)], now: Timestamp) -> Result<Recovered, StoreError> {
        let session = self.errands.take().await?;
        let result = within(queue::give_back(&session, self.owner(), messages, now)).await;
        self.desk.heads.forget();
        session.wrote(result)
    }

    async fn prune(&self, retention: Retention, now: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        let session = self.readers.take().await?;
        let result = within(retention::prune(&session, &self.walks, retention, now, limit)).await;
        session.wrote(result)
    }

    async fn save_breaker(&self, record: BreakerRecord) -> Result<(), StoreError> {
        let session = self.errands.take().await?;
        let result = within(breakers::save(&session, self.owner(), &record)).await;
        session.wrote(result)
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        let session = self.errands.take().await?;
        let result = within(breakers::all(&session)).await;
        session.read(result)
    }

    async fn lease_probe(&self, provider: ProviderKind, account: &AccountId, length: Duration) -> Result<bool, StoreError> {
        let session = self.errands.take().await?;
        let result = within(breakers::lease_probe(&session, self.owner(), provider, account, length)).await;
        session.wrote(result)
    }

    async fn lease_chore(&self, chore: &str, length: Duration) -> Result<bool, StoreError> {
        let session = self.errands.take().await?;
        let result = within(owners::lease_chore(&session, self.owner(), chore, length)).await;
        session.wrote(result)
    }

    async fn reserve_pace(&self, request: PaceRequest) -> Result<PaceGrant, StoreError> {
        let session = self.errands.take().await?;
        let result = within(pace::reserve(&session, &request)).await;
        session.wrote(result)
    }

    async fn recipients_sent_since(&self, provider: ProviderKind, account: &AccountId, since: Timestamp) -> Result<u64, StoreError> {
        let session = self.readers.take().await?;
        let result = within(attempts::recipients_sent_since(&session, provider, account, since)).await;
        session.read(result)
    }

    /// Writes what is written anyway: that this process is alive.
    async fn check(&self) -> Result<(), StoreError> {
        let lease = self.renew().await?;
        let session = self.readers.take().await?;
        let result = within(owners::is_alive(&session, lease.owner)).await;
        if session.read(result)? {
            Ok(())
        } else {
            Err(StoreError::Unavailable("what was written could not be read back".into()))
        }
    }

    async fn close(&self, wait: Duration) {
        self.writers.stop(wait).await;
        if let Ok(session) = self.errands.take().await {
            let left = within(owners::leave(&session, self.owner())).await;
            if let Err(error) = session.wrote(left) {
                tracing::warn!(%error, "the lease could not be given up; it runs out by itself");
            }
        }
        self.aftermath.close();
        self.errands.close();
        self.readers.close();
    }
}
