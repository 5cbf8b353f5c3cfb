//! Rules that every implementation shares: which attempt of a message an event is about, and what becomes of a step that it makes.

use ums_core::{AttemptId, AttemptRecord, Event, FeedbackTaken, StoreError};

/// The attempt of a message that an event is about which does not name it: the one that has the provider's id, else the only one of
/// that provider and account.
pub(crate) fn attempt_of(event: &Event, attempts: &[AttemptRecord]) -> Option<AttemptId> {
    let theirs = || {
        let is_theirs = |attempt: &&AttemptRecord| attempt.provider == event.provider && attempt.account == event.account;
        attempts.iter().filter(is_theirs)
    };
    let reference = event.about.provider_message_id.as_deref();
    let is_named = |attempt: &&AttemptRecord| reference.is_some() && attempt.provider_message_id.as_deref() == reference;
    if let Some(named) = theirs().rfind(is_named) {
        return Some(named.id);
    }
    let mut theirs = theirs();
    theirs.next().filter(|_| theirs.next().is_none()).map(|only| only.id)
}

/// What becomes of a step that was recorded, or was not.
pub(crate) fn taken(recorded: Result<(), StoreError>) -> Result<FeedbackTaken, StoreError> {
    match recorded {
        Ok(()) => Ok(FeedbackTaken::Kept),
        Err(StoreError::Fenced | StoreError::NotFound | StoreError::IllegalMove { .. } | StoreError::MustNotContact(_)) => {
            Ok(FeedbackTaken::Refused)
        }
        Err(
            fault @ (StoreError::Unavailable(_)
            | StoreError::CommitUnknown(_)
            | StoreError::Corrupt { .. }
            | StoreError::Gone(_)
            | StoreError::Unusable(_)),
        ) => Err(fault),
    }
}
