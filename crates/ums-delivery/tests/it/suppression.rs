//! No path contacts an address on the suppression list.

use std::time::Duration;

use ums_core::{
    Accepted, Channel, Failure, FailureClass, HealthStatus, MessageFilter, ProviderKind, Refusal, SendEmail, SendResult, SendSms, Status,
    Store as _, Suppression, SuppressionFilter, SuppressionOrigin, SuppressionReason, TenantId, Work,
};
use ums_delivery::{NewSuppression, ReplayRequest, Which};
use ums_testkit::Reply;

use crate::setup::{Bench, Setup, email, start};

const CUSTOMER: &str = "customer@example.com";

impl Bench {
    pub(crate) async fn listed(&self) -> Vec<Suppression> {
        let page = self
            .engine
            .suppressions(&TenantId::default(), &SuppressionFilter::default(), None, 100)
            .await
            .unwrap();
        page.entries
    }

    async fn opt_out(&self, address: &str) -> Vec<bool> {
        let entry = NewSuppression {
            channel: Channel::Email,
            address: address.to_owned(),
            reason: SuppressionReason::Stop,
            list: None,
            origin: SuppressionOrigin::Link,
            detail: None,
            since: None,
            expires_at: None,
        };
        self.engine.suppress(&TenantId::default(), vec![entry]).await.unwrap()
    }

    fn contacted(&self, address: &str) -> usize {
        let seen = self.providers().into_iter().flat_map(|provider| provider.seen());
        let has = |email: &ums_core::Email| email.recipients().any(|(_, mailbox)| mailbox.address.expose() == address);
        seen.filter(|(email, _)| has(email)).count()
    }
}

fn statuses(result: &SendResult) -> Vec<(Status, Option<&str>)> {
    let of = |recipient: &'_ ums_core::RecipientResult| recipient.status;
    result
        .recipients
        .iter()
        .map(|recipient| (of(recipient), recipient.reason.as_deref()))
        .collect()
}

fn to_two() -> SendEmail {
    let mut request = email();
    request.cc = vec!["colleague@example.net".to_owned()].into();
    request
}

#[tokio::test(start_paused = true)]
async fn a_message_to_somebody_who_opted_out_ends_at_the_door() {
    let bench = start().await;
    assert_eq!(bench.opt_out("Customer@Example.com").await, [true]);
    assert_eq!(bench.opt_out(CUSTOMER).await, [false]);
    let result = bench.send(to_two()).await;
    assert_eq!(result.status, Status::Unsubscribed);
    let expected = [
        (Status::Unsubscribed, Some("stop")),
        (Status::Unsubscribed, Some("first_recipient")),
    ];
    assert_eq!(statuses(&result), expected);
    assert!(result.error_message.as_deref().unwrap().starts_with("stop: "));
    assert_eq!(bench.look_up(result.message_id).await, result);
    assert_eq!(bench.contacted(CUSTOMER) + bench.contacted("colleague@example.net"), 0);

    let lifted = bench
        .engine
        .unsuppress(&TenantId::default(), Channel::Email, CUSTOMER, &Which::default())
        .await;
    assert_eq!(lifted.unwrap(), 1);
    assert_eq!(bench.send(to_two()).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn others_are_left_out_and_listed() {
    let bench = start().await;
    bench.opt_out("colleague@example.net").await;
    let result = bench.send(to_two()).await;
    assert_eq!(result.status, Status::Sent);
    assert_eq!(statuses(&result), [(Status::Sent, None), (Status::Unsubscribed, Some("stop"))]);
    assert_eq!((bench.contacted(CUSTOMER), bench.contacted("colleague@example.net")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_only_those_who_may_be_contacted_are_sent_to() {
    let bench = start().await;
    bench.opt_out(CUSTOMER).await;
    let mut other = email();
    other.to = "other@example.com".into();
    let batch = vec![email().parse().unwrap().into(), other.parse().unwrap().into()];
    let accepted = bench.engine.submit_all(batch).await.unwrap();
    bench.idle().await;
    assert_eq!(bench.record(accepted[0].message_id).await.status, Status::Unsubscribed);
    assert_eq!(bench.record(accepted[1].message_id).await.status, Status::Sent);
    assert_eq!(bench.contacted(CUSTOMER), 0);
}

#[tokio::test(start_paused = true)]
async fn an_opt_out_holds_for_what_was_accepted_before() {
    let bench = Setup::holding().start().await;
    let mut scheduled = to_two();
    scheduled.handling.send_at = Some(ums_core::Clock::now(&*bench.clock) + Duration::from_mins(10));
    let scheduled = bench.send(scheduled).await.message_id;
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let held = bench.send(to_two()).await.message_id;
    assert_eq!(bench.record(held).await.status, Status::Queued);
    let before = bench.contacted(CUSTOMER);
    bench.opt_out(CUSTOMER).await;
    for provider in bench.providers() {
        provider.answer(Reply::Accept);
    }
    bench.pass(Duration::from_mins(30)).await;
    bench.pass(Duration::from_mins(30)).await;
    for id in [scheduled, held] {
        let record = bench.record(id).await;
        assert_eq!(record.status, Status::Unsubscribed);
        assert!(
            record
                .attempts
                .iter()
                .all(|attempt| attempt.outcome == ums_core::AttemptOutcome::Failed)
        );
        assert!(record.error.unwrap().starts_with("stop: "));
    }
    assert_eq!(bench.contacted(CUSTOMER), before);
}

#[tokio::test(start_paused = true)]
async fn an_opt_out_during_a_failed_call_keeps_the_next_provider_away() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unavailable));
    bench.ses.hold();
    let id = bench.submit(to_two()).await.unwrap();
    bench.idle().await;
    bench.opt_out(CUSTOMER).await;
    bench.ses.release(1);
    bench.idle().await;
    let record = bench.record(id).await;
    assert_eq!((record.status, record.attempts.len()), (Status::Unsubscribed, 1));
    assert_eq!(bench.sendgrid.calls(), 0);
    // The breaker's permit went back: the next message is sent by the second provider.
    let mut other = email();
    other.to = "other@example.com".into();
    bench.ses.release(1);
    assert_eq!(bench.send(other).await.provider(), Some(ProviderKind::SendGrid));
}

#[tokio::test(start_paused = true)]
async fn what_may_have_arrived_ends_unknown() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unknown));
    bench.ses.hold();
    let id = bench.submit(email()).await.unwrap();
    bench.idle().await;
    bench.opt_out(CUSTOMER).await;
    bench.ses.release(1);
    bench.idle().await;
    let record = bench.record(id).await;
    assert_eq!(
        (record.status, record.recipients[0].status),
        (Status::Unknown, Status::Unsubscribed)
    );
    assert_eq!(bench.sendgrid.calls(), 0);
    // No recipient is left to send to again, or to ask the store about.
    let again = bench.engine.resend(&TenantId::default(), id).await.unwrap_err();
    assert!(again.to_string().contains("not to be contacted"), "{again}");
    bench.pass(Duration::from_mins(10)).await;
    assert_eq!((bench.ses.calls(), bench.sendgrid.calls()), (1, 0));

    // The message is not sent again either when the provider reports that it did not send it.
    let mut failed = bench.event(id, ums_core::EventKind::Failed, 1).await;
    failed.class = Some(FailureClass::Unavailable);
    bench.take(vec![failed]).await;
    bench.pass(Duration::from_mins(10)).await;
    assert_eq!(bench.record(id).await.status, Status::Failed);
    assert_eq!((bench.ses.calls(), bench.sendgrid.calls()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_queued_message_without_anybody_to_write_to_calls_nobody() {
    let bench = Setup::holding().start().await;
    let sent = bench.send(email()).await.message_id;
    let mut message = (*bench.record(sent).await.message).clone();
    message.id = "01993c00-0000-7000-8000-000000000001".parse().unwrap();
    let message = std::sync::Arc::new(message);
    let mut recipients = ums_core::MessageRecord::accepted(message.clone(), Status::Queued).recipients;
    recipients[0].status = Status::Unsubscribed;
    let new = ums_core::NewMessage {
        message: message.clone(),
        status: Status::Queued,
        error: None,
        work: Work::Due(message.accepted_at),
        recipients,
        intent: None,
        skips: Vec::new(),
        idempotency: None,
        notices: Vec::new(),
    };
    bench.memory.accept(new).await.unwrap();
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.look_up(message.id).await.status, Status::Unsubscribed);
    assert_eq!(bench.ses.calls(), 1, "for the other message alone");
}

#[tokio::test(start_paused = true)]
async fn resend_replay_and_via_are_no_way_around() {
    let bench = start().await;
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let (resent, replayed) = (bench.send(email()).await.message_id, bench.send(email()).await.message_id);
    let before = bench.contacted(CUSTOMER);
    bench.opt_out(CUSTOMER).await;
    for provider in bench.providers() {
        provider.answer(Reply::Accept);
    }
    bench.engine.resend(&TenantId::default(), resent).await.unwrap();
    bench.pass(Duration::from_secs(10)).await;
    assert_eq!(bench.record(resent).await.status, Status::Unsubscribed);
    let request = ReplayRequest {
        filter: MessageFilter::default(),
        cursor: None,
        limit: 10,
        dry_run: false,
    };
    let slice = bench.engine.replay(&TenantId::default(), &request).await.unwrap();
    assert_eq!((slice.examined, slice.suppressed, slice.replayed), (1, 1, 0));
    assert_eq!(bench.record(replayed).await.status, Status::Failed);
    let via = email().via(ProviderKind::SendGrid);
    assert_eq!(bench.send(via).await.status, Status::Unsubscribed);
    assert_eq!(bench.contacted(CUSTOMER), before);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_is_remembered_over_all_providers() {
    let bench = start().await;
    bench.ses.answer_once(Reply::FailAs(FailureClass::InvalidRecipient));
    let refused = bench.send(email()).await;
    assert_eq!(refused.status, Status::Failed);
    let again = bench.send(email()).await;
    assert_eq!((again.status, bench.contacted(CUSTOMER)), (Status::Suppressed, 1));
    let listed = bench.listed().await;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].reason, listed[0].origin, listed[0].provider),
        (
            SuppressionReason::HardBounce,
            SuppressionOrigin::Refusal,
            Some(ProviderKind::AwsSes)
        )
    );

    // A fault that our own check found is no word of a provider.
    let local = Failure::local(FailureClass::InvalidRecipient, "no_such_domain", "");
    bench.ses.answer_once(Reply::Fail(local));
    let mut other = email();
    other.to = "other@example.com".into();
    bench.send(other).await;
    assert_eq!(bench.listed().await.len(), 1);

    bench.sns.answer_once(Reply::FailAs(FailureClass::RecipientBlocked));
    let blocked = bench.send_sms(SendSms::new("+14165550123", "Hello")).await;
    assert_eq!(blocked.status, Status::Unsubscribed);
    let again = bench.send_sms(SendSms::new("+14165550123", "Hello")).await;
    assert_eq!(
        (again.status, bench.sns.calls(), bench.twilio.calls()),
        (Status::Unsubscribed, 1, 0)
    );
}

/// Benin put 01 before every number: what is dead without it may be alive with it.
#[tokio::test(start_paused = true)]
async fn a_number_that_is_dead_as_it_was_spelled_before_bars_nobody() {
    let bench = start().await;
    for (number, status) in [("+22995123456", Status::Failed), ("+2290195123456", Status::Sent)] {
        if status == Status::Failed {
            bench.sns.answer_once(Reply::FailAs(FailureClass::InvalidRecipient));
        }
        let sent = bench.send_sms(SendSms::new(number, "Hello")).await;
        assert_eq!((sent.status, bench.listed().await.len()), (status, 0), "{number}");
    }
    bench.sns.answer_once(Reply::FailAs(FailureClass::InvalidRecipient));
    bench.send_sms(SendSms::new("+2290195123456", "Hello")).await;
    let barred = bench.send_sms(SendSms::new("+22995123456", "Hello")).await;
    assert_eq!((barred.status, bench.sns.calls()), (Status::Suppressed, 3));
}

#[tokio::test(start_paused = true)]
async fn of_a_partial_acceptance_only_the_refused_are_remembered() {
    let bench = start().await;
    let address = "colleague@example.net";
    let mut accepted = Accepted::new("id");
    accepted.refused.push(Refusal {
        address: ums_core::EmailAddress::parse(address).unwrap(),
        failure: Failure::provider(FailureClass::InvalidRecipient, "550 5.1.1", ""),
        next_transaction: false,
    });
    bench.ses.answer_once(Reply::AcceptAs(accepted));
    let result = bench.send(to_two()).await;
    assert_eq!(statuses(&result), [(Status::Sent, None), (Status::Failed, Some("550 5.1.1"))]);
    let listed: Vec<_> = bench.listed().await.into_iter().map(|entry| entry.address).collect();
    assert_eq!(listed, [address]);

    // A refusal of a message to several recipients names none of them.
    let bench = start().await;
    bench.ses.answer_once(Reply::FailAs(FailureClass::InvalidRecipient));
    bench.send(to_two()).await;
    assert!(bench.listed().await.is_empty());
}

const SPREAD: [&str; 5] = [
    "a@one.example",
    "b@two.example",
    "c@three.example",
    "d@one.example",
    "e@two.example",
];

#[tokio::test(start_paused = true)]
async fn a_suspended_provider_suppresses_nobody_and_its_messages_go_out_by_the_next() {
    let bench = start().await;
    bench.opt_out("before@example.com").await;
    bench.ses.answer(Reply::FailAs(FailureClass::InvalidRecipient));
    let mut results = Vec::new();
    for recipient in SPREAD {
        let mut request = email();
        request.to = recipient.into();
        results.push(bench.send(request).await);
    }
    bench.idle().await;
    assert_eq!(results[4].provider(), Some(ProviderKind::SendGrid));
    let listed: Vec<_> = bench.listed().await.into_iter().map(|entry| entry.address).collect();
    assert_eq!(listed, ["before@example.com"], "as it was before");
    let row = &bench.engine.health().email_providers[0];
    assert_eq!(row.status, HealthStatus::Misconfigured);
    let told = format!("{row:?}");
    assert!(
        told.contains("ums messages replay --failed --provider aws_ses --since 2026-11-22T09:50:00Z"),
        "{told}"
    );

    let request = ReplayRequest {
        filter: MessageFilter {
            provider: Some(ProviderKind::AwsSes),
            ..MessageFilter::default()
        },
        cursor: None,
        limit: 10,
        dry_run: false,
    };
    let slice = bench.engine.replay(&TenantId::default(), &request).await.unwrap();
    assert_eq!(slice.replayed, 4);
    bench.pass(Duration::from_secs(1)).await;
    for result in results {
        assert_eq!(bench.look_up(result.message_id).await.status, Status::Sent);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_that_are_kept_after_the_judgement_are_undone_too() {
    let bench = start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::InvalidRecipient));
    bench.ses.hold();
    for recipient in SPREAD {
        let mut request = email();
        request.to = recipient.into();
        bench.submit(request).await.unwrap();
    }
    bench.idle().await;
    bench.ses.release(5);
    bench.idle().await;
    assert!(bench.listed().await.is_empty());
}
