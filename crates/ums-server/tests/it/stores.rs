//! A store that fails: what was not accepted is told so, what was accepted is never denied.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{
    AccountId, BreakerRecord, MessageFilter, MessageId, MessagePage, MessageRecord, NewMessage, ProviderKind, Recovered, Step, Store,
    StoreError, Stored, TenantId, Timestamp,
};
use ums_store::MemoryStore;
use ums_testkit::TestClock;

use crate::setup::{Bench, EMAIL, Setup};

const FINE: u8 = 0;
const DOWN: u8 = 1;
const COMMIT_UNKNOWN: u8 = 2;
const READS_FAIL: u8 = 3;

/// A store in memory that fails when told.
#[derive(Debug)]
struct FaultyStore {
    inner: MemoryStore,
    mode: Arc<AtomicU8>,
}

impl FaultyStore {
    fn fault(&self, read: bool) -> Result<(), StoreError> {
        match self.mode.load(Ordering::SeqCst) {
            DOWN => Err(StoreError::Unavailable("canary".into())),
            READS_FAIL if read => Err(StoreError::Unavailable("canary".into())),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }

    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError> {
        self.fault(false)?;
        if self.mode.load(Ordering::SeqCst) == COMMIT_UNKNOWN {
            return Err(StoreError::CommitUnknown("canary".into()));
        }
        self.inner.accept(new).await
    }

    async fn record(&self, step: Step) -> Result<(), StoreError> {
        self.inner.record(step).await
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.fault(true)?;
        self.inner.message(tenant, id).await
    }

    async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError> {
        self.fault(true)?;
        self.inner.messages(tenant, filter, cursor, limit).await
    }

    async fn claim_due(&self, now: Timestamp, limit: usize) -> Result<Vec<MessageRecord>, StoreError> {
        self.inner.claim_due(now, limit).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_due().await
    }

    async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError> {
        self.inner.recover(now).await
    }

    async fn save_breaker(&self, record: BreakerRecord) -> Result<(), StoreError> {
        self.inner.save_breaker(record).await
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        self.inner.breakers().await
    }

    async fn recipients_sent_since(&self, provider: ProviderKind, account: &AccountId, since: Timestamp) -> Result<u64, StoreError> {
        self.inner.recipients_sent_since(provider, account, since).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.fault(false)
    }

    async fn close(&self, wait: Duration) {
        self.inner.close(wait).await;
    }
}

async fn start() -> (Bench, Arc<AtomicU8>) {
    let mode = Arc::new(AtomicU8::new(FINE));
    let inner = MemoryStore::new(Arc::new(TestClock::new()));
    let bench = Setup::with_store(FaultyStore { inner, mode: mode.clone() }).start().await;
    (bench, mode)
}

#[tokio::test]
async fn a_store_that_is_down_accepts_nothing_and_says_so() {
    let (bench, mode) = start().await;
    mode.store(DOWN, Ordering::SeqCst);
    for answer in [
        bench.post("/v1/emails", &[], EMAIL).await,
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
