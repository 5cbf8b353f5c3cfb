//! The attempts that count against the rules on duplicates.

use std::time::Duration;

use ums_core::{AccountId, ActKind, AttemptOutcome, AttemptRecord, FailureClass, MessageRecord, ProviderKind, RecipientSet, Timestamp};

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

/// The recipients of whom this provider account said, in this turn, that they are on its own unsubscribe list: it would say so again.
pub(crate) fn unsubscribed_at(record: &MessageRecord, provider: ProviderKind, account: &AccountId) -> RecipientSet {
    let its = attempts(record).filter(|attempt| (attempt.provider, &attempt.account) == (provider, account));
    its.map(kept_back).fold(RecipientSet::NOBODY, RecipientSet::or)
}

/// The recipients from whom the provider of an attempt kept the message back because of its own unsubscribe list.
pub(super) fn kept_back(attempt: &AttemptRecord) -> RecipientSet {
    let is_listed = |class| class == FailureClass::ProviderUnsubscribed;
    let by_name = attempt.refused.iter().filter(|refused| is_listed(refused.failure.class));
    let by_name: RecipientSet = by_name.map(|refused| refused.place).collect();
    match attempt.class {
        Some(class) if is_listed(class) => by_name.or(attempt.recipients),
        _ => by_name,
    }
}

/// Whether some provider was really called for the message, as far as is known.
pub(crate) fn was_called(record: &MessageRecord) -> bool {
    let called = |attempt: &AttemptRecord| !matches!(attempt.outcome, AttemptOutcome::NotCalled(_));
    record.attempts.iter().any(called)
}
