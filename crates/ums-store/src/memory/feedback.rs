//! What providers reported, taken up in memory.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use ums_core::{
    AccountId, AttemptId, AttemptRecord, Event, FeedbackStep, FeedbackStore, FeedbackTaken, MessageId, MessageRecord, Parked, ProviderKind,
    RecipientRecord, Step, StoreError, Target, Targets, Timestamp, subscriber_key,
};

use super::MemoryStore;
use super::state::State;
use crate::{fence, matching};

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
            self.note_aside(parked.suppress, &parked.lift, &parked.notices, now);
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
        called: RangeInclusive<Timestamp>,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        let subscriber = subscriber_key(provider.channel(), address);
        let is_theirs = |attempt: &&AttemptRecord| {
            let is_in_time = called.contains(&attempt.called_at);
            is_in_time && attempt.provider == provider && attempt.account == *account
        };
        let state = self.state();
        let found = state.messages.values().map(|entry| &entry.record).filter(|record| {
            let is_address = |recipient: &RecipientRecord| subscriber_key(provider.channel(), &recipient.address) == subscriber;
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
