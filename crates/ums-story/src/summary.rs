//! The whole in a sentence, and what happens next.

use ums_core::{AttemptOutcome, MessageRecord, RecipientRecord, Status, Work};

use crate::refusal;

/// Where the message stands, in a sentence; a second one when it may have arrived twice.
pub(crate) fn summary(record: &MessageRecord) -> String {
    let (stands, apart, held) = (stands(record), apart(record), held(record));
    let possibly_twice = if record.may_have_arrived_twice() {
        " It may have arrived twice."
    } else {
        ""
    };
    format!("{stands}{apart}{held}.{possibly_twice}")
}

/// The sentence of the message's status, without its full stop.
fn stands(record: &MessageRecord) -> String {
    let by = record
        .carrier()
        .map(|attempt| format!(" by {}", attempt.provider))
        .unwrap_or_default();
    let after = after(record);
    let why = record.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    match record.status {
        Status::Pending => "Accepted, not yet picked up".to_owned(),
        Status::Scheduled => "Waits for its time".to_owned(),
        Status::Queued => format!("Held{}{after}, not lost{why}", for_some(record)),
        Status::Sending => format!("A provider is being called{}", for_some(record)),
        Status::Sent => format!("Sent{by}{after}"),
        Status::Delivered => format!("Delivered{by}{after}"),
        Status::Bounced => format!("Sent{by}, and it came back{why}"),
        Status::Failed => format!("Not sent{after}{why}"),
        Status::Expired => format!("Given up when its time was over{after}{why}"),
        Status::Cancelled => "Cancelled before it was sent".to_owned(),
        Status::Suppressed => format!("Not sent: the recipient is not to be contacted{why}"),
        Status::Unsubscribed => format!("Not sent: the recipient opted out{why}"),
        Status::Unknown => format!("Nobody can say whether it was sent{why}"),
    }
}

/// How many calls failed. An attempt whose provider was not called is none.
fn after(record: &MessageRecord) -> String {
    let failed = record
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome == AttemptOutcome::Failed)
        .count();
    if failed == 0 {
        String::new()
    } else {
        format!(" after {failed} failed attempt(s)")
    }
}

/// Whom a message without an end waits for, when others have one.
fn for_some(record: &MessageRecord) -> String {
    let (all, open) = (record.recipients.len(), open_count(record));
    if open == all {
        String::new()
    } else {
        format!(" for {open} of {all} recipients")
    }
}

/// Who has the message although its word says that it was not sent, or the other way round: each name with its end.
fn apart(record: &MessageRecord) -> String {
    if !record.status.is_final() {
        return String::new();
    }
    let recipients = record.recipients.iter().enumerate();
    let differs = |status: Status| status.is_final() && status.is_success() != record.status.is_success();
    let names: Vec<String> = recipients
        .filter(|(_, recipient)| differs(recipient.status))
        .map(|(place, recipient)| {
            let reason = refused(record, place).or_else(|| recipient.reason.clone());
            let why = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("{} {}{why}", recipient.address, recipient.status)
        })
        .collect();
    match names.len() {
        0 => String::new(),
        1 => format!("; 1 recipient has another end: {}", names.join(", ")),
        several => format!("; {several} recipients have another end: {}", names.join(", ")),
    }
}

/// Who is held although the message's word is an end: each name with its reason.
fn held(record: &MessageRecord) -> String {
    if record.has_ended() || !record.status.is_final() {
        return String::new();
    }
    let open = record
        .recipients
        .iter()
        .enumerate()
        .filter(|(_, recipient)| !recipient.status.is_final());
    let names: Vec<String> = open.map(|(place, recipient)| named(record, place, recipient)).collect();
    let is_held = if names.len() == 1 { "recipient is" } else { "recipients are" };
    format!("; {} {is_held} still held: {}", names.len(), names.join(", "))
}

/// A recipient and why: the refusal of the last attempt, else the recipient's own reason, else the message's.
fn named(record: &MessageRecord, place: usize, recipient: &RecipientRecord) -> String {
    let reason = refused(record, place)
        .or_else(|| recipient.reason.clone())
        .or_else(|| record.error.clone());
    match reason {
        Some(reason) => format!("{} ({reason})", recipient.address),
        None => recipient.address.clone(),
    }
}

/// The provider's reply, if the last attempt for the recipient at that place was a refusal by name.
fn refused(record: &MessageRecord, place: usize) -> Option<String> {
    let last = record.attempts.iter().rev().find(|attempt| refusal::was_tried(attempt, place))?;
    let refused = last.refused.iter().find(|refused| refused.place == place)?;
    Some(refusal::reply(&refused.failure))
}

/// What happens next by itself; none when every recipient has an end.
pub(crate) fn next(record: &MessageRecord) -> Option<String> {
    let whom = match (open_count(record), record.status.is_final()) {
        (_, false) => String::new(),
        (1, true) => " for the recipient who is held".to_owned(),
        (open, true) => format!(" for the {open} recipients who are held"),
    };
    let first = match record.work {
        Work::Ended => return None,
        Work::InHand => format!("It is being worked on{whom}"),
        Work::Due(at) => format!("It is taken up at {at}{whom}"),
    };
    Some(format!(
        "{first}; if nobody takes it, it is given up at {}.",
        record.message.expires_at
    ))
}

fn open_count(record: &MessageRecord) -> usize {
    let all = record.recipients.len();
    usize::try_from(record.open_recipients().count(all)).unwrap_or(all)
}
