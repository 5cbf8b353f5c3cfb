//! What the release before wrote: facts of an attempt that stand in its texts alone.
//!
//! The migration `old attempts` gives the rows that it finds their facts. During an upgrade replicas of the release before write more such rows
//! after it, so every reader of a row asks here when a column is empty. This module may go one release after this one, when the migration of
//! that release has mapped those rows once more.

use ums_core::{AttemptRecord, FailureClass, NotCalled, SettledBy};

const WAS_NOT_CALLED: &str = "the provider was not called";

const SETTLED: [(&str, SettledBy); 4] = [
    ("settled by feedback", SettledBy::Feedback),
    ("marked as sent", SettledBy::MarkedSent),
    ("marked as delivered", SettledBy::MarkedDelivered),
    ("marked as failed", SettledBy::MarkedFailed),
];

/// Why the provider was not called, of an attempt that failed.
pub(crate) fn not_called(attempt: &AttemptRecord) -> Option<NotCalled> {
    // The release before did not record the recipients of its own intents, and it ends no others so.
    if attempt.recipients.is_recorded() {
        return None;
    }
    match attempt.code.as_deref()? {
        "closing" => Some(NotCalled::Closing),
        "lease_lost" => Some(NotCalled::LeaseLost),
        "not_called" => Some(NotCalled::IntentLate),
        // A provider's own code may be the same word.
        "expired" => {
            let is_ours = attempt.class == Some(FailureClass::Unavailable) && attempt.detail.as_deref() == Some(WAS_NOT_CALLED);
            is_ours.then_some(NotCalled::Expired)
        }
        _ => None,
    }
}

/// Who settled the attempt.
pub(crate) fn settled_by(attempt: &AttemptRecord) -> Option<SettledBy> {
    let detail = attempt.detail.as_deref()?;
    SETTLED.iter().find(|(text, _)| *text == detail).map(|(_, by)| *by)
}
