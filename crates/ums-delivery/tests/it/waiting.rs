//! Messages that wait: held, paced, scheduled, expired.

use std::time::Duration;

use ums_core::{FailureClass, OnExhausted, ProviderKind, Purpose, Status, TenantId, Timestamp};
use ums_testkit::Reply;

use crate::setup::{Setup, email, start};

#[tokio::test(start_paused = true)]
async fn held_messages_go_out_when_a_provider_is_back() {
    let bench = Setup::holding().start().await;
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let held = bench.send(email()).await;
    assert_eq!(held.status, Status::Queued);
    assert!(held.error_message.unwrap().contains("aws_ses: unavailable"));
    for provider in bench.providers() {
        provider.answer(Reply::Accept);
    }
    bench.pass(Duration::from_secs(6)).await;
    let sent = bench.look_up(held.message_id).await;
    assert_eq!((sent.status, sent.attempts.len()), (Status::Sent, 4));
}

#[tokio::test(start_paused = true)]
async fn a_held_message_expires_and_is_not_sent_afterwards() {
    let bench = Setup::holding().start().await;
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Misconfigured));
    }
    let mut request = email().purpose(Purpose::Otp);
    request.handling.expires_in_seconds = Some(20);
    let held = bench.send(request).await;
    for provider in bench.providers() {
        provider.answer(Reply::Accept);
    }
    bench.pass(Duration::from_secs(25)).await;
    bench.pass(Duration::from_mins(1)).await;
    assert_eq!(bench.look_up(held.message_id).await.status, Status::Expired);
    assert_eq!(bench.ses.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_arrive_twice_waits_for_feedback_and_ends_unknown() {
    let bench = Setup::holding().start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unknown));
    let mut request = email().purpose(Purpose::Bulk);
    request.handling.expires_in_seconds = Some(60);
    let waiting = bench.send(request).await;
    assert_eq!((waiting.status, waiting.attempts.len()), (Status::Queued, 1));
    bench.pass(Duration::from_secs(61)).await;
    assert_eq!(bench.look_up(waiting.message_id).await.status, Status::Unknown);
    assert_eq!((bench.ses.calls(), bench.sendgrid.calls()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn over_the_pace_receipts_take_the_next_provider_and_bulk_waits() {
    let bench = Setup::paced(1, 0).start().await;
    assert_eq!(bench.send(email()).await.provider(), Some(ProviderKind::AwsSes));
    assert_eq!(bench.send(email()).await.provider(), Some(ProviderKind::SendGrid));
    let bulk = bench.send(email().purpose(Purpose::Bulk)).await;
    assert_eq!(bulk.status, Status::Queued);
    bench.pass(Duration::from_secs(2)).await;
    let sent = bench.look_up(bulk.message_id).await;
    assert_eq!((sent.status, sent.provider()), (Status::Sent, Some(ProviderKind::AwsSes)));
}

#[tokio::test(start_paused = true)]
async fn a_day_limit_fails_no_message() {
    let bench = Setup {
        rules: ums_delivery::Rules {
            on_exhausted: Some(OnExhausted::Fail),
            ..Default::default()
        },
        ..Setup::paced(0, 2)
    }
    .start()
    .await;
    for _ in 0..2 {
        bench.send(email()).await;
    }
    let third = bench.send(email().via(ProviderKind::AwsSes)).await;
    assert_eq!(third.status, Status::Queued, "the pace alone stands in the way");
    assert_eq!(bench.send(email()).await.provider(), Some(ProviderKind::SendGrid));
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_message_waits_for_its_time() {
    let bench = start().await;
    let mut request = email();
    request.handling.send_at = Timestamp::parse_rfc3339("2026-11-22T12:00:30+02:00");
    let scheduled = bench.send(request).await;
    assert_eq!((scheduled.status, scheduled.error_message), (Status::Scheduled, None));
    bench.pass(Duration::from_secs(29)).await;
    assert_eq!(bench.ses.calls(), 0);
    bench.pass(Duration::from_secs(2)).await;
    assert_eq!(bench.look_up(scheduled.message_id).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn throttled_providers_are_left_alone_for_as_long_as_they_ask() {
    let bench = start().await;
    let throttled = ums_core::Failure::provider(FailureClass::Throttled, "429", "").with_retry_after(Some(Duration::from_secs(90)));
    bench.ses.answer_once(Reply::Fail(throttled));
    assert_eq!(bench.send(email()).await.provider(), Some(ProviderKind::SendGrid));
    bench.pass(Duration::from_secs(89)).await;
    assert_eq!(bench.send(email()).await.attempts.len(), 1);
    assert_eq!(bench.ses.calls(), 1);
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.send(email()).await.provider(), Some(ProviderKind::AwsSes));
}

#[tokio::test(start_paused = true)]
async fn shutting_down_waits_for_what_is_being_sent_and_takes_nothing_new() {
    let bench = start().await;
    bench.ses.hold();
    let ticket = bench.engine.submit(email().parse().unwrap().into()).await.unwrap();
    bench.idle().await;
    let engine = bench.engine.clone();
    let closing = tokio::spawn(async move { engine.shutdown(Duration::from_secs(25)).await });
    bench.idle().await;
    assert!(bench.engine.submit(email().parse().unwrap().into()).await.is_err());
    bench.ses.release(1);
    assert_eq!(ticket.result(Duration::from_secs(5)).await.unwrap().status, Status::Sent);
    closing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn in_memory_no_more_is_taken_than_can_be_worked_on() {
    let rules = ums_delivery::Rules {
        max_in_flight: 1,
        ..Default::default()
    };
    let bench = Setup { rules, ..Setup::default() }.start().await;
    bench.ses.hold();
    let first = bench.engine.submit(email().parse().unwrap().into()).await.unwrap();
    bench.idle().await;
    let second = bench.engine.submit(email().parse().unwrap().into()).await;
    assert!(matches!(second, Err(ums_delivery::SubmitError::Busy)), "{second:?}");
    bench.ses.release(1);
    assert_eq!(first.result(Duration::from_secs(5)).await.unwrap().status, Status::Sent);
    bench.ses.release(1);
    assert_eq!(bench.send(email()).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn a_message_held_through_a_long_outage_does_not_grow_without_end() {
    let bench = Setup::holding().start().await;
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let held = bench.send(email()).await;
    for _ in 0..240 {
        bench.pass(Duration::from_secs(15)).await;
    }
    let record = bench.engine.message(&TenantId::default(), held.message_id).await.unwrap().unwrap();
    assert_eq!(record.status, Status::Queued);
    let error = record.error.unwrap();
    assert_eq!(error.matches("aws_ses").count(), 1, "{error}");
    assert!(
        record.skips.len() <= record.attempts.len() + 3,
        "{} skips beside {} attempts",
        record.skips.len(),
        record.attempts.len()
    );
}

#[tokio::test(start_paused = true)]
async fn who_was_passed_over_stands_before_who_was_called() {
    let bench = Setup {
        ticking: true,
        ..Setup::default()
    }
    .start()
    .await;
    bench.ses.answer_once(Reply::FailAs(FailureClass::Misconfigured));
    bench.send(email()).await;
    let sent = bench.send(email()).await;
    let record = bench.engine.message(&TenantId::default(), sent.message_id).await.unwrap().unwrap();
    assert_eq!((record.skips.len(), record.attempts.len()), (1, 1));
    assert!(record.skips[0].at <= record.attempts[0].called_at);
}
