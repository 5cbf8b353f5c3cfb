//! Notices on their way: claimed from the store endpoint by endpoint, posted, posted again until the endpoint takes them.
//!
//! Its place in the flow: `notices` makes them, the step of their change stores them, this task posts them. A claim ends by itself: when
//! this process dies, another one posts the notice again, and the notice arrives at least once. The number of posts to one endpoint is
//! bounded, so an endpoint that hangs delays no other one.
//!
//! **Invariant:** logs hold no URL, body or secret of an endpoint, and no transaction is open during a post.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ums_core::{
    Disabled, Endpoint, EndpointId, EndpointUpdate, Monotonic, Notice, NoticeOutcome, NoticeState, Random, Secret, Shortage, StoreError,
    Timestamp, WebhookFault, WebhookPost,
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
/// Wait from a step with notices to the look for them: the step must be committed first, and other steps may follow.
const GATHER: Duration = Duration::from_millis(20);
/// Longest post, should the HTTP client keep no time of its own.
const LONGEST_POST: Duration = Duration::from_secs(30);
/// Length of a claim on a notice: longer than a post and the record of its outcome may take.
const CLAIM: Duration = Duration::from_mins(1);
/// Waits between tries to record the outcome of a post. After the last one the notice is posted again.
const KEEP: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(10),
];
/// The shortest wait before a notice is posted again.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);

/// The HTTP status of a receiver that wants no more.
const GONE: u16 = 410;

/// Time that posts under way have at a shutdown.
const LAST_POSTS: Duration = Duration::from_secs(2);

/// The last error of an endpoint whose secret cannot be derived.
pub(super) const NO_KEY: &str =
    "its signing secret is derived from a key that is not in UMS_SECRET_KEY any more: put the key back or rotate the secret";

/// What the poster works with. Shared with the outbox, which posts tests.
#[derive(Debug)]
pub(crate) struct Postbox {
    pub(crate) ports: Arc<Ports>,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) rules: WebhookRules,
    /// Posts to the user's application; without it this process posts nothing.
    pub(crate) webhooks: Option<Arc<dyn WebhookPost>>,
    /// The service's keys, newest first: the endpoints' secrets are derived from them.
    pub(crate) keys: Vec<Secret>,
    /// Posts under way, by endpoint.
    pub(crate) under_way: Mutex<HashMap<EndpointId, usize>>,
}

impl Postbox {
    fn posts_to(&self, endpoint: EndpointId) -> usize {
        let counts = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&endpoint).copied().unwrap_or(0)
    }

    /// Begins a post to an endpoint; the post is under way until the guard is dropped.
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

    /// The secrets of an endpoint that sign now, newest first; none when the newest one is derived from a key that is gone.
    pub(super) fn secrets(&self, endpoint: &Endpoint) -> Option<Vec<Secret>> {
        signing::secrets(&self.keys, endpoint, self.ports.clock.now())
    }
}

/// A post under way. Dropping it lets another post to the endpoint begin.
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
        self.postbox.endpoints.post_ended();
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
            () = postbox.endpoints.until_post_ends() => {}
            () = postbox.endpoints.news() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Begins all posts that are due and that their endpoints have room for. Returns the time until the next look.
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
        // The process that sends from the store posts its notices, too.
        return Ok(REFRESH);
    }
    // A claim writes: there is none before something is due.
    let mut wait = until_next(ports).await?;
    if wait.is_zero() {
        let full = claim(postbox, &endpoints, webhooks).await?;
        // A notice that is still due belongs to an endpoint without room, whose next ended post wakes this task, or to an endpoint that
        // this process does not know yet.
        wait = if full {
            LONGEST_WAIT
        } else {
            until_next(ports).await?.max(NO_HURRY)
        };
    }
    Ok(wait)
}

/// Time until a notice is due, at most [`LONGEST_WAIT`]: another process may add notices meanwhile.
async fn until_next(ports: &Ports) -> Result<Duration, StoreError> {
    let next = ports.store.next_notice_due().await?;
    Ok(next.map_or(LONGEST_WAIT, |next| next.since(ports.clock.now()).min(LONGEST_WAIT)))
}

/// Claims due notices and begins to post them, endpoint by endpoint. Whether an endpoint has no room left.
async fn claim(postbox: &Arc<Postbox>, endpoints: &[Endpoint], webhooks: &Arc<dyn WebhookPost>) -> Result<bool, StoreError> {
    let ports = &postbox.ports;
    let mut full = false;
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.disabled.is_none()) {
        let room = postbox.rules.at_once.max(1).saturating_sub(postbox.posts_to(endpoint.id));
        if room == 0 {
            full = true;
            continue;
        }
        let now = ports.clock.now();
        let claimed = ports
            .store
            .claim_notices(&endpoint.tenant, endpoint.id, now, now + CLAIM, room)
            .await;
        let claimed = match claimed {
            // The other endpoints must not wait for a notice that nobody can read.
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(endpoint = %endpoint.id, %error, "notices cannot be posted");
                continue;
            }
            claimed => claimed?,
        };
        full |= claimed.len() == room;
        for notice in claimed {
            let posting = postbox.begin(endpoint.id);
            ports.tasks.spawn(deliver(posting, webhooks.clone(), endpoint.clone(), notice));
        }
    }
    Ok(full)
}

/// Posts a claimed notice and records the outcome.
async fn deliver(posting: Posting, webhooks: Arc<dyn WebhookPost>, endpoint: Endpoint, notice: Notice) {
    let postbox = &*posting.postbox;
    let ports = &*postbox.ports;
    let began = ports.clock.monotonic();
    let posted = tokio::select! {
        biased;
        // Nothing is recorded: the notice is due again when the claim ends.
        () = shutdown(ports) => return,
        posted = post(postbox, &*webhooks, &endpoint, &notice) => posted,
    };
    let now = ports.clock.now();
    if let Posted::OurShortage(shortage) = &posted {
        ports.shortages.met(*shortage, &*ports.clock);
    }
    let outcome = outcome_of(&posted, &notice, &postbox.rules, &*ports.random, now);
    ports.observer.notice(&NoticeEvent {
        kind: notice.kind,
        state: outcome.state,
        duration: ports.clock.monotonic().since(began),
    });
    if outcome.state != NoticeState::Delivered {
        // Neither URL nor body: both may hold secrets of the application.
        tracing::warn!(endpoint = %endpoint.id, notice = %notice.id, kind = %notice.kind, tries = notice.tries, state = %outcome.state, "a webhook endpoint did not take a notice");
    }
    keep(ports, outcome).await;
    if let Err(error) = disable_if_due(postbox, &posted, &endpoint).await {
        tracing::warn!(endpoint = %endpoint.id, %error, "a webhook endpoint could not be disabled; trying again after its next failure");
    }
    drop(posting);
}

/// Waits until the shutdown has given the receivers [`LAST_POSTS`]: a receiver that hangs must not delay the shutdown.
async fn shutdown(ports: &Ports) {
    ports.closing.cancelled().await;
    tokio::time::timeout(LAST_POSTS, ports.ended.cancelled()).await.ok();
}

/// The outcome of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// The receiver answered with this HTTP status.
    Status(u16),
    /// The receiver did not answer, or was not called; the text says why.
    NoAnswer(String),
    /// Our own machine had nothing left to call the receiver with; the text says what.
    OurShortage(Shortage),
}

impl Posted {
    pub(super) fn is_success(&self) -> bool {
        matches!(self, Self::Status(200..=299))
    }

    /// For people; holds no value of the endpoint.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Status(status @ 300..=399) => format!("{status}: redirects are not followed"),
            Self::Status(status @ GONE) => format!("{status}: the receiver wants no more"),
            Self::Status(status) => status.to_string(),
            Self::NoAnswer(reason) => reason.clone(),
            Self::OurShortage(shortage) => shortage.words().to_owned(),
        }
    }
}

/// Signs a notice and posts it once.
pub(super) async fn post(postbox: &Postbox, webhooks: &dyn WebhookPost, endpoint: &Endpoint, notice: &Notice) -> Posted {
    let Some(secrets) = postbox.secrets(endpoint) else {
        return Posted::NoAnswer(NO_KEY.to_owned());
    };
    let call = signing::signed(endpoint, notice, &secrets, postbox.ports.clock.now());
    match tokio::time::timeout(LONGEST_POST, webhooks.post(call)).await {
        Ok(Ok(status)) => Posted::Status(status),
        Ok(Err(WebhookFault::NotAllowed(reason) | WebhookFault::NoAnswer(reason))) => Posted::NoAnswer(reason),
        Ok(Err(WebhookFault::LocalShortage(shortage))) => Posted::OurShortage(shortage),
        Err(_) => Posted::NoAnswer("timeout".to_owned()),
    }
}

/// The outcome to record. A `Retry-After` is ignored: the schedule is slower than what receivers ask for.
fn outcome_of(posted: &Posted, notice: &Notice, rules: &WebhookRules, random: &dyn Random, now: Timestamp) -> NoticeOutcome {
    let due_at = now + wait(rules, notice.tries, random);
    let state = if posted.is_success() {
        NoticeState::Delivered
    } else if matches!(posted, Posted::OurShortage(_)) {
        NoticeState::Pending
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

/// The wait after that many tries: a random part, at least a tenth, of the wait in the schedule, so that notices that failed together do
/// not come back together.
fn wait(rules: &WebhookRules, tries: u32, random: &dyn Random) -> Duration {
    whole_wait(rules, tries).mul_f64(0.1 + 0.9 * random.unit()).max(SHORTEST_RETRY)
}

fn whole_wait(rules: &WebhookRules, tries: u32) -> Duration {
    let index = usize::try_from(tries.saturating_sub(1)).unwrap_or(usize::MAX);
    rules.retry.get(index).or(rules.retry.last()).copied().unwrap_or(LONGEST_POST)
}

/// Whether a notice is too old to be posted again. A replay by an operator resets the tries of an old notice; therefore a notice is given
/// up only after as many tries as `give_up` has room for.
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

/// Records the outcome of a post. If the store does not take it, the notice is posted again when its claim ends.
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

/// Why the endpoint must be disabled, if it must.
fn reason_to_disable(posted: &Posted, endpoint: &Endpoint, rules: &WebhookRules, now: Timestamp) -> Option<String> {
    if *posted == Posted::Status(GONE) {
        return Some("it answered 410: the receiver wants no more".to_owned());
    }
    // Our own shortage says nothing about the receiver.
    let says_nothing = posted.is_success() || matches!(posted, Posted::OurShortage(_));
    let since = endpoint.failing_since.filter(|_| !says_nothing)?;
    (now.since(since) >= rules.disable_after)
        .then(|| format!("every post to it has failed since {since}; the last one: {}", posted.describe()))
}

async fn disable_if_due(postbox: &Postbox, posted: &Posted, endpoint: &Endpoint) -> Result<(), StoreError> {
    let ports = &postbox.ports;
    let now = ports.clock.now();
    // The endpoint of now: another post may have succeeded since this one began.
    let due = |endpoint: &Endpoint| reason_to_disable(posted, endpoint, &postbox.rules, now);
    if due(endpoint).is_none() {
        return Ok(());
    }
    let mut known = ports.store.endpoints().await?.into_iter();
    let Some(current) = known.find(|known| known.id == endpoint.id && known.tenant == endpoint.tenant) else {
        return Ok(());
    };
    let Some(reason) = due(&current) else { return Ok(()) };
    let disabled = Disabled { at: now, reason };
    let update = EndpointUpdate::Disable {
        url: endpoint.url.clone(),
        failing_since: current.failing_since.filter(|_| *posted != Posted::Status(GONE)),
        disabled: disabled.clone(),
    };
    let changed = ports.store.change_endpoint(&endpoint.tenant, endpoint.id, update).await?;
    if changed.is_some_and(|changed| changed.disabled.as_ref() == Some(&disabled)) {
        let reason = disabled.reason;
        tracing::error!(endpoint = %endpoint.id, %reason, "a webhook endpoint is disabled; notices to it are kept, enable it again to have them posted");
    }
    postbox.endpoints.refresh(&*ports.store).await
}
