//! One store as several processes see it: each has its own id; breakers, probes and pace are shared, and can be out of reach.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{
    AccountId, BreakerRecord, Clock, Content, Lease, MessageFilter, MessageId, MessagePage, MessageRecord, Monotonic, NewMessage,
    PaceGrant, PaceRequest, ProviderKind, Pruned, Recovered, Retention, Room, Step, Store, StoreError, Stored, TenantId, Timestamp,
    Troubles,
};

const DAY: Duration = Duration::from_hours(24);

type Account = (ProviderKind, AccountId);

/// What all processes share.
struct Shared {
    clock: Arc<dyn Clock>,
    next_owner: AtomicI64,
    table: Mutex<Table>,
    away: AtomicBool,
    saves: AtomicUsize,
}

#[derive(Default)]
struct Table {
    breakers: BTreeMap<Account, BreakerRecord>,
    version: i64,
    probes: BTreeMap<Account, (i64, Monotonic)>,
    /// When the last unit that was given is used up, in microseconds.
    paces: BTreeMap<Account, u64>,
    /// What was given, and when.
    given: BTreeMap<Account, Vec<(Monotonic, u32)>>,
}

/// A store as one of several processes sees it. Messages are the inner store's business.
pub struct SharedStore {
    inner: Arc<dyn Store>,
    /// Keeps the switches of providers for all processes.
    providers: Arc<dyn Store>,
    owner: i64,
    shared: Arc<Shared>,
}

impl SharedStore {
    /// The first process on a store.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            providers: inner.clone(),
            inner,
            owner: 1,
            shared: Arc::new(Shared {
                clock,
                next_owner: AtomicI64::new(2),
                table: Mutex::default(),
                away: AtomicBool::new(false),
                saves: AtomicUsize::new(0),
            }),
        }
    }

    /// Another process, with messages of its own.
    #[must_use]
    pub fn another(&self, inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            providers: self.providers.clone(),
            owner: self.shared.next_owner.fetch_add(1, Ordering::SeqCst),
            shared: self.shared.clone(),
        }
    }

    /// Whether what is shared can be asked for; the messages can.
    pub fn be_away(&self, away: bool) {
        self.shared.away.store(away, Ordering::SeqCst);
    }

    /// How often a breaker was saved, by all processes.
    pub fn saves(&self) -> usize {
        self.shared.saves.load(Ordering::SeqCst)
    }

    /// Whether a process has the leave to probe.
    pub fn is_probe_leased(&self, provider: ProviderKind) -> bool {
        let now = self.shared.clock.monotonic();
        let key = (provider, AccountId::default());
        self.table()
            .is_ok_and(|table| table.probes.get(&key).is_some_and(|(_, until)| *until > now))
    }

    fn table(&self) -> Result<MutexGuard<'_, Table>, StoreError> {
        if self.shared.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("as the test says".into()));
        }
        Ok(self.shared.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Table {
    fn reserve(&mut self, request: &PaceRequest, now: Monotonic) -> PaceGrant {
        let key = (request.provider, request.account.clone());
        let mut units = request.units;
        if let Some(limit) = request.per_day {
            let given = self.given.entry(key.clone()).or_default();
            given.retain(|(at, _)| now.since(*at) < DAY);
            let used: u32 = given.iter().map(|(_, units)| units).sum();
            units = units.min(limit.get().saturating_sub(used));
            if units == 0 {
                let oldest = given.first().map_or(now, |(at, _)| *at);
                return PaceGrant::DayLimit((oldest + DAY).since(now));
            }
        }
        if let Some(rate) = request.per_second {
            let interval = 1_000_000 / u64::from(rate.get());
            let now_micros = u64::try_from(now.since_start().as_micros()).unwrap_or(u64::MAX);
            let used_until = self.paces.entry(key.clone()).or_default();
            let room = (now_micros + 1_000_000).saturating_sub((*used_until).max(now_micros)) / interval;
            let full = *used_until <= now_micros;
            units = if full {
                units
            } else {
                units.min(u32::try_from(room).unwrap_or(u32::MAX))
            };
            if units == 0 {
                return PaceGrant::Paced(Duration::from_micros(
                    (*used_until + interval).saturating_sub(now_micros + 1_000_000).max(1),
                ));
            }
            *used_until = (*used_until).max(now_micros) + interval * u64::from(units);
        }
        self.given.entry(key).or_default().push((now, units));
        PaceGrant::Granted(units)
    }
}

impl fmt::Debug for SharedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedStore({} on {:?})", self.owner, self.inner)
    }
}

impl SharedStore {
    async fn as_it_is<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        call.await
    }
}

ums_core::forward_aftermath!(SharedStore, inner, as_it_is);
ums_core::forward_providers!(SharedStore, providers, as_it_is);
ums_core::forward_time!(SharedStore, inner, as_it_is);

#[async_trait]
impl Store for SharedStore {
    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }

    fn is_owner(&self) -> bool {
        self.inner.is_owner()
    }

    fn tell_troubles(&self, troubles: &Troubles) {
        self.inner.tell_troubles(troubles);
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError> {
        self.inner.accept(new).await
    }

    async fn accept_all(&self, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError> {
        self.inner.accept_all(new).await
    }

    async fn record(&self, step: Step) -> Result<(), StoreError> {
        self.inner.record(step).await
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.inner.message(tenant, id).await
    }

    async fn content(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Content>, StoreError> {
        self.inner.content(tenant, id).await
    }

    async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError> {
        self.inner.messages(tenant, filter, cursor, limit).await
    }

    async fn claim_due(&self, now: Timestamp, room: Room) -> Result<Vec<MessageRecord>, StoreError> {
        self.inner.claim_due(now, room).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_due().await
    }

    async fn backlog(&self, at_most: u64) -> Result<u64, StoreError> {
        self.inner.backlog(at_most).await
    }

    async fn renew(&self) -> Result<Lease, StoreError> {
        Ok(Lease {
            owner: self.owner,
            ..Lease::FOREVER
        })
    }

    async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError> {
        self.inner.recover(now).await
    }

    async fn under_way(&self, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        self.inner.under_way(limit).await
    }

    async fn give_back(&self, messages: &[(TenantId, MessageId)], now: Timestamp) -> Result<Recovered, StoreError> {
        self.inner.give_back(messages, now).await
    }

    async fn prune(&self, retention: Retention, now: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        self.inner.prune(retention, now, limit).await
    }

    async fn save_breaker(&self, record: BreakerRecord) -> Result<(), StoreError> {
        let mut table = self.table()?;
        self.shared.saves.fetch_add(1, Ordering::SeqCst);
        table.version += 1;
        let kept = BreakerRecord {
            version: table.version,
            writer: self.owner,
            ..record
        };
        table.breakers.insert((kept.provider, kept.account.clone()), kept);
        Ok(())
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        Ok(self.table()?.breakers.values().cloned().collect())
    }

    async fn lease_probe(&self, provider: ProviderKind, account: &AccountId, length: Duration) -> Result<bool, StoreError> {
        let now = self.shared.clock.monotonic();
        let mut table = self.table()?;
        let held = table.probes.entry((provider, account.clone())).or_insert((self.owner, now));
        let may = held.0 == self.owner || held.1 <= now;
        if may {
            *held = (self.owner, now + length);
        }
        Ok(may)
    }

    async fn reserve_pace(&self, request: PaceRequest) -> Result<PaceGrant, StoreError> {
        let now = self.shared.clock.monotonic();
        Ok(self.table()?.reserve(&request, now))
    }

    async fn recipients_sent_since(&self, provider: ProviderKind, account: &AccountId, since: Timestamp) -> Result<u64, StoreError> {
        self.inner.recipients_sent_since(provider, account, since).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn close(&self, wait: Duration) {
        self.inner.close(wait).await;
    }
}
