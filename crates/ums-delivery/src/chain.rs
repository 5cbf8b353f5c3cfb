//! The providers of a channel in priority order: which one is next, and why others are passed over.
//!
//! Every walk starts at the first provider; there is no sticky backup and no sleep between
//! providers. An open breaker skips, it never ends the walk.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use ums_core::{AccountId, Clock, Probe, Provider, ProviderKind, Purpose, Skip};

use crate::breaker::{Breaker, BreakerSettings, Cause, Listener, Now, Permit, Refusal, Verdict};
use crate::flow::Flow;
use crate::pacing::{PaceSettings, Pacer};
use crate::rejection::Rejections;
use crate::retry::{Budget, RetryBudget, Token};

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
}

impl<M: 'static> Link<M> {
    pub(crate) fn new(parts: LinkParts<M>, random: Arc<dyn ums_core::Random>, listener: Listener) -> Self {
        Self {
            kind: parts.provider.kind(),
            account: parts.provider.account(),
            provider: parts.provider,
            breaker: Arc::new(Breaker::new(parts.breaker, random, Some(listener))),
            pacer: Pacer::new(parts.pace),
            rejections: Rejections::default(),
            price: parts.price,
        }
    }

    /// Asks the provider without sending, and tells its breaker.
    async fn ask(self: Arc<Self>, permit: Permit<Arc<Breaker>>, clock: Arc<dyn Clock>) {
        match self.provider.probe().await {
            Probe::Healthy | Probe::NoAnswer => permit.cleared(),
            Probe::Failed(failure) => permit.settle(Verdict::Failure(&failure), Now::read(&*clock)),
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
    pub(crate) permit: Permit<Arc<Breaker>>,
}

/// One message's way along the chain, in one round.
#[derive(Debug)]
pub(crate) struct Walk {
    purpose: Purpose,
    via: Option<ProviderKind>,
    recipients: u32,
    tried: u64,
    /// Whether the message was called for in an earlier round, and what this round is paid with.
    retry: bool,
    token: Option<Token>,
    asks: Vec<JoinHandle<()>>,
    /// How long until a provider that was passed over may be called.
    pub(crate) soonest: Option<Duration>,
    /// Whether only the pace stood in the way: the message waits, it never fails for that.
    pub(crate) paced: bool,
    /// Why providers were passed over, to be recorded with the next step.
    pub(crate) skips: Vec<Skip>,
}

impl Walk {
    pub(crate) fn new(purpose: Purpose, via: Option<ProviderKind>, recipients: u32) -> Self {
        Self {
            purpose,
            via,
            recipients,
            tried: 0,
            retry: false,
            token: None,
            asks: Vec::new(),
            soonest: None,
            paced: false,
            skips: Vec::new(),
        }
    }

    /// A call of this round failed: the token of a retry round is gone.
    pub(crate) fn call_failed(&mut self) {
        if let Some(token) = self.token.take() {
            token.spend();
        }
    }

    fn skip<M>(&mut self, link: &Link<M>, now: Now, reason: &str, detail: String, wait: Duration) {
        self.soonest = Some(self.soonest.map_or(wait, |soonest| soonest.min(wait)));
        let known = self
            .skips
            .iter()
            .any(|skip| skip.provider == link.kind && skip.account == link.account && skip.reason == reason);
        if !known {
            self.skips.push(Skip {
                provider: link.kind,
                account: link.account.clone(),
                at: now.wall,
                reason: reason.to_owned(),
                detail,
            });
        }
    }
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

    /// The next provider that takes a message now, without waiting for anything.
    pub(crate) fn pick(&self, walk: &mut Walk, flow: &Flow) -> Option<Slot<M>> {
        let now = Now::read(&*flow.clock);
        for (place, link) in self.links.iter().enumerate() {
            let bit = 1_u64 << (place % 64);
            if walk.tried & bit != 0 || walk.via.is_some_and(|via| via != link.kind) {
                continue;
            }
            let permit = match Breaker::admit(link.breaker.clone(), now) {
                Ok(permit) => permit,
                Err(refusal) => {
                    let Refusal { cause, reopens_in } = *refusal;
                    walk.skip(link, now, cause.word(), cause.describe(), reopens_in);
                    continue;
                }
            };
            if permit.ask_first() && link.provider.can_be_asked() {
                walk.asks.push(flow.tasks.spawn(link.clone().ask(permit, flow.clock.clone())));
                walk.skip(link, now, Cause::Probing.word(), Cause::Probing.describe(), Duration::ZERO);
                continue;
            }
            if let Err(over) = link.pacer.reserve(walk.recipients, now.mono) {
                walk.skip(link, now, over.reason, "more than its pace allows".to_owned(), over.wait);
                walk.paced = true;
                if walk.purpose == Purpose::Bulk {
                    return None;
                }
                continue;
            }
            if walk.tried == 0 && !walk.retry {
                self.budget.first(now.mono);
            }
            walk.tried |= bit;
            return Some(Slot {
                link: link.clone(),
                permit,
            });
        }
        None
    }

    /// The next provider; waits for recovering ones that are being asked when no other is left,
    /// and at the end takes the least bad one if nobody was tried at all.
    pub(crate) async fn next(&self, walk: &mut Walk, flow: &Flow) -> Option<Slot<M>> {
        if let Some(slot) = self.pick(walk, flow) {
            return Some(slot);
        }
        if !walk.asks.is_empty() {
            for ask in walk.asks.drain(..) {
                if ask.await.is_err() {
                    tracing::error!("asking a provider panicked");
                }
            }
            if let Some(slot) = self.pick(walk, flow) {
                return Some(slot);
            }
        }
        if walk.tried == 0 && !walk.paced {
            self.last_resort(walk, flow)
        } else {
            None
        }
    }

    /// All are open: the one that reopens first is tried through its single permit.
    fn last_resort(&self, walk: &mut Walk, flow: &Flow) -> Option<Slot<M>> {
        let now = Now::read(&*flow.clock);
        let mut places: Vec<_> = self
            .links
            .iter()
            .enumerate()
            .filter(|(_, link)| walk.via.is_none_or(|via| via == link.kind))
            .collect();
        places.sort_by_key(|(_, link)| link.breaker.snapshot(now).reopens_at);
        for (place, link) in places {
            let Some(permit) = Breaker::admit_last_resort(link.breaker.clone(), now) else {
                continue;
            };
            if link.pacer.reserve(walk.recipients, now.mono).is_ok() {
                walk.tried |= 1 << (place % 64);
                return Some(Slot {
                    link: link.clone(),
                    permit,
                });
            }
        }
        None
    }
}
