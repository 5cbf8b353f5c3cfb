//! What applications are told of where a message stands.

use ums_core::{AttemptOutcome, MessageRecord, NoticeKind, Status};

use super::turn;

/// Where a message stands as far as applications are told; none while there is nothing to tell, such as when it waits for its turn.
///
/// A driver keeps the last status that was told: a message that is held, called for again and held again was told of once.
pub(crate) fn told(record: &MessageRecord) -> Option<Status> {
    NoticeKind::of_status(record.status)?;
    (record.status != Status::Queued || is_held(record)).then_some(record.status)
}

/// Whether a queued message waits because no provider took it, not for its turn.
fn is_held(record: &MessageRecord) -> bool {
    let turn = turn::resent_at(record);
    let skipped_at = record
        .skips
        .last()
        .map(|skip| skip.at)
        .filter(|at| turn.is_none_or(|turn| *at >= turn));
    let last = turn::attempts(record).next_back();
    match (last, skipped_at) {
        (Some(attempt), Some(at)) if at > attempt.called_at => true,
        (Some(attempt), _) => !matches!(attempt.outcome, AttemptOutcome::NotCalled(_)),
        (None, skipped_at) => skipped_at.is_some(),
    }
}
