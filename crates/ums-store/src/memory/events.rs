//! Events of providers in memory: those of messages, and those that wait for theirs.

use std::collections::{BTreeMap, BTreeSet};

use ums_core::{AccountId, Event, EventRecord, MessageId, Parked, ProviderKind, Timestamp};

/// What makes an event one and the same.
type Key = (ProviderKind, AccountId, String);

fn key(event: &Event) -> Key {
    (event.provider, event.account.clone(), event.id.clone())
}

struct Kept {
    record: EventRecord,
    message: Option<MessageId>,
    /// When to look at it again, while it is parked.
    due_at: Option<Timestamp>,
    looks: u32,
}

/// The events of all messages and of none, numbered as they came.
#[derive(Default)]
pub(super) struct Events {
    kept: BTreeMap<u64, Kept>,
    numbers: BTreeMap<Key, u64>,
    parked: BTreeSet<(Timestamp, u64)>,
    of_message: BTreeMap<MessageId, BTreeSet<u64>>,
    last: u64,
}

impl Events {
    /// Whether an event is kept and not parked.
    pub(super) fn is_known(&self, event: &Event) -> bool {
        let kept = self.numbers.get(&key(event)).and_then(|number| self.kept.get(number));
        kept.is_some_and(|kept| kept.due_at.is_none())
    }

    /// Gives events to a message, but for those that are known.
    pub(super) fn give(&mut self, message: MessageId, records: Vec<EventRecord>) {
        for record in records {
            if self.is_known(&record.event) {
                continue;
            }
            let number = self.number(&record.event);
            self.of_message.entry(message).or_default().insert(number);
            let kept = Kept {
                record,
                message: Some(message),
                due_at: None,
                looks: 0,
            };
            self.kept.insert(number, kept);
        }
    }

    /// The number of an event that is not known. It is not parked any more.
    fn number(&mut self, event: &Event) -> u64 {
        let last = &mut self.last;
        let number = *self.numbers.entry(key(event)).or_insert_with(|| {
            *last += 1;
            *last
        });
        if let Some(due_at) = self.kept.get(&number).and_then(|kept| kept.due_at) {
            self.parked.remove(&(due_at, number));
        }
        number
    }

    /// Parks an event that is not known. Whether it is the first time.
    pub(super) fn park(&mut self, record: EventRecord, due_at: Option<Timestamp>, looks: u32) -> bool {
        let number = self.number(&record.event);
        if let Some(due_at) = due_at {
            self.parked.insert((due_at, number));
        }
        if let Some(kept) = self.kept.get_mut(&number) {
            (kept.due_at, kept.looks) = (due_at, kept.looks.max(looks));
            return false;
        }
        let kept = Kept {
            record,
            message: None,
            due_at,
            looks,
        };
        self.kept.insert(number, kept);
        true
    }

    /// Makes parked events due at `now` that are due after `late`. Says how many.
    pub(super) fn hasten(&mut self, late: Timestamp, now: Timestamp, limit: usize) -> usize {
        let parked: Vec<_> = self.parked.iter().filter(|row| row.0 > late).take(limit).copied().collect();
        for (due_at, number) in &parked {
            self.parked.remove(&(*due_at, *number));
            self.parked.insert((now, *number));
            if let Some(kept) = self.kept.get_mut(number) {
                kept.due_at = Some(now);
            }
        }
        parked.len()
    }

    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<Parked> {
        let due = self.parked.range(..=(now, u64::MAX)).take(limit);
        let kept = due.filter_map(|(_, number)| self.kept.get(number));
        let parked = kept.map(|kept| Parked {
            record: kept.record.clone(),
            due_at: kept.due_at,
            looks: kept.looks,
            suppress: Vec::new(),
            lift: Vec::new(),
            notices: Vec::new(),
        });
        parked.collect()
    }

    /// The events of a message in the order in which they came.
    pub(super) fn of(&self, message: MessageId) -> Vec<EventRecord> {
        let numbers = self.of_message.get(&message).into_iter().flatten();
        numbers
            .filter_map(|number| self.kept.get(number))
            .map(|kept| kept.record.clone())
            .collect()
    }

    fn remove(&mut self, number: u64) {
        let Some(kept) = self.kept.remove(&number) else { return };
        self.numbers.remove(&key(&kept.record.event));
        if let Some(due_at) = kept.due_at {
            self.parked.remove(&(due_at, number));
        }
    }

    /// Forgets the events of a message.
    pub(super) fn forget_message(&mut self, message: MessageId) {
        for number in self.of_message.remove(&message).unwrap_or_default() {
            self.remove(number);
        }
    }

    /// Forgets at most `limit` events of no message that came before a time. Says how many.
    pub(super) fn forget(&mut self, before: Timestamp, limit: usize) -> usize {
        let is_old = |kept: &Kept| kept.message.is_none() && kept.record.received_at < before;
        let old = self.kept.iter().filter(|(_, kept)| is_old(kept)).map(|(number, _)| *number);
        let old: Vec<u64> = old.take(limit).collect();
        for number in &old {
            self.remove(*number);
        }
        old.len()
    }
}
