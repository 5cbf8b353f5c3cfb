//! A database that the release before left: it shows what it showed, and an engine of this release carries it on.
//!
//! `fixtures/before` holds one for each kind of store, with what that release showed of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Notify;
use ums_core::{
    Clock as _, Email, Event, EventKind, FailureClass, IdempotencyKey, MessageId, MessageRecord, NoticeState, ProviderKind, Purpose,
    Secret, SendEmail, Sms, Status, Store, TenantId, Timestamp, WebhookCall, WebhookFault, WebhookPost,
};
use ums_delivery::{
    Aftermath, AttemptEvent, BreakerEvent, BreakerSettings, LinkParts, Mark, Messaging, NoticeEvent, Observer, PaceSettings, Parts, Price,
    RetryBudget, Rules, SettledEvent, Submission, SubmitError,
};
use ums_testkit::{FakeProvider, SeededRandom, TestClock};

use crate::shown::{message, shown};

/// After all that waits for its time, and before anything is forgotten.
const LATER: Duration = Duration::from_hours(48);
/// The service's key in the fixture.
const KEY: &str = "a-key-of-the-service-in-the-fixture";

/// Where messages that had not ended come to stand when providers take everything.
const GO_ON: &[(&str, Status)] = &[
    ("scheduled", Status::Sent),
    ("scheduled_text", Status::Sent),
    ("held", Status::Sent),
    ("held_code", Status::Sent),
    ("held_bulk", Status::Sent),
    ("held_text", Status::Sent),
    ("held_paced", Status::Sent),
    ("held_bounce_rate", Status::Sent),
    ("held_complaint_rate", Status::Sent),
    ("held_first", Status::Sent),
    ("held_though_perhaps_sent", Status::Sent),
    ("queued_of_a_batch", Status::Sent),
    ("queued_text_of_a_batch", Status::Sent),
    ("queued_with_a_key", Status::Sent),
    ("resent_and_queued", Status::Sent),
    ("replayed_and_queued", Status::Sent),
    ("not_called_and_queued", Status::Sent),
    ("lease_lost_and_queued", Status::Sent),
    ("closing_and_queued", Status::Sent),
    ("dead_owner_not_begun", Status::Sent),
    ("dead_owner_claimed", Status::Sent),
    ("dead_owner_first_call", Status::Sent),
    ("dead_owner_second_call", Status::Sent),
];
/// Messages whose provider was not called although an intent was committed, and such without one.
const NEVER_CALLED: &[&str] = &[
    "not_called_and_queued",
    "lease_lost_and_queued",
    "closing_and_queued",
    "queued_of_a_batch",
    "scheduled",
    "dead_owner_claimed",
];
/// Messages that wait for feedback until they expire; the last one's process died during the call.
const WAIT: &[&str] = &["waits_for_feedback", "process_ended_and_waits_for_feedback", "dead_owner_bulk_call"];

/// What of the one is not in the other: added fields are none of it, changed and missing ones are.
pub(crate) fn lacks(expected: &Value, found: &Value, path: &str) -> Vec<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            let of_field =
                |(name, value): (&String, &Value)| lacks(value, found.get(name).unwrap_or(&Value::Null), &format!("{path}.{name}"));
            expected.iter().flat_map(of_field).collect()
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let pairs = expected.iter().zip(found).enumerate();
            pairs
                .flat_map(|(place, (expected, found))| lacks(expected, found, &format!("{path}[{place}]")))
                .collect()
        }
        (expected, found) if expected == found => Vec::new(),
        (expected, found) => vec![format!("{path} is {found}, not {expected}")],
    }
}

/// What the release before showed of its database, and a clock that stands some time later.
pub(crate) struct Before {
    shown: Value,
    pub(crate) clock: Arc<TestClock>,
}

impl Before {
    pub(crate) fn read(json: &str) -> Self {
        let mut shown: Value = serde_json::from_str(json).unwrap();
        let until = shown.as_object_mut().unwrap().remove("written_until_micros").unwrap();
        let until = Timestamp::from_micros(until.as_i64().unwrap());
        let clock = Arc::new(TestClock::new());
        clock.advance(until.since(clock.now()) + LATER);
        Self { shown, clock }
    }

    fn id(&self, case: &str) -> MessageId {
        self.shown["messages"][case]["result"]["message_id"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Everything is shown as it was.
    pub(crate) async fn is_shown_by(&self, store: &dyn Store) {
        let now = self.clock.now() - LATER;
        assert_eq!(lacks(&self.shown, &shown(store, now).await, ""), Vec::<String>::new());
    }

    /// An engine goes on with what waits, and with nothing else.
    pub(crate) async fn is_carried_on(&self, store: Arc<dyn Store>) {
        let budget = RetryBudget {
            floor_per_minute: 1_000,
            ..RetryBudget::default()
        };
        let service = Service::start(self, store, budget).await;
        service.goes_on().await;
        service.hears_what_became_of_what_waits().await;
        service.leaves_what_ended().await;
        service.still_knows_what_was_said().await;
        service.tells_applications().await;
        service.engine.shutdown(Duration::from_secs(5)).await;
    }

    /// An engine that has nothing left for retries sends what no provider was called for, and not what was called for.
    pub(crate) async fn is_told_apart_by_calls(&self, store: Arc<dyn Store>) {
        let nothing = RetryBudget {
            percent: 0,
            floor_per_minute: 0,
        };
        let service = Service::start(self, store, nothing).await;
        for case in NEVER_CALLED {
            service.comes_to_stand(case, Status::Sent).await;
        }
        for case in ["held", "held_text", "held_though_perhaps_sent", "dead_owner_first_call"] {
            assert_eq!(service.status(case).await, Status::Queued, "{case} is a retry");
        }
        service.engine.shutdown(Duration::from_secs(5)).await;
    }
}

/// Wakes a test when something came to an end.
#[derive(Debug, Default)]
struct Ends(Notify);

impl Observer for Ends {
    fn attempt(&self, _: &AttemptEvent) {}
    fn breaker(&self, _: &BreakerEvent<'_>) {}
    fn settled(&self, _: &SettledEvent) {
        self.0.notify_one();
    }
    fn notice(&self, _: &NoticeEvent) {
        self.0.notify_one();
    }
}

/// The user's applications, which take everything by now.
#[derive(Debug, Default)]
struct Applications(Mutex<Vec<String>>);

#[async_trait]
impl WebhookPost for Applications {
    fn check_url(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    async fn post(&self, call: WebhookCall) -> Result<u16, WebhookFault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call.url);
        Ok(204)
    }
}

/// A process of this release.
struct Service<'a> {
    before: &'a Before,
    store: Arc<dyn Store>,
    engine: Messaging,
    ends: Arc<Ends>,
    applications: Arc<Applications>,
    email: Vec<Arc<FakeProvider<Email>>>,
    sms: Vec<Arc<FakeProvider<Sms>>>,
}

fn links<M: Clone + Send + Sync + 'static>(providers: &[Arc<FakeProvider<M>>]) -> Vec<LinkParts<M>> {
    let link = |provider: &Arc<FakeProvider<M>>| LinkParts {
        provider: provider.clone(),
        breaker: BreakerSettings::default(),
        pace: PaceSettings::default(),
        price: Price::Free,
        fingerprint: ums_delivery::Fingerprint::default(),
    };
    providers.iter().map(link).collect()
}

impl<'a> Service<'a> {
    async fn start(before: &'a Before, store: Arc<dyn Store>, retry_budget: RetryBudget) -> Self {
        use ProviderKind as P;
        let email: Vec<_> = [P::AwsSes, P::SendGrid, P::Smtp]
            .map(|kind| Arc::new(FakeProvider::new(kind)))
            .into();
        let sms: Vec<_> = [P::AwsSns, P::Twilio].map(|kind| Arc::new(FakeProvider::new(kind))).into();
        let (ends, applications) = (Arc::new(Ends::default()), Arc::new(Applications::default()));
        let parts = Parts {
            clock: before.clock.clone(),
            random: Arc::new(SeededRandom::new(1_000)),
            store: store.clone(),
            observer: ends.clone(),
            email: links(&email),
            sms: links(&sms),
            not_configured: Vec::new(),
            rules: Rules {
                retry_budget,
                ..Rules::default()
            },
            troubles: ums_core::Troubles::default(),
            aftermath: Aftermath {
                webhooks: Some(applications.clone()),
                keys: vec![Secret::new(KEY)],
                ..Aftermath::default()
            },
        };
        Self {
            engine: Messaging::start(parts).await.unwrap(),
            before,
            store,
            ends,
            applications,
            email,
            sms,
        }
    }

    async fn record(&self, case: &str) -> MessageRecord {
        let found = self.engine.message(&TenantId::default(), self.before.id(case)).await;
        found.unwrap().unwrap()
    }

    async fn status(&self, case: &str) -> Status {
        self.record(case).await.status
    }

    /// Lets time pass until it is so.
    async fn until(&self, is_so: impl AsyncFn() -> bool) -> bool {
        for _ in 0..300 {
            if is_so().await {
                return true;
            }
            let while_time_passes = Duration::from_millis(100);
            tokio::time::timeout(while_time_passes, self.ends.0.notified()).await.ok();
            self.before.clock.advance(while_time_passes);
        }
        false
    }

    async fn comes_to_stand(&self, case: &str, status: Status) {
        let stands = self.until(async || self.status(case).await == status).await;
        assert!(stands, "{case} is not {status}: {:?}", self.record(case).await);
    }

    /// How often each message was handed to a provider, by its id.
    fn calls(&self) -> BTreeMap<MessageId, usize> {
        let email = self
            .email
            .iter()
            .flat_map(|provider| provider.seen())
            .map(|(_, call)| call.message_id);
        let sms = self
            .sms
            .iter()
            .flat_map(|provider| provider.seen())
            .map(|(_, call)| call.message_id);
        let mut calls = BTreeMap::new();
        for id in email.chain(sms) {
            *calls.entry(id).or_default() += 1;
        }
        calls
    }

    /// What was held, queued, scheduled or a dead process's is sent, once.
    async fn goes_on(&self) {
        for (case, status) in GO_ON {
            self.comes_to_stand(case, *status).await;
        }
        let expected: BTreeMap<MessageId, usize> = GO_ON.iter().map(|(case, _)| (self.before.id(case), 1)).collect();
        assert_eq!(self.calls(), expected, "each once, and nobody else");
        for (case, code) in [
            ("dead_owner_first_call", "process_ended"),
            ("dead_owner_second_call", "process_ended"),
            ("dead_owner_bulk_call", "process_ended"),
        ] {
            let codes: Vec<_> = self
                .record(case)
                .await
                .attempts
                .into_iter()
                .filter_map(|attempt| attempt.code)
                .collect();
            assert!(codes.iter().any(|found| found == code), "{case}: {codes:?}");
        }
        assert!(self.record("dead_owner_first_call").await.result().possibly_duplicate);
        assert!(!self.record("closing_and_queued").await.result().possibly_duplicate);
        // The copies had it: only the first recipient is written to.
        let id = self.before.id("held_first");
        let mut mails = self
            .email
            .iter()
            .flat_map(|provider| provider.seen())
            .filter(|(_, call)| call.message_id == id);
        let (mail, _) = mails.next().unwrap();
        let written_to: Vec<_> = mail.recipients().map(|(_, mailbox)| mailbox.address.expose().to_owned()).collect();
        assert_eq!(written_to, ["held_first@example.com"]);
        for case in WAIT {
            assert_eq!(self.status(case).await, Status::Queued, "{case} must not arrive twice");
        }
    }

    /// A report on an attempt, by our id of it.
    async fn hears(&self, case: &str, attempt: usize, kind: EventKind, change: impl FnOnce(&mut Event)) {
        let record = self.record(case).await;
        let about = &record.attempts[attempt];
        let mut event = Event::new(about.provider, format!("later-{kind}-{}", about.id), kind, kind.as_str());
        event.recipient = Some(record.recipients[0].address.clone());
        event.at = Some(self.before.clock.now());
        event.about.attempt_id = Some(about.id);
        change(&mut event);
        let taken = self.engine.take_feedback(vec![event]).await.unwrap();
        assert_eq!(taken.applied, 1, "{case}");
    }

    async fn hears_what_became_of_what_waits(&self) {
        let [delivered, not_taken, refused] = WAIT else {
            panic!("three wait")
        };
        self.hears(delivered, 0, EventKind::Delivered, |_| {}).await;
        assert_eq!(self.status(delivered).await, Status::Delivered);
        self.hears(refused, 0, EventKind::Rejected, |event| {
            event.class = Some(FailureClass::InvalidMessage);
        })
        .await;
        assert_eq!(self.status(refused).await, Status::Failed);
        self.hears(not_taken, 0, EventKind::Failed, |event| {
            event.class = Some(FailureClass::Unavailable);
        })
        .await;
        self.comes_to_stand(not_taken, Status::Sent).await;
        assert_eq!(self.calls()[&self.before.id(not_taken)], 1);
    }

    async fn leaves_what_ended(&self) {
        let messages = self.before.shown["messages"].as_object().unwrap();
        let went_on = |case: &str| WAIT.contains(&case) || GO_ON.iter().any(|(name, _)| *name == case);
        let mut changed = Vec::new();
        for (case, expected) in messages.iter().filter(|(case, _)| !went_on(case)) {
            changed.extend(lacks(expected, &message(&*self.store, self.before.id(case)).await, case));
        }
        assert_eq!(changed, Vec::<String>::new());
    }

    /// Reports, acts, keys and the suppression list meet what the release before wrote.
    async fn still_knows_what_was_said(&self) {
        let tenant = TenantId::default();
        // The operator's word counts beside what was reported before the delivery.
        self.hears("marked_delivered", 0, EventKind::Sent, |_| {}).await;
        assert_eq!(self.status("marked_delivered").await, Status::Delivered);
        self.hears("marked_sent", 0, EventKind::Delivered, |_| {}).await;
        assert_eq!(self.status("marked_sent").await, Status::Delivered);
        self.hears("settled_as_sent", 0, EventKind::Bounced, |_| {}).await;
        assert_eq!(self.status("settled_as_sent").await, Status::Bounced);
        for case in ["settled_for_several", "marked_for_several"] {
            let copy = format!("{case}-copy@example.com");
            self.hears(case, 0, EventKind::Bounced, |event| event.recipient = Some(copy)).await;
            let stand: Vec<_> = self
                .record(case)
                .await
                .recipients
                .into_iter()
                .map(|recipient| recipient.status)
                .collect();
            assert_eq!(stand, [Status::Delivered, Status::Bounced, Status::Sent], "{case}");
        }
        // The other attempt stands, and nobody knows who was with which.
        self.hears("settled_beside_another", 0, EventKind::Bounced, |_| {}).await;
        assert_eq!(self.status("settled_beside_another").await, Status::Sent);
        // By the provider's id alone.
        self.hears("sent_from_substituted", 0, EventKind::Delivered, |event| {
            event.about.attempt_id = None;
            event.about.provider_message_id = Some("special-1".to_owned());
        })
        .await;
        assert_eq!(self.status("sent_from_substituted").await, Status::Delivered);

        let unknown = self.before.id("unknown_twice");
        assert_eq!(self.engine.mark(&tenant, unknown, Mark::Sent).await.unwrap().status, Status::Sent);
        self.engine.resend(&tenant, self.before.id("failed_everywhere")).await.unwrap();
        self.comes_to_stand("failed_everywhere", Status::Sent).await;
        self.engine
            .resend(&tenant, self.before.id("process_ended_then_unknown"))
            .await
            .unwrap();
        self.comes_to_stand("process_ended_then_unknown", Status::Sent).await;
        assert!(self.engine.resend(&tenant, self.before.id("refused_blocked")).await.is_err());

        let again = self.engine.submit(keyed("order-1", 1)).await.unwrap();
        assert!(again.was_replayed());
        assert_eq!(again.message_id(), self.before.id("sent"));
        let other = self.engine.submit(keyed("order-2", 1)).await;
        assert!(matches!(other, Err(SubmitError::KeyConflict)), "{other:?}");
        for (address, status) in [
            ("LISTED@example.com", Status::Suppressed),
            ("bounced@example.com", Status::Suppressed),
            // An unsubscribe of before bars bulk, and no receipt.
            ("opted_out@example.com", Status::Sent),
            ("lifted@example.com", Status::Sent),
            ("for_an_hour@example.com", Status::Sent),
        ] {
            let result = self.engine.send(mail(address)).await.unwrap();
            assert_eq!(result.status, status, "{address}");
        }
        let newsletter = SendEmail::new("opted_out@example.com", "News").text("Hello").purpose(Purpose::Bulk);
        let result = self.engine.send(newsletter.parse().unwrap().into()).await.unwrap();
        assert_eq!(result.status, Status::Unsubscribed);
    }

    /// What an application had not taken yet is posted again.
    async fn tells_applications(&self) {
        let pending = async || {
            let notices = self
                .store
                .notices(&TenantId::default(), &ums_core::NoticeFilter::default(), None, 1_000)
                .await
                .unwrap();
            notices.notices.iter().filter(|notice| notice.state == NoticeState::Pending).count()
        };
        assert!(self.until(async || pending().await == 0).await, "{} notices wait", pending().await);
        let posts = self.applications.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(posts.iter().any(|url| url == "https://refuses.example.com/hook"), "{posts:?}");
        assert!(posts.iter().all(|url| url != "https://disabled.example.com/hook"), "{posts:?}");
    }
}

fn mail(address: &str) -> Submission {
    SendEmail::new(address, "Afterwards").text("Thank you").parse().unwrap().into()
}

fn keyed(key: &str, request: u8) -> Submission {
    Submission {
        idempotency: Some(IdempotencyKey {
            key: key.to_owned(),
            fingerprint: [request; 32],
            expires_at: Timestamp::from_micros(i64::MAX),
        }),
        ..mail("customer@example.com")
    }
}
