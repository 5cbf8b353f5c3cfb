//! The messages that attempts belong to, found by the attempt's id and by the provider's.

use std::collections::BTreeMap;

use ums_core::{AccountId, AttemptId, AttemptRecord, MessageId, MessageRecord, ProviderKind, Timestamp};

/// A provider's id of a message.
type Reference = (ProviderKind, AccountId, String);

/// Which messages attempts belong to.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) by_id: BTreeMap<AttemptId, MessageId>,
    /// By the provider's id; of several the one that was called last.
    pub(super) by_reference: BTreeMap<Reference, (Timestamp, MessageId)>,
}

fn reference(attempt: &AttemptRecord) -> Option<Reference> {
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
