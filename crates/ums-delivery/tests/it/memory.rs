//! Large messages share a budget of memory; small ones never wait for it.

use std::time::Duration;

use ums_core::{SendEmail, Status, Timestamp};
use ums_delivery::{COPIES_TO_ACCEPT, Submission};

use crate::setup::{Bench, Setup, email};

const LARGE: usize = 300 * 1_024;

/// Room for one large message at a time.
async fn bench() -> Bench {
    let mut setup = Setup::holding();
    setup.rules.memory_bytes = 1_024 * 1_024;
    setup.start().await
}

fn large() -> SendEmail {
    SendEmail::new("customer@example.com", "Your files").text("x".repeat(LARGE))
}

/// That many large messages, all due in a minute.
async fn wait_for_memory(bench: &Bench, count: usize) {
    let mut request = large();
    request.handling.send_at = Timestamp::parse_rfc3339("2026-11-22T10:01:00Z");
    let batch: Vec<Submission> = (0..count).map(|_| request.clone().parse().unwrap().into()).collect();
    bench.engine.submit_all(batch).await.unwrap();
    bench.pass(Duration::from_mins(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_small_message_goes_out_at_once_while_large_ones_wait_for_memory() {
    let bench = bench().await;
    bench.ses.hold();
    wait_for_memory(&bench, 100).await;
    assert_eq!(bench.ses.running(), 1, "the others have no room, and no slot");
    let small = bench.engine.submit(email().parse().unwrap().into()).await.unwrap();
    bench.idle().await;
    assert_eq!(bench.ses.running(), 2);
    bench.ses.release(2);
    assert_eq!(small.result(Duration::from_secs(5)).await.unwrap().status, Status::Sent);
    bench.ses.release(200);
    for _ in 0..50 {
        bench.pass(Duration::from_millis(100)).await;
    }
    assert_eq!(bench.ses.calls(), 101);
    assert_eq!(bench.engine.memory().in_hand(), 0);
}

#[tokio::test(start_paused = true)]
async fn door_and_worker_take_turns() {
    let bench = bench().await;
    let at_the_door = bench.engine.memory().share(LARGE, COPIES_TO_ACCEPT).await;
    bench.ses.hold();
    wait_for_memory(&bench, 2).await;
    assert_eq!(bench.ses.running(), 0);
    let memory = bench.engine.memory().clone();
    let next = tokio::spawn(async move { memory.share(LARGE, COPIES_TO_ACCEPT).await });
    bench.idle().await;
    drop(at_the_door);
    bench.idle().await;
    assert_eq!(bench.ses.running(), 1, "who waited first");
    assert!(!next.is_finished());
    bench.ses.release(2);
    bench.pass(Duration::from_secs(1)).await;
    assert_eq!(bench.ses.calls(), 2);
    assert!(next.is_finished(), "a full queue does not starve the door");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_memory_at_the_end_of_a_shutdown_is_put_back() {
    let bench = bench().await;
    let all = bench.engine.memory().share(LARGE, COPIES_TO_ACCEPT).await;
    wait_for_memory(&bench, 1).await;
    bench.engine.shutdown(Duration::from_secs(1)).await;
    assert_eq!(bench.ses.calls(), 0);
    assert!(bench.engine.standing().memory_bytes > 0);
    drop(all);
}
