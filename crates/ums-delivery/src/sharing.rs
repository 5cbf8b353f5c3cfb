//! The breakers of provider accounts beyond this process: the store keeps their states, and processes that send from one store share
//! them and probe in turn.
//!
//! Each process saves what its own calls taught ([`Change::learned`]) and reads twice a second what the others saved. The store numbers
//! the states; the later write wins. Three rules keep two processes from answering each other for ever, and from undoing what they have
//! not seen: an adopted state is never saved again; a change that only the passing of time brought about is never saved; and a process
//! adopts nothing while it has learned something that is not saved yet.
//!
//! **Invariant:** on a shared store a probe (half-open, or of the last resort) is out only while this process holds the probe lease of
//! the store, and this process releases the lease only after it has saved what the probe taught.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use ums_core::{AccountId, BreakerRecord, BreakerStateWord, Monotonic, ProviderKind, StoreError};

use crate::breaker::{Breaker, BreakerSettings, Change, Listener, Now};
use crate::lease::HeldLease;
use crate::observer::{BreakerEvent, Observer};
use crate::ports::Ports;

/// Time between two looks at what other processes have learned.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for the answer of the store to such a look.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// How long the store keeps a probe lease for a process that died with it.
const PROBE_LEASE: Duration = Duration::from_secs(30);
/// A probe starts at most this long after its lease was requested, so that the probe ends before the lease does.
const PROBE_USABLE: Duration = Duration::from_secs(25);
/// The keeper renews the lease of a probe that is still out after this time.
const PROBE_RENEW: Duration = Duration::from_secs(10);
/// The keeper releases a lease that no probe has used for this time.
const PROBE_IDLE: Duration = Duration::from_secs(1);
/// Time until the next request for a probe lease that another process holds.
const PROBE_REFUSED: Duration = Duration::from_millis(250);
/// Shortest time between two tries of the last resort, over all processes.
const LAST_RESORT_EVERY: Duration = Duration::from_secs(1);

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
    plug: Plug,
    /// Revision of the breaker that the store has.
    saved: AtomicU64,
    seen: Mutex<Seen>,
    probing: Mutex<Probing>,
}

/// The last look at the record of the store.
#[derive(Debug, Default)]
struct Seen {
    version: i64,
    looked_at: Option<Monotonic>,
}

/// The probe lease, as far as this process knows it.
#[derive(Debug, Default)]
struct Probing {
    held: Option<ProbeLease>,
    refused_until: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug)]
struct ProbeLease {
    /// Time of the request to the store; the lease counts from it.
    since: Monotonic,
    /// Time at which the lease was granted or last used.
    touched: Monotonic,
    use_: Use,
}

/// What a probe lease is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Idle,
    /// A probe is out.
    Out,
    /// The probe has ended; the keeper releases the lease after this rest.
    Ended(Duration),
}

/// Whether a probe may go out.
#[derive(Debug)]
pub(crate) enum MayProbe {
    /// The probe may go out; with a lease where the store is shared.
    Yes(Option<ProbeOut>),
    /// This process must request the probe lease first.
    Ask,
    /// Another probe is out, here or in another process.
    No,
}

/// A probe that is out. Dropping it lets the keeper release the lease, once the store has what the probe taught.
#[derive(Debug)]
pub(crate) struct ProbeOut {
    share: Arc<Share>,
    rest: Duration,
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
    pub(crate) fn breaker(&self, provider: ProviderKind, account: AccountId, settings: BreakerSettings) -> Arc<Share> {
        let listener = listener(self.ports.observer.clone(), provider, self.news.clone());
        Arc::new(Share {
            provider,
            account,
            breaker: Arc::new(Breaker::new(settings, self.ports.random.clone(), Some(listener))),
            plug: self.clone(),
            saved: AtomicU64::new(0),
            seen: Mutex::default(),
            probing: Mutex::default(),
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

/// Saves what the breakers of this process learn, and reads what other processes have learned.
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
                () = tokio::time::sleep(LOOK_EVERY), if shared => {}
            }
            self.keep().await;
            if shared {
                let looked = self.look().await;
                if let (Err(error), true) = (&looked, well) {
                    tracing::warn!(%error, "what other processes know of the providers could not be read");
                }
                well = looked.is_ok();
            }
        }
    }

    /// Restores the breakers that an earlier process saved.
    pub(crate) async fn restore(&self) -> Result<(), StoreError> {
        let ports = &self.plug.ports;
        let records = ports.store.breakers().await?;
        let now = Now::read(&*ports.clock);
        for share in &self.shares {
            if let Some(record) = share.own(&records) {
                share.breaker.restore(&record.state, now);
                share.seen().version = record.version;
            }
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

    fn probing(&self) -> MutexGuard<'_, Probing> {
        self.probing.lock().unwrap_or_else(PoisonError::into_inner)
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

    async fn save(&self) {
        let ports = &self.plug.ports;
        let now = Now::read(&*ports.clock);
        let (state, revision) = self.breaker.to_keep(now);
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
            if record.writer != owner && !self.breaker.adopt(&record.state, known, looked, now) {
                // The breaker has learned something meanwhile. The keeper saves that first, and the later write wins.
                return;
            }
            seen.version = record.version;
        }
        seen.looked_at = Some(asked);
    }

    /// Whether a probe may go out now; decided without the store.
    pub(crate) fn may_probe(self: &Arc<Self>, now: Monotonic) -> MayProbe {
        if !self.plug.ports.store.is_shared() {
            return MayProbe::Yes(None);
        }
        let mut probing = self.probing();
        if probing.refused_until.is_some_and(|until| until > now) {
            return MayProbe::No;
        }
        match &mut probing.held {
            Some(held) if held.use_ == Use::Idle && now.since(held.since) < PROBE_USABLE => {
                held.use_ = Use::Out;
                held.touched = now;
                MayProbe::Yes(Some(ProbeOut {
                    share: self.clone(),
                    rest: Duration::ZERO,
                }))
            }
            // A probe is out, or has just ended and its lease is about to be released.
            Some(held) if held.use_ != Use::Idle => MayProbe::No,
            Some(_) | None => MayProbe::Ask,
        }
    }

    /// Requests the probe lease from the store. With the lease, adopts what its last holder has learned. Whether the lease is held.
    pub(crate) async fn lease_probe(&self) -> bool {
        let clock = &self.plug.ports.clock;
        let since = clock.monotonic();
        let leased = self.lease_and_read().await.unwrap_or_else(|error| {
            tracing::warn!(provider = %self.provider, %error, "no probe lease: the store was not reached");
            false
        });
        let now = clock.monotonic();
        let mut probing = self.probing();
        if leased {
            probing.refused_until = None;
            probing.held = Some(ProbeLease {
                since,
                touched: now,
                use_: Use::Idle,
            });
        } else {
            probing.refused_until = Some(now + PROBE_REFUSED);
        }
        leased
    }

    async fn lease_and_read(&self) -> Result<bool, StoreError> {
        let Plug { ports, lease, .. } = &self.plug;
        if !ports.store.lease_probe(self.provider, &self.account, PROBE_LEASE).await? {
            return Ok(false);
        }
        let (known, asked) = (self.known(), ports.clock.monotonic());
        let records = ports.store.breakers().await?;
        self.adopt(&records, lease.owner(), known, asked, Now::read(&*ports.clock));
        Ok(true)
    }

    /// Lets an open provider be probed because all are open: by one process at a time, at most once a second. The outer `None` is a no;
    /// the inner one a yes without a lease, on a store that no other process sends from.
    pub(crate) async fn last_resort(self: &Arc<Self>) -> Option<Option<ProbeOut>> {
        let clock = &self.plug.ports.clock;
        let mut may = self.may_probe(clock.monotonic());
        if matches!(may, MayProbe::Ask) && self.lease_probe().await {
            may = self.may_probe(clock.monotonic());
        }
        match may {
            MayProbe::Yes(mut probe) => {
                if let Some(probe) = &mut probe {
                    probe.rest = LAST_RESORT_EVERY;
                }
                Some(probe)
            }
            MayProbe::Ask | MayProbe::No => None,
        }
    }

    /// Releases the lease when no probe needs it, and renews the lease of a probe that is still out.
    async fn tend_lease(&self) {
        let ports = &self.plug.ports;
        let now = ports.clock.monotonic();
        let Some(held) = self.probing().held else { return };
        let length = match held.use_ {
            Use::Idle if now.since(held.touched) >= PROBE_IDLE => Duration::ZERO,
            Use::Out if now.since(held.since) >= PROBE_RENEW => PROBE_LEASE,
            // The next holder of the lease must be able to read what the probe taught.
            Use::Ended(rest) if self.known().is_some() => rest.saturating_sub(now.since(held.touched)),
            Use::Idle | Use::Out | Use::Ended(_) => return,
        };
        // Forgotten before the store releases it: a message must not use a lease that is being released.
        if length != PROBE_LEASE && !self.release(held) {
            return;
        }
        match ports.store.lease_probe(self.provider, &self.account, length).await {
            Ok(true) if length == PROBE_LEASE => {
                if let Some(held) = &mut self.probing().held {
                    held.since = now;
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(provider = %self.provider, %error, "the probe lease was not released; it ends by itself"),
        }
    }

    /// Forgets the lease, unless it has been used or renewed since `seen`. Whether the lease was forgotten.
    fn release(&self, seen: ProbeLease) -> bool {
        let mut probing = self.probing();
        let unchanged = probing
            .held
            .is_some_and(|held| held.use_ == seen.use_ && held.touched == seen.touched);
        if unchanged {
            probing.held = None;
        }
        unchanged
    }
}

impl Drop for ProbeOut {
    fn drop(&mut self) {
        if let Some(held) = &mut self.share.probing().held {
            held.use_ = Use::Ended(self.rest);
        }
        self.share.plug.news.notify_one();
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({}, {:?})", self.provider, self.breaker)
    }
}
