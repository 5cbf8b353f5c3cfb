//! A store with a test's hand on it: before and after each call the test may wait, fail it, or count it.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{
    AccountId, BreakerRecord, Content, Lease, MessageFilter, MessageId, MessagePage, MessageRecord, NewMessage, PaceGrant, PaceRequest,
    ProviderKind, Pruned, Recovered, Retention, Room, Step, Store, StoreError, Stored, TenantId, Timestamp, Troubles,
};

/// A call to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `accept` and `accept_all`.
    Accept,
    /// `record`.
    Record,
    /// `message`, `messages`, `next_due`, `backlog`, `breakers`, `under_way`, `recipients_sent_since`.
    Read,
    /// `claim_due`; after it only if something was claimed.
    Claim,
    /// `renew`, `recover`, `give_back`, `prune`, `save_breaker`, `lease_probe`, `lease_chore`, `reserve_pace`.
    Keep,
    /// Everything about feedback, suppressions, notices and rates.
    Aftermath,
    /// `check`.
    Check,
}

/// A moment at which the hand may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing was done yet; an error here is the call's.
    Before(Operation),
    /// It was done; an error here is told although it was done.
    After(Operation),
}

/// What a hand gives back.
pub type Hold = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// A store whose calls pass through a hand.
pub struct StoreInHand {
    inner: Arc<dyn Store>,
    hand: Box<dyn Fn(Moment) -> Hold + Send + Sync>,
    lease: Mutex<Option<Lease>>,
    durable: bool,
}

impl StoreInHand {
    /// Wraps a store.
    pub fn new(inner: Arc<dyn Store>, hand: impl Fn(Moment) -> Hold + Send + Sync + 'static) -> Self {
        Self {
            inner,
            hand: Box::new(hand),
            lease: Mutex::new(None),
            durable: false,
        }
    }

    /// Says that it is durable, whatever the store behind it is.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Gives out this lease from now on, instead of that of the store behind it.
    pub fn grant(&self, lease: Lease) {
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(lease);
    }

    async fn through<T>(&self, operation: Operation, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        (self.hand)(Moment::Before(operation)).await?;
        let done = call.await?;
        (self.hand)(Moment::After(operation)).await?;
        Ok(done)
    }
}

impl fmt::Debug for StoreInHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreInHand({:?})", self.inner)
    }
}

impl StoreInHand {
    async fn beside<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.through(Operation::Aftermath, call).await
    }
}

ums_core::forward_aftermath!(StoreInHand, inner, beside);
ums_core::forward_providers!(StoreInHand, inner, beside);
ums_core::forward_time!(StoreInHand, inner, beside);

#[async_trait]
impl Store for StoreInHand {
    fn is_durable(&self) -> bool {
        self.durable || self.inner.is_durable()
    }

    fn is_owner(&self) -> bool {
        self.inner.is_owner()
    }

    fn tell_troubles(&self, troubles: &Troubles) {
        self.inner.tell_troubles(troubles);
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError> {
        self.through(Operation::Accept, self.inner.accept(new)).await
    }

    async fn accept_all(&self, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError> {
        self.through(Operation::Accept, self.inner.accept_all(new)).await
    }

    async fn record(&self, step: Step) -> Result<(), StoreError> {
        self.through(Operation::Record, self.inner.record(step)).await
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.through(Operation::Read, self.inner.message(tenant, id)).await
    }

    async fn content(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Content>, StoreError> {
        self.through(Operation::Read, self.inner.content(tenant, id)).await
    }

    async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError> {
        self.through(Operation::Read, self.inner.messages(tenant, filter, cursor, limit))
            .await
    }

    async fn claim_due(&self, now: Timestamp, room: Room) -> Result<Vec<MessageRecord>, StoreError> {
        (self.hand)(Moment::Before(Operation::Claim)).await?;
        let claimed = self.inner.claim_due(now, room).await?;
        if !claimed.is_empty() {
            (self.hand)(Moment::After(Operation::Claim)).await?;
        }
        Ok(claimed)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.through(Operation::Read, self.inner.next_due()).await
    }

    async fn backlog(&self, at_most: u64) -> Result<u64, StoreError> {
        self.through(Operation::Read, self.inner.backlog(at_most)).await
    }

    async fn renew(&self) -> Result<Lease, StoreError> {
        let granted = *self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let renewal = async {
            match granted {
                Some(lease) => Ok(lease),
                None => self.inner.renew().await,
            }
        };
        self.through(Operation::Keep, renewal).await
    }

    async fn recover(&self, now: Timestamp) -> Result<Recovered, StoreError> {
        self.through(Operation::Keep, self.inner.recover(now)).await
    }

    async fn under_way(&self, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        self.through(Operation::Read, self.inner.under_way(limit)).await
    }

    async fn give_back(&self, messages: &[(TenantId, MessageId)], now: Timestamp) -> Result<Recovered, StoreError> {
        self.through(Operation::Keep, self.inner.give_back(messages, now)).await
    }

    async fn prune(&self, retention: Retention, now: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        self.through(Operation::Keep, self.inner.prune(retention, now, limit)).await
    }

    async fn save_breaker(&self, record: BreakerRecord) -> Result<(), StoreError> {
        self.through(Operation::Keep, self.inner.save_breaker(record)).await
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        self.through(Operation::Read, self.inner.breakers()).await
    }

    async fn lease_probe(&self, provider: ProviderKind, account: &AccountId, length: Duration) -> Result<bool, StoreError> {
        self.through(Operation::Keep, self.inner.lease_probe(provider, account, length))
            .await
    }

    async fn lease_chore(&self, chore: &str, length: Duration) -> Result<bool, StoreError> {
        self.through(Operation::Keep, self.inner.lease_chore(chore, length)).await
    }

    async fn reserve_pace(&self, request: PaceRequest) -> Result<PaceGrant, StoreError> {
        self.through(Operation::Keep, self.inner.reserve_pace(request)).await
    }

    async fn recipients_sent_since(&self, provider: ProviderKind, account: &AccountId, since: Timestamp) -> Result<u64, StoreError> {
        self.through(Operation::Read, self.inner.recipients_sent_since(provider, account, since))
            .await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.through(Operation::Check, self.inner.check()).await
    }

    async fn close(&self, wait: Duration) {
        self.inner.close(wait).await;
    }
}
