//! A provider account that refuses, or gives up, everything is itself the problem.

use std::time::Duration;

use ums_core::{
    AccountId, BounceKind, BreakerRecord, BreakerStateWord, Channel, Clock as _, EventKind, FailureClass, HealthStatus, MessageId,
    ProviderKind, SendEmail, SendResult, Status, Store as _, Suppression, SuppressionOrigin, SuppressionReason, SuppressionStore as _,
    TenantId, Timestamp,
};
use ums_testkit::{LogCapture, Reply};

use crate::setup::{Bench, Setup, email, start};

const SPREAD: [&str; 5] = [
    "a@one.example",
    "b@two.example",
    "c@three.example",
    "d@one.example",
    "e@two.example",
];

fn to(recipient: &str) -> SendEmail {
    let mut request = email();
    request.to = recipient.into();
    request
}

/// A message of its own.
fn message(recipient: &str) -> SendEmail {
    let mut request = to(recipient);
    request.subject = format!("For {recipient}");
    request
}

impl Bench {
    fn ses_is(&self) -> (BreakerStateWord, HealthStatus) {
        let row = &self.engine.health().email_providers[0];
        (row.circuit_breaker, row.status)
    }

    /// SES takes messages to these recipients.
    async fn taken(&self, recipients: impl IntoIterator<Item = String>) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for recipient in recipients {
            let result = self.send(to(&recipient)).await;
            assert_eq!(result.provider(), Some(ProviderKind::AwsSes), "{recipient}");
            ids.push(result.message_id);
        }
        ids
    }

    async fn bounces(&self, id: MessageId) {
        self.bounces_at(id, AccountId::default()).await;
    }

    /// An account of SES reports that a message bounced hard.
    async fn bounces_at(&self, id: MessageId, account: AccountId) {
        let mut bounced = self.event(id, EventKind::Bounced, 1).await;
        bounced.account = account;
        bounced.bounce = Some(BounceKind::Hard);
        bounced.suppress = Some(SuppressionReason::HardBounce);
        self.take(vec![bounced]).await;
        self.idle().await;
    }
}

fn spread() -> impl Iterator<Item = String> {
    SPREAD.iter().map(|&recipient| recipient.to_owned())
}

/// An entry by a report of an account of SES.
fn reported(address: &str, account: AccountId, since: Timestamp) -> Suppression {
    Suppression {
        tenant: TenantId::default(),
        channel: Channel::Email,
        address: address.to_owned(),
        reason: SuppressionReason::HardBounce,
        list: None,
        origin: SuppressionOrigin::Feedback,
        provider: Some(ProviderKind::AwsSes),
        account: Some(account),
        message_id: None,
        detail: None,
        since,
        expires_at: None,
        lifted_at: None,
    }
}

const OPEN: (BreakerStateWord, HealthStatus) = (BreakerStateWord::Open, HealthStatus::Misconfigured);

#[tokio::test(start_paused = true)]
async fn different_messages_refused_by_one_provider_open_it_and_the_fifth_goes_out() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::InvalidMessage));
    let mut results: Vec<SendResult> = Vec::new();
    for recipient in SPREAD {
        results.push(bench.send(message(recipient)).await);
    }
    let statuses: Vec<Status> = results.iter().map(|result| result.status).collect();
    assert_eq!(
        statuses,
        [Status::Failed, Status::Failed, Status::Failed, Status::Failed, Status::Sent]
    );
    assert_eq!(results[4].provider(), Some(ProviderKind::SendGrid));
    assert_eq!(bench.ses_is(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn one_bad_template_sent_to_many_is_the_template() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::InvalidMessage));
    for recipient in SPREAD.iter().cycle().take(20) {
        assert_eq!(bench.send(to(recipient)).await.status, Status::Failed);
    }
    assert_eq!((bench.ses.calls(), bench.sendgrid.calls()), (20, 0));
    assert_eq!(bench.ses_is().0, BreakerStateWord::Closed);
}

#[tokio::test(start_paused = true)]
async fn five_reported_bounces_open_the_account_and_clear_the_list() {
    let (logs, _guard) = LogCapture::start();
    let bench = start().await;
    let ids = bench.taken(spread()).await;
    for (number, id) in ids.into_iter().enumerate() {
        bench.bounces(id).await;
        assert_eq!(bench.listed().await.len(), if number < 4 { number + 1 } else { 0 });
        assert_eq!(bench.record(id).await.status, Status::Bounced);
    }
    assert_eq!(bench.ses_is(), OPEN);
    let said = logs.text();
    assert!(said.contains("provider needs an operator"), "{said}");
    assert!(said.contains("ums messages replay --failed --provider aws_ses --since"), "{said}");
    assert!(!said.contains("@one.example"), "{said}");
    assert_eq!(bench.send(to("a@one.example")).await.provider(), Some(ProviderKind::SendGrid));
}

#[tokio::test(start_paused = true)]
async fn a_list_with_dead_addresses_is_the_list() {
    let bench = start().await;
    let good = (0..20).map(|number| format!("customer{number}@good{number}.example"));
    bench.taken(good).await;
    for id in bench.taken(spread()).await {
        bench.bounces(id).await;
    }
    assert_eq!(bench.listed().await.len(), 5);
    assert_eq!(bench.ses_is().0, BreakerStateWord::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_between_the_bounces_absolves_the_account() {
    let bench = start().await;
    let ids = bench.taken(spread()).await;
    let good = bench.taken(["good@four.example".to_owned()]).await[0];
    for (number, id) in ids.into_iter().enumerate() {
        if number == 3 {
            let delivered = bench.event(good, EventKind::Delivered, 1).await;
            bench.take(vec![delivered]).await;
        }
        bench.bounces(id).await;
    }
    assert_eq!(bench.listed().await.len(), 5);
    assert_eq!(bench.ses_is().0, BreakerStateWord::Closed);
}

/// As after a restart: entries of ten minutes before belong to the streak, unless the account delivered meanwhile.
#[tokio::test(start_paused = true)]
async fn an_undo_reaches_back_to_what_another_process_was_told() {
    for delivers_before in [false, true] {
        let bench = start().await;
        let earlier = reported("earlier@six.example", AccountId::default(), bench.clock.now());
        bench.memory.suppress(vec![earlier], Vec::new()).await.unwrap();
        bench.pass(Duration::from_mins(5)).await;
        if delivers_before {
            let id = bench.taken(["good@four.example".to_owned()]).await[0];
            let delivered = bench.event(id, EventKind::Delivered, 1).await;
            bench.take(vec![delivered]).await;
        }
        for id in bench.taken(spread()).await {
            bench.bounces(id).await;
        }
        assert_eq!(bench.listed().await.len(), usize::from(delivers_before));
        assert_eq!(bench.ses_is(), OPEN);
    }
}

/// The reports of two accounts are not added up; what one account took does not speak for another, and its breaker is its own.
#[tokio::test(start_paused = true)]
async fn an_account_answers_for_its_own_reports() {
    let bench = start().await;
    let second = || AccountId::new("second");
    let good = (0..20).map(|number| format!("customer{number}@good{number}.example"));
    bench.taken(good).await;
    let ids = bench.taken(spread().chain(["f@three.example".to_owned()])).await;
    bench.bounces(ids[0]).await;
    for &id in &ids[1..5] {
        bench.bounces_at(id, second()).await;
    }
    assert_eq!(bench.listed().await.len(), 5);
    bench.bounces_at(ids[5], second()).await;
    let left: Vec<String> = bench.listed().await.into_iter().map(|entry| entry.address).collect();
    assert_eq!(left, [SPREAD[0]]);
    assert_eq!(bench.ses_is().0, BreakerStateWord::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_undo_leaves_the_entries_of_other_accounts() {
    let bench = start().await;
    let now = bench.clock.now();
    let others = reported("gone@other.example", AccountId::new("second"), now + Duration::from_secs(1));
    bench.memory.suppress(vec![others], Vec::new()).await.unwrap();
    for id in bench.taken(spread()).await {
        bench.bounces(id).await;
    }
    let left: Vec<String> = bench.listed().await.into_iter().map(|entry| entry.address).collect();
    assert_eq!(left, ["gone@other.example"]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_stored_after_the_decision_is_lifted_by_housekeeping() {
    let bench = start().await;
    for id in bench.taken(spread()).await {
        bench.bounces(id).await;
    }
    let late = reported("late@six.example", AccountId::default(), bench.clock.now());
    bench.memory.suppress(vec![late], Vec::new()).await.unwrap();
    assert_eq!(bench.listed().await.len(), 1);
    bench.pass(Duration::from_secs(6)).await;
    assert!(bench.listed().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_next_process_takes_the_account_out_if_its_breaker_was_not_kept() {
    let bench = start().await;
    for id in bench.taken(spread()).await {
        bench.bounces(id).await;
    }
    assert_eq!(bench.ses_is(), OPEN);
    // As after a kill between the decision and the breaker.
    let record = BreakerRecord {
        provider: ProviderKind::AwsSes,
        account: AccountId::default(),
        state: serde_json::json!({}),
        changed_at: Timestamp::default(),
        version: 0,
        writer: 0,
    };
    bench.memory.save_breaker(record).await.unwrap();
    let next = Setup {
        over: Some((bench.memory.clone(), bench.clock.clone())),
        ..Setup::default()
    };
    let next = next.start().await;
    assert_eq!(next.ses_is(), OPEN);
    assert_eq!(next.send(to("a@one.example")).await.provider(), Some(ProviderKind::SendGrid));
}

/// SES takes a message to each, and reports of each that it gives the content up.
async fn given_up(html: impl Fn(&str) -> String) -> Bench {
    let bench = start().await;
    let mut ids = Vec::new();
    for recipient in SPREAD {
        ids.push(bench.send(to(recipient).html(html(recipient))).await.message_id);
    }
    for id in ids {
        let mut rejected = bench.event(id, EventKind::Rejected, 1).await;
        rejected.class = Some(FailureClass::InvalidMessage);
        bench.take(vec![rejected]).await;
        bench.idle().await;
    }
    bench
}

#[tokio::test(start_paused = true)]
async fn large_contents_that_are_given_up_are_told_apart_by_their_bodies() {
    let template = "<p>Thank you</p>".repeat(5_000);
    let one = given_up(|_| template.clone()).await;
    assert_eq!(one.ses_is().0, BreakerStateWord::Closed, "one bad template is the template");
    let many = given_up(|recipient| format!("{template}{recipient}")).await;
    assert_eq!(many.ses_is(), OPEN, "one subject does not make one content");
}
