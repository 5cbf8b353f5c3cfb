//! Recipients who are not to be contacted: those whom the message brought onto the suppression list, and those who were on it.

use ums_core::{MessageRecord, Status, Suppression, SuppressionOrigin, SuppressionReason, SuppressionScope, Timestamp, listed_key};

use crate::step::{StepKind, StoryStep};

/// Recipients who came onto the suppression list by this message, or who were on it, so that nothing was sent to them.
pub(crate) fn suppressed(record: &MessageRecord, entries: &[Suppression]) -> Vec<StoryStep> {
    let accepted_at = record.message.accepted_at;
    let tell = |entry: &Suppression| {
        let why = why(entry.reason);
        let who = who(entry);
        if entry.message_id == Some(record.message.id) {
            let text = format!("A recipient {why} ({who}) and {}.", from_now_on(entry));
            return Some(step(entry, entry.since.max(accepted_at), text));
        }
        let text = format!("Nothing was sent to a recipient who {why} ({who}, since {}).", entry.since);
        was_left_out(record, entry).then(|| step(entry, accepted_at, text))
    };
    entries.iter().filter_map(tell).collect()
}

fn step(entry: &Suppression, at: Timestamp, text: String) -> StoryStep {
    StoryStep {
        code: Some(entry.reason.to_string()),
        ..StoryStep::new(at, StepKind::Suppressed, None, text)
    }
}

fn was_left_out(record: &MessageRecord, entry: &Suppression) -> bool {
    record.recipients.iter().any(|recipient| {
        matches!(recipient.status, Status::Suppressed | Status::Unsubscribed)
            && listed_key(entry.channel, &recipient.address) == listed_key(entry.channel, &entry.address)
    })
}

const fn why(reason: SuppressionReason) -> &'static str {
    match reason {
        SuppressionReason::HardBounce => "cannot be reached: the address does not exist",
        SuppressionReason::Complaint => "called a message spam",
        SuppressionReason::Stop => "answered STOP",
        SuppressionReason::Unsubscribe => "unsubscribed",
        SuppressionReason::Manual => "was put on the suppression list",
    }
}

/// What follows from an entry.
fn from_now_on(entry: &Suppression) -> String {
    match (entry.reason.scope(), &entry.list) {
        (SuppressionScope::All, _) => "is not contacted again".to_owned(),
        (SuppressionScope::Bulk, None) => "gets no more bulk messages; receipts and codes still go out".to_owned(),
        (SuppressionScope::Bulk, Some(list)) => format!("gets no more bulk messages of the list {list}; all others still go out"),
    }
}

fn who(entry: &Suppression) -> String {
    let by = entry.provider.map(|provider| format!(" by {provider}")).unwrap_or_default();
    match entry.origin {
        SuppressionOrigin::Feedback => format!("reported{by}"),
        SuppressionOrigin::Refusal => format!("refused{by}"),
        SuppressionOrigin::Link => "by the link in a message".to_owned(),
        SuppressionOrigin::Operator => "by an operator or a caller".to_owned(),
        SuppressionOrigin::Import => "by an import".to_owned(),
    }
}
