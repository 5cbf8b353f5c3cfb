//! Large messages: their records carry the envelope, and their content is loaded before a provider is called.

use std::time::Duration;

use ums_core::{Body, Clock as _, FailureClass, MessageId, SendEmail, Status};
use ums_testkit::{Moment, Operation, Reply};

use crate::setup::{Bench, Broken, Failing, Setup, email};

fn large() -> SendEmail {
    email().html("<p>Thank you</p>".repeat(5_000))
}

/// A large message that is held because all providers are down; they are back then.
async fn held(bench: &Bench) -> MessageId {
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let held = bench.send(large()).await;
    assert_eq!(held.status, Status::Queued);
    for provider in bench.providers() {
        provider.answer(Reply::Accept);
    }
    assert!(matches!(bench.record(held.message_id).await.body(), Body::Apart { .. }));
    held.message_id
}

fn failing() -> (Failing, Setup) {
    let failing = Failing::default();
    let setup = Setup {
        hand: Some(failing.hand()),
        durable: true,
        ..Setup::holding()
    };
    (failing, setup)
}

#[tokio::test(start_paused = true)]
async fn a_large_message_that_waited_is_sent_whole() {
    let bench = Setup::holding().start().await;
    let id = held(&bench).await;
    bench.pass(Duration::from_secs(6)).await;
    assert_eq!(bench.look_up(id).await.status, Status::Sent);
    let seen = bench.ses.seen();
    let bodies: Vec<_> = seen.into_iter().map(|(mail, _)| mail.html).collect();
    assert_eq!(bodies, [large().html_content, large().html_content]);
}

#[tokio::test(start_paused = true)]
async fn a_large_message_whose_content_is_lost_ends_with_words() {
    let (failing, setup) = failing();
    let bench = setup.start().await;
    let id = held(&bench).await;
    failing.fail(Moment::Before(Operation::Content), 1, Broken::NotFound);
    bench.pass(Duration::from_secs(6)).await;
    let record = bench.record(id).await;
    assert_eq!((record.status, record.attempts.len()), (Status::Failed, 3), "no provider is called");
    assert!(record.error.unwrap().starts_with("content_lost: "));
    assert_eq!(record.recipients[0].reason.as_deref(), Some("content_lost"));
    assert_eq!(bench.ses.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_large_message_whose_content_cannot_be_read_now_waits_a_moment() {
    let (failing, setup) = failing();
    let bench = setup.start().await;
    let id = held(&bench).await;
    failing.fail(Moment::Before(Operation::Content), 1, Broken::Unavailable);
    bench.pass(Duration::from_secs(6)).await;
    let record = bench.record(id).await;
    assert_eq!((record.status, record.attempts.len()), (Status::Queued, 3));
    assert!(record.work.due_at().unwrap() > bench.clock.now(), "not at once: no loop");
    bench.pass(Duration::from_secs(6)).await;
    let record = bench.record(id).await;
    assert_eq!((record.status, record.attempts.len()), (Status::Sent, 4));
}
