//! Recipients whom a provider refused by name while it took the message, or may have taken it, for others.

use ums_core::{AttemptOutcome, AttemptRecord, Failure, FailureSource, MessageRecord, RefusedRecipient};

use crate::step::after_colon;

/// Names the recipient with the provider's reply and what follows; `later` are the attempts after the one that refused.
pub(crate) fn sentence(record: &MessageRecord, refused: &RefusedRecipient, later: &[AttemptRecord]) -> String {
    let RefusedRecipient { place, failure } = refused;
    let recipient = record.recipients.get(*place);
    let who = recipient.map_or("A recipient", |recipient| recipient.address.as_str());
    let reply = reply(failure);
    let (channel, purpose) = (record.message.content.channel(), record.message.handling.purpose);
    if failure.class.consequence().recipient.status(channel, purpose).is_none() {
        let is_open = recipient.is_some_and(|recipient| !recipient.status.is_final());
        let then = if later.iter().any(|attempt| was_tried(attempt, *place)) {
            ", so it was tried again"
        } else if is_open {
            ", so it is tried again"
        } else {
            ", and it was not tried again"
        };
        return format!("{who} was refused for now ({reply}){then}.");
    }
    let reason = failure.class.consequence().suppress.reason(channel);
    // What this service found out by itself says nothing of the address.
    let is_listed = reason.is_some() && failure.source == FailureSource::Provider;
    let then = if is_listed {
        ", and its address went onto the suppression list"
    } else {
        ""
    };
    format!("{who} was refused for good ({reply}){then}.")
}

/// The provider's answer: `452 4.5.3: too many recipients`. A reply that begins with its code, or with the enhanced part of it, does
/// not tell that twice.
pub(crate) fn reply(failure: &Failure) -> String {
    let Failure { code, detail, .. } = failure;
    let enhanced = code.split_once(' ').map_or(code.as_str(), |(_, enhanced)| enhanced);
    let rest = detail.strip_prefix(code.as_str()).or_else(|| detail.strip_prefix(enhanced));
    let rest = rest.map_or(detail.as_str(), str::trim_start);
    format!("{code}{}", after_colon(Some(rest)))
}

/// Whether a provider was called for the recipient at that place.
pub(crate) fn was_tried(attempt: &AttemptRecord, place: usize) -> bool {
    let was_for_it = attempt.recipients.contains(place) || attempt.refused.iter().any(|refused| refused.place == place);
    was_for_it && !matches!(attempt.outcome, AttemptOutcome::NotCalled(_))
}
