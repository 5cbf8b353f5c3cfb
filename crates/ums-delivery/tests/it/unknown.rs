//! Attempts whose outcome nobody knows, and messages that were lost on the way to the store.

use std::time::Duration;

use ums_core::{AttemptOutcome, FailureClass, MessageFilter, Purpose, Status, Store, TenantId, Work};
use ums_testkit::Reply;

use crate::setup::{Setup, email};

#[tokio::test(start_paused = true)]
async fn an_error_never_says_that_nobody_took_what_somebody_may_have_taken() {
    let bench = Setup::holding().start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unknown));
    bench.sendgrid.answer(Reply::FailAs(FailureClass::Unknown));
    let ended = bench.send(email()).await;
    assert_eq!(ended.status, Status::Unknown);
    let error = ended.error_message.unwrap();
    assert!(
        error.starts_with("a provider may have taken it; nothing more will be tried (aws_ses: unknown"),
        "{error}"
    );
    assert!(!error.contains("no provider took it"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_held_message_with_an_unknown_attempt_waits_for_feedback_before_it_is_sent_again() {
    let bench = Setup::holding().start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unknown));
    for provider in [&bench.sendgrid, &bench.smtp] {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let held = bench.send(email()).await;
    assert_eq!(held.status, Status::Queued);
    assert!(held.error_message.unwrap().starts_with("no provider is known to have taken it"));
    for provider in bench.providers() {
        provider.answer(Reply::Accept);
    }
    bench.pass(Duration::from_secs(6)).await;
    assert_eq!(bench.look_up(held.message_id).await.status, Status::Queued, "feedback has 30 s");
    bench.pass(Duration::from_secs(23)).await;
    assert_eq!(bench.look_up(held.message_id).await.status, Status::Queued);
    bench.pass(Duration::from_secs(2)).await;
    let sent = bench.look_up(held.message_id).await;
    assert_eq!(sent.status, Status::Sent);
    assert!(sent.possibly_duplicate);
}

#[tokio::test(start_paused = true)]
async fn a_code_does_not_wait_for_feedback() {
    let bench = Setup::holding().start().await;
    bench.ses.answer(Reply::FailAs(FailureClass::Unknown));
    for provider in [&bench.sendgrid, &bench.smtp] {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let held = bench.send(email().purpose(Purpose::Otp)).await;
    assert_eq!(held.status, Status::Queued);
    bench.ses.answer(Reply::Accept);
    bench.pass(Duration::from_secs(3)).await;
    assert_eq!(bench.look_up(held.message_id).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_code_is_forgotten_when_it_is_sent() {
    let bench = Setup::holding().start().await;
    let sent = bench.send(email().purpose(Purpose::Otp)).await;
    assert!(!bench.record(sent.message_id).await.message.content.has_body());
    let receipt = bench.send(email()).await;
    assert!(bench.record(receipt.message_id).await.message.content.has_body());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_the_stores_but_in_nobodys_hand_is_given_back_at_the_second_look() {
    let bench = Setup::holding().start().await;
    bench.ses.hold();
    let in_call = bench.submit(email()).await.unwrap();
    bench.idle().await;
    // The store assigns the message to this process, as after a claim whose answer was lost.
    let mut stray = ums_core::MessageRecord::accepted(bench.record(in_call).await.message, Status::Pending);
    let mut message = (*stray.message).clone();
    message.id = "01993c00-0000-7000-8000-000000000001".parse().unwrap();
    stray.message = std::sync::Arc::new(message);
    let new = ums_core::NewMessage {
        message: stray.message.clone(),
        status: Status::Pending,
        error: None,
        work: Work::InHand,
        recipients: stray.recipients.clone(),
        intent: None,
        skips: Vec::new(),
        idempotency: None,
        notices: Vec::new(),
    };
    bench.memory.accept(new).await.unwrap();
    bench.pass(Duration::from_secs(16)).await;
    assert_eq!(bench.record(stray.message.id).await.status, Status::Pending, "once is not enough");
    bench.ses.release(10);
    bench.pass(Duration::from_secs(16)).await;
    bench.pass(Duration::from_secs(6)).await;
    assert_eq!(bench.look_up(stray.message.id).await.status, Status::Sent);
    let called = bench.record(in_call).await;
    assert_eq!(
        (called.attempts.len(), called.attempts[0].outcome),
        (1, AttemptOutcome::Accepted),
        "what is in hand is left alone"
    );
    let page = bench
        .engine
        .messages(&TenantId::default(), &MessageFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(page.messages.len(), 2);
}
