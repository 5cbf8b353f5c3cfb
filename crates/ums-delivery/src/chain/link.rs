//! One provider of a chain, in service; and a slot: its room for one message.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ums_core::{AccountId, Monotonic, Probe, Provider, ProviderKind, StoreError};

use crate::breaker::{Asker, Breaker, BreakerSettings, Now, Permit, Verdict};
use crate::carried::Carried;
use crate::pacing::{PaceSettings, Pacer, Reservation};
use crate::ports::Ports;
use crate::rejection::Rejections;
use crate::sharing::{Fingerprint, MayProbe, Plug, ProbeOut, Share};

/// Price of a message, in millionths of a US dollar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Price {
    /// For each recipient of an e-mail; none when not known.
    Recipient(Option<i64>),
    /// For each segment of a text message, by the calling code of its country; not known for other countries.
    Segment(BTreeMap<u16, i64>),
    /// Nothing at all.
    Free,
}

impl Price {
    /// What a provider takes for each recipient of the content; none when not known.
    pub(crate) fn of_each<M: Carried>(&self, content: &M) -> Option<i64> {
        let unit = match self {
            Self::Recipient(micros) => *micros,
            Self::Segment(by_country) => by_country.get(&content.country_code()?).copied(),
            Self::Free => Some(0),
        };
        unit.map(|micros| micros.saturating_mul(i64::from(content.units_each())))
    }
}

/// One provider of a chain, with its settings.
pub struct LinkParts<M> {
    /// The provider.
    pub provider: Arc<dyn Provider<M>>,
    /// Settings of its breaker.
    pub breaker: BreakerSettings,
    /// Most recipients a second and a day.
    pub pace: PaceSettings,
    /// Price of a message, for cost estimates.
    pub price: Price,
    /// Of the settings that the provider is called with; what a breaker learned with other settings does not count.
    pub fingerprint: Fingerprint,
}

impl<M> fmt::Debug for LinkParts<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkParts({:?})", self.provider)
    }
}

/// One provider of a chain, in service.
pub(crate) struct Link<M> {
    pub(crate) provider: Arc<dyn Provider<M>>,
    pub(crate) kind: ProviderKind,
    pub(crate) account: AccountId,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) pacer: Pacer,
    pub(crate) rejections: Rejections,
    pub(crate) price: Price,
    pub(crate) share: Arc<Share>,
    ports: Arc<Ports>,
}

impl<M: 'static> Link<M> {
    pub(crate) fn new(parts: LinkParts<M>, plug: &Plug) -> Self {
        let (kind, account) = (parts.provider.kind(), parts.provider.account());
        let share = plug.breaker((kind, account.clone()), parts.breaker, parts.fingerprint);
        Self {
            kind,
            breaker: share.breaker().clone(),
            pacer: if plug.ports.store.is_shared() {
                Pacer::shared(parts.pace, kind, account.clone())
            } else {
                Pacer::new(parts.pace)
            },
            account,
            share,
            provider: parts.provider,
            rejections: Rejections::default(),
            price: parts.price,
            ports: plug.ports.clone(),
        }
    }

    /// Admits one more transaction of a message that has room in the pace already; none while the breaker refuses, or while the probe lease
    /// of a shared store would have to be asked for.
    pub(crate) fn admit_again(self: &Arc<Self>, units: u32, now: Now) -> Option<Slot<M>> {
        if self.share.off(now.wall).is_some() {
            return None;
        }
        let permit = Breaker::admit(self.breaker.clone(), now).ok()?;
        let probe = if permit.is_probe() {
            match self.share.may_probe(now.mono) {
                MayProbe::Yes(probe) => probe,
                MayProbe::Ask | MayProbe::No => return None,
            }
        } else {
            None
        };
        Some(Slot::new(self.clone(), CallPermit { permit, probe }, units))
    }

    /// Probes the provider without sending, and settles the permit. On a shared store the probe lease comes first.
    pub(crate) async fn ask(self: Arc<Self>, permit: Permit<Arc<Breaker>>) {
        let Some(probe) = self.leave_to_ask(&permit).await else { return };
        match self.provider.probe().await {
            Probe::Healthy | Probe::NoAnswer => permit.cleared(),
            Probe::Failed(failure) => {
                let now = Now::read(&*self.ports.clock);
                self.ports.shortages.failed(&failure, &*self.ports.clock);
                permit.settle(Verdict::Failure(&failure), now);
            }
        }
        drop(probe);
    }

    /// Asks the provider for an operator. None if another probe is out, here or in another process. Unless the provider says no, the next
    /// message is let through by every process.
    ///
    /// # Errors
    /// The error of a store that cannot be told.
    pub(crate) async fn ask_for_operator(self: Arc<Self>) -> Result<Option<Probe>, StoreError> {
        let now = Now::read(&*self.ports.clock);
        let Some(permit) = Breaker::admit_question(self.breaker.clone(), Asker::Operator, now) else {
            return Ok(None);
        };
        let Some(probe) = self.leave_to_ask(&permit).await else {
            return Ok(None);
        };
        let answer = if self.provider.can_be_asked() {
            self.provider.probe().await
        } else {
            Probe::NoAnswer
        };
        if let Probe::Failed(failure) = &answer {
            permit.settle(Verdict::Failure(failure), Now::read(&*self.ports.clock));
        } else {
            drop(permit);
            self.share.let_through().await?;
        }
        drop(probe);
        Ok(Some(answer))
    }

    /// The right to ask the provider: on a shared store with the probe lease. None if another process has it, or has learned more.
    async fn leave_to_ask(&self, permit: &Permit<Arc<Breaker>>) -> Option<Option<ProbeOut>> {
        let clock = &self.ports.clock;
        match self.share.may_probe(clock.monotonic()) {
            MayProbe::Yes(probe) => return Some(probe),
            MayProbe::No => return None,
            MayProbe::Ask => {}
        }
        if !self.share.lease_probe().await || !permit.still_to_ask() {
            return None;
        }
        match self.share.may_probe(clock.monotonic()) {
            MayProbe::Yes(probe) => Some(probe),
            MayProbe::Ask | MayProbe::No => None,
        }
    }

    /// Requests the probe lease for a message that waits for it. The permit is held meanwhile, so that no second message requests it.
    pub(super) async fn lease_probe(self: Arc<Self>, permit: Permit<Arc<Breaker>>) {
        self.share.lease_probe().await;
        drop(permit);
    }

    /// Reserves room in the pace for that many recipients.
    pub(super) fn reserve(&self, recipients: u32, now: Monotonic) -> Reservation {
        let Some(blocks) = self.pacer.blocks() else {
            return match self.pacer.reserve(recipients, now) {
                Ok(()) => Reservation::Reserved,
                Err(over) => Reservation::Over(over),
            };
        };
        let (reservation, ask) = blocks.reserve(recipients, now);
        if ask {
            let ports = &self.ports;
            ports.tasks.spawn(blocks.clone().refill(ports.store.clone(), ports.clock.clone()));
        }
        reservation
    }
}

impl<M> fmt::Debug for Link<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.kind)
    }
}

/// Room for one message at a provider: a permit of its breaker, and reserved room in its pace. A slot must end by a call or by
/// [`Slot::release`]; dropping it returns the permit and loses the room.
#[derive(Debug)]
pub(crate) struct Slot<M> {
    pub(crate) link: Arc<Link<M>>,
    pub(crate) permit: CallPermit,
    /// Recipients that room in the pace is reserved for.
    units: u32,
}

impl<M: 'static> Slot<M> {
    pub(super) fn new(link: Arc<Link<M>>, permit: CallPermit, units: u32) -> Self {
        Self { link, permit, units }
    }

    /// Recipients that room in the pace is reserved for.
    pub(crate) const fn units(&self) -> u32 {
        self.units
    }

    /// Refunds the room in the pace beyond that many recipients.
    pub(crate) fn shrink(&mut self, recipients: u32, now: Monotonic) {
        let spare = self.units.saturating_sub(recipients);
        if spare > 0 {
            self.link.pacer.refund(spare, now);
            self.units = recipients;
        }
    }

    /// Ends the slot without a call: refunds the room in the pace and returns the permit uncounted.
    pub(crate) fn release(mut self, now: Monotonic) {
        self.shrink(0, now);
    }
}

/// A permit of the breaker, and the probe lease of the store where one is needed. The permit must end first: the lease is released only
/// after the breaker has learned from the call. Fields drop in this order.
#[derive(Debug)]
pub(crate) struct CallPermit {
    pub(super) permit: Permit<Arc<Breaker>>,
    pub(super) probe: Option<ProbeOut>,
}

impl CallPermit {
    /// Ends the permit with the outcome of the call, then the lease.
    pub(crate) fn settle(self, verdict: Verdict<'_>, now: Now) {
        self.permit.settle(verdict, now);
        drop(self.probe);
    }
}
