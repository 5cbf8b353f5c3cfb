//! Puts an engine together from its parts, restores what earlier processes left, and starts its tasks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ums_core::{
    Clock, Email, FeedbackSource, NotConfigured, OnExhausted, Random, Secret, Sms, Store, StoreError, Troubles, WebhookPost, failpoint,
};

use super::{Engine, Messaging};
use crate::breaker::Now;
use crate::chain::{Chain, Chains, Link, LinkParts};
use crate::desk::Desk;
use crate::dispatch::Dispatch;
use crate::drain::Drain;
use crate::endpoints::Endpoints;
use crate::in_hand::InHand;
use crate::lanes::Lanes;
use crate::lease::HeldLease;
use crate::memory::MemoryBudget;
use crate::notices::Notices;
use crate::observer::Observer;
use crate::outbox::{Outbox, Postbox};
use crate::parking::Parking;
use crate::ports::Ports;
use crate::queue::Queue;
use crate::rates::Rates;
use crate::rejection::Reports;
use crate::rules::Rules;
use crate::sharing::{Keeper, Plug, Share};
use crate::unsubscribe::Links;
use crate::{asking, feedback, housekeeping, lease, outbox, rates, worker};

/// All that an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Where messages are kept.
    pub store: Arc<dyn Store>,
    /// The observer, for metrics.
    pub observer: Arc<dyn Observer>,
    /// E-mail providers in the order of their chain.
    pub email: Vec<LinkParts<Email>>,
    /// SMS providers in the order of their chain.
    pub sms: Vec<LinkParts<Sms>>,
    /// Providers without settings, for the health report.
    pub not_configured: Vec<NotConfigured>,
    /// What holds for all messages.
    pub rules: Rules,
    /// Feedback and notices.
    pub aftermath: Aftermath,
    /// What ails this process or its machine; others may note theirs in it.
    pub troubles: Troubles,
}

/// What comes after a message is sent: feedback that must be polled, and notices to the user's application.
#[derive(Debug, Default)]
pub struct Aftermath {
    /// Sources of feedback that must be polled.
    pub sources: Vec<Arc<dyn FeedbackSource>>,
    /// Posts notices to the user's application; none for no notices.
    pub webhooks: Option<Arc<dyn WebhookPost>>,
    /// The service's keys (`UMS_SECRET_KEY`), newest first: unsubscribe links and webhook secrets are derived from them.
    pub keys: Vec<Secret>,
    /// Where the service is reached from outside (`UMS_PUBLIC_URL`), without a slash at its end.
    pub public_url: Option<String>,
}

impl Messaging {
    /// Starts an engine: recovers what earlier processes left, and begins to deliver due messages.
    ///
    /// # Errors
    /// The error of a store that cannot be read.
    pub async fn start(from: Parts) -> Result<Self, StoreError> {
        let ports = Arc::new(Ports::new(
            from.clock,
            from.random,
            from.store,
            from.observer,
            from.troubles.clone(),
        ));
        housekeeping::begin_timekeeping(&ports).await?;
        let rules = with_defaults_of_store(from.rules, &*ports.store);
        let asked = ports.clock.monotonic();
        let lease = Arc::new(HeldLease::new(ports.store.renew().await?, asked));
        let plug = Plug::new(ports.clone(), lease.clone());
        let rates = Arc::new(Rates::new(rules.rates));
        let chains = Chains {
            email: chain(from.email, &rules, &plug, &rates),
            sms: chain(from.sms, &rules, &plug, &rates),
        };
        let keeper = Arc::new(Keeper::new(plug, shares(&chains)));
        recover(&ports, &chains, &keeper).await?;
        ports.store.tell_troubles(&from.troubles);
        let endpoints = Arc::new(Endpoints::default());
        endpoints.refresh(&*ports.store).await?;

        let queue = Arc::new(Queue::default());
        let Aftermath {
            sources,
            webhooks,
            keys,
            public_url,
        } = from.aftermath;
        let postbox = Arc::new(Postbox {
            ports: ports.clone(),
            endpoints: endpoints.clone(),
            rules: rules.webhooks.clone(),
            webhooks,
            keys: keys.clone(),
            under_way: Mutex::default(),
        });
        let max_in_flight = rules.max_in_flight;
        let memory = MemoryBudget::new(rules.memory_bytes);
        let links = Links::new(keys, public_url, rules.development);
        let desk = Arc::new(Desk {
            notices: Notices::new(ports.clone(), endpoints.clone()),
            ports: ports.clone(),
            rules,
            chains,
            lease,
            in_hand: Arc::<InHand>::default(),
            memory,
            parking: Parking::default(),
            queue: queue.clone(),
            rates,
            reports: Reports::default(),
        });
        let dispatch = Arc::new(Dispatch {
            desk: desk.clone(),
            lanes: Arc::new(Lanes::new(max_in_flight, queue.alarm())),
            drain: Drain::new(max_in_flight),
            claiming: tokio::sync::Mutex::new(()),
            links,
        });
        let engine = Engine {
            outbox: Outbox::new(postbox.clone(), Notices::new(ports, endpoints)),
            desk,
            dispatch,
            keeper,
            not_configured: from.not_configured,
            troubles: from.troubles,
        };
        spawn(&engine, postbox, sources);
        Ok(Self { engine: Arc::new(engine) })
    }
}

/// Fills in the rules that depend on the store.
fn with_defaults_of_store(mut rules: Rules, store: &dyn Store) -> Rules {
    let by_store = if store.is_durable() { OnExhausted::Hold } else { OnExhausted::Fail };
    rules.on_exhausted.get_or_insert(by_store);
    rules
}

fn chain<M: 'static>(links: Vec<LinkParts<M>>, rules: &Rules, plug: &Plug, rates: &Arc<Rates>) -> Chain<M> {
    let links = links.into_iter().map(|link| Arc::new(Link::new(link, plug)));
    Chain::new(links.collect(), rules.retry_budget, rates.clone(), plug.ports.clone())
}

/// The provider accounts of both channels.
fn shares(chains: &Chains) -> Vec<Arc<Share>> {
    let email = chains.email.links.iter().map(|link| link.share.clone());
    email.chain(chains.sms.links.iter().map(|link| link.share.clone())).collect()
}

/// Restores breakers, used allowances and last successes of earlier processes, and requeues their unfinished messages.
async fn recover(ports: &Ports, chains: &Chains, keeper: &Keeper) -> Result<(), StoreError> {
    let now = Now::read(&*ports.clock);
    let recovered = ports.store.recover(now.wall).await?;
    failpoint::pass("recover.committed");
    if recovered.requeued + recovered.unknown > 0 {
        tracing::info!(
            requeued = recovered.requeued,
            unknown = recovered.unknown,
            "took up messages of an earlier process"
        );
    }
    keeper.restore().await?;
    housekeeping::carry_out_undos(ports, chains).await?;
    restore_days(ports, &chains.email, now).await?;
    restore_days(ports, &chains.sms, now).await?;
    restore_successes(ports, &chains.email).await?;
    restore_successes(ports, &chains.sms).await
}

/// Tells the pace of each account with a limit per day how many recipients were sent to in the last 24 hours.
async fn restore_days<M: 'static>(ports: &Ports, chain: &Chain<M>, now: Now) -> Result<(), StoreError> {
    let since = now.wall - Duration::from_hours(24);
    for link in chain.links.iter().filter(|link| link.pacer.has_day_limit()) {
        let sent = ports.store.recipients_sent_since(link.kind, &link.account, since).await?;
        link.pacer.restore_day(u32::try_from(sent).unwrap_or(u32::MAX), now.mono);
    }
    Ok(())
}

/// Tells the breaker of each account when the account last took a message, of whichever process. The attempts know, so that no success is
/// saved for it.
async fn restore_successes<M: 'static>(ports: &Ports, chain: &Chain<M>) -> Result<(), StoreError> {
    for link in &chain.links {
        if let Some(at) = ports.store.last_accepted(link.kind, &link.account).await? {
            link.breaker.restore_success(at);
        }
    }
    Ok(())
}

/// Spawns the tasks that run beside the deliveries.
fn spawn(engine: &Engine, postbox: Arc<Postbox>, sources: Vec<Arc<dyn FeedbackSource>>) {
    let Engine {
        desk, dispatch, keeper, ..
    } = engine;
    let (ports, tasks) = (&desk.ports, &desk.ports.tasks);
    if !desk.chains.sms.links.is_empty() {
        tasks.spawn_blocking(ums_core::phone::read_numbering_plans);
    }
    tasks.spawn(keeper.clone().run());
    tasks.spawn(housekeeping::run(dispatch.clone()));
    tasks.spawn(worker::run(dispatch.clone()));
    tasks.spawn(asking::run(desk.clone()));
    tasks.spawn(outbox::run(postbox));
    tasks.spawn(rates::keeping::run(ports.clone(), desk.rates.clone()));
    tasks.spawn(feedback::waiting::run(desk.clone()));
    for source in sources {
        tasks.spawn(feedback::polling::run(desk.clone(), source));
    }
    // Not one of the tasks that a shutdown waits for: the heartbeat ends after them.
    let heartbeat = lease::heartbeat(ports.clone(), desk.lease.clone(), desk.queue.clone(), desk.rules.chores.renew);
    tokio::spawn(heartbeat);
}
