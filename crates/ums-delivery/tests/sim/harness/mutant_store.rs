//! A store that lies to the engine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{
    AccountId, AttemptOutcome, BreakerRecord, Content, Duplicates, Lease, MessageFilter, MessageId, MessagePage, MessageRecord, NewMessage,
    PaceGrant, PaceRequest, ProviderKind, Pruned, Recovered, Retention, Room, Step, Store, StoreError, Stored, TenantId, Timestamp,
};

use super::mutants::Mutant;
use super::store::SimStore;

/// A store that lies to the engine, as its mutant says.
#[derive(Debug)]
pub(super) struct MutantStore {
    mutant: Mutant,
    inner: Arc<SimStore>,
    /// The process's first registration.
    first_owner: i64,
}

impl MutantStore {
    pub(super) fn new(mutant: Mutant, inner: Arc<SimStore>) -> Self {
        Self {
            mutant,
            first_owner: inner.owner(),
            inner,
        }
    }

    async fn around<T>(&self, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        call.await
    }

    fn shown(&self, mut record: MessageRecord) -> MessageRecord {
        if self.mutant == Mutant::NeverIsAllow {
            Arc::make_mut(&mut record.message).handling.duplicates = Duplicates::Allow;
        }
        record
    }
}

fn has(step: &Step, is: impl Fn(AttemptOutcome) -> bool) -> bool {
    step.attempts.iter().any(|attempt| is(attempt.outcome))
}

ums_core::forward_aftermath!(MutantStore, inner, around);
ums_core::forward_providers!(MutantStore, inner, around);
ums_core::forward_time!(MutantStore, inner, around);

#[async_trait]
impl Store for MutantStore {
    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError> {
        self.inner.accept(new).await
    }

    async fn accept_all(&self, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError> {
        self.inner.accept_all(new).await
    }

    async fn record(&self, step: Step) -> Result<(), StoreError> {
        let has_intent = has(&step, |outcome| outcome == AttemptOutcome::Calling);
        let has_outcome = has(&step, |outcome| outcome != AttemptOutcome::Calling);
        if self.mutant == Mutant::CallBeforeIntent && has_intent {
            let inner = self.inner.clone();
            // It is written a moment later, and nobody hears how that went.
            drop(tokio::spawn(async move { inner.record(step).await }));
            return Ok(());
        }
        match (self.inner.record(step).await, self.mutant) {
            (Err(StoreError::Unavailable(_)), Mutant::OutcomeForgotten) if has_outcome => Ok(()),
            (Err(StoreError::MustNotContact(_)), Mutant::OptOutIgnored) => Ok(()),
            (recorded, _) => recorded,
        }
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        Ok(self.inner.message(tenant, id).await?.map(|record| self.shown(record)))
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

    async fn claim_due(&self, now: Timestamp, room: Room) -> Result<Vec<MessageRecord>, StoreError> {
        let claimed = self.inner.claim_due(now, room).await?;
        Ok(claimed.into_iter().map(|record| self.shown(record)).collect())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_due().await
    }

    async fn backlog(&self, at_most: u64) -> Result<u64, StoreError> {
        self.inner.backlog(at_most).await
    }

    async fn renew(&self) -> Result<Lease, StoreError> {
        let renewed = self.inner.renew().await;
        if self.mutant == Mutant::LeaseNotChecked {
            return Ok(Lease {
                owner: self.first_owner,
                length: Duration::MAX,
            });
        }
        renewed
    }

    async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError> {
        self.inner.recover(now).await
    }

    async fn under_way(&self, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        self.inner.under_way(limit).await
    }

    async fn give_back(&self, messages: &[(TenantId, MessageId)], now: Timestamp) -> Result<Recovered, StoreError> {
        self.inner.give_back(messages, now).await
    }

    async fn prune(&self, retention: Retention, now: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        self.inner.prune(retention, now, limit).await
    }

    async fn save_breaker(&self, record: BreakerRecord) -> Result<(), StoreError> {
        self.inner.save_breaker(record).await
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        self.inner.breakers().await
    }

    async fn lease_probe(&self, provider: ProviderKind, account: &AccountId, length: Duration) -> Result<bool, StoreError> {
        self.inner.lease_probe(provider, account, length).await
    }

    async fn reserve_pace(&self, request: PaceRequest) -> Result<PaceGrant, StoreError> {
        self.inner.reserve_pace(request).await
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
