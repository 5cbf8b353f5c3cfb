//! Notices to receivers that fail, hang and recover.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ums_core::{
    Clock as _, Endpoint, FailureClass, Notice, NoticeFilter, NoticeKind, NoticeState, OutboxStore as _, Secret, Status, TenantId,
    Timestamp, WebhookCall, WebhookFault, WebhookPost,
};
use ums_delivery::{EndpointChange, EndpointSecrets, Rules, WebhookRules};
use ums_testkit::{Moment, Operation, Reply, TestClock};

use crate::setup::{Bench, Broken, Failing, Setup, email};

/// The answer of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(u16),
    Hang,
    Gone,
}

/// The user's application, at several URLs.
#[derive(Debug)]
pub(crate) struct Receivers {
    clock: Arc<TestClock>,
    answers: Mutex<HashMap<String, Answer>>,
    posts: Mutex<Vec<(Timestamp, WebhookCall)>>,
}

#[async_trait]
impl WebhookPost for Receivers {
    fn check_url(&self, url: &str) -> Result<(), String> {
        url.starts_with("https://").then_some(()).ok_or_else(|| "must be https".to_owned())
    }

    async fn post(&self, call: WebhookCall) -> Result<u16, WebhookFault> {
        let answer = self.answers.lock().unwrap().get(&call.url).copied().unwrap_or(Answer::Status(204));
        self.posts.lock().unwrap().push((self.clock.now(), call));
        match answer {
            Answer::Status(status) => Ok(status),
            Answer::Hang => std::future::pending().await,
            Answer::Gone => Err(WebhookFault::NoAnswer("refused".to_owned())),
        }
    }
}

impl Receivers {
    pub(crate) fn answer(&self, url: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(url.to_owned(), answer);
    }

    pub(crate) fn posts(&self, url: &str) -> Vec<(Timestamp, WebhookCall)> {
        self.posts
            .lock()
            .unwrap()
            .iter()
            .filter(|(_, call)| call.url == url)
            .cloned()
            .collect()
    }

    pub(crate) fn kinds(&self, url: &str) -> Vec<String> {
        let kind = |(_, call): &(Timestamp, WebhookCall)| {
            let body: serde_json::Value = serde_json::from_str(&call.body).unwrap();
            body["type"].as_str().unwrap().to_owned()
        };
        self.posts(url).iter().map(kind).collect()
    }
}

pub(crate) const ONE: &str = "https://one.example.com/hook";
pub(crate) const TWO: &str = "https://two.example.com/hook";

/// The key of the service.
pub(crate) const KEY: &str = "a-key-of-the-service";

pub(crate) struct Told {
    pub(crate) bench: Bench,
    pub(crate) receivers: Arc<Receivers>,
}

impl Told {
    pub(crate) async fn start(rules: WebhookRules) -> Self {
        let rules = Rules {
            webhooks: rules,
            ..Setup::holding().rules
        };
        Self::over(rules, None, None, &[KEY]).await
    }

    /// A process on the store of an earlier one, if there was one.
    pub(crate) async fn over(rules: Rules, before: Option<&Self>, hand: Option<&Failing>, keys: &[&'static str]) -> Self {
        let clock = before.map_or_else(|| Arc::new(TestClock::new()), |before| before.bench.clock.clone());
        let receivers = before.map_or_else(
            || {
                Arc::new(Receivers {
                    clock: clock.clone(),
                    answers: Mutex::default(),
                    posts: Mutex::default(),
                })
            },
            |before| before.receivers.clone(),
        );
        let memory = before.map_or_else(
            || Arc::new(ums_store::MemoryStore::new(clock.clone())),
            |before| before.bench.memory.clone(),
        );
        let keys = keys.iter().map(|key| Secret::new(*key)).collect();
        let bench = Setup {
            rules,
            webhooks: Some(receivers.clone()),
            keys,
            over: Some((memory, clock)),
            seed: u64::from(before.is_some()),
            hand: hand.map(Failing::hand),
            durable: hand.is_some(),
            ..Setup::default()
        };
        Self {
            bench: bench.start().await,
            receivers,
        }
    }

    pub(crate) async fn endpoint(&self, url: &str, kinds: &[NoticeKind]) -> EndpointSecrets {
        let change = EndpointChange {
            url: Some(url.to_owned()),
            kinds: Some(kinds.to_vec()),
            ..EndpointChange::default()
        };
        self.bench.engine.create_endpoint(&tenant(), change).await.unwrap()
    }

    /// Passes time in steps that are short compared with the waits under test.
    pub(crate) async fn pass(&self, time: Duration, step: Duration) {
        let mut left = time;
        while left > Duration::ZERO {
            let now = left.min(step);
            self.bench.pass(now).await;
            left -= now;
        }
    }

    pub(crate) async fn notices(&self, state: NoticeState) -> Vec<Notice> {
        let filter = NoticeFilter {
            state: Some(state),
            ..NoticeFilter::default()
        };
        self.bench.engine.notices(&tenant(), &filter, None, 1_000).await.unwrap().notices
    }

    pub(crate) async fn shown(&self, url: &str) -> Endpoint {
        let endpoints = self.bench.engine.endpoints(&tenant()).await.unwrap();
        endpoints.into_iter().find(|endpoint| endpoint.url == url).unwrap()
    }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::default()
}

pub(crate) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whether a call is signed by a secret, as the specification has receivers check it.
pub(crate) fn is_signed_by(call: &WebhookCall, secret: &Secret) -> bool {
    let header = |name| &call.headers.iter().find(|(other, _)| *other == name).unwrap().1;
    let key = STANDARD.decode(secret.expose().strip_prefix("whsec_").unwrap()).unwrap();
    assert_eq!(key.len(), 32);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let text = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), call.body);
    header("webhook-signature").split(' ').any(|signature| {
        let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
        ring::hmac::verify(&key, text.as_bytes(), &tag).is_ok()
    })
}

#[tokio::test(start_paused = true)]
async fn an_application_is_told_once_of_each_change_and_can_check_who_says_it() {
    let told = Told::start(WebhookRules::default()).await;
    let one = told.endpoint(ONE, &[]).await;
    told.endpoint(TWO, &[NoticeKind::Delivered, NoticeKind::Bounced]).await;
    let result = told.bench.send(email().metadata("order", "17")).await;
    assert_eq!(result.status, Status::Sent);
    told.pass(s(2), s(1)).await;
    let posts = told.receivers.posts(ONE);
    assert_eq!(told.receivers.kinds(ONE), ["message.sent"], "one change, one notice");
    assert_eq!(told.receivers.kinds(TWO), [] as [&str; 0], "it asked for other things");
    let call = &posts[0].1;
    assert!(is_signed_by(call, &one.secrets[0]) && !is_signed_by(call, &Secret::new(format!("whsec_{}", STANDARD.encode([7; 32])))));
    let body: serde_json::Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(body["timestamp"], "2026-11-22T10:00:00Z");
    let expected = serde_json::json!({
        "message_id": result.message_id, "status": "sent", "channel": "email", "recipient_id": "customer@example.com",
        "purpose": "transactional", "provider": "aws_ses", "provider_message_id": result.metadata["provider_message_id"],
        "error_message": null, "metadata": {"order": "17"}
    });
    assert_eq!(body["data"], expected, "and nothing of what was said");
    let delivered = told.notices(NoticeState::Delivered).await;
    assert_eq!(
        (delivered.len(), delivered[0].tries, delivered[0].last_result.as_deref()),
        (1, 1, Some("204"))
    );
    assert!(told.shown(ONE).await.last_success_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_where_nobody_wants_to_be() {
    let told = Told::start(WebhookRules::default()).await;
    told.bench.send(email()).await;
    told.endpoint(ONE, &[NoticeKind::Complained]).await;
    told.bench.send(email()).await;
    told.pass(s(2), s(1)).await;
    assert_eq!(
        told.bench
            .engine
            .notices(&tenant(), &NoticeFilter::default(), None, 10)
            .await
            .unwrap()
            .notices,
        []
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_held_for_long_is_told_of_once() {
    let told = Told::start(WebhookRules::default()).await;
    told.endpoint(ONE, &[]).await;
    for provider in told.bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let id = told.bench.submit(email()).await.unwrap();
    told.pass(s(1_200), s(5)).await;
    assert!(told.bench.record(id).await.attempts.len() > 6, "it was tried again and again");
    assert_eq!(told.receivers.kinds(ONE), ["message.held"]);
    for provider in told.bench.providers() {
        provider.answer(Reply::Accept);
    }
    told.pass(s(4_000), s(10)).await;
    assert_eq!(told.receivers.kinds(ONE), ["message.held", "message.sent"]);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_holds_up_nobody_else_and_only_its_own_places() {
    let told = Told::start(WebhookRules::default()).await;
    told.endpoint(ONE, &[]).await;
    told.endpoint(TWO, &[]).await;
    told.receivers.answer(ONE, Answer::Hang);
    for _ in 0..20 {
        told.bench.send(email()).await;
    }
    told.pass(s(3), Duration::from_millis(100)).await;
    assert_eq!(told.receivers.posts(TWO).len(), 20);
    assert_eq!(told.receivers.posts(ONE).len(), 4, "four at a time");
    told.pass(s(30), s(1)).await;
    assert_eq!(told.receivers.posts(ONE).len(), 8, "its time is bounded");
    let stuck = told.shown(ONE).await;
    assert_eq!(
        (stuck.last_error.as_deref(), stuck.failing_since.is_some()),
        (Some("timeout"), true)
    );
    assert_eq!(told.shown(TWO).await.failing_since, None);
}

#[tokio::test(start_paused = true)]
async fn a_failing_receiver_is_asked_at_growing_waits_and_given_up() {
    let told = Told::start(WebhookRules {
        disable_after: Duration::from_hours(30 * 24),
        ..WebhookRules::default()
    })
    .await;
    told.endpoint(ONE, &[]).await;
    told.receivers.answer(ONE, Answer::Status(500));
    told.bench.send(email()).await;
    told.pass(s(6 * 60), s(1)).await;
    told.pass(Duration::from_hours(10), s(60)).await;
    told.pass(Duration::from_hours(6 * 24), s(600)).await;
    let times: Vec<Timestamp> = told.receivers.posts(ONE).iter().map(|(at, _)| *at).collect();
    let waits = [60, 300, 1_800, 7_200, 21_600];
    assert!(times.len() > 10, "{}", times.len());
    for (tries, pair) in times.windows(2).enumerate() {
        let (waited, whole) = (pair[1].since(pair[0]), s(*waits.get(tries).unwrap_or(&21_600)));
        assert!(
            waited >= whole / 10 && waited <= whole + s(if tries < 4 { 61 } else { 601 }),
            "after {tries}: {waited:?}"
        );
    }
    let failed = told.notices(NoticeState::Failed).await;
    assert_eq!((failed.len(), failed[0].last_result.as_deref()), (1, Some("500")));
    assert!(
        times.last().unwrap().since(times[0]) <= Duration::from_hours(4 * 24),
        "three days are the end of it"
    );
    // An operator has the notice posted again: its tries begin anew, and it arrives.
    told.receivers.answer(ONE, Answer::Gone);
    assert_eq!(
        told.bench.engine.replay_notices(&tenant(), &NoticeFilter::default()).await.unwrap(),
        1
    );
    told.pass(s(2), s(1)).await;
    let pending = told.notices(NoticeState::Pending).await;
    assert_eq!((pending[0].tries, pending[0].last_result.as_deref()), (1, Some("refused")));
    told.receivers.answer(ONE, Answer::Status(200));
    told.pass(s(70), s(1)).await;
    assert_eq!(told.notices(NoticeState::Delivered).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_a_failure_that_says_why() {
    let told = Told::start(WebhookRules::default()).await;
    told.endpoint(ONE, &[]).await;
    told.receivers.answer(ONE, Answer::Status(301));
    told.bench.send(email()).await;
    told.pass(s(2), s(1)).await;
    let pending = told.notices(NoticeState::Pending).await;
    assert_eq!(pending[0].last_result.as_deref(), Some("301: redirects are not followed"));
    assert_eq!(told.shown(ONE).await.last_error.as_deref(), Some("301: redirects are not followed"));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_was_away_for_half_a_day_misses_nothing() {
    let told = Told::start(WebhookRules::default()).await;
    told.endpoint(ONE, &[]).await;
    told.endpoint(TWO, &[]).await;
    told.receivers.answer(ONE, Answer::Gone);
    for _ in 0..12 {
        told.bench.send(email()).await;
        told.pass(Duration::from_hours(1), s(60)).await;
    }
    assert_eq!(told.receivers.posts(TWO).len(), 12, "the other one was told at once");
    told.receivers.answer(ONE, Answer::Status(200));
    told.pass(Duration::from_hours(7), s(60)).await;
    assert_eq!(told.notices(NoticeState::Delivered).await.len(), 24);
    assert_eq!(told.shown(ONE).await.failing_since, None);
    let ids = |url| {
        let id = |(_, call): &(Timestamp, WebhookCall)| call.headers[1].1.clone();
        told.receivers.posts(url).iter().map(id).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!((ids(ONE).len(), ids(TWO).len()), (12, 12), "each notice keeps its id in every try");
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_post_and_record_repeats_the_notice() {
    let failing = Failing::default();
    let rules = Setup::holding().rules;
    let told = Told::over(rules.clone(), None, Some(&failing), &[KEY]).await;
    told.endpoint(ONE, &[]).await;
    told.bench.send(email()).await;
    // From here on the store hears no more of the notices of this process: after this call the claim is committed.
    told.pass(Duration::from_millis(21), Duration::from_millis(21)).await;
    assert_eq!(told.receivers.posts(ONE).len(), 1);
    assert_eq!(told.notices(NoticeState::Delivered).await.len(), 1);
    // The process that claimed the notice has died.
    let notice = Notice {
        id: ums_core::NoticeId::new(&*told.bench.clock, &ums_testkit::SeededRandom::new(9)),
        state: NoticeState::Pending,
        tries: 0,
        due_at: told.bench.clock.now(),
        ..told.notices(NoticeState::Delivered).await.remove(0)
    };
    let memory = told.bench.memory.clone();
    failing.fail(Moment::Before(Operation::Aftermath), usize::MAX, Broken::Unavailable);
    memory.add_notices(vec![notice.clone()]).await.unwrap();
    let now = told.bench.clock.now();
    let claimed = memory.claim_notices(&tenant(), notice.endpoint, now, now + s(60), 4).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let next = Told::over(rules, Some(&told), None, &[KEY]).await;
    next.pass(s(50), s(1)).await;
    assert_eq!(next.receivers.posts(ONE).len(), 1, "it is left alone while its process may live");
    next.pass(s(15), s(1)).await;
    let posts = next.receivers.posts(ONE);
    assert_eq!((posts.len(), &posts[1].1.headers[1].1), (2, &notice.id.to_string()));
}

#[tokio::test(start_paused = true)]
async fn how_a_post_ended_is_kept_once_the_store_is_back() {
    let failing = Failing::default();
    let told = Told::over(Setup::holding().rules, None, Some(&failing), &[KEY]).await;
    told.endpoint(ONE, &[]).await;
    told.receivers.answer(ONE, Answer::Hang);
    told.bench.send(email()).await;
    told.pass(s(1), Duration::from_millis(100)).await;
    failing.fail(Moment::Before(Operation::Aftermath), usize::MAX, Broken::Unavailable);
    told.pass(s(30), s(1)).await;
    failing.fail(Moment::Before(Operation::Aftermath), 0, Broken::Unavailable);
    told.receivers.answer(ONE, Answer::Status(200));
    told.pass(s(20), s(1)).await;
    assert_eq!(
        told.shown(ONE).await.last_error.as_deref(),
        Some("timeout"),
        "the failure was recorded in the end"
    );
    told.pass(s(120), s(1)).await;
    assert_eq!(told.notices(NoticeState::Delivered).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_the_notices() {
    let rules = Setup::holding().rules;
    let told = Told::over(rules.clone(), None, None, &[KEY]).await;
    told.endpoint(ONE, &[]).await;
    let other = Told::over(rules, Some(&told), None, &[KEY]).await;
    for _ in 0..10 {
        told.bench.send(email()).await;
        other.bench.send(email()).await;
    }
    told.pass(s(10), Duration::from_millis(50)).await;
    assert_eq!(told.receivers.posts(ONE).len(), 20, "each was posted by one of them");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_receiver_that_hangs() {
    let told = Told::start(WebhookRules::default()).await;
    told.endpoint(ONE, &[]).await;
    told.receivers.answer(ONE, Answer::Hang);
    told.bench.send(email()).await;
    told.pass(s(1), Duration::from_millis(100)).await;
    let began = tokio::time::Instant::now();
    told.bench.engine.shutdown(s(60)).await;
    assert!(began.elapsed() < s(3), "{:?}", began.elapsed());
    let pending = told.bench.memory.next_notice_due().await.unwrap();
    assert!(pending.is_some(), "the next process posts it again");
}

#[tokio::test(start_paused = true)]
async fn logs_name_an_endpoint_by_its_id_only() {
    let (log, _guard) = ums_testkit::LogCapture::start();
    let told = Told::start(WebhookRules {
        disable_after: Duration::ZERO,
        ..WebhookRules::default()
    })
    .await;
    let url = "https://user-canary.example.com/?token=canary";
    let made = told.endpoint(url, &[]).await;
    told.receivers.answer(url, Answer::Status(500));
    told.bench.send(email().metadata("order", "canary")).await;
    told.pass(s(600), s(10)).await;
    let text = log.text();
    assert!(
        text.contains(&made.endpoint.id.to_string()) && text.contains("is disabled"),
        "{text}"
    );
    for secret in ["canary", "customer@example.com", "whsec_", made.secrets[0].expose()] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_written_again_tells_nobody_twice() {
    let failing = Failing::default();
    let told = Told::over(Setup::holding().rules, None, Some(&failing), &[KEY]).await;
    told.endpoint(ONE, &[]).await;
    failing.fail(Moment::After(Operation::Record), 2, Broken::CommitUnknown);
    let sent = told.bench.send(email()).await;
    assert_eq!(sent.status, Status::Sent);
    told.pass(s(5), Duration::from_millis(100)).await;
    assert_eq!(told.receivers.kinds(ONE), ["message.sent"]);
}
