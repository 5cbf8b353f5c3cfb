//! Facts of an attempt that stand in several columns of its row: read the same in every dialect.
//!
//! A column that a row should not have does not count: a replica of the release before changes an attempt without knowing
//! the newer columns. A word that this release does not know counts as none, since a later release may work beside this one.

use std::str::FromStr;

use ums_core::{AttemptOutcome, AttemptRecord, FailureClass, RefusedRecipient, SettledBy, StoreError};

use crate::{before, newer};

/// The words of a row that say how its attempt ended beside the outcome.
pub(crate) struct Words<'a> {
    pub(crate) not_called: Option<&'a str>,
    pub(crate) settled_by: Option<&'a str>,
    pub(crate) newer_class: Option<&'a str>,
}

/// The word of the column `class`, which the release before reads.
pub(crate) fn class(attempt: &AttemptRecord) -> Option<&'static str> {
    attempt.class.map(|class| newer::nearest(class).as_str())
}

/// The word of the column `newer_class`.
pub(crate) fn newer_class(attempt: &AttemptRecord) -> Option<&'static str> {
    newer::beside(attempt.class).map(FailureClass::as_str)
}

/// The word of the column `not_called`.
pub(crate) const fn not_called(attempt: &AttemptRecord) -> Option<&'static str> {
    match attempt.outcome {
        AttemptOutcome::NotCalled(why) => Some(why.as_str()),
        AttemptOutcome::Calling | AttemptOutcome::Accepted | AttemptOutcome::Failed | AttemptOutcome::Unknown => None,
    }
}

/// The text of the column `refused`; none where nobody was refused by name.
pub(crate) fn refused(attempt: &AttemptRecord) -> Result<Option<String>, StoreError> {
    let refused: &[RefusedRecipient] = &attempt.refused;
    if refused.is_empty() {
        Ok(None)
    } else {
        newer::refused_json(refused).map(Some)
    }
}

/// The attempt of a row, whose outcome is the row's word so far, with what its other words say.
pub(crate) fn with_words(mut attempt: AttemptRecord, words: &Words<'_>) -> AttemptRecord {
    attempt.class = newer::class(attempt.class, words.newer_class.and_then(known));
    if attempt.outcome == AttemptOutcome::Failed
        && let Some(why) = words.not_called.and_then(known).or_else(|| before::not_called(&attempt))
    {
        attempt.outcome = AttemptOutcome::NotCalled(why);
    }
    let settled_by = words.settled_by.and_then(known).filter(|by| fits(*by, attempt.outcome));
    attempt.settled_by = settled_by.or_else(|| before::settled_by(&attempt).filter(|by| fits(*by, attempt.outcome)));
    let is_settled = matches!(attempt.outcome, AttemptOutcome::Accepted | AttemptOutcome::Failed);
    attempt.unknown_until = attempt.unknown_until.filter(|_| is_settled);
    attempt
}

fn known<T: FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}

/// Whether an attempt with this outcome can have been settled so.
const fn fits(by: SettledBy, outcome: AttemptOutcome) -> bool {
    match by {
        SettledBy::Feedback => matches!(outcome, AttemptOutcome::Accepted | AttemptOutcome::Failed),
        SettledBy::MarkedSent | SettledBy::MarkedDelivered => matches!(outcome, AttemptOutcome::Accepted),
        SettledBy::MarkedFailed => matches!(outcome, AttemptOutcome::Failed),
    }
}
