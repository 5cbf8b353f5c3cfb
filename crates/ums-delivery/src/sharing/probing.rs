//! The probe lease: on a shared store one process at a time probes a provider account.
//!
//! A walk asks [`Share::may_probe`] before each probe and requests the lease where it is missing; the keeper renews and releases the lease.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use ums_core::{Monotonic, StoreError};

use super::{Plug, Share};
use crate::breaker::Now;

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

/// The probe lease, as far as this process knows it.
#[derive(Debug, Default)]
pub(super) struct Probing {
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

impl Share {
    fn probing(&self) -> MutexGuard<'_, Probing> {
        self.probing.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(super) async fn tend_lease(&self) {
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
