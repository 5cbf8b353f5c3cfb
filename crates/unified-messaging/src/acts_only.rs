//! A store for somebody who looks or acts beside the processes that send: nothing is claimed, recovered or pruned through it, and what
//! a breaker learns stays here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{
    AccountId, BreakerRecord, Content, MessageFilter, MessageId, MessagePage, MessageRecord, NewMessage, ProviderKind, Pruned, Recovered,
    Retention, Room, Step, Store, StoreError, Stored, TenantId, Timestamp,
};

/// The store behind it, asked only for what an act needs.
#[derive(Debug)]
pub(crate) struct ActsOnly {
    pub(crate) inner: Arc<dyn Store>,
}

impl ActsOnly {
    async fn as_it_is<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        call.await
    }
}

ums_core::forward_aftermath!(ActsOnly, inner, as_it_is);
ums_core::forward_providers!(ActsOnly, inner, as_it_is);
ums_core::forward_time!(ActsOnly, inner, as_it_is);

#[async_trait]
impl Store for ActsOnly {
    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }

    fn is_owner(&self) -> bool {
        false
    }

    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError> {
        self.inner.accept(new).await
    }

    async fn accept_all(&self, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError> {
        self.inner.accept_all(new).await
    }

    async fn record(&self, step: Step) -> Result<(), StoreError> {
        self.inner.record(step).await
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.inner.message(tenant, id).await
    }

    async fn content(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Content>, StoreError> {
        self.inner.content(tenant, id).await
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

    async fn claim_due(&self, _: Timestamp, _: Room) -> Result<Vec<MessageRecord>, StoreError> {
        Ok(Vec::new())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn backlog(&self, at_most: u64) -> Result<u64, StoreError> {
        self.inner.backlog(at_most).await
    }

    async fn recover(&self, _: Timestamp) -> Result<Recovered, StoreError> {
        Ok(Recovered::default())
    }

    async fn under_way(&self, _: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        Ok(Vec::new())
    }

    async fn give_back(&self, _: &[(TenantId, MessageId)], _: Timestamp) -> Result<Recovered, StoreError> {
        Ok(Recovered::default())
    }

    async fn prune(&self, _: Retention, _: Timestamp, _: usize) -> Result<Pruned, StoreError> {
        Ok(Pruned::default())
    }

    async fn save_breaker(&self, _: BreakerRecord) -> Result<(), StoreError> {
        Ok(())
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        self.inner.breakers().await
    }

    async fn lease_probe(&self, _: ProviderKind, _: &AccountId, _: Duration) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn lease_chore(&self, _: &str, _: Duration) -> Result<bool, StoreError> {
        Ok(false)
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
