//! Messages in memory, for a library without a database: the same behaviour, nothing durable.
//!
//! It sits on the path of every send, so a call holds one lock for a few map operations, and
//! contents are shared, never copied. Ended messages beyond a number are forgotten, oldest ended first,
//! and their idempotency keys with them; unfinished ones are kept.

mod calls;
mod clock;
mod events;
mod feedback;
mod outbox;
mod queue;
mod rates;
mod retention;
mod state;
mod suppressions;
mod switches;

use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{
    AccountId, AttemptRecord, BreakerRecord, Clock, Content, MessageFilter, MessageId, MessagePage, MessageRecord, NewMessage,
    ProviderKind, Pruned, RecipientRecord, Recovered, Retention, Room, Status, Step, Store, StoreError, Stored, TenantId, Timestamp,
};

use crate::fence;
use state::State;

/// How many ended messages are kept unless told otherwise.
const KEEP_ENDED: usize = 10_000;

/// A store that ends with the process.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    keep_ended: usize,
    state: Mutex<State>,
}

impl MemoryStore {
    /// Makes an empty store that keeps the last 10,000 ended messages.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            keep_ended: KEEP_ENDED,
            state: Mutex::default(),
        }
    }

    /// Sets how many ended messages are kept.
    #[must_use]
    pub fn keep_ended(mut self, messages: usize) -> Self {
        self.keep_ended = messages;
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryStore({} messages)", self.state().messages.len())
    }
}

fn matches(record: &MessageRecord, filter: &MessageFilter) -> bool {
    let message = &record.message;
    filter
        .to
        .as_ref()
        .is_none_or(|to| record.recipients.iter().any(|recipient| recipient.address.eq_ignore_ascii_case(to)))
        && filter.status.is_none_or(|status| record.status == status)
        && filter.channel.is_none_or(|channel| message.content.channel() == channel)
        && filter
            .provider
            .is_none_or(|provider| record.attempts.iter().any(|attempt| attempt.provider == provider))
        && filter.purpose.is_none_or(|purpose| message.handling.purpose == purpose)
        && filter.since.is_none_or(|since| message.accepted_at >= since)
        && filter.until.is_none_or(|until| message.accepted_at < until)
}

/// How many recipients an attempt carried; where that is not recorded, all that were not left out.
fn carried(attempt: &AttemptRecord, recipients: &[RecipientRecord]) -> u64 {
    if attempt.recipients.is_recorded() {
        return attempt.recipients.count(recipients.len()).into();
    }
    let is_left_out = |recipient: &&RecipientRecord| matches!(recipient.status, Status::Suppressed | Status::Unsubscribed);
    u64::try_from(recipients.iter().filter(|recipient| !is_left_out(recipient)).count()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Store for MemoryStore {
    fn is_durable(&self) -> bool {
        false
    }

    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError> {
        let now = self.clock.now();
        self.state().accept(new, now, self.keep_ended)
    }

    async fn accept_all(&self, new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError> {
        let now = self.clock.now();
        self.state().accept_all(new, now, self.keep_ended)
    }

    async fn record(&self, step: Step) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.state().record(fence::judge, step, now, self.keep_ended)
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        let state = self.state();
        Ok(state.entry(tenant, id).and_then(|_| state.whole(id)))
    }

    async fn content(&self, tenant: &TenantId, id: MessageId) -> Result<Option<Content>, StoreError> {
        let state = self.state();
        Ok(state.entry(tenant, id).map(|entry| entry.record.message.content.clone()))
    }

    async fn messages(
        &self,
        tenant: &TenantId,
        filter: &MessageFilter,
        cursor: Option<MessageId>,
        limit: usize,
    ) -> Result<MessagePage, StoreError> {
        let state = self.state();
        let older = state
            .messages
            .range((Bound::Unbounded, cursor.map_or(Bound::Unbounded, Bound::Excluded)))
            .rev();
        let mut found = older
            .map(|(_, entry)| &entry.record)
            .filter(|record| record.message.tenant == *tenant && matches(record, filter));
        let messages: Vec<_> = found.by_ref().take(limit).cloned().collect();
        let next_cursor = messages.last().map(|record| record.message.id).filter(|_| found.next().is_some());
        Ok(MessagePage { messages, next_cursor })
    }

    async fn claim_due(&self, now: Timestamp, room: Room) -> Result<Vec<MessageRecord>, StoreError> {
        Ok(self.state().claim_due(now, room))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state().next_due())
    }

    async fn backlog(&self, at_most: u64) -> Result<u64, StoreError> {
        let waiting = self.state().backlog();
        Ok(u64::try_from(waiting).unwrap_or(u64::MAX).min(at_most))
    }

    async fn recover(&self, _now: Timestamp) -> Result<Recovered, StoreError> {
        // What a dead process worked on died with it.
        Ok(Recovered::default())
    }

    async fn under_way(&self, limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        Ok(self.state().under_way(limit))
    }

    async fn give_back(&self, messages: &[(TenantId, MessageId)], now: Timestamp) -> Result<Recovered, StoreError> {
        Ok(self.state().give_back(messages, now))
    }

    async fn prune(&self, retention: Retention, now: Timestamp, limit: usize) -> Result<Pruned, StoreError> {
        Ok(self.state().prune(retention, now, limit))
    }

    async fn save_breaker(&self, record: BreakerRecord) -> Result<(), StoreError> {
        let mut state = self.state();
        let key = (record.provider, record.account.clone());
        let version = state.breakers.get(&key).map_or(1, |kept| kept.version + 1);
        let kept = BreakerRecord {
            version,
            writer: 0,
            ..record
        };
        state.breakers.insert(key, kept);
        Ok(())
    }

    async fn breakers(&self) -> Result<Vec<BreakerRecord>, StoreError> {
        Ok(self.state().breakers.values().cloned().collect())
    }

    async fn recipients_sent_since(&self, provider: ProviderKind, account: &AccountId, since: Timestamp) -> Result<u64, StoreError> {
        let state = self.state();
        let sent = state.messages.values().flat_map(|entry| {
            let record = &entry.record;
            let taken = record.attempts.iter().filter(|attempt| {
                let may_have_sent = attempt.outcome.may_have_been_accepted();
                may_have_sent && attempt.provider == provider && attempt.account == *account && attempt.called_at >= since
            });
            taken.map(move |attempt| carried(attempt, &record.recipients))
        });
        Ok(sent.sum())
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&self, _wait: Duration) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use ums_core::SystemClock;

    #[test]
    fn an_empty_store_shows_its_size_only() {
        assert_eq!(
            format!("{:?}", MemoryStore::new(Arc::new(SystemClock::new()))),
            "MemoryStore(0 messages)"
        );
    }
}
