//! What a message's record says for people: who did not take it and why, and what that makes of it.

use ums_core::{AttemptOutcome, AttemptRecord, FailureClass, MessageRecord, Skip, Status};

use crate::flow::Flow;
use crate::observer::SettledEvent;

/// Whether a provider was passed over for another reason than the last time, or was called since. A message that is held through a
/// long outage is looked at again and again: saying the same each time would fill the store.
pub(crate) fn is_news(record: &MessageRecord, skip: &Skip) -> bool {
    let same_provider = |earlier: &&Skip| (earlier.provider, &earlier.account) == (skip.provider, &skip.account);
    record.skips.iter().rev().find(same_provider).is_none_or(|earlier| {
        (&earlier.reason, &earlier.detail) != (&skip.reason, &skip.detail)
            || record
                .attempts
                .iter()
                .any(|attempt| attempt.provider == skip.provider && attempt.called_at >= earlier.at)
    })
}

/// Each provider and why it did not take the message the last time, in one line.
fn causes(record: &MessageRecord) -> Option<String> {
    let (attempts, skips) = (&record.attempts, &record.skips);
    let tried = attempts
        .iter()
        .enumerate()
        .filter(|(index, attempt)| {
            attempt.outcome != AttemptOutcome::Accepted
                && !attempts.iter().skip(index + 1).any(|later| later.provider == attempt.provider)
                && !skips
                    .iter()
                    .any(|skip| skip.provider == attempt.provider && skip.at > attempt.called_at)
        })
        .map(|(_, attempt)| {
            let class = attempt.class.map_or("?", FailureClass::as_str);
            let code = attempt.code.as_deref().unwrap_or("?");
            format!("{}: {class} ({code})", attempt.provider)
        });
    let skipped = skips
        .iter()
        .enumerate()
        .filter(|(index, skip)| {
            !skips.iter().skip(index + 1).any(|later| later.provider == skip.provider)
                && !attempts
                    .iter()
                    .any(|attempt| attempt.provider == skip.provider && attempt.called_at >= skip.at)
        })
        .map(|(_, skip)| format!("{}: not tried, {} ({})", skip.provider, skip.reason, skip.detail));
    let lines: Vec<String> = tried.chain(skipped).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// Why nobody took the message so far.
pub(crate) fn why_not_taken(record: &MessageRecord) -> String {
    let known = if record.has_unknown_attempt() {
        "no provider is known to have taken it"
    } else {
        "no provider took it"
    };
    causes(record).map_or_else(|| "no provider was free".to_owned(), |causes| format!("{known}: {causes}"))
}

/// The end of a message that no provider is known to have taken: never `failed` or `expired` while
/// an attempt may have been accepted.
pub(crate) fn end_without_acceptance(record: &MessageRecord, status: Status, why: impl Into<String>) -> (Status, String) {
    if !record.has_unknown_attempt() {
        return (status, why.into());
    }
    let error = "a provider may have taken it; nothing more will be tried";
    let error = causes(record).map_or_else(|| error.to_owned(), |causes| format!("{error} ({causes})"));
    (Status::Unknown, error)
}

/// The attempts since an operator had the message sent again; all, if nobody did. Only these count against the rules on
/// duplicates: the operator knew of the earlier ones and answers for a double. [`resent_at`] keeps the two apart by time.
pub(crate) fn attempts_of_this_turn(record: &MessageRecord) -> impl Iterator<Item = &AttemptRecord> {
    let resent_at = resent_at(record);
    record
        .attempts
        .iter()
        .filter(move |attempt| resent_at.is_none_or(|at| attempt.called_at >= at))
}

/// When the message was last had sent again. Later than every attempt before, and not later than any after, whatever the clock did
/// meanwhile: whoever writes an act or an attempt sees to it.
pub(crate) fn resent_at(record: &MessageRecord) -> Option<ums_core::Timestamp> {
    let again = |kind| matches!(kind, ums_core::ActKind::Resent | ums_core::ActKind::Replayed);
    record.acts.iter().rev().find(|act| again(act.kind)).map(|act| act.at)
}

/// Why the provider of a committed intent was not called after all.
pub(crate) const NOT_CALLED: [&str; 3] = ["closing", "lease_lost", "not_called"];

/// Whether some provider was really called for the message, as far as is known.
pub(crate) fn was_called(record: &MessageRecord) -> bool {
    record
        .attempts
        .iter()
        .any(|attempt| attempt.code.as_deref().is_none_or(|code| !NOT_CALLED.contains(&code)))
}

/// How many attempts of this turn may have been accepted.
pub(crate) fn unknown_of_this_turn(record: &MessageRecord) -> usize {
    attempts_of_this_turn(record)
        .filter(|attempt| attempt.outcome == AttemptOutcome::Unknown)
        .count()
}

/// Tells whoever counts that a message has an outcome, or is held.
pub(crate) fn tell_result(flow: &Flow, record: &MessageRecord) {
    let costs = record.attempts.iter().filter_map(|attempt| attempt.cost_micros);
    let cost_micros = costs.reduce(i64::saturating_add);
    let taken = record
        .attempts
        .iter()
        .filter(|attempt| matches!(attempt.outcome, AttemptOutcome::Accepted | AttemptOutcome::Unknown))
        .count();
    let (message, status, channel) = (record.message.id, record.status, record.message.content.channel());
    tracing::info!(message_id = %message, %channel, %status, attempts = record.attempts.len(), cost_micros, "settled");
    flow.observer.settled(&SettledEvent {
        channel,
        status,
        possibly_duplicate: taken > 1,
        cost_micros,
    });
}
