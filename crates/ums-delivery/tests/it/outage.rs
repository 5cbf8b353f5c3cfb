//! An outage of all providers: the tries meanwhile, and the drain when the providers are back.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{Email, Failure, FailureClass, OnExhausted, ProviderKind, Status, TenantId};
use ums_delivery::{BreakerSettings, LinkParts, Messaging, NoObserver, PaceSettings, Parts, Price, RetryBudget, Rules};
use ums_store::MemoryStore;
use ums_testkit::{FakeProvider, Reply, SeededRandom, TestClock};

use crate::setup::{Setup, email};

struct Outage {
    clock: Arc<TestClock>,
    provider: Arc<FakeProvider<Email>>,
    store: Arc<MemoryStore>,
    engine: Messaging,
}

impl Outage {
    async fn start(breaker: BreakerSettings) -> Self {
        let clock = Arc::new(TestClock::new());
        let provider = Arc::new(FakeProvider::new(ProviderKind::AwsSes));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let engine = Self::engine(&clock, &provider, &store, breaker).await;
        Self {
            clock,
            provider,
            store,
            engine,
        }
    }

    async fn engine(
        clock: &Arc<TestClock>,
        provider: &Arc<FakeProvider<Email>>,
        store: &Arc<MemoryStore>,
        breaker: BreakerSettings,
    ) -> Messaging {
        let parts = Parts {
            clock: clock.clone(),
            random: Arc::new(SeededRandom::new(5)),
            store: store.clone(),
            observer: Arc::new(NoObserver),
            email: vec![LinkParts {
                provider: provider.clone(),
                breaker,
                pace: PaceSettings::default(),
                price: Price::Free,
                fingerprint: ums_delivery::Fingerprint::default(),
            }],
            sms: Vec::new(),
            troubles: ums_core::Troubles::default(),
            aftermath: ums_delivery::Aftermath::default(),
            not_configured: Vec::new(),
            rules: Rules {
                on_exhausted: Some(OnExhausted::Hold),
                retry_budget: RetryBudget {
                    percent: 20,
                    floor_per_minute: 6,
                },
                ..Rules::default()
            },
        };
        Messaging::start(parts).await.unwrap()
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::advance(time).await;
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// Submits one message per second, for that long.
    async fn offer(&self, seconds: usize) {
        for _ in 0..seconds {
            self.engine.submit(email().parse().unwrap().into()).await.unwrap();
            self.pass(Duration::from_secs(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_breakers_an_outage_adds_a_fifth_and_the_floor_and_all_is_sent_after_it() {
    let never = BreakerSettings {
        failures: u32::MAX,
        rate_percent: None,
        ..BreakerSettings::default()
    };
    let outage = Outage::start(never).await;
    outage.provider.answer(Reply::FailAs(FailureClass::Unavailable));
    outage.offer(600).await;
    let calls = outage.provider.calls();
    assert!(calls > 600, "{calls}: held messages are tried again");
    assert!(calls <= 600 * 12 / 10 + 60, "{calls} calls for 600 messages");
    outage.provider.answer(Reply::Accept);
    for _ in 0..3 * 3_600 / 30 {
        outage.pass(Duration::from_secs(30)).await;
    }
    let filter = ums_core::MessageFilter {
        status: Some(Status::Queued),
        ..ums_core::MessageFilter::default()
    };
    let waiting = outage.engine.messages(&TenantId::default(), &filter, None, 10).await.unwrap();
    assert_eq!(waiting.messages.len(), 0, "everything was sent");
    assert_eq!(outage.provider.calls() - calls, 600);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_a_provider_asked_for_outlives_the_process() {
    let outage = Outage::start(BreakerSettings::default()).await;
    let throttled = Failure::provider(FailureClass::Throttled, "429", "").with_retry_after(Some(Duration::from_mins(2)));
    outage.provider.answer_once(Reply::Fail(throttled));
    let held = outage.engine.send(email().parse().unwrap().into()).await.unwrap();
    assert_eq!(held.status, Status::Queued);
    outage.pass(Duration::from_secs(1)).await;
    let after = Outage::engine(&outage.clock, &outage.provider, &outage.store, BreakerSettings::default()).await;
    let second = after.send(email().parse().unwrap().into()).await.unwrap();
    assert_eq!((second.status, outage.provider.calls()), (Status::Queued, 1));
}

#[tokio::test(start_paused = true)]
async fn held_messages_are_not_tried_before_the_time_that_providers_ask_for() {
    for (asked, waits) in [(120, 120), (3_600, 900)] {
        let bench = Setup::holding().start().await;
        let throttled = Failure::provider(FailureClass::Throttled, "429", "").with_retry_after(Some(Duration::from_secs(asked)));
        for provider in bench.providers() {
            provider.answer_once(Reply::Fail(throttled.clone()));
        }
        let held = bench.send(email()).await;
        for _ in 0..waits - 1 {
            bench.pass(Duration::from_secs(1)).await;
        }
        assert_eq!(
            bench.providers().map(|provider| provider.calls()),
            [1, 1, 1],
            "not before {waits} s"
        );
        for _ in 0..5 {
            bench.pass(Duration::from_secs(1)).await;
        }
        assert_eq!(bench.look_up(held.message_id).await.status, Status::Sent);
    }
}
