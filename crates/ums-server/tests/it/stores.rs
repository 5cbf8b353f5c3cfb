//! A store that fails: what was not accepted is told so, what was accepted is never denied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use ums_core::StoreError;
use ums_store::MemoryStore;
use ums_testkit::{Moment, Operation, StoreInHand, TestClock};

use crate::setup::{Bench, EMAIL, Setup};

const FINE: u8 = 0;
const DOWN: u8 = 1;
const COMMIT_UNKNOWN: u8 = 2;
const READS_FAIL: u8 = 3;

/// A store in memory that fails when told.
fn faulty(mode: Arc<AtomicU8>) -> StoreInHand {
    let inner = MemoryStore::new(Arc::new(TestClock::new()));
    StoreInHand::new(Arc::new(inner), move |moment| {
        let fault = match (mode.load(Ordering::SeqCst), moment) {
            (DOWN, Moment::Before(Operation::Accept | Operation::Read | Operation::Content | Operation::Check))
            | (READS_FAIL, Moment::Before(Operation::Read)) => Err(StoreError::Unavailable("canary".into())),
            (COMMIT_UNKNOWN, Moment::Before(Operation::Accept)) => Err(StoreError::CommitUnknown("canary".into())),
            _ => Ok(()),
        };
        Box::pin(async move { fault })
    })
}

async fn start() -> (Bench, Arc<AtomicU8>) {
    let mode = Arc::new(AtomicU8::new(FINE));
    let bench = Setup::with_store(faulty(mode.clone())).start().await;
    (bench, mode)
}

#[tokio::test]
async fn a_store_that_is_down_accepts_nothing_and_says_so() {
    let (bench, mode) = start().await;
    mode.store(DOWN, Ordering::SeqCst);
    for answer in [
        bench.post("/v1/emails", &[], EMAIL).await,
        bench
            .post(
                "/v1/batches",
                &[],
                r#"{"messages": [{"channel": "sms", "to": "+14165550123", "message_body": "Hello"}]}"#,
            )
            .await,
        bench
            .post("/v1/messages/0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b/cancel", &[], "")
            .await,
        bench.get("/v1/messages").await,
        bench.get("/v1/messages/0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b").await,
        bench.get("/readyz").await,
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (503, "UMS5004"));
        assert!(
            answer.header("retry-after").is_some() && !answer.body.contains("canary"),
            "{answer:?}"
        );
    }
    let detail = bench.get("/readyz").await.json()["detail"].clone();
    assert!(detail.as_str().unwrap().contains("its disk is full; bring it back"), "{detail}");
    assert_eq!(bench.ses.calls(), 0);
    assert_eq!(bench.get("/livez").await.status, 200, "the process itself is fine");
}

#[tokio::test]
async fn a_commit_whose_outcome_is_lost_asks_for_a_repetition() {
    let (bench, mode) = start().await;
    mode.store(COMMIT_UNKNOWN, Ordering::SeqCst);
    let key = [("idempotency-key", "k")];
    let answer = bench.post("/v1/emails", &key, EMAIL).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UMS5005"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("same Idempotency-Key"));
    mode.store(FINE, Ordering::SeqCst);
    assert_eq!(bench.post("/v1/emails", &key, EMAIL).await.status, 200);
}

#[tokio::test]
async fn a_message_that_was_accepted_is_never_denied() {
    let (bench, mode) = start().await;
    bench.ses.hold();
    mode.store(READS_FAIL, Ordering::SeqCst);
    let answer = bench.post("/v1/emails", &[("prefer", "wait=0")], EMAIL).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (202, Some("pending")));
    assert_eq!(answer.json()["recipient_id"], "customer@example.com");
    bench.ses.release(1);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_waited_for() {
    let hangs = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let on = Arc::clone(&hangs);
    let store = StoreInHand::new(Arc::new(MemoryStore::new(Arc::new(TestClock::new()))), move |_| {
        let hang = on.load(Ordering::SeqCst);
        Box::pin(async move {
            if hang {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    });
    let mut setup = Setup::with_store(store);
    setup.limits.store_time = std::time::Duration::from_millis(50);
    let bench = setup.start().await;
    hangs.store(true, Ordering::SeqCst);
    let id = "/v1/messages/0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b";
    for (answer, code) in [
        (bench.post("/v1/emails", &[], EMAIL).await, "UMS5005"),
        (bench.get("/v1/messages").await, "UMS5004"),
        (bench.get(id).await, "UMS5004"),
        (bench.post(&format!("{id}/resend"), &[], "").await, "UMS5004"),
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (503, code));
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(bench.get("/livez").await.status, 200);
}
