//! Several processes on one store: all know what one of them has learned of a provider; they probe in turn and share the pace.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ums_core::{
    AccountId, BreakerStateWord, Email, Failure, FailureClass, OnExhausted, Probe, ProviderKind, Purpose, Secret, SendEmail, SendResult,
    Status, Store, TenantId,
};
use ums_delivery::{BreakerSettings, Fingerprint, LinkParts, Messaging, NoObserver, PaceSettings, Parts, Price, Rules, SwitchOff, Tried};
use ums_store::MemoryStore;
use ums_testkit::{FakeProvider, Reply, SeededRandom, SharedStore, TestClock};

use crate::setup::email;

const SES: ProviderKind = ProviderKind::AwsSes;

struct Replicas {
    clock: Arc<TestClock>,
    ses: Arc<FakeProvider<Email>>,
    sendgrid: Arc<FakeProvider<Email>>,
    store: Arc<SharedStore>,
    engines: Vec<Messaging>,
}

impl Replicas {
    async fn start(count: usize, pace: PaceSettings) -> Self {
        let clock = Arc::new(TestClock::new());
        let (ses, sendgrid) = (
            Arc::new(FakeProvider::new(SES)),
            Arc::new(FakeProvider::new(ProviderKind::SendGrid)),
        );
        let store = Arc::new(SharedStore::new(Arc::new(MemoryStore::new(clock.clone())), clock.clone()));
        let mut replicas = Self {
            clock,
            ses,
            sendgrid,
            store,
            engines: Vec::new(),
        };
        for _ in 0..count {
            replicas.join(pace, Fingerprint::default()).await;
        }
        replicas
    }

    /// Starts one more process on the store, with settings of that fingerprint.
    async fn join(&mut self, pace: PaceSettings, fingerprint: Fingerprint) {
        let link = |provider: &Arc<FakeProvider<Email>>, pace| LinkParts {
            provider: provider.clone(),
            breaker: BreakerSettings::default(),
            pace,
            price: Price::Free,
            fingerprint: fingerprint.clone(),
        };
        let parts = Parts {
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(u64::try_from(self.engines.len()).unwrap())),
            store: Arc::new(self.store.another(Arc::new(MemoryStore::new(self.clock.clone())))),
            observer: Arc::new(NoObserver),
            email: vec![link(&self.ses, pace), link(&self.sendgrid, PaceSettings::default())],
            sms: Vec::new(),
            troubles: ums_core::Troubles::default(),
            aftermath: ums_delivery::Aftermath::default(),
            not_configured: Vec::new(),
            rules: Rules {
                on_exhausted: Some(OnExhausted::Hold),
                ..Rules::default()
            },
        };
        self.engines.push(Messaging::start(parts).await.unwrap());
    }

    async fn send_as(&self, replica: usize, request: SendEmail) -> SendResult {
        self.engines[replica].send(request.parse().unwrap().into()).await.unwrap()
    }

    async fn send(&self, replica: usize) -> SendResult {
        self.send_as(replica, email()).await
    }

    fn state(&self, replica: usize) -> BreakerStateWord {
        self.engines[replica].health().email_providers[0].circuit_breaker
    }

    /// Moves the time on in steps of a tenth of a second.
    async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(100);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.clock.advance(step);
            tokio::time::advance(step).await;
            self.idle().await;
        }
    }

    async fn idle(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// One process finds the provider dead, and all know it.
    async fn open(&self) {
        self.ses.answer(Reply::FailAs(FailureClass::Unavailable));
        for _ in 0..5 {
            self.send(0).await;
        }
        self.pass(Duration::from_secs(1)).await;
    }
}

fn pace(per_second: u32, per_day: u32) -> PaceSettings {
    PaceSettings {
        per_second: NonZeroU32::new(per_second),
        per_day: NonZeroU32::new(per_day),
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_one_process_found_dead_is_skipped_by_all_within_a_second_and_nobody_echoes() {
    let replicas = Replicas::start(4, pace(0, 0)).await;
    replicas.open().await;
    assert_eq!(replicas.store.saves(), 1, "told once");
    for replica in 1..4 {
        assert_eq!(replicas.state(replica), BreakerStateWord::Open);
        let sent = replicas.send(replica).await;
        assert_eq!((sent.provider(), sent.attempts.len()), (Some(ProviderKind::SendGrid), 1));
    }
    assert_eq!(replicas.ses.calls(), 5);
    replicas.pass(Duration::from_secs(10)).await;
    assert_eq!(replicas.store.saves(), 1, "what was adopted is not saved again");
}

#[tokio::test(start_paused = true)]
async fn pauses_and_accounts_that_need_mending_are_known_to_all() {
    let replicas = Replicas::start(2, pace(0, 0)).await;
    let throttled = Failure::provider(FailureClass::Throttled, "429", "").with_retry_after(Some(Duration::from_secs(90)));
    replicas.ses.answer_once(Reply::Fail(throttled));
    replicas.send(0).await;
    replicas.pass(Duration::from_secs(1)).await;
    assert_eq!(replicas.send(1).await.provider(), Some(ProviderKind::SendGrid));
    replicas.pass(Duration::from_secs(88)).await;
    assert_eq!(replicas.send(1).await.provider(), Some(ProviderKind::SendGrid));
    replicas.pass(Duration::from_secs(2)).await;
    assert_eq!(replicas.send(1).await.provider(), Some(SES), "the pause is over for both");

    replicas.ses.answer_once(Reply::FailAs(FailureClass::Misconfigured));
    replicas.send(1).await;
    replicas.pass(Duration::from_secs(1)).await;
    let row = replicas.engines[0].health().email_providers.remove(0);
    assert_eq!(row.status, ums_core::HealthStatus::Misconfigured);
    assert!(row.reason.unwrap().starts_with("needs mending"), "with its reason");
}

#[tokio::test(start_paused = true)]
async fn a_recovered_provider_serves_all_processes_within_a_second_of_its_first_probe() {
    let replicas = Replicas::start(3, pace(0, 0)).await;
    replicas.open().await;
    replicas.ses.answer(Reply::Accept);
    replicas.pass(Duration::from_secs(30)).await;
    let mut by_ses = 0;
    for turn in 0..10 {
        // No process sends twice in a row: another process sends the second probe.
        by_ses += usize::from(replicas.send(turn % 3).await.provider() == Some(SES));
        replicas.pass(Duration::from_millis(100)).await;
    }
    assert!(by_ses >= 8, "{by_ses} of 10");
    replicas.pass(Duration::from_millis(600)).await;
    for replica in 0..3 {
        assert_eq!(replicas.state(replica), BreakerStateWord::Closed);
    }
    let saves = replicas.store.saves();
    replicas.pass(Duration::from_mins(2)).await;
    assert_eq!(replicas.store.saves(), saves, "and they stay agreed");
}

#[tokio::test(start_paused = true)]
async fn one_process_at_a_time_probes() {
    let replicas = Replicas::start(4, pace(0, 0)).await;
    replicas.open().await;
    replicas.pass(Duration::from_secs(30)).await;
    let (calls, peak) = (replicas.ses.calls(), replicas.ses.peak());
    assert_eq!(peak, 1);
    replicas.ses.hold();
    let mut tickets = Vec::new();
    for turn in 0..40 {
        let ticket = replicas.engines[turn % 4].submit(email().parse().unwrap().into()).await.unwrap();
        tickets.push(ticket);
        replicas.idle().await;
    }
    assert_eq!((replicas.ses.running(), replicas.ses.calls()), (1, calls + 1));
    // The call takes longer than the probe lease: the keeper renews the lease.
    replicas.pass(Duration::from_secs(45)).await;
    for replica in 0..4 {
        replicas.send(replica).await;
    }
    assert_eq!((replicas.ses.running(), replicas.ses.calls()), (1, calls + 1));
    assert!(replicas.store.is_probe_leased(SES));
    // The probe fails: the next holder of the lease knows it, and does not probe again.
    replicas.ses.release(1);
    replicas.idle().await;
    for replica in 0..4 {
        replicas.send(replica).await;
    }
    assert_eq!(replicas.ses.calls(), calls + 1);
    replicas.pass(Duration::from_secs(1)).await;
    assert!(!replicas.store.is_probe_leased(SES), "the leave was given back");
    assert!((0..4).all(|replica| replicas.state(replica) == BreakerStateWord::Open));
}

#[tokio::test(start_paused = true)]
async fn without_the_leave_the_provider_stays_skipped_until_its_holder_is_gone() {
    let replicas = Replicas::start(1, pace(0, 0)).await;
    replicas.open().await;
    replicas.ses.answer(Reply::Accept);
    let calls = replicas.ses.calls();
    // The lease of a process that dies.
    replicas.pass(Duration::from_secs(29)).await;
    assert!(
        replicas
            .store
            .lease_probe(SES, &AccountId::default(), Duration::from_secs(30))
            .await
            .unwrap()
    );
    for _ in 0..4 {
        replicas.pass(Duration::from_secs(6)).await;
        assert_eq!(replicas.send(0).await.provider(), Some(ProviderKind::SendGrid));
    }
    let record = {
        let sent = replicas.send(0).await;
        replicas.engines[0]
            .message(&TenantId::default(), sent.message_id)
            .await
            .unwrap()
            .unwrap()
    };
    assert_eq!(record.skips[0].reason.as_str(), "probing");
    assert_eq!(replicas.ses.calls(), calls);
    replicas.pass(Duration::from_secs(7)).await;
    assert_eq!(replicas.send(0).await.provider(), Some(SES));
}

#[tokio::test(start_paused = true)]
async fn a_recovering_provider_is_asked_by_one_process_at_a_time() {
    let replicas = Replicas::start(4, pace(0, 0)).await;
    replicas.open().await;
    replicas.ses.can_be_asked(true);
    replicas.ses.answer_probe(Probe::Healthy);
    replicas.ses.answer(Reply::Accept);
    replicas.pass(Duration::from_secs(30)).await;
    assert_eq!(replicas.ses.calls(), 5, "it is only asked");
    for replica in 1..3 {
        assert_eq!(replicas.send(replica).await.provider(), Some(SES), "asked is asked, whoever did it");
        replicas.pass(Duration::from_millis(300)).await;
    }
    assert_eq!((replicas.ses.probes(), replicas.state(2)), (1, BreakerStateWord::Closed));
}

#[tokio::test(start_paused = true)]
async fn the_last_resort_is_tried_by_one_process_at_a_time_once_a_second() {
    let replicas = Replicas::start(4, pace(0, 0)).await;
    replicas.sendgrid.answer(Reply::FailAs(FailureClass::Unavailable));
    replicas.open().await;
    let calls = || replicas.ses.calls() + replicas.sendgrid.calls();
    let before = calls();
    for _ in 0..10 {
        for replica in 0..4 {
            let held = replicas.send(replica).await;
            assert_eq!(held.status, Status::Queued);
        }
        replicas.pass(Duration::from_secs(1)).await;
    }
    let tried = calls() - before;
    assert!((2..=22).contains(&tried), "{tried} calls of two providers in 10 s");
    assert_eq!(replicas.ses.peak(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_processes_together_keep_the_pace_and_use_it() {
    let replicas = Replicas::start(4, pace(8, 0)).await;
    // An odd load: one process sends most, two now and then.
    for turn in 0..300_usize {
        for replica in [0, 0, 1 + turn % 2, 3 * (turn % 2)] {
            replicas.send(replica).await;
        }
        replicas.pass(Duration::from_millis(200)).await;
    }
    let sent = replicas.ses.calls();
    let (rate, block) = (8 * 60, 2);
    // The bucket of the store holds a second's limit at the start.
    assert!(sent >= rate * 9 / 10 && sent <= rate + 8 + 4 * block, "{sent} in a minute");
    assert_eq!(sent + replicas.sendgrid.calls(), 1_200, "what was over went by the next provider");
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_its_block_instead_of_going_elsewhere() {
    let replicas = Replicas::start(2, pace(20, 0)).await;
    assert_eq!(replicas.send(0).await.provider(), Some(SES), "with nothing in hand");
    replicas.idle().await;
    let first = replicas.engines[0].submit(email().parse().unwrap().into()).await.unwrap();
    assert_eq!(
        first.result(Duration::ZERO).await.unwrap().attempts.len(),
        1,
        "with a block in hand its intent is stored with it"
    );
    // The message is larger than a block.
    let mut request = email();
    let others: Vec<String> = (0..11).map(|n| format!("customer{n}@example.com")).collect();
    request.bcc = others.into();
    assert_eq!(replicas.send_as(1, request).await.provider(), Some(SES));
}

#[tokio::test(start_paused = true)]
async fn a_limit_a_day_holds_over_all_processes() {
    let replicas = Replicas::start(2, pace(0, 10)).await;
    for turn in 0..15 {
        replicas.send(turn % 2).await;
    }
    // Each process may have one recipient in hand.
    assert!((9..=10).contains(&replicas.ses.calls()), "{}", replicas.ses.calls());
    let bulk = replicas.send_as(0, email().purpose(Purpose::Bulk)).await;
    let record = replicas.engines[0]
        .message(&TenantId::default(), bulk.message_id)
        .await
        .unwrap()
        .unwrap();
    if bulk.status == Status::Queued {
        assert_eq!(record.skips[0].reason.as_str(), "day_limit");
    }
    for _ in 0..3 {
        replicas.send(0).await;
        replicas.send(1).await;
    }
    assert!(replicas.ses.calls() <= 10);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_cannot_be_asked_what_is_in_hand_is_spent_and_no_more() {
    let replicas = Replicas::start(1, pace(20, 0)).await;
    replicas.send(0).await;
    replicas.pass(Duration::from_secs(1)).await;
    replicas.store.be_away(true);
    let mut by_ses = 0;
    for _ in 0..20 {
        let sent = replicas.send(0).await;
        assert_eq!(sent.status, Status::Sent, "nothing fails for that");
        by_ses += usize::from(sent.provider() == Some(SES));
    }
    assert!((1..=5).contains(&by_ses), "{by_ses} of a block of five");
    replicas.store.be_away(false);
    replicas.pass(Duration::from_secs(2)).await;
    assert_eq!(replicas.send(0).await.provider(), Some(SES));
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_while_the_store_was_away_is_told_when_it_is_back() {
    let replicas = Replicas::start(2, pace(0, 0)).await;
    replicas.store.be_away(true);
    replicas.open().await;
    assert_eq!(replicas.state(1), BreakerStateWord::Closed);
    replicas.store.be_away(false);
    replicas.pass(Duration::from_millis(1_100)).await;
    assert_eq!(replicas.state(1), BreakerStateWord::Open);
}

fn with_key(key: &str) -> Fingerprint {
    Fingerprint::of(&[Secret::new("the service's")], &[("api_key", key)])
}

#[tokio::test(start_paused = true)]
async fn a_mended_key_is_tried_by_the_very_next_message_after_a_restart() {
    for class in [FailureClass::Misconfigured, FailureClass::QuotaExhausted] {
        let mut replicas = Replicas::start(0, pace(0, 0)).await;
        replicas.join(pace(0, 0), with_key("wrong")).await;
        replicas.ses.answer(Reply::FailAs(class));
        assert_eq!(replicas.send(0).await.provider(), Some(ProviderKind::SendGrid));
        replicas.pass(Duration::from_secs(1)).await;

        replicas.join(pace(0, 0), with_key("wrong")).await;
        assert_eq!(replicas.state(1), BreakerStateWord::Open, "the same settings, {class}");
        replicas.ses.answer(Reply::Accept);
        replicas.join(pace(0, 0), with_key("right")).await;
        assert_eq!(replicas.state(2), BreakerStateWord::HalfOpen);
        let sent = replicas.send(2).await;
        assert_eq!((sent.provider(), sent.attempts.len()), (Some(SES), 1));
        replicas.pass(Duration::from_secs(1)).await;
        assert_eq!(replicas.send(2).await.provider(), Some(SES));
        assert_eq!(replicas.state(2), BreakerStateWord::Closed);
        replicas.pass(Duration::from_secs(1)).await;
        assert_eq!(
            replicas.state(0),
            BreakerStateWord::Open,
            "a good new key does not mend the old one"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn while_settings_change_process_by_process_neither_half_opens_or_pauses_the_other() {
    let throttled = Failure::provider(FailureClass::Throttled, "429", "").with_retry_after(Some(Duration::from_mins(10)));
    let lessons = [
        Reply::FailAs(FailureClass::Misconfigured),
        Reply::FailAs(FailureClass::QuotaExhausted),
        Reply::Fail(throttled),
    ];
    for lesson in lessons {
        let mut replicas = Replicas::start(0, pace(0, 0)).await;
        for key in ["old", "old", "new", "new"] {
            replicas.join(pace(0, 0), with_key(key)).await;
        }
        // The old key ends while half of the processes have it; both halves go on writing to one row.
        replicas.ses.answer_once(lesson.clone());
        replicas.send(0).await;
        for _ in 0..5 {
            replicas.pass(Duration::from_secs(1)).await;
            for (replica, provider) in [(1, ProviderKind::SendGrid), (2, SES), (3, SES)] {
                assert_eq!(replicas.send(replica).await.provider(), Some(provider), "{lesson:?} {replica}");
            }
        }
        // The new half learns something, too, and the old half does not hear of it.
        replicas.ses.answer_once(Reply::FailAs(FailureClass::Misconfigured));
        replicas.send(2).await;
        replicas.pass(Duration::from_secs(1)).await;
        assert_eq!(replicas.state(3), BreakerStateWord::Open);
        let reason = |replica: usize| replicas.engines[replica].health().email_providers.remove(0).last_failure;
        assert_ne!(reason(1), reason(2));
        assert_eq!(replicas.store.saves(), 2, "nobody answers the other half");
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_without_a_fingerprint_is_taken_as_it_is() {
    let mut replicas = Replicas::start(1, pace(0, 0)).await;
    replicas.join(pace(0, 0), with_key("one")).await;
    replicas.ses.answer_once(Reply::FailAs(FailureClass::Misconfigured));
    replicas.send(0).await;
    replicas.pass(Duration::from_secs(1)).await;
    assert_eq!(replicas.state(1), BreakerStateWord::Open, "the release before wrote it");
    replicas.join(pace(0, 0), with_key("two")).await;
    assert_eq!(replicas.state(2), BreakerStateWord::Open);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_disabled_at_one_process_is_left_alone_by_all_within_a_second() {
    let replicas = Replicas::start(3, pace(0, 0)).await;
    let account = AccountId::default();
    let off = SwitchOff {
        reason: "a move".to_owned(),
        by: "ann".to_owned(),
        until: None,
    };
    replicas.engines[0].disable_provider(SES, &account, off).await.unwrap();
    assert_eq!(
        replicas.send(0).await.provider(),
        Some(ProviderKind::SendGrid),
        "at once where it was said"
    );
    replicas.pass(Duration::from_secs(1)).await;
    for replica in 0..3 {
        assert_eq!(replicas.send(replica).await.provider(), Some(ProviderKind::SendGrid));
        assert!(replicas.engines[replica].health().email_providers[0].disabled.is_some());
    }
    assert_eq!(replicas.ses.calls(), 0);
    replicas.engines[1].enable_provider(SES, &account, "ann").await.unwrap();
    replicas.pass(Duration::from_secs(1)).await;
    for replica in 0..3 {
        assert_eq!(replicas.send(replica).await.provider(), Some(SES));
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_an_operator_had_tried_at_one_process_is_tried_by_all() {
    let replicas = Replicas::start(3, pace(0, 0)).await;
    replicas.ses.can_be_asked(true);
    replicas.ses.answer_once(Reply::FailAs(FailureClass::Misconfigured));
    replicas.send(0).await;
    replicas.pass(Duration::from_secs(1)).await;
    replicas.ses.answer_probe(Probe::Healthy);
    let tried = replicas.engines[2].probe_provider(SES, &AccountId::default()).await.unwrap();
    assert_eq!(tried, Tried::Healthy);
    replicas.pass(Duration::from_secs(1)).await;
    for replica in 0..2 {
        let sent = replicas.send(replica).await;
        assert_eq!((sent.provider(), sent.attempts.len()), (Some(SES), 1));
        replicas.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(replicas.state(2), BreakerStateWord::Closed);
}
