//! A store whose claims take their time, so that messages come in between claim and work.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{
    AccountId, BreakerRecord, FailureClass, MessageFilter, MessageId, MessagePage, MessageRecord, NewMessage, ProviderKind, Recovered,
    Status, Step, Store, StoreError, Stored, TenantId, Timestamp,
};
use ums_store::MemoryStore;
use ums_testkit::Reply;

use crate::setup::{Setup, email};

/// A store in memory that gives out what it claimed once its gate is open.
#[derive(Debug)]
pub(crate) struct HeldAtClaim {
    pub(crate) inner: MemoryStore,
    pub(crate) gate: Arc<tokio::sync::Mutex<()>>,
}

#[async_trait]
impl Store for HeldAtClaim {
    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }

    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError> {
        self.inner.accept(new).await
    }

    async fn record(&self, step: Step) -> Result<(), StoreError> {
        self.inner.record(step).await
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.inner.message(tenant, id).await
    }

    async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError> {
        self.inner.messages(tenant, filter, cursor, limit).await
    }

    async fn claim_due(&self, now: Timestamp, limit: usize) -> Result<Vec<MessageRecord>, StoreError> {
        let claimed = self.inner.claim_due(now, limit).await?;
        if !claimed.is_empty() {
            drop(self.gate.lock().await);
        }
        Ok(claimed)
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
        self.inner.check().await
    }

    async fn close(&self, wait: Duration) {
        self.inner.close(wait).await;
    }
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
