//! The trusted time in memory, and what was put off by a wrong clock.

use async_trait::async_trait;
use ums_core::{KeptTime, LongestWaits, MessageId, Status, StoreError, TimeStore, Timestamp, Work};

use std::sync::Arc;

use super::MemoryStore;
use super::state::State;

#[async_trait]
impl TimeStore for MemoryStore {
    async fn database_time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn kept_time(&self) -> Result<Option<KeptTime>, StoreError> {
        Ok(self.state().kept_time.clone())
    }

    async fn keep_time(&self, time: &KeptTime) -> Result<(), StoreError> {
        self.state().kept_time = Some(time.clone());
        Ok(())
    }

    async fn hasten(&self, waits: LongestWaits, now: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let mut state = self.state();
        let hastened = state.hasten(waits, now, limit)
            + state.outbox.hasten(now + waits.notices, now, limit)
            + state.events.hasten(now + waits.events, now, limit);
        Ok(u64::try_from(hastened).unwrap_or(u64::MAX))
    }
}

impl State {
    fn hasten(&mut self, waits: LongestWaits, now: Timestamp, limit: usize) -> usize {
        let (late, accepted_by) = (now + waits.messages, now + waits.tolerance);
        let is_late = |id: &MessageId| {
            self.messages.get(id).is_some_and(|entry| {
                let message = &entry.record.message;
                let (accepted_at, expires_at) = (message.accepted_at, message.expires_at);
                let has_wrong_life = accepted_at > accepted_by && expires_at > accepted_at;
                let due_at = entry.record.work.due_at();
                entry.record.status != Status::Scheduled
                    && due_at.is_some_and(|due_at| due_at > late && (due_at < expires_at || has_wrong_life))
            })
        };
        let ids: Vec<_> = self.due.iter().map(|place| place.3).filter(is_late).take(limit).collect();
        for id in &ids {
            let Some(entry) = self.messages.get_mut(id) else { continue };
            let was_due_at = std::mem::replace(&mut entry.record.work, Work::Due(now)).due_at();
            let message = &entry.record.message;
            if message.accepted_at > accepted_by {
                let life = message.expires_at.since(message.accepted_at);
                Arc::make_mut(&mut entry.record.message).expires_at = now + life;
            }
            self.settle(*id, was_due_at, usize::MAX);
        }
        ids.len()
    }
}
