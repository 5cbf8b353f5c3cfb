//! What is known of a provider account beyond this process: its breaker is kept, and where several processes send from one
//! store they share it, and probe in turn.
//!
//! Each process saves what its own calls taught ([`Change::learned`]) and looks twice a second at what the others saved. Of two
//! states the later write wins: the store numbers them. What was adopted is not saved again, what only the passing of time
//! brought about is not saved at all, and nothing is adopted while something learned here is not saved yet: so two processes
//! never answer each other, and nobody undoes what he has not seen.
//!
//! **Invariant:** on a shared store a probe (half-open, or of the last resort) is out only while this process holds the store's
//! leave to probe, and the leave is given back only after what the probe taught was saved.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use ums_core::{AccountId, BreakerRecord, BreakerStateWord, Clock, Monotonic, ProviderKind, Random, Store, StoreError};

use crate::breaker::{Breaker, BreakerSettings, Change, Listener, Now};
use crate::flow::Flow;
use crate::observer::{BreakerEvent, Observer};

/// How often a process looks at what others have learned.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for the store's answer to such a look.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// How long the leave to probe lasts when its holder dies.
const PROBE_LEASE: Duration = Duration::from_secs(30);
/// Nobody begins to use it later than the first after it was taken; it is renewed when a call is still out after the second.
const PROBE_USABLE: Duration = Duration::from_secs(25);
const PROBE_RENEW: Duration = Duration::from_secs(10);
/// A leave that no message has used for so long is given back.
const PROBE_IDLE: Duration = Duration::from_secs(1);
/// How long the store is not asked again after another process was found to be probing.
const PROBE_REFUSED: Duration = Duration::from_millis(250);
/// Shortest time between two tries of the last resort, over all processes.
const LAST_RESORT_EVERY: Duration = Duration::from_secs(1);

/// What accounts are plugged into when they are put into service.
pub(crate) struct Plug {
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) random: Arc<dyn Random>,
    /// Wakes the keeper: something was learned, or a probe has ended.
    pub(crate) news: Arc<Notify>,
    /// Whether other processes send from the same store.
    pub(crate) shared: bool,
}

/// A provider account as this process and others on the store know it.
pub(crate) struct Share {
    provider: ProviderKind,
    account: AccountId,
    breaker: Arc<Breaker>,
    shared: bool,
    news: Arc<Notify>,
    /// How much of what the breaker learned is saved.
    saved: AtomicU64,
    seen: Mutex<Seen>,
    probing: Mutex<Probing>,
}

/// The last look at the store's record.
#[derive(Debug, Default)]
struct Seen {
    version: i64,
    looked_at: Option<Monotonic>,
}

/// This process's leave to probe.
#[derive(Debug, Default)]
struct Probing {
    held: Option<HeldLeave>,
    refused_until: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug)]
struct HeldLeave {
    /// When it was asked for.
    since: Monotonic,
    /// When it was renewed, or last used.
    touched: Monotonic,
    use_: Use,
}

/// What a leave to probe is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Idle,
    /// A call is out.
    Out,
    /// The call has ended; the leave goes back after so long.
    Ended(Duration),
}

/// Whether a probe may go out.
#[derive(Debug)]
pub(crate) enum MayProbe {
    /// It may.
    Yes(Option<ProbeOut>),
    /// The store must be asked.
    Ask,
    /// Another process is probing.
    No,
}

/// A probe that is out. Dropped, its leave goes back to the store.
#[derive(Debug)]
pub(crate) struct ProbeOut {
    share: Arc<Share>,
    rest: Duration,
}

impl Plug {
    /// A breaker with its listener, known to the store.
    pub(crate) fn breaker(&self, (provider, account): (ProviderKind, AccountId), settings: BreakerSettings) -> Arc<Share> {
        let listener = listener(self.observer.clone(), provider, self.news.clone());
        Arc::new(Share {
            provider,
            account,
            breaker: Arc::new(Breaker::new(settings, self.random.clone(), Some(listener))),
            shared: self.shared,
            news: self.news.clone(),
            saved: AtomicU64::new(0),
            seen: Mutex::default(),
            probing: Mutex::default(),
        })
    }
}

/// Tells whoever counts, logs, and has what was learned kept.
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

/// Keeps what is learned, and looks at what others have learned where there are others, until the engine closes.
pub(crate) async fn run(flow: Arc<Flow>) {
    let shared = flow.store.is_shared();
    let mut well = true;
    loop {
        tokio::select! {
            biased;
            () = flow.closing.cancelled() => return,
            () = flow.news.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY), if shared => {}
        }
        keep(&flow).await;
        if shared {
            let looked = look(&flow).await;
            if let (Err(error), true) = (&looked, well) {
                tracing::warn!(%error, "what other processes know of the providers could not be read");
            }
            well = looked.is_ok();
        }
    }
}

/// Takes up what an earlier process knew of the providers.
pub(crate) async fn take_up(flow: &Flow) -> Result<(), StoreError> {
    let records = flow.store.breakers().await?;
    let now = Now::read(&*flow.clock);
    for share in flow.shares() {
        if let Some(record) = share.own(&records) {
            share.breaker.restore(&record.state, now);
            share.seen().version = record.version;
        }
        share.seen().looked_at = Some(now.mono);
    }
    Ok(())
}

/// Saves what was learned and is not saved yet, and then gives back the leave of probes that have ended.
pub(crate) async fn keep(flow: &Flow) {
    for share in flow.shares() {
        if share.breaker.deeds() != share.saved.load(Ordering::Acquire) {
            share.save(flow).await;
        }
        share.tend_leave(flow).await;
    }
}

async fn look(flow: &Flow) -> Result<(), StoreError> {
    let shares = flow.shares();
    let known: Vec<_> = shares.iter().map(|share| share.known()).collect();
    let asked = flow.clock.monotonic();
    let answer = tokio::time::timeout(LONGEST_LOOK, flow.store.breakers()).await;
    let records = answer.map_err(|late| StoreError::Unavailable(Box::new(late)))??;
    let owner = flow.lease.owner();
    for (share, known) in shares.iter().zip(known) {
        share.adopt(&records, owner, (known, asked), Now::read(&*flow.clock));
    }
    Ok(())
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

    /// What was learned here, if all of it is saved.
    fn known(&self) -> Option<u64> {
        let deeds = self.breaker.deeds();
        (deeds == self.saved.load(Ordering::Acquire)).then_some(deeds)
    }

    async fn save(&self, flow: &Flow) {
        let now = Now::read(&*flow.clock);
        let (state, deeds) = self.breaker.to_keep(now);
        let record = BreakerRecord {
            provider: self.provider,
            account: self.account.clone(),
            state,
            changed_at: now.wall,
            version: 0,
            writer: 0,
        };
        match flow.store.save_breaker(record).await {
            Ok(()) => {
                self.saved.fetch_max(deeds, Ordering::AcqRel);
            }
            Err(error) => tracing::warn!(provider = %self.provider, %error, "the breaker's state was not kept"),
        }
    }

    /// Takes up a record that another process wrote and that is newer than the last one seen. The records were read after
    /// `asked`, and after it was noted what this process knew.
    fn adopt(&self, records: &[BreakerRecord], owner: i64, (known, asked): (Option<u64>, Monotonic), now: Now) {
        let Some(known) = known else { return };
        let mut seen = self.seen();
        if let Some(record) = self.own(records).filter(|record| record.version > seen.version) {
            let looked = seen.looked_at.map_or(Duration::MAX, |looked_at| now.mono.since(looked_at));
            if record.writer != owner && !self.breaker.adopt(&record.state, (known, looked), now) {
                // Something was learned here meanwhile; it is saved first, and wins.
                return;
            }
            seen.version = record.version;
        }
        seen.looked_at = Some(asked);
    }

    /// Whether a probe may go out now, as far as is known without asking the store.
    pub(crate) fn may_probe(self: &Arc<Self>, now: Monotonic) -> MayProbe {
        if !self.shared {
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
            // The one before has just ended, and its leave is about to go back.
            Some(held) if held.use_ != Use::Idle => MayProbe::No,
            Some(_) | None => MayProbe::Ask,
        }
    }

    /// Asks the store for leave to probe; with it, reads what whoever had it before has learned.
    pub(crate) async fn ask_for_leave(&self, store: &dyn Store, clock: &dyn Clock, owner: i64) -> bool {
        let since = clock.monotonic();
        let leave = self.lease_and_read(store, clock, owner).await.unwrap_or_else(|error| {
            tracing::warn!(provider = %self.provider, %error, "no leave to probe: the store was not reached");
            false
        });
        let now = clock.monotonic();
        let mut probing = self.probing();
        if leave {
            probing.refused_until = None;
            probing.held = Some(HeldLeave {
                since,
                touched: now,
                use_: Use::Idle,
            });
        } else {
            probing.refused_until = Some(now + PROBE_REFUSED);
        }
        leave
    }

    async fn lease_and_read(&self, store: &dyn Store, clock: &dyn Clock, owner: i64) -> Result<bool, StoreError> {
        if !store.lease_probe(self.provider, &self.account, PROBE_LEASE).await? {
            return Ok(false);
        }
        let (known, asked) = (self.known(), clock.monotonic());
        let records = store.breakers().await?;
        self.adopt(&records, owner, (known, asked), Now::read(clock));
        Ok(true)
    }

    /// Leave to probe an open provider, since all are: one process at a time, at most once a second. The outer none is a no.
    pub(crate) async fn leave_for_last_resort(self: &Arc<Self>, flow: &Flow) -> Option<Option<ProbeOut>> {
        let mut may = self.may_probe(flow.clock.monotonic());
        if matches!(may, MayProbe::Ask) && self.ask_for_leave(&*flow.store, &*flow.clock, flow.lease.owner()).await {
            may = self.may_probe(flow.clock.monotonic());
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

    /// Gives a leave back that is done with, and renews one whose call is still out.
    async fn tend_leave(&self, flow: &Flow) {
        let now = flow.clock.monotonic();
        let Some(held) = self.probing().held else { return };
        let length = match held.use_ {
            Use::Idle if now.since(held.touched) >= PROBE_IDLE => Duration::ZERO,
            Use::Out if now.since(held.since) >= PROBE_RENEW => PROBE_LEASE,
            // What it taught must be known to whoever has the leave next.
            Use::Ended(rest) if self.known().is_some() => rest.saturating_sub(now.since(held.touched)),
            Use::Idle | Use::Out | Use::Ended(_) => return,
        };
        // Before the store is told: a message must not take a leave that is going back.
        if length != PROBE_LEASE && !self.let_go(held) {
            return;
        }
        match flow.store.lease_probe(self.provider, &self.account, length).await {
            Ok(true) if length == PROBE_LEASE => {
                if let Some(held) = &mut self.probing().held {
                    held.since = now;
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(provider = %self.provider, %error, "the leave to probe was not given back; it ends by itself"),
        }
    }

    /// Whether the leave is as it was seen, and nobody's from now on.
    fn let_go(&self, seen: HeldLeave) -> bool {
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
        self.share.news.notify_one();
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({}, {:?})", self.provider, self.breaker)
    }
}
