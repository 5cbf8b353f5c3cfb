//! A store with slow claims, so that messages arrive between the claim and the delivery.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{FailureClass, Status};
use ums_store::MemoryStore;
use ums_testkit::{Moment, Operation, Reply, StoreInHand};

use crate::setup::{Setup, email};

/// A store that returns a claim when its gate is open.
pub(crate) fn held_at_claim(inner: Arc<MemoryStore>, gate: Arc<tokio::sync::Mutex<()>>) -> StoreInHand {
    StoreInHand::new(inner, move |moment| {
        let gate = gate.clone();
        Box::pin(async move {
            if moment == Moment::After(Operation::Claim) {
                drop(gate.lock().await);
            }
            Ok(())
        })
    })
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_taken_up_is_sent_although_others_came_meanwhile() {
    let gate = Arc::new(tokio::sync::Mutex::new(()));
    let mut setup = Setup::holding();
    setup.rules.max_in_flight = 1;
    setup.after_claim = Some(gate.clone());
    let bench = setup.start().await;
    for provider in bench.providers() {
        provider.answer(Reply::FailAs(FailureClass::Unavailable));
    }
    let held = bench.send(email()).await;
    assert_eq!(held.status, Status::Queued);
    for provider in bench.providers() {
        provider.answer(Reply::Accept);
    }

    let claiming = gate.lock().await;
    bench.pass(Duration::from_secs(6)).await;
    bench.ses.hold();
    let other = bench.engine.submit(email().parse().unwrap().into()).await;
    bench.idle().await;
    drop(claiming);
    bench.idle().await;
    bench.ses.release(2);
    bench.pass(Duration::from_secs(6)).await;
    assert_eq!(bench.look_up(held.message_id).await.status, Status::Sent, "{other:?}");
}
