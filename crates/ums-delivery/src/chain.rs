//! The providers of a channel in priority order: which one is next, and why others are passed over.
//!
//! Every walk starts at the first provider; there is no sticky backup and no sleep between
//! providers. An open breaker skips, it never ends the walk. A provider that takes messages and does not deliver them is tried after the
//! others, and never left out.

mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ums_core::{AccountId, Clock, Monotonic, Probe, Provider, ProviderKind, Purpose, Store};

use self::walk::Pending;
pub(crate) use self::walk::Walk;
use crate::breaker::{Breaker, BreakerSettings, Now, Permit, Refusal, Verdict};
use crate::flow::Flow;
use crate::pacing::{Blocks, PaceSettings, Pacer, Take};
use crate::rates::Verdicts;
use crate::rejection::Rejections;
use crate::retry::{Budget, RetryBudget};
use crate::sharing::{MayProbe, Plug, ProbeOut, Share};

/// Price of a message, in millionths of a US dollar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Price {
    /// For each recipient of an e-mail; none when not known.
    Recipient(Option<i64>),
    /// For each segment of a text message, by the calling code of its country; others are not known.
    Segment(BTreeMap<u16, i64>),
    /// Nothing at all.
    Free,
}

impl Price {
    /// The price of one unit; none when not known.
    pub(crate) fn of_unit(&self, country_code: Option<u16>) -> Option<i64> {
        match self {
            Self::Recipient(micros) => *micros,
            Self::Segment(by_country) => by_country.get(&country_code?).copied(),
            Self::Free => Some(0),
        }
    }
}

/// One provider of a chain, with its settings.
pub struct LinkParts<M> {
    /// The provider.
    pub provider: Arc<dyn Provider<M>>,
    /// When its breaker trips.
    pub breaker: BreakerSettings,
    /// How fast it is sent through.
    pub pace: PaceSettings,
    /// What it costs.
    pub price: Price,
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
}

impl<M: 'static> Link<M> {
    pub(crate) fn new(parts: LinkParts<M>, plug: &Plug) -> Self {
        let (kind, account) = (parts.provider.kind(), parts.provider.account());
        let share = plug.breaker((kind, account.clone()), parts.breaker);
        Self {
            kind,
            breaker: share.breaker().clone(),
            pacer: if plug.shared {
                Pacer::shared(parts.pace, kind, account.clone())
            } else {
                Pacer::new(parts.pace)
            },
            account,
            share,
            provider: parts.provider,
            rejections: Rejections::default(),
            price: parts.price,
        }
    }

    /// Asks the provider without sending, and tells its breaker. On a shared store leave to probe comes first.
    async fn ask(self: Arc<Self>, permit: Permit<Arc<Breaker>>, asks: Asks) {
        let probe = match self.share.may_probe(asks.clock.monotonic()) {
            MayProbe::Yes(probe) => probe,
            MayProbe::No => return,
            MayProbe::Ask => {
                let leave = self.share.ask_for_leave(&*asks.store, &*asks.clock, asks.owner).await;
                if !leave || !permit.still_to_ask() {
                    return;
                }
                let MayProbe::Yes(probe) = self.share.may_probe(asks.clock.monotonic()) else {
                    return;
                };
                probe
            }
        };
        match self.provider.probe().await {
            Probe::Healthy | Probe::NoAnswer => permit.cleared(),
            Probe::Failed(failure) => permit.settle(Verdict::Failure(&failure), Now::read(&*asks.clock)),
        }
        drop(probe);
    }

    /// Asks the store for leave to probe, for the message that waits for it. Meanwhile the permit keeps others from asking, too.
    async fn ask_for_leave(self: Arc<Self>, permit: Permit<Arc<Breaker>>, asks: Asks) {
        self.share.ask_for_leave(&*asks.store, &*asks.clock, asks.owner).await;
        drop(permit);
    }

    /// Takes room in the pace.
    fn reserve(&self, recipients: u32, flow: &Flow, now: Monotonic) -> Take {
        let Some(blocks) = self.pacer.blocks() else {
            return match self.pacer.reserve(recipients, now) {
                Ok(()) => Take::Taken,
                Err(over) => Take::Over(over),
            };
        };
        let (take, ask) = blocks.take(recipients, now);
        if ask {
            flow.tasks.spawn(blocks.clone().refill(flow.store.clone(), flow.clock.clone()));
        }
        take
    }
}

/// What is needed to ask in the background.
struct Asks {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// This process, as the store names it.
    owner: i64,
}

impl Asks {
    fn of(flow: &Flow) -> Self {
        Self {
            store: flow.store.clone(),
            clock: flow.clock.clone(),
            owner: flow.lease.owner(),
        }
    }
}

impl<M> fmt::Debug for Link<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.kind)
    }
}

/// The providers of one channel, first to last.
#[derive(Debug)]
pub(crate) struct Chain<M> {
    pub(crate) links: Vec<Arc<Link<M>>>,
    /// What bounds the retry rounds of held messages.
    budget: Arc<Budget>,
}

/// Leave to hand one message to one provider: breaker permit and pace are in hand.
#[derive(Debug)]
pub(crate) struct Slot<M> {
    pub(crate) link: Arc<Link<M>>,
    pub(crate) permit: Leave,
}

/// A breaker's permit, and the store's leave to probe where one is needed. Dropped in this order.
#[derive(Debug)]
pub(crate) struct Leave {
    permit: Permit<Arc<Breaker>>,
    probe: Option<ProbeOut>,
}

impl Leave {
    /// Gives it back with the call's outcome.
    pub(crate) fn settle(self, verdict: Verdict<'_>, now: Now) {
        self.permit.settle(verdict, now);
        drop(self.probe);
    }
}

/// What one provider said to a message that would go to it.
#[derive(Debug)]
enum Asked<M> {
    /// It may be called.
    Leave(Slot<M>),
    /// It is passed over.
    PassOver,
    /// The walk goes no further: something is waited for.
    Stop,
}

impl<M: 'static> Chain<M> {
    pub(crate) fn new(links: Vec<Arc<Link<M>>>, budget: RetryBudget) -> Self {
        Self {
            links,
            budget: Arc::new(Budget::new(budget)),
        }
    }

    /// Makes the walk a retry round, of a message that was called for before, and pays for it.
    ///
    /// # Errors
    /// How long to wait when the budget is spent; nothing may be called then.
    pub(crate) fn pay_for_retry(&self, walk: &mut Walk, flow: &Flow) -> Result<(), Duration> {
        walk.retry = true;
        walk.token = self.budget.take(walk.purpose, flow.clock.monotonic());
        if walk.token.is_some() {
            Ok(())
        } else {
            Err(Budget::later(walk.purpose, &*flow.random))
        }
    }

    /// The next provider that takes a message now, without waiting for anything. None where only [`Chain::next`] can go on,
    /// because the store must answer first.
    pub(crate) fn pick(&self, walk: &mut Walk, flow: &Flow) -> Option<Slot<M>> {
        let now = Now::read(&*flow.clock);
        let verdicts = flow.rates.verdicts();
        let late = self.late(walk.via, &verdicts);
        let places = || self.links.iter().enumerate().map(|(place, link)| (1_u64 << (place % 64), link));
        let (on_time, after_them) = (|(bit, _): &(u64, _)| late & bit == 0, |(bit, _): &(u64, _)| late & bit != 0);
        let passed_over = late & !walk.tried;
        for (_, link) in places().filter(|(bit, _)| passed_over & bit != 0) {
            walk.skip_late(link, now);
        }
        for (bit, link) in places().filter(on_time).chain(places().filter(after_them)) {
            if walk.tried & bit != 0 || walk.via.is_some_and(|via| via != link.kind) {
                continue;
            }
            if let Some(held_for) = walk.rate_is_held(link, &verdicts) {
                walk.skip_rate(link, now, held_for);
                return None;
            }
            match self.take_leave(link, bit, walk, (flow, now)) {
                Asked::Leave(leave) => return Some(leave),
                Asked::Stop => return None,
                Asked::PassOver => {}
            }
        }
        None
    }

    /// The links that are tried after the others, as bits: those that take messages and do not deliver them. If that is all of them, or
    /// one was asked for by name, the order stays.
    fn late(&self, via: Option<ProviderKind>, verdicts: &Verdicts) -> u64 {
        if via.is_some() || !verdicts.has_late() {
            return 0;
        }
        let bits = |is: &dyn Fn(&Link<M>) -> bool| {
            let places = self.links.iter().enumerate().filter(|(_, link)| is(link));
            places.fold(0, |bits, (place, _)| bits | 1_u64 << (place % 64))
        };
        let late = bits(&|link| verdicts.is_late(link.kind, &link.account));
        if late == bits(&|_| true) { 0 } else { late }
    }

    /// Asks one provider's breaker and pace.
    fn take_leave(&self, link: &Arc<Link<M>>, bit: u64, walk: &mut Walk, (flow, now): (&Flow, Now)) -> Asked<M> {
        let permit = match Breaker::admit(link.breaker.clone(), now) {
            Ok(permit) => permit,
            Err(refusal) => {
                let Refusal { cause, reopens_in } = *refusal;
                walk.skip(link, now, cause.word(), cause.describe(), reopens_in);
                return Asked::PassOver;
            }
        };
        if permit.ask_first() && link.provider.can_be_asked() {
            walk.asks.push(flow.tasks.spawn(link.clone().ask(permit, Asks::of(flow))));
            walk.skip_probing(link, now);
            return Asked::PassOver;
        }
        let mut probe = None;
        if permit.is_probe() {
            match link.share.may_probe(now.mono) {
                MayProbe::Yes(out) => probe = out,
                MayProbe::Ask if walk.waited & bit == 0 => {
                    walk.waited |= bit;
                    walk.pending = Some(Pending::Leave(flow.tasks.spawn(link.clone().ask_for_leave(permit, Asks::of(flow)))));
                    return Asked::Stop;
                }
                MayProbe::Ask | MayProbe::No => {
                    walk.skip_probing(link, now);
                    return Asked::PassOver;
                }
            }
        }
        let over = match link.reserve(walk.recipients, flow, now.mono) {
            Take::Taken => {
                self.count_first(walk, now.mono);
                walk.tried |= bit;
                return Asked::Leave(Slot {
                    link: link.clone(),
                    permit: Leave { permit, probe },
                });
            }
            Take::Asked(answers) if walk.waited_for_pace & bit == 0 => {
                walk.waited_for_pace |= bit;
                walk.pending = Some(Pending::Pace(answers));
                return Asked::Stop;
            }
            Take::Asked(_) => Blocks::late(),
            Take::Over(over) => over,
        };
        walk.skip_paced(link, now, over);
        if walk.purpose == Purpose::Bulk {
            Asked::Stop
        } else {
            Asked::PassOver
        }
    }

    fn count_first(&self, walk: &Walk, now: Monotonic) {
        if walk.tried == 0 && !walk.retry {
            self.budget.first(now);
        }
    }

    /// The next provider; waits for recovering ones that are being asked when no other is left,
    /// and at the end takes the least bad one if nobody was tried at all.
    pub(crate) async fn next(&self, walk: &mut Walk, flow: &Flow) -> Option<Slot<M>> {
        if let Some(slot) = self.pick_waiting(walk, flow).await {
            return Some(slot);
        }
        if !walk.asks.is_empty() {
            for ask in walk.asks.drain(..) {
                if ask.await.is_err() {
                    tracing::error!("asking a provider panicked");
                }
            }
            if let Some(slot) = self.pick_waiting(walk, flow).await {
                return Some(slot);
            }
        }
        if walk.tried == 0 && !walk.paced {
            self.last_resort(walk, flow).await
        } else {
            None
        }
    }

    /// The next provider, waiting shortly for what the store is being asked for.
    async fn pick_waiting(&self, walk: &mut Walk, flow: &Flow) -> Option<Slot<M>> {
        loop {
            if let Some(pending) = walk.pending.take() {
                pending.wait().await;
            }
            let slot = self.pick(walk, flow);
            if slot.is_some() || walk.pending.is_none() {
                return slot;
            }
        }
    }

    /// All are open: the one that reopens first is tried through its single permit.
    async fn last_resort(&self, walk: &mut Walk, flow: &Flow) -> Option<Slot<M>> {
        let now = Now::read(&*flow.clock);
        let mut places: Vec<_> = self
            .links
            .iter()
            .enumerate()
            .filter(|(_, link)| walk.via.is_none_or(|via| via == link.kind))
            .collect();
        places.sort_by_cached_key(|(_, link)| link.breaker.snapshot(now).reopens_at);
        for (place, link) in places {
            let Some(permit) = Breaker::admit_last_resort(link.breaker.clone(), now) else {
                continue;
            };
            let Some(probe) = link.share.leave_for_last_resort(flow).await else {
                continue;
            };
            let taken = match link.reserve(walk.recipients, flow, now.mono) {
                Take::Asked(answers) => {
                    Pending::Pace(answers).wait().await;
                    link.reserve(walk.recipients, flow, flow.clock.monotonic())
                }
                take @ (Take::Taken | Take::Over(_)) => take,
            };
            if matches!(taken, Take::Taken) {
                self.count_first(walk, now.mono);
                walk.tried |= 1 << (place % 64);
                return Some(Slot {
                    link: link.clone(),
                    permit: Leave { permit, probe },
                });
            }
        }
        None
    }
}
