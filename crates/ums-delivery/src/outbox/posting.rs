//! Notices on their way: claimed from the store endpoint by endpoint, posted, repeated until they arrive.
//!
//! A notice is taken for a while, not for good: if this process dies it is due again, so it arrives at least once. Each endpoint has
//! places of its own, so one that hangs holds up nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ums_core::{
    Disabled, Endpoint, EndpointId, Monotonic, Notice, NoticeOutcome, NoticeState, Random, Secret, StoreError, Timestamp, WebhookFault,
    WebhookPost,
};

use super::signing;
use crate::endpoints::Endpoints;
use crate::observer::NoticeEvent;
use crate::ports::Ports;
use crate::rules::WebhookRules;

/// How often the endpoints are read: another process may have changed them.
const REFRESH: Duration = Duration::from_secs(5);
/// Longest sleep while there are endpoints: another process may have added notices.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Shortest sleep after a look.
const NO_HURRY: Duration = Duration::from_millis(50);
/// From a step that has notices to the look for them: it must be committed, and others may follow.
const GATHER: Duration = Duration::from_millis(20);
/// Longest post, should the one who posts not keep time itself.
const LONGEST_POST: Duration = Duration::from_secs(30);
/// How long a notice that was taken is left alone by others: longer than a post may take, with the record of how it ended.
const TAKEN: Duration = Duration::from_mins(1);
/// Waits between tries to keep how a post ended; then the notice is posted again.
const KEEP: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(10),
];
/// The shortest wait before a notice is posted again.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);

/// How long posts that are under way may take at a shutdown.
const LAST_POSTS: Duration = Duration::from_secs(2);

/// What is said of an endpoint whose secret cannot be derived.
pub(super) const NO_KEY: &str =
    "its signing secret is derived from a key that is not in UMS_SECRET_KEY any more: put the key back or rotate the secret";

/// What posting works with.
#[derive(Debug)]
pub(crate) struct Postbox {
    pub(crate) ports: Arc<Ports>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) rules: WebhookRules,
    /// Posts to the user's application; nobody is told without it.
    pub(crate) webhooks: Option<Arc<dyn WebhookPost>>,
    /// The service's keys, newest first: the endpoints' secrets are derived from them.
    pub(crate) keys: Vec<Secret>,
    /// How many posts are under way to each endpoint.
    pub(crate) under_way: Mutex<HashMap<EndpointId, usize>>,
}

impl Postbox {
    fn posts_to(&self, endpoint: EndpointId) -> usize {
        let counts = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&endpoint).copied().unwrap_or(0)
    }

    /// Begins a post to an endpoint; it is under way until the guard is dropped.
    fn begin(self: &Arc<Self>, endpoint: EndpointId) -> Posting {
        *self
            .under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(endpoint)
            .or_default() += 1;
        Posting {
            postbox: self.clone(),
            endpoint,
        }
    }

    /// The secrets of an endpoint that sign now, newest first; none when they are derived from a key that is gone.
    pub(super) fn secrets(&self, endpoint: &Endpoint) -> Option<Vec<Secret>> {
        signing::secrets(&self.keys, endpoint, self.ports.clock.now())
    }
}

/// A post under way; another one may begin when it is dropped.
struct Posting {
    postbox: Arc<Postbox>,
    endpoint: EndpointId,
}

impl Drop for Posting {
    fn drop(&mut self) {
        let mut counts = self.postbox.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.endpoint) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.endpoint);
            }
        }
        drop(counts);
        self.postbox.endpoints.place_is_free();
    }
}

/// Keeps the endpoints known, and posts to them, until the engine closes.
pub(crate) async fn run(postbox: Arc<Postbox>) {
    let ports = &postbox.ports;
    let mut known_at = ports.clock.monotonic();
    loop {
        let look = look(&postbox, &mut known_at).await;
        let wait = look.unwrap_or_else(|error| {
            tracing::warn!(%error, "the notices to webhook endpoints could not be read");
            LONGEST_WAIT
        });
        tokio::select! {
            biased;
            () = ports.closing.cancelled() => return,
            () = postbox.endpoints.place() => {}
            () = postbox.endpoints.news() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Begins all posts that are due and that there are places for; how long to sleep.
async fn look(postbox: &Arc<Postbox>, known_at: &mut Monotonic) -> Result<Duration, StoreError> {
    let Postbox {
        ports,
        endpoints,
        webhooks,
        ..
    } = &**postbox;
    let mono = ports.clock.monotonic();
    if mono.since(*known_at) >= REFRESH || endpoints.is_stale() {
        endpoints.refresh(&*ports.store).await?;
        *known_at = mono;
    }
    let (Some(endpoints), Some(webhooks)) = (endpoints.all(), webhooks) else {
        return Ok(REFRESH);
    };
    if !ports.store.is_owner() {
        // The process that sends from the store tells of it, too.
        return Ok(REFRESH);
    }
    // A claim writes: there is none before something is due.
    let mut wait = until_next(ports).await?;
    if wait.is_zero() {
        let full = claim(postbox, &endpoints, webhooks).await?;
        // What is due yet belongs to an endpoint without a free place, and we are woken when it has one; or to one that we do not know yet.
        wait = if full {
            LONGEST_WAIT
        } else {
            until_next(ports).await?.max(NO_HURRY)
        };
    }
    Ok(wait)
}

/// How long until a notice is due; no longer than another process may be left unheard.
async fn until_next(ports: &Ports) -> Result<Duration, StoreError> {
    let next = ports.store.next_notice_due().await?;
    Ok(next.map_or(LONGEST_WAIT, |next| next.since(ports.clock.now()).min(LONGEST_WAIT)))
}

/// Begins to post what is due, endpoint by endpoint; whether one of them has no free place left.
async fn claim(postbox: &Arc<Postbox>, endpoints: &[Endpoint], webhooks: &Arc<dyn WebhookPost>) -> Result<bool, StoreError> {
    let ports = &postbox.ports;
    let mut full = false;
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.disabled.is_none()) {
        let places = postbox.rules.at_once.max(1).saturating_sub(postbox.posts_to(endpoint.id));
        if places == 0 {
            full = true;
            continue;
        }
        let now = ports.clock.now();
        let claimed = ports
            .store
            .claim_notices(&endpoint.tenant, endpoint.id, now, now + TAKEN, places)
            .await;
        let claimed = match claimed {
            // The other endpoints do not wait for this one's.
            Err(fault @ StoreError::Corrupt { .. }) => {
                tracing::error!(endpoint = %endpoint.id, error = %fault, "notices cannot be posted");
                continue;
            }
            claimed => claimed?,
        };
        full |= claimed.len() == places;
        for notice in claimed {
            let place = postbox.begin(endpoint.id);
            ports.tasks.spawn(deliver(place, webhooks.clone(), endpoint.clone(), notice));
        }
    }
    Ok(full)
}

/// Posts a notice that was taken, and records how that ended.
async fn deliver(place: Posting, webhooks: Arc<dyn WebhookPost>, endpoint: Endpoint, notice: Notice) {
    let postbox = &*place.postbox;
    let ports = &*postbox.ports;
    let began = ports.clock.monotonic();
    let posted = tokio::select! {
        biased;
        // Nothing is recorded: it is due again when it was left alone for long enough.
        () = shutdown(ports) => return,
        posted = post(postbox, &*webhooks, &endpoint, &notice) => posted,
    };
    let now = ports.clock.now();
    let outcome = outcome_of(&posted, &notice, &postbox.rules, &*ports.random, now);
    ports.observer.notice(&NoticeEvent {
        kind: notice.kind,
        state: outcome.state,
        duration: ports.clock.monotonic().since(began),
    });
    if outcome.state != NoticeState::Delivered {
        // Neither URL nor body: both may hold what is nobody else's business.
        tracing::warn!(endpoint = %endpoint.id, notice = %notice.id, kind = %notice.kind, tries = notice.tries, state = %outcome.state, "a webhook endpoint did not take a notice");
    }
    keep(ports, outcome).await;
    if let Err(error) = disable_if_due(postbox, &posted, &endpoint).await {
        tracing::warn!(endpoint = %endpoint.id, %error, "a webhook endpoint could not be disabled; trying again after its next failure");
    }
    drop(place);
}

/// Until a receiver has had its time at a shutdown, which is not to wait for one that hangs.
async fn shutdown(ports: &Ports) {
    ports.closing.cancelled().await;
    tokio::time::timeout(LAST_POSTS, ports.ended.cancelled()).await.ok();
}

/// How a post ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// With an answer.
    Status(u16),
    /// Without one.
    Fault(String),
}

impl Posted {
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Status(200..=299))
    }

    /// For people; no value of anybody's.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Status(status @ 300..=399) => format!("{status}: redirects are not followed"),
            Self::Status(status @ 410) => format!("{status}: the receiver wants no more"),
            Self::Status(status) => status.to_string(),
            Self::Fault(fault) => fault.clone(),
        }
    }
}

/// Signs a notice and posts it once.
pub(super) async fn post(postbox: &Postbox, webhooks: &dyn WebhookPost, endpoint: &Endpoint, notice: &Notice) -> Posted {
    let Some(secrets) = postbox.secrets(endpoint) else {
        return Posted::Fault(NO_KEY.to_owned());
    };
    let call = signing::signed(endpoint, notice, &secrets, postbox.ports.clock.now());
    match tokio::time::timeout(LONGEST_POST, webhooks.post(call)).await {
        Ok(Ok(status)) => Posted::Status(status),
        Ok(Err(WebhookFault::NotAllowed(fault) | WebhookFault::NoAnswer(fault))) => Posted::Fault(fault),
        Err(_) => Posted::Fault("timeout".to_owned()),
    }
}

/// What follows from a post. A `Retry-After` is not read: the schedule is slower than what receivers ask for.
fn outcome_of(posted: &Posted, notice: &Notice, rules: &WebhookRules, random: &dyn Random, now: Timestamp) -> NoticeOutcome {
    let due_at = now + wait(rules, notice.tries, random);
    let state = if posted.is_success() {
        NoticeState::Delivered
    } else if is_given_up(rules, notice, due_at) {
        NoticeState::Failed
    } else {
        NoticeState::Pending
    };
    NoticeOutcome {
        tenant: notice.tenant.clone(),
        endpoint: notice.endpoint,
        id: notice.id,
        state,
        due_at,
        result: posted.describe(),
        at: now,
    }
}

/// The wait after so many tries: from a tenth of the schedule's to the whole, so that what failed together does not come back together.
fn wait(rules: &WebhookRules, tries: u32, random: &dyn Random) -> Duration {
    whole_wait(rules, tries).mul_f64(0.1 + 0.9 * random.unit()).max(SHORTEST_RETRY)
}

fn whole_wait(rules: &WebhookRules, tries: u32) -> Duration {
    let place = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    rules.retry.get(place).or(rules.retry.last()).copied().unwrap_or(LONGEST_POST)
}

/// Whether a notice is too old to be posted again. One that was had posted again by an operator has its tries anew: it is given up only
/// when it was tried as often as its time allows.
fn is_given_up(rules: &WebhookRules, notice: &Notice, next: Timestamp) -> bool {
    let made_at = notice.id.as_uuid().get_timestamp().map_or(notice.at, |made| {
        let (seconds, nanos) = made.to_unix();
        Timestamp::from_micros(0) + Duration::new(seconds, nanos)
    });
    let mut planned = Duration::ZERO;
    for tries in 1..=notice.tries {
        planned = planned.saturating_add(whole_wait(rules, tries));
        if planned >= rules.give_up {
            break;
        }
    }
    planned >= rules.give_up && next.since(made_at) > rules.give_up
}

/// Keeps how a post ended. If the store does not take it the notice is posted again later.
async fn keep(ports: &Ports, outcome: NoticeOutcome) {
    let mut waits = KEEP.iter();
    while let Err(error) = ports.store.settle_notice(outcome.clone()).await {
        let Some(wait) = waits.next().filter(|_| !ports.ended.is_cancelled()) else {
            tracing::warn!(endpoint = %outcome.endpoint, notice = %outcome.id, %error, "how a notice fared was not kept; it will be posted again");
            return;
        };
        tokio::time::sleep(*wait).await;
    }
}

/// Why nothing more is to be posted to the endpoint.
fn reason_to_disable(posted: &Posted, endpoint: &Endpoint, rules: &WebhookRules, now: Timestamp) -> Option<String> {
    if *posted == Posted::Status(410) {
        return Some("it answered 410: the receiver wants no more".to_owned());
    }
    let since = endpoint.failing_since.filter(|_| !posted.is_success())?;
    (now.since(since) >= rules.disable_after)
        .then(|| format!("every post to it has failed since {since}; the last one: {}", posted.describe()))
}

async fn disable_if_due(postbox: &Postbox, posted: &Posted, endpoint: &Endpoint) -> Result<(), StoreError> {
    let ports = &postbox.ports;
    let reason = |endpoint: &Endpoint| reason_to_disable(posted, endpoint, &postbox.rules, ports.clock.now());
    if reason(endpoint).is_none() {
        return Ok(());
    }
    // As it is now: its owner may have changed it meanwhile, and it may have taken something.
    let same = |other: &Endpoint| other.id == endpoint.id && other.url == endpoint.url && other.disabled.is_none();
    let Some(mut endpoint) = ports.store.endpoints().await?.into_iter().find(same) else {
        return Ok(());
    };
    let Some(reason) = reason(&endpoint) else { return Ok(()) };
    tracing::error!(endpoint = %endpoint.id, %reason, "a webhook endpoint is disabled; notices to it are kept, enable it again to have them posted");
    endpoint.disabled = Some(Disabled {
        at: ports.clock.now(),
        reason,
    });
    ports.store.save_endpoint(endpoint).await?;
    postbox.endpoints.refresh(&*ports.store).await
}
