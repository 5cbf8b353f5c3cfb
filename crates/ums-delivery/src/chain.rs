//! The providers of a channel in priority order: which provider is next for a message, and why others are skipped.
//!
//! Its place in the flow: `accept` and `deliver` ask the chain for a [`Slot`]; the chain asks breakers, paces and rates. It calls no
//! provider with a message, and stores nothing.
//!
//! Every walk starts at the first provider; there is no sticky backup and no sleep between providers. An open breaker skips its provider
//! and never ends the walk. A provider that accepts messages and does not deliver them is tried after the others, and never excluded.

mod link;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use ums_core::{AccountId, Channel, Content, Email, Failure, Monotonic, Probe, ProviderKind, Purpose, Sms, StoreError, Undo};

use self::link::CallPermit;
pub(crate) use self::link::{Link, Slot};
pub use self::link::{LinkParts, Price};
pub(crate) use self::walk::Walk;
use self::walk::{Pending, bit};
use crate::breaker::{Breaker, Now, Refusal};
use crate::carried::Carried;
use crate::pacing::{Blocks, Reservation};
use crate::ports::Ports;
use crate::rates::{Rates, Verdicts};
use crate::retry::Budget;
use crate::rules::RetryBudget;
use crate::sharing::MayProbe;

/// The providers of one channel, first to last.
#[derive(Debug)]
pub(crate) struct Chain<M> {
    pub(crate) links: Vec<Arc<Link<M>>>,
    /// Bounds the retry rounds of held messages.
    budget: Arc<Budget>,
    rates: Arc<Rates>,
    ports: Arc<Ports>,
}

/// The chains of both channels.
#[derive(Debug)]
pub(crate) struct Chains {
    pub(crate) email: Chain<Email>,
    pub(crate) sms: Chain<Sms>,
}

/// Content that has a chain.
pub(crate) trait Routed: Carried {
    /// The chain that carries it.
    fn chain(chains: &Chains) -> &Chain<Self>;
}

impl Routed for Email {
    fn chain(chains: &Chains) -> &Chain<Self> {
        &chains.email
    }
}

impl Routed for Sms {
    fn chain(chains: &Chains) -> &Chain<Self> {
        &chains.sms
    }
}

impl Chains {
    /// The account of an undo gave up everything: its breaker opens, unless it refuses already, and an operator is told.
    pub(crate) fn blame(&self, undo: &Undo, cause: &Failure, now: Now) {
        let (provider, since, detail) = (undo.provider, undo.since, &cause.detail);
        tracing::error!(%provider, %since, %detail, "provider needs an operator");
        let breaker = match undo.provider.channel() {
            Channel::Email => self.email.breaker_of(undo),
            Channel::Sms => self.sms.breaker_of(undo),
        };
        if let Some(breaker) = breaker {
            breaker.blame(cause, now);
        }
    }

    /// Whether the providers of the content's channel are all on this machine.
    pub(crate) fn are_local_for(&self, content: &Content) -> bool {
        match content {
            Content::Email(_) => self.email.links.iter().all(|link| link.provider.is_local()),
            Content::Sms(_) => self.sms.links.iter().all(|link| link.provider.is_local()),
        }
    }
}

/// The answer of one provider's breaker and pace to a message.
#[derive(Debug)]
enum Asked<M> {
    /// The provider has room.
    Room(Slot<M>),
    /// The provider is skipped.
    PassOver,
    /// The walk stops here: the message waits for the store or for this pace.
    Stop,
}

impl<M: 'static> Chain<M> {
    pub(crate) fn new(links: Vec<Arc<Link<M>>>, budget: RetryBudget, rates: Arc<Rates>, ports: Arc<Ports>) -> Self {
        Self {
            links,
            budget: Arc::new(Budget::new(budget)),
            rates,
            ports,
        }
    }

    fn breaker_of(&self, undo: &Undo) -> Option<&Breaker> {
        let mut links = self.links.iter();
        let link = links.find(|link| link.kind == undo.provider && link.account == undo.account)?;
        Some(&link.breaker)
    }

    /// The links in order, each with its bit in the sets of a walk.
    fn with_bits(&self) -> impl Iterator<Item = (u64, &Arc<Link<M>>)> {
        self.links.iter().enumerate().map(|(index, link)| (bit(index), link))
    }

    /// Makes the walk a retry round and pays for the round with a token.
    ///
    /// # Errors
    /// The time to wait when the budget is spent. The message must not be sent to a provider then.
    pub(crate) fn pay_for_retry(&self, walk: &mut Walk) -> Result<(), Duration> {
        walk.retry = true;
        walk.token = self.budget.acquire(walk.purpose, self.ports.clock.monotonic());
        if walk.token.is_some() {
            Ok(())
        } else {
            Err(Budget::later(walk.purpose, &*self.ports.random))
        }
    }

    /// Passes over the providers whose own unsubscribe list has everybody whom the message is for now.
    pub(crate) fn pass_over_unsubscribed(&self, walk: &mut Walk, everybody_is_listed: impl Fn(&Link<M>) -> bool) {
        let now = Now::read(&*self.ports.clock);
        walk.barred = 0;
        let asked_for = |link: &Link<M>, via: Option<ProviderKind>| via.is_none_or(|via| via == link.kind);
        for (bit, link) in self.with_bits() {
            if asked_for(link, walk.via) && everybody_is_listed(link) {
                walk.skip_unsubscribed((bit, link), now);
            }
        }
    }

    /// A slot at the next provider that has room now; waits for nothing. None also where only [`Chain::next`] can go on, because the store
    /// must answer first.
    pub(crate) fn pick(&self, walk: &mut Walk) -> Option<Slot<M>> {
        let now = Now::read(&*self.ports.clock);
        let verdicts = self.rates.verdicts();
        let late = self.late(walk.via, &verdicts);
        let among = |links: u64| self.with_bits().filter(move |(bit, _)| links & bit != 0);
        for (_, link) in among(late & !walk.tried) {
            walk.skip_late(link, now);
        }
        for (bit, link) in among(!late).chain(among(late)) {
            if (walk.tried | walk.barred) & bit != 0 || walk.via.is_some_and(|via| via != link.kind) {
                continue;
            }
            if let Some(off) = link.share.off(now.wall) {
                walk.skip_off(link, now, &off);
                continue;
            }
            if let Some(held_for) = walk.rate_is_held(link, &verdicts) {
                walk.skip_rate(link, now, held_for);
                return None;
            }
            match self.ask(link, bit, walk, now) {
                Asked::Room(slot) => return Some(slot),
                Asked::Stop => return None,
                Asked::PassOver => {}
            }
        }
        None
    }

    /// The links to try after the others, as bits: providers that accept messages and do not deliver them. Zero, which keeps the order, if
    /// all links are such, or if the message names its provider.
    fn late(&self, via: Option<ProviderKind>, verdicts: &Verdicts) -> u64 {
        if via.is_some() || !verdicts.has_late() {
            return 0;
        }
        let is_late = |link: &Link<M>| verdicts.is_late(link.kind, &link.account);
        if self.links.iter().all(|link| is_late(link)) {
            return 0;
        }
        let late = self.with_bits().filter(|(_, link)| is_late(link));
        late.fold(0, |bits, (bit, _)| bits | bit)
    }

    /// Asks the breaker and the pace of one provider for room.
    fn ask(&self, link: &Arc<Link<M>>, bit: u64, walk: &mut Walk, now: Now) -> Asked<M> {
        let tasks = &self.ports.tasks;
        let permit = match Breaker::admit(link.breaker.clone(), now) {
            Ok(permit) => permit,
            Err(refusal) => {
                let Refusal { cause, reopens_in } = *refusal;
                walk.skip(link, now, cause.reason(), cause.describe(), reopens_in);
                return Asked::PassOver;
            }
        };
        if permit.ask_first() && link.provider.can_be_asked() {
            walk.asks.push(tasks.spawn(link.clone().ask(permit)));
            walk.skip_probing(link, now);
            return Asked::PassOver;
        }
        let mut probe = None;
        if permit.is_probe() {
            match link.share.may_probe(now.mono) {
                MayProbe::Yes(out) => probe = out,
                MayProbe::Ask if walk.waited & bit == 0 => {
                    walk.waited |= bit;
                    walk.pending = Some(Pending::Lease(tasks.spawn(link.clone().lease_probe(permit))));
                    return Asked::Stop;
                }
                MayProbe::Ask | MayProbe::No => {
                    walk.skip_probing(link, now);
                    return Asked::PassOver;
                }
            }
        }
        let over = match link.reserve(walk.recipients, now.mono) {
            Reservation::Reserved => {
                self.count_first(walk, now.mono);
                walk.tried |= bit;
                return Asked::Room(Slot::new(link.clone(), CallPermit { permit, probe }, walk.recipients));
            }
            Reservation::Asked(answers) if walk.waited_for_pace & bit == 0 => {
                walk.waited_for_pace |= bit;
                walk.pending = Some(Pending::Pace(answers));
                return Asked::Stop;
            }
            Reservation::Asked(_) => Blocks::late(),
            Reservation::Over(over) => over,
        };
        walk.skip_paced(link, now, over);
        if walk.purpose == Purpose::Bulk {
            Asked::Stop
        } else {
            Asked::PassOver
        }
    }

    /// Asks a provider of this chain for an operator; as [`Link::ask_for_operator`].
    pub(crate) async fn ask_for_operator(&self, provider: ProviderKind, account: &AccountId) -> Result<Option<Probe>, StoreError> {
        let link = self.links.iter().find(|link| link.share.is_of(provider, account));
        match link.cloned() {
            Some(link) => link.ask_for_operator().await,
            None => Ok(None),
        }
    }

    /// Counts a first attempt: the retry budget is a share of those.
    fn count_first(&self, walk: &Walk, now: Monotonic) {
        if walk.tried == 0 && !walk.retry {
            self.budget.first(now);
        }
    }

    /// A slot at the next provider. When no other provider is left, waits for recovering ones that are being asked; at the end, if the walk
    /// tried nobody, tries the last resort.
    ///
    /// # Cancel safety
    /// Dropping it loses no permit: a probe under way goes on in its task.
    pub(crate) async fn next(&self, walk: &mut Walk) -> Option<Slot<M>> {
        if let Some(slot) = self.pick_waiting(walk).await {
            return Some(slot);
        }
        if !walk.asks.is_empty() {
            for ask in walk.asks.drain(..) {
                if ask.await.is_err() {
                    tracing::error!("asking a provider panicked");
                }
            }
            if let Some(slot) = self.pick_waiting(walk).await {
                return Some(slot);
            }
        }
        if walk.tried == 0 && !walk.paced {
            self.last_resort(walk).await
        } else {
            None
        }
    }

    /// As [`Chain::pick`], but waits shortly for the answers of the store.
    async fn pick_waiting(&self, walk: &mut Walk) -> Option<Slot<M>> {
        loop {
            if let Some(pending) = walk.pending.take() {
                pending.wait().await;
            }
            let slot = self.pick(walk);
            if slot.is_some() || walk.pending.is_none() {
                return slot;
            }
        }
    }

    /// All breakers are open: tries the provider that reopens first, by its permit of the last resort.
    async fn last_resort(&self, walk: &mut Walk) -> Option<Slot<M>> {
        let now = Now::read(&*self.ports.clock);
        let mut asked_for: Vec<_> = self
            .with_bits()
            .filter(|(bit, link)| {
                walk.barred & bit == 0 && walk.via.is_none_or(|via| via == link.kind) && link.share.off(now.wall).is_none()
            })
            .collect();
        asked_for.sort_by_cached_key(|(_, link)| link.breaker.snapshot(now).reopens_at);
        for (bit, link) in asked_for {
            let Some(permit) = Breaker::admit_last_resort(link.breaker.clone(), now) else {
                continue;
            };
            let Some(probe) = link.share.last_resort().await else {
                continue;
            };
            let reservation = match link.reserve(walk.recipients, now.mono) {
                Reservation::Asked(answers) => {
                    Pending::Pace(answers).wait().await;
                    link.reserve(walk.recipients, self.ports.clock.monotonic())
                }
                known @ (Reservation::Reserved | Reservation::Over(_)) => known,
            };
            if matches!(reservation, Reservation::Reserved) {
                self.count_first(walk, now.mono);
                walk.tried |= bit;
                return Some(Slot::new(link.clone(), CallPermit { permit, probe }, walk.recipients));
            }
        }
        None
    }
}
