//! What the store in memory forgets: what is old, and ended messages beyond a number.

use ums_core::{MessageId, MessageRecord, Pruned, Retention, Timestamp};

use super::state::{Entry, State};

impl State {
    pub(super) fn prune(&mut self, retention: Retention, now: Timestamp, limit: usize) -> Pruned {
        let is_old = |entry: &Entry, before| entry.record.has_ended() && entry.record.message.accepted_at < before;
        let mut pruned = Pruned::default();
        for entry in self.messages.values_mut() {
            let is_due = entry.record.has_ended() && entry.forget_body_at.is_some_and(|at| at <= now);
            let is_over = is_due || is_old(entry, retention.bodies_before);
            if pruned.bodies < count(limit) && is_over {
                pruned.bodies += u64::from(entry.forget_body());
            }
        }
        let old = self
            .messages
            .iter()
            .filter(|(_, entry)| is_old(entry, retention.messages_before))
            .map(|(id, _)| *id);
        for id in old.take(limit).collect::<Vec<_>>() {
            self.forget(id);
            pruned.messages += 1;
        }
        let over = self
            .keys
            .iter()
            .filter(|(_, key)| key.expires_at <= now)
            .map(|(key, _)| key.clone());
        for key in over.take(limit).collect::<Vec<_>>() {
            self.keys.remove(&key);
            pruned.keys += 1;
        }
        let before = retention.aftermath_before;
        let aftermath = [
            self.events.forget(before, limit),
            self.outbox.forget(before, limit),
            self.rates.forget(before, limit),
        ]
        .map(count);
        pruned.aftermath = aftermath.iter().sum();
        let full = count(limit);
        pruned.more = limit > 0 && ([pruned.bodies, pruned.messages, pruned.keys].contains(&full) || aftermath.contains(&full));
        pruned
    }

    /// Forgets a message and all that belongs to it.
    fn forget(&mut self, id: MessageId) -> Option<Entry> {
        let entry = self.messages.remove(&id)?;
        let record: &MessageRecord = &entry.record;
        self.calls.forget_message(record);
        self.events.forget_message(id);
        self.outbox.forget_message(&record.message.tenant, id);
        Some(entry)
    }

    pub(super) fn forget_oldest(&mut self, keep_ended: usize) {
        while self.ended.len() > keep_ended {
            let Some((ending, id)) = self.ended.pop_front() else { return };
            // A message that was sent again stands further back, or is not ended any more.
            if self.messages.get(&id).is_none_or(|entry| entry.ending != Some(ending)) {
                continue;
            }
            let Some(Entry { record, keys, .. }) = self.forget(id) else {
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

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
