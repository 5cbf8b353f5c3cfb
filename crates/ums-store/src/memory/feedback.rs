//! Events of providers in memory: those of messages, and those that wait for theirs.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use ums_core::{
    AccountId, AttemptId, AttemptRecord, Event, EventRecord, FeedbackStep, FeedbackStore, FeedbackTaken, MessageId, MessageRecord, Parked,
    ProviderKind, RecipientRecord, Step, StoreError, Target, Targets, Timestamp, suppression_address,
};

use super::MemoryStore;
use super::state::State;
use crate::{fence, matching};

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
    fn park(&mut self, record: EventRecord, due_at: Option<Timestamp>, looks: u32) -> bool {
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

    fn due(&self, now: Timestamp, limit: usize) -> Vec<Parked> {
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

/// Which messages attempts belong to.
#[derive(Default)]
pub(super) struct Calls {
    by_id: BTreeMap<AttemptId, MessageId>,
    /// By the provider's id; of several the one that was called last.
    by_reference: BTreeMap<Key, (Timestamp, MessageId)>,
}

fn reference(attempt: &AttemptRecord) -> Option<Key> {
    let reference = attempt.provider_message_id.clone()?;
    Some((attempt.provider, attempt.account.clone(), reference))
}

impl Calls {
    pub(super) fn note(&mut self, message: MessageId, attempt: &AttemptRecord) {
        self.by_id.insert(attempt.id, message);
        if let Some(reference) = reference(attempt) {
            let place = self.by_reference.entry(reference).or_insert((attempt.called_at, message));
            if place.0 <= attempt.called_at {
                *place = (attempt.called_at, message);
            }
        }
    }

    pub(super) fn forget_message(&mut self, record: &MessageRecord) {
        for attempt in &record.attempts {
            self.by_id.remove(&attempt.id);
            if let Some(reference) = reference(attempt)
                && self.by_reference.get(&reference).is_some_and(|place| place.1 == record.message.id)
            {
                self.by_reference.remove(&reference);
            }
        }
    }
}

impl State {
    fn target(&self, event: &Event) -> Option<(MessageId, Option<AttemptId>)> {
        let about = &event.about;
        if let Some(attempt_id) = about.attempt_id
            && let Some(message) = self.calls.by_id.get(&attempt_id)
        {
            return Some((*message, Some(attempt_id)));
        }
        let by_id = about.message_id.filter(|id| self.messages.contains_key(id));
        let by_reference = || {
            let reference = about.provider_message_id.clone()?;
            let place = self.calls.by_reference.get(&(event.provider, event.account.clone(), reference));
            place.map(|place| place.1)
        };
        let message = by_id.or_else(by_reference)?;
        let attempts = &self.messages.get(&message)?.record.attempts;
        Some((message, matching::attempt_of(event, attempts)))
    }

    fn targets(&self, events: &[Event]) -> Targets {
        let mut targets = Targets::default();
        let mut places = BTreeMap::new();
        for event in events {
            let found = if self.events.is_known(event) {
                Target::Known
            } else if let Some((id, attempt)) = self.target(event) {
                let place = *places.entry(id).or_insert_with(|| {
                    targets.messages.extend(self.whole(id));
                    targets.messages.len() - 1
                });
                Target::Message(place, attempt)
            } else {
                Target::Nobody
            };
            targets.of.push(found);
        }
        targets
    }

    fn apply_feedback(&mut self, step: Step, now: Timestamp, keep_ended: usize) -> Result<FeedbackTaken, StoreError> {
        let are_known = step.events.iter().all(|record| self.events.is_known(&record.event));
        if !step.events.is_empty() && are_known {
            return Ok(FeedbackTaken::Known);
        }
        matching::taken(self.record(fence::judge_feedback, step, now, keep_ended))
    }

    fn park(&mut self, parked: Parked, now: Timestamp) -> FeedbackTaken {
        if self.events.is_known(&parked.record.event) {
            return FeedbackTaken::Known;
        }
        if self.events.park(parked.record, parked.due_at, parked.looks) {
            self.note_aside(parked.suppress, parked.lift, parked.notices, now);
        }
        FeedbackTaken::Kept
    }
}

#[async_trait]
impl FeedbackStore for MemoryStore {
    async fn feedback_targets(&self, events: &[Event]) -> Result<Targets, StoreError> {
        Ok(self.state().targets(events))
    }

    async fn take_feedback(&self, steps: Vec<FeedbackStep>) -> Result<Vec<FeedbackTaken>, StoreError> {
        let now = self.clock.now();
        let mut state = self.state();
        let mut take = |step| match step {
            FeedbackStep::Apply(step) => state.apply_feedback(*step, now, self.keep_ended),
            FeedbackStep::Park(parked) => Ok(state.park(*parked, now)),
        };
        steps.into_iter().map(&mut take).collect()
    }

    async fn parked_events(&self, now: Timestamp, limit: usize) -> Result<Vec<Parked>, StoreError> {
        Ok(self.state().events.due(now, limit))
    }

    async fn unknown_attempts_to(
        &self,
        provider: ProviderKind,
        account: &AccountId,
        address: &str,
        (since, until): (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        let address = suppression_address(provider.channel(), address);
        let is_theirs = |attempt: &&AttemptRecord| {
            let is_in_time = (since..=until).contains(&attempt.called_at);
            is_in_time && attempt.provider == provider && attempt.account == *account
        };
        let state = self.state();
        let found = state.messages.values().map(|entry| &entry.record).filter(|record| {
            let is_address = |recipient: &RecipientRecord| suppression_address(provider.channel(), &recipient.address) == address;
            record.unknown_attempts().filter(is_theirs).any(|attempt| {
                let mut places = record.recipients.iter().enumerate();
                places.any(|(place, recipient)| attempt.is_unknown_for(place) && is_address(recipient))
            })
        });
        Ok(found.take(limit).cloned().collect())
    }

    async fn feedback_cursor(&self, source: &str) -> Result<Option<String>, StoreError> {
        Ok(self.state().cursors.get(source).cloned())
    }

    async fn save_feedback_cursor(&self, source: &str, cursor: &str) -> Result<(), StoreError> {
        self.state().cursors.insert(source.to_owned(), cursor.to_owned());
        Ok(())
    }
}
