//! Acceptances whose commit has no known outcome.

use std::time::Duration;

use ums_core::{AttemptOutcome, MessageFilter, NotCalled, Status, StoreError, TenantId};
use ums_delivery::SubmitError;
use ums_testkit::{Moment, Operation};

use crate::setup::{Broken, Failing, Setup, email};

#[tokio::test(start_paused = true)]
async fn a_message_that_was_stored_after_all_is_not_sent_from_memory_and_not_unknown() {
    let hand = Failing::default();
    let bench = Setup::durable(&hand).start().await;
    hand.fail(Moment::After(Operation::Accept), 1, Broken::CommitUnknown);
    let told = bench.submit(email()).await;
    assert!(matches!(told, Err(SubmitError::Store(StoreError::CommitUnknown(_)))), "{told:?}");
    assert_eq!(bench.ses.calls(), 0);

    bench.pass(Duration::from_secs(1)).await;
    let page = bench
        .engine
        .messages(&TenantId::default(), &MessageFilter::default(), None, 10)
        .await
        .unwrap();
    let record = &page.messages[0];
    let attempt = &record.attempts[0];
    assert_eq!(
        (attempt.outcome, attempt.code.as_deref()),
        (AttemptOutcome::NotCalled(NotCalled::IntentLate), Some("not_called"))
    );
    assert_eq!((record.status, record.attempts.len()), (Status::Sent, 2), "the queue has sent it");
    assert!(!record.result().possibly_duplicate);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_during_the_commit_leaves_no_unknown_attempt() {
    let hand = Failing::default();
    let mut setup = Setup::durable(&hand);
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let in_hand = gate.clone();
    setup.hand = Some(std::sync::Arc::new(move |moment| {
        let gate = in_hand.clone();
        Box::pin(async move {
            if moment == Moment::After(Operation::Accept) {
                drop(gate.acquire().await);
            }
            Ok(())
        })
    }));
    let bench = setup.start().await;
    let engine = bench.engine.clone();
    let caller = tokio::spawn(async move {
        engine
            .submit(email().parse().unwrap().into())
            .await
            .map(|ticket| ticket.message_id())
    });
    bench.idle().await;
    caller.abort();
    bench.idle().await;
    bench.pass(Duration::from_secs(1)).await;
    let page = bench
        .engine
        .messages(&TenantId::default(), &MessageFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(page.messages[0].status, Status::Sent);
    assert!(
        page.messages[0]
            .attempts
            .iter()
            .all(|attempt| attempt.outcome != AttemptOutcome::Unknown)
    );
}
