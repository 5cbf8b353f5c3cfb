//! The attempts that count against the rules on duplicates.

use std::time::Duration;

use ums_core::{ActKind, AttemptOutcome, AttemptRecord, MessageRecord, Timestamp};

/// Time of the last resend. Every earlier attempt has a smaller `called_at`, every later one a greater or equal one: acts and intents
/// are written so, even if the clock jumps.
pub(super) fn resent_at(record: &MessageRecord) -> Option<Timestamp> {
    let again = |kind| matches!(kind, ActKind::Resent | ActKind::Replayed);
    record.acts.iter().rev().find(|act| again(act.kind)).map(|act| act.at)
}

/// A time after every attempt, whatever the clock says: what is written at that time stands between the attempts before and after it.
pub(super) fn after_every_attempt(record: &MessageRecord, now: Timestamp) -> Timestamp {
    let last = record.attempts.iter().map(|attempt| attempt.called_at).max();
    last.map_or(now, |last| now.max(last + Duration::from_micros(1)))
}

/// The attempts since an operator had the message sent again; all attempts, if nobody did. The operator knew of the earlier ones and
/// answers for a double.
pub(super) fn attempts(record: &MessageRecord) -> impl DoubleEndedIterator<Item = &AttemptRecord> {
    let resent_at = resent_at(record);
    record
        .attempts
        .iter()
        .filter(move |attempt| resent_at.is_none_or(|at| attempt.called_at >= at))
}

/// The attempts of this turn that may have reached the recipient at that place, and nobody knows.
pub(super) fn unknown_for(record: &MessageRecord, place: usize) -> impl DoubleEndedIterator<Item = &AttemptRecord> {
    attempts(record).filter(move |attempt| attempt.is_unknown_for(place))
}

/// Whether some provider was really called for the message, as far as is known.
pub(crate) fn was_called(record: &MessageRecord) -> bool {
    let called = |attempt: &AttemptRecord| !matches!(attempt.outcome, AttemptOutcome::NotCalled(_));
    record.attempts.iter().any(called)
}
