//! All that is known of a message, in the order in which it happened.

use ums_core::{EventKind, EventRecord, MessageRecord, SettledBy, Suppression, Timestamp};

use crate::act::acted;
use crate::attempt::attempted;
use crate::report::reported;
use crate::skip::skipped;
use crate::step::{StepKind, StoryStep};
use crate::suppression::suppressed;

/// The steps of a message, oldest first.
pub(crate) fn story(record: &MessageRecord, suppressions: &[Suppression]) -> Vec<StoryStep> {
    let mut steps = vec![accepted(record)];
    steps.extend(record.skips.iter().map(skipped));
    steps.extend(attempted(record));
    steps.extend(delivered(record));
    steps.extend(record.acts.iter().map(acted));
    let mut steps: Vec<_> = steps.into_iter().map(|step| (step.at, step)).collect();
    steps.extend(record.events.iter().map(|event| (time_of(record, event), reported(event))));
    steps.extend(suppressed(record, suppressions).into_iter().map(|step| (step.at, step)));
    // Stable: at one instant a provider is passed over before the next is tried.
    steps.sort_by_key(|(at, _)| *at);
    steps.into_iter().map(|(_, step)| step).collect()
}

/// When a report stands in the story. A provider's clock may be behind ours: nothing is reported of a call before that began.
fn time_of(record: &MessageRecord, event: &EventRecord) -> Timestamp {
    let at = event.event.at.unwrap_or(event.received_at);
    let attempt = record.attempts.iter().find(|attempt| Some(attempt.id) == event.attempt_id);
    at.max(attempt.map_or(record.message.accepted_at, |attempt| attempt.called_at))
}

fn accepted(record: &MessageRecord) -> StoryStep {
    let handling = &record.message.handling;
    let via = handling.via.map(|via| format!(", by {via} only")).unwrap_or_default();
    let from = handling.send_at.map(|at| format!(", to be sent from {at} on")).unwrap_or_default();
    let text = format!(
        "Accepted for {} recipient(s), purpose {}, duplicates {}{via}{from}; given up at {}.",
        record.recipients.len(),
        handling.purpose,
        handling.duplicates,
        record.message.expires_at
    );
    StoryStep::new(record.message.accepted_at, StepKind::Accepted, None, text)
}

/// A delivery of which no report is kept.
fn delivered(record: &MessageRecord) -> Option<StoryStep> {
    let is_reported = record.events.iter().any(|event| event.event.kind == EventKind::Delivered);
    let at = record.delivered_at.filter(|_| !is_reported)?;
    let is_marked = record
        .attempts
        .iter()
        .any(|attempt| attempt.settled_by == Some(SettledBy::MarkedDelivered));
    let text = if is_marked {
        "An operator said that the recipient has it."
    } else {
        "The provider reported delivery."
    };
    Some(StoryStep::new(at, StepKind::Delivered, None, text.to_owned()))
}
