//! Which process owns a message: the lease, the fence, and a lost lease.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ums_core::{AttemptOutcome, Lease, NotCalled, Status};
use ums_testkit::{Moment, Operation, Reply};

use crate::setup::{Bench, Broken, Failing, Setup, email};

const MINUTE: Lease = Lease {
    owner: 1,
    length: Duration::from_mins(1),
};

/// An engine whose store grants leases of a minute.
async fn leased(hand: &Failing) -> Bench {
    let bench = Setup::durable(hand).start().await;
    bench.store.grant(MINUTE);
    bench.pass(Duration::from_secs(16)).await;
    bench
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_nothing_is_called_and_what_is_accepted_waits() {
    let hand = Failing::default();
    let bench = leased(&hand).await;
    assert_eq!(bench.send(email()).await.status, Status::Sent);

    hand.fail(Moment::Before(Operation::Keep), usize::MAX, Broken::Unavailable);
    bench.pass(Duration::from_secs(56)).await;
    let id = bench.submit(email()).await.unwrap();
    bench.pass(Duration::from_secs(2)).await;
    let waiting = bench.record(id).await;
    assert_eq!(
        (waiting.status, waiting.attempts.len()),
        (Status::Queued, 0),
        "stored without an intent"
    );
    assert_eq!(bench.ses.calls(), 1);

    hand.fail(Moment::Before(Operation::Keep), 0, Broken::Unavailable);
    bench.pass(Duration::from_secs(2)).await;
    assert_eq!(bench.look_up(id).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn an_intent_that_was_committed_too_late_is_not_called_and_the_message_is_put_back() {
    let hand = Failing::default();
    let bench = leased(&hand).await;
    // The process is stopped between the commit of the intent and the call: time passes within the answer of the store.
    let clock = bench.clock.clone();
    let stopped = move || clock.advance(Duration::from_mins(2));
    bench.ses.hold();
    let first = bench.submit(email()).await.unwrap();
    stopped();
    // The task of the first message has not run yet: its intent is committed, its call not begun.
    bench.idle().await;
    let record = bench.record(first).await;
    assert_eq!(record.status, Status::Queued);
    let attempt = &record.attempts[0];
    assert_eq!(
        (attempt.outcome, attempt.code.as_deref()),
        (AttemptOutcome::NotCalled(NotCalled::LeaseLost), Some("lease_lost"))
    );
    assert_eq!(bench.ses.calls(), 0, "surely not sent");

    bench.ses.release(10);
    bench.pass(Duration::from_secs(16)).await;
    assert_eq!(bench.look_up(first).await.status, Status::Sent);
}

#[tokio::test(start_paused = true)]
async fn an_intent_of_an_earlier_registration_is_not_called_though_the_lease_is_renewed() {
    let hand = Failing::default();
    let bench = leased(&hand).await;
    let id = bench.submit(email()).await.unwrap();
    bench.clock.advance(Duration::from_mins(2));
    bench.store.grant(Lease { owner: 2, ..MINUTE });
    // Renews before the message's task runs for the first time.
    tokio::time::advance(Duration::from_secs(15)).await;
    bench.idle().await;
    let record = bench.record(id).await;
    assert!(
        record
            .attempts
            .iter()
            .all(|attempt| attempt.outcome == AttemptOutcome::NotCalled(NotCalled::LeaseLost))
            || record.attempts.len() == 2,
        "{record:?}"
    );
    assert_eq!(record.attempts[0].code.as_deref(), Some("lease_lost"));
}

#[tokio::test(start_paused = true)]
async fn a_late_write_that_the_fence_refuses_is_counted_and_not_repeated() {
    let hand = Failing::default();
    let bench = leased(&hand).await;
    bench.ses.hold();
    let id = bench.submit(email()).await.unwrap();
    bench.idle().await;
    hand.fail(Moment::Before(Operation::Record), usize::MAX, Broken::Fenced);
    bench.ses.release(1);
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.observer.fenced.load(Ordering::SeqCst), 1);
    assert_eq!(bench.record(id).await.status, Status::Sending, "what the store says counts");
}

#[tokio::test(start_paused = true)]
async fn an_outcome_is_written_again_until_the_store_has_it() {
    let hand = Failing::default();
    let bench = Setup::durable(&hand).start().await;
    bench.ses.hold();
    let id = bench.submit(email()).await.unwrap();
    bench.idle().await;
    hand.fail(Moment::Before(Operation::Record), usize::MAX, Broken::Unavailable);
    bench.ses.release(1);
    for _ in 0..20 {
        bench.pass(Duration::from_secs(30)).await;
    }
    assert_eq!(bench.record(id).await.status, Status::Sending);
    hand.fail(Moment::Before(Operation::Record), 0, Broken::Unavailable);
    bench.pass(Duration::from_secs(6)).await;
    let sent = bench.record(id).await;
    assert_eq!((sent.status, sent.attempts.len()), (Status::Sent, 1));
    assert_eq!(bench.ses.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_intent_that_is_not_kept_within_a_moment_is_withdrawn_as_not_called() {
    let hand = Failing::default();
    let bench = Setup::durable(&hand).start().await;
    bench.ses.answer(Reply::FailAs(ums_core::FailureClass::Unavailable));
    bench.ses.hold();
    let id = bench.submit(email()).await.unwrap();
    bench.idle().await;
    hand.fail(Moment::After(Operation::Record), usize::MAX, Broken::CommitUnknown);
    bench.ses.release(1);
    for _ in 0..10 {
        bench.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(bench.sendgrid.calls(), 0, "its intent may be lost");
    bench.ses.release(10);
    hand.fail(Moment::After(Operation::Record), 0, Broken::CommitUnknown);
    for _ in 0..10 {
        bench.pass(Duration::from_secs(1)).await;
    }
    let record = bench.record(id).await;
    let codes: Vec<_> = record.attempts.iter().map(|attempt| attempt.code.as_deref()).collect();
    assert!(codes.contains(&Some("not_called")), "{codes:?}");
    assert!(record.attempts.iter().all(|attempt| attempt.outcome != AttemptOutcome::Unknown));
    assert_eq!(record.status, Status::Sent);
}
