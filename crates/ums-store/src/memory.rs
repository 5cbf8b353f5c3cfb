//! Messages in memory, for a library without a database: the same behaviour, nothing durable.
//!
//! It sits on the path of every send, so a call holds one lock for a few map operations, and
//! contents are shared, never copied. Ended messages beyond a number are forgotten, oldest ended first,
//! and their idempotency keys with them; unfinished ones are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ums_core::{
    AccountId, AttemptOutcome, BreakerRecord, Clock, MessageFilter, MessageId, MessagePage, MessageRecord, NewMessage, ProviderKind,
    Purpose, Recovered, Status, Step, Store, StoreError, Stored, TenantId, Timestamp,
};
use uuid::Uuid;

use crate::fence;

/// How many ended messages are kept unless told otherwise.
const KEEP_ENDED: usize = 10_000;

/// A store that ends with the process.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    keep_ended: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: BTreeMap<MessageId, Entry>,
    due: BTreeSet<(u8, Timestamp, MessageId)>,
    /// Ended messages in the order of their ends.
    ended: VecDeque<(u64, MessageId)>,
    /// How often a message has ended.
    endings: u64,
    keys: HashMap<(TenantId, String), Key>,
    breakers: BTreeMap<(ProviderKind, AccountId), BreakerRecord>,
}

struct Entry {
    record: MessageRecord,
    keys: Vec<String>,
    /// The number of its ending, unless it is unfinished.
    ending: Option<u64>,
}

struct Key {
    fingerprint: [u8; 32],
    message_id: MessageId,
    expires_at: Timestamp,
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

impl State {
    fn entry(&self, tenant: &TenantId, id: MessageId) -> Option<&Entry> {
        self.messages.get(&id).filter(|entry| entry.record.message.tenant == *tenant)
    }

    /// The message of a lane that is due first.
    fn first_due(&self, purpose: Purpose) -> Option<(u8, Timestamp, MessageId)> {
        let lane = fence::lane(purpose);
        let lowest = (lane, Timestamp::from_micros(i64::MIN), MessageId::from_uuid(Uuid::nil()));
        self.due.range(lowest..).next().copied().filter(|row| row.0 == lane)
    }

    /// What an earlier request under the same key makes of this one.
    fn earlier(&self, new: &NewMessage, now: Timestamp) -> Option<Stored> {
        let idempotency = new.idempotency.as_ref()?;
        let key = self
            .keys
            .get(&(new.message.tenant.clone(), idempotency.key.clone()))
            .filter(|key| key.expires_at > now)?;
        let same = key.fingerprint == idempotency.fingerprint;
        Some(if same {
            Stored::Replayed(key.message_id)
        } else {
            Stored::KeyConflict
        })
    }

    fn insert(&mut self, new: NewMessage) -> Stored {
        let NewMessage {
            message,
            status,
            error,
            due_at,
            recipients,
            intent,
            skips,
            idempotency,
        } = new;
        let id = message.id;
        let mut keys = Vec::new();
        if let Some(idempotency) = idempotency {
            let row = Key {
                fingerprint: idempotency.fingerprint,
                message_id: id,
                expires_at: idempotency.expires_at,
            };
            self.keys.insert((message.tenant.clone(), idempotency.key.clone()), row);
            keys.push(idempotency.key);
        }
        if let Some(entry) = self.messages.get_mut(&id) {
            entry.keys.append(&mut keys);
            return Stored::Replayed(id);
        }
        let due_at = fence::due(status, due_at);
        let attempts = intent.into_iter().collect();
        let record = MessageRecord {
            message,
            status,
            sent_at: None,
            delivered_at: None,
            due_at,
            error,
            recipients,
            attempts,
            skips,
            acts: Vec::new(),
            token: ums_core::FIRST_TOKEN,
        };
        self.messages.insert(
            id,
            Entry {
                record,
                keys,
                ending: None,
            },
        );
        Stored::New
    }

    /// Puts a message that has changed where it belongs: among the due, or among the ended.
    fn settle(&mut self, id: MessageId, was_due_at: Option<Timestamp>, keep_ended: usize) {
        let Some(entry) = self.messages.get_mut(&id) else { return };
        let record = &entry.record;
        let lane = fence::lane(record.message.handling.purpose);
        if was_due_at != record.due_at {
            if let Some(due_at) = was_due_at {
                self.due.remove(&(lane, due_at, id));
            }
            if let Some(due_at) = record.due_at {
                self.due.insert((lane, due_at, id));
            }
        }
        match (record.status.is_final(), entry.ending) {
            (true, None) => {
                self.endings += 1;
                entry.ending = Some(self.endings);
                self.ended.push_back((self.endings, id));
                self.forget_oldest(keep_ended);
            }
            (false, Some(_)) => entry.ending = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn forget_oldest(&mut self, keep_ended: usize) {
        while self.ended.len() > keep_ended {
            let Some((ending, id)) = self.ended.pop_front() else { return };
            // A message that was sent again stands further back, or is not ended any more.
            if self.messages.get(&id).is_none_or(|entry| entry.ending != Some(ending)) {
                continue;
            }
            let Some(Entry { record, keys, .. }) = self.messages.remove(&id) else {
                continue;
            };
            for key in keys {
                let key = (record.message.tenant.clone(), key);
                if self.keys.get(&key).is_some_and(|row| row.message_id == id) {
                    self.keys.remove(&key);
                }
            }
        }
    }
}

/// Applies a step to a record. Nothing is changed when it is refused.
fn apply(record: &mut MessageRecord, step: Step) -> Result<(), StoreError> {
    fence::check_move(record.status, step.status)?;
    for attempt in step.attempts {
        match record.attempts.iter_mut().find(|known| known.id == attempt.id) {
            Some(known) => *known = attempt,
            None => record.attempts.push(attempt),
        }
    }
    record.skips.extend(step.skips);
    record.status = step.status;
    record.error = step.error;
    record.due_at = fence::due(step.status, step.due_at);
    record.sent_at = step.sent_at.or(record.sent_at);
    if let Some(recipients) = step.recipients {
        record.recipients = recipients;
    }
    Ok(())
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

#[async_trait]
impl Store for MemoryStore {
    fn is_durable(&self) -> bool {
        false
    }

    async fn accept(&self, new: NewMessage) -> Result<Stored, StoreError> {
        let now = self.clock.now();
        let mut state = self.state();
        if let Some(earlier) = state.earlier(&new, now) {
            return Ok(earlier);
        }
        let id = new.message.id;
        let stored = state.insert(new);
        if stored == Stored::New {
            state.settle(id, None, self.keep_ended);
        }
        Ok(stored)
    }

    async fn record(&self, step: Step) -> Result<(), StoreError> {
        let mut state = self.state();
        let id = step.message_id;
        let entry = state
            .messages
            .get_mut(&id)
            .filter(|entry| entry.record.message.tenant == step.tenant)
            .ok_or(StoreError::NotFound)?;
        let was_due_at = entry.record.due_at;
        apply(&mut entry.record, step)?;
        state.settle(id, was_due_at, self.keep_ended);
        Ok(())
    }

    async fn message(&self, tenant: &TenantId, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        Ok(self.state().entry(tenant, id).map(|entry| entry.record.clone()))
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

    async fn claim_due(&self, now: Timestamp, room: ums_core::Room) -> Result<Vec<MessageRecord>, StoreError> {
        let mut state = self.state();
        let mut claimed = Vec::new();
        for purpose in fence::LANES {
            let limit = claimed.len() + room.of(purpose);
            while claimed.len() < limit {
                let Some(row) = state.first_due(purpose).filter(|row| row.1 <= now) else {
                    break;
                };
                state.due.remove(&row);
                if let Some(entry) = state.messages.get_mut(&row.2) {
                    entry.record.due_at = None;
                    claimed.push(entry.record.clone());
                }
            }
        }
        Ok(claimed)
    }

    async fn accept_all(&self, _new: Vec<NewMessage>) -> Result<Vec<Stored>, StoreError> {
        Err(StoreError::Unusable("not built yet".to_owned()))
    }

    async fn backlog(&self, _at_most: u64) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn under_way(&self, _limit: usize) -> Result<Vec<(TenantId, MessageId)>, StoreError> {
        Ok(Vec::new())
    }

    async fn give_back(&self, _messages: &[(TenantId, MessageId)], _now: Timestamp) -> Result<Recovered, StoreError> {
        Ok(Recovered::default())
    }

    async fn prune(&self, _retention: ums_core::Retention, _now: Timestamp, _limit: usize) -> Result<ums_core::Pruned, StoreError> {
        Ok(ums_core::Pruned::default())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let state = self.state();
        Ok(fence::LANES
            .into_iter()
            .filter_map(|purpose| state.first_due(purpose))
            .map(|row| row.1)
            .min())
    }

    async fn recover(&self, _now: Timestamp) -> Result<Recovered, StoreError> {
        // What a dead process worked on died with it.
        Ok(Recovered::default())
    }

    async fn save_breaker(&self, record: BreakerRecord) -> Result<(), StoreError> {
        self.state().breakers.insert((record.provider, record.account.clone()), record);
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
                let may_have_sent = matches!(attempt.outcome, AttemptOutcome::Accepted | AttemptOutcome::Unknown);
                may_have_sent && attempt.provider == provider && attempt.account == *account && attempt.called_at >= since
            });
            let written_to = |status| !matches!(status, Status::Suppressed | Status::Unsubscribed);
            taken.map(move |_| record.recipients.iter().filter(|recipient| written_to(recipient.status)).count())
        });
        Ok(sent.map(|count| u64::try_from(count).unwrap_or(u64::MAX)).sum())
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
