//! The breakers of provider accounts beyond this process: the store keeps their states, and processes that send from one store share
//! them and probe in turn.
//!
//! Each process saves what its own calls taught ([`Change::learned`]) and reads twice a second what the others saved. The store numbers
//! the states; the later write wins. Three rules keep two processes from answering each other for ever, and from undoing what they have
//! not seen: an adopted state is never saved again; a change that only the passing of time brought about is never saved; and a process
//! adopts nothing while it has learned something that is not saved yet.
//!
//! A state is stored with a fingerprint of the settings that it was learned with. A state that was learned with other settings says
//! nothing about these, whatever it is: after a start the next message tries the provider at once, and a running process adopts nothing
//! of it. So, while the settings are changed process by process, neither half opens or closes the breakers of the other; each learns a
//! dead provider, or a pause, by calls of its own, which fail over at once. States without a fingerprint (of the release before, or of
//! another key of the service) are adopted.
//!
//! Beside the breakers stand the switches of operators (`switching`); every process obeys them, whether others send from the store or not.
//!
//! **Invariant:** on a shared store a probe (half-open, or of the last resort) is out only while this process holds the probe lease of
//! the store, and this process releases the lease only after it has saved what the probe taught.

mod fingerprint;
mod probing;
mod switching;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use ums_core::{AccountId, BreakerRecord, BreakerStateWord, Monotonic, ProviderKind, StoreError};

pub use self::fingerprint::Fingerprint;
use self::fingerprint::LearnedWith;
use self::probing::Probing;
pub(crate) use self::probing::{MayProbe, ProbeOut};
use self::switching::Switch;
use crate::breaker::{Breaker, BreakerSettings, Change, Listener, Now};
use crate::lease::HeldLease;
use crate::observer::{BreakerEvent, Observer};
use crate::ports::Ports;

/// Time between two looks at what other processes have learned.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for the answer of the store to such a look.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// The name of the fingerprint in a stored state.
const LEARNED_WITH: &str = "learned_with";

/// What a link needs to be put into service: ports, the lease of this process, and the alarm of the keeper.
#[derive(Clone)]
pub(crate) struct Plug {
    pub(crate) ports: Arc<Ports>,
    pub(crate) lease: Arc<HeldLease>,
    /// Wakes the keeper: a breaker has learned something, or a probe has ended.
    news: Arc<Notify>,
}

/// A provider account, as this process and the other processes on the store know it.
pub(crate) struct Share {
    provider: ProviderKind,
    account: AccountId,
    breaker: Arc<Breaker>,
    /// Of the settings that this process calls the account with.
    fingerprint: Fingerprint,
    plug: Plug,
    /// Revision of the breaker that the store has.
    saved: AtomicU64,
    seen: Mutex<Seen>,
    probing: Mutex<Probing>,
    /// What operators decided, and whether the account is out of service by that, or was until a time that is over.
    switch: Mutex<Switch>,
    is_off: AtomicBool,
}

/// The last look at the record of the store.
#[derive(Debug, Default)]
struct Seen {
    version: i64,
    looked_at: Option<Monotonic>,
}

impl Plug {
    pub(crate) fn new(ports: Arc<Ports>, lease: Arc<HeldLease>) -> Self {
        Self {
            ports,
            lease,
            news: Arc::new(Notify::new()),
        }
    }

    /// Makes the breaker of an account, with its listener.
    pub(crate) fn breaker(
        &self,
        (provider, account): (ProviderKind, AccountId),
        settings: BreakerSettings,
        fingerprint: Fingerprint,
    ) -> Arc<Share> {
        let listener = listener(self.ports.observer.clone(), provider, self.news.clone());
        Arc::new(Share {
            provider,
            account,
            breaker: Arc::new(Breaker::new(settings, self.ports.random.clone(), Some(listener))),
            fingerprint,
            plug: self.clone(),
            saved: AtomicU64::new(0),
            seen: Mutex::default(),
            probing: Mutex::default(),
            switch: Mutex::default(),
            is_off: AtomicBool::new(false),
        })
    }
}

/// Counts and logs each change of a breaker, and wakes the keeper for a change that must be saved.
fn listener(observer: Arc<dyn Observer>, provider: ProviderKind, news: Arc<Notify>) -> Listener {
    Arc::new(move |change: &Change| {
        let (from, to, reason) = (change.from.as_str(), change.to.as_str(), change.reason.as_str());
        if change.from == change.to {
            tracing::info!(%provider, state = to, reason, "breaker noted");
        } else {
            observer.breaker(&BreakerEvent {
                provider,
                from: change.from,
                to: change.to,
                reason: &change.reason,
            });
            match change.to {
                BreakerStateWord::Open => tracing::warn!(%provider, from, to, reason, here = change.learned, "breaker opened"),
                BreakerStateWord::HalfOpen | BreakerStateWord::Closed => {
                    tracing::info!(%provider, from, to, reason, here = change.learned, "breaker changed");
                }
            }
        }
        if change.learned {
            news.notify_one();
        }
    })
}

/// Saves what the breakers of this process learn, reads what other processes have learned, and obeys what operators decided.
pub(crate) struct Keeper {
    plug: Plug,
    shares: Vec<Arc<Share>>,
}

impl Keeper {
    pub(crate) fn new(plug: Plug, shares: Vec<Arc<Share>>) -> Self {
        Self { plug, shares }
    }

    /// Works until the engine closes.
    pub(crate) async fn run(self: Arc<Self>) {
        let ports = &self.plug.ports;
        let shared = ports.store.is_shared();
        let mut well = true;
        loop {
            tokio::select! {
                biased;
                () = ports.closing.cancelled() => return,
                () = self.plug.news.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            self.keep().await;
            let looked = async {
                if shared {
                    self.look().await?;
                }
                self.obey().await
            };
            let looked = looked.await;
            if let Err(error) = &looked {
                self.plug.ports.shortages.noted(error, &*self.plug.ports.clock);
            }
            if let (Err(error), true) = (&looked, well) {
                tracing::warn!(%error, "what operators and other processes say of the providers could not be read");
            }
            well = looked.is_ok();
        }
    }

    /// Restores the breakers that an earlier process saved.
    pub(crate) async fn restore(&self) -> Result<(), StoreError> {
        let ports = &self.plug.ports;
        let records = ports.store.breakers().await?;
        let switches = ports.store.provider_switches().await?;
        let now = Now::read(&*ports.clock);
        for share in &self.shares {
            let record = share.own(&records);
            if let Some(record) = record {
                share.restore(record, now);
            }
            share.take_up(&switches, record, now);
            share.seen().looked_at = Some(now.mono);
        }
        Ok(())
    }

    /// Saves every revision that the store does not have, and then releases the leases of ended probes.
    pub(crate) async fn keep(&self) {
        for share in &self.shares {
            if share.breaker.revision() != share.saved.load(Ordering::Acquire) {
                share.save().await;
            }
            share.tend_lease().await;
        }
    }

    /// Obeys what operators decided, here or beside another process on the store.
    async fn obey(&self) -> Result<(), StoreError> {
        let ports = &self.plug.ports;
        let changes: Vec<_> = self.shares.iter().map(|share| share.changes()).collect();
        let answer = tokio::time::timeout(LONGEST_LOOK, ports.store.provider_switches()).await;
        let switches = answer.map_err(|late| StoreError::Unavailable(Box::new(late)))??;
        for (share, changes) in self.shares.iter().zip(changes) {
            share.obey(&switches, changes, Now::read(&*ports.clock));
        }
        Ok(())
    }

    async fn look(&self) -> Result<(), StoreError> {
        let ports = &self.plug.ports;
        let known: Vec<_> = self.shares.iter().map(|share| share.known()).collect();
        let asked = ports.clock.monotonic();
        let answer = tokio::time::timeout(LONGEST_LOOK, ports.store.breakers()).await;
        let records = answer.map_err(|late| StoreError::Unavailable(Box::new(late)))??;
        let owner = self.plug.lease.owner();
        for (share, known) in self.shares.iter().zip(known) {
            share.adopt(&records, owner, known, asked, Now::read(&*ports.clock));
        }
        Ok(())
    }
}

impl Share {
    pub(crate) fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own<'a>(&self, records: &'a [BreakerRecord]) -> Option<&'a BreakerRecord> {
        records
            .iter()
            .find(|record| record.provider == self.provider && record.account == self.account)
    }

    /// The revision of the breaker, if the store has it.
    fn known(&self) -> Option<u64> {
        let revision = self.breaker.revision();
        (revision == self.saved.load(Ordering::Acquire)).then_some(revision)
    }

    /// Whether a stored state was learned with the settings of this process.
    fn learned_with(&self, record: &BreakerRecord) -> LearnedWith {
        self.fingerprint
            .compare(record.state.get(LEARNED_WITH).and_then(serde_json::Value::as_str))
    }

    fn restore(&self, record: &BreakerRecord, now: Now) {
        match self.learned_with(record) {
            LearnedWith::These => self.breaker.restore(&record.state, now),
            LearnedWith::Others => {
                tracing::info!(provider = %self.provider, "the stored state was learned with other settings; the next message tries the provider");
                self.breaker.restore_of_others(&record.state, now);
            }
        }
        self.seen().version = record.version;
    }

    async fn save(&self) {
        let ports = &self.plug.ports;
        let now = Now::read(&*ports.clock);
        let (mut state, revision) = self.breaker.to_keep(now);
        if let Some(fingerprint) = self.fingerprint.to_store() {
            state[LEARNED_WITH] = fingerprint.into();
        }
        let record = BreakerRecord {
            provider: self.provider,
            account: self.account.clone(),
            state,
            changed_at: now.wall,
            version: 0,
            writer: 0,
        };
        match ports.store.save_breaker(record).await {
            Ok(()) => {
                self.saved.fetch_max(revision, Ordering::AcqRel);
            }
            Err(error) => tracing::warn!(provider = %self.provider, %error, "the breaker's state was not kept"),
        }
    }

    /// Adopts a record that another process wrote and that is newer than the last one seen. The caller read the records after `asked`,
    /// and after it noted the revision `known`.
    fn adopt(&self, records: &[BreakerRecord], owner: i64, known: Option<u64>, asked: Monotonic, now: Now) {
        let Some(known) = known else { return };
        let mut seen = self.seen();
        if let Some(record) = self.own(records).filter(|record| record.version > seen.version) {
            let looked = seen.looked_at.map_or(Duration::MAX, |looked_at| now.mono.since(looked_at));
            let concerns_us = record.writer != owner && self.learned_with(record) == LearnedWith::These;
            if concerns_us && !self.breaker.adopt(&record.state, known, looked, now) {
                // The breaker has learned something meanwhile. The keeper saves that first, and the later write wins.
                return;
            }
            seen.version = record.version;
        }
        seen.looked_at = Some(asked);
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({}, {:?})", self.provider, self.breaker)
    }
}
