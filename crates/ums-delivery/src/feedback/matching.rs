//! Finds the message of an event that names only its recipient: some providers echo none of our ids.

use ums_core::{AttemptId, AttemptOutcome, AttemptRecord, MessageRecord, StoreError};

use crate::desk::Desk;
use crate::fate::is_signed;
use crate::parking::Item;

/// Number of looks before an event is matched by recipient and time. The store may get the id of the provider in a moment; until then the
/// event must not go to another message.
const LOOKS_BEFORE: u32 = 2;
/// Messages to read: two that fit are as bad as many, for the event is matched only if one fits.
const ENOUGH: usize = 2;

/// The message with the only unknown attempt that fits recipient and time of the event; none when several fit.
pub(super) async fn by_recipient_and_time(desk: &Desk, item: &Item) -> Result<Option<(MessageRecord, AttemptId)>, StoreError> {
    let event = &item.record.event;
    let names_ours = event.about.attempt_id.is_some() || event.about.message_id.is_some();
    let Some(recipient) = event.recipient.as_ref().filter(|_| !names_ours && may_be_matched(item)) else {
        return Ok(None);
    };
    let at = item.record.happened_at();
    let window = desk.rules.feedback.match_window;
    let called = at - window..=at + window;
    let found = desk
        .ports
        .store
        .unknown_attempts_to(event.provider, &event.account, recipient, called.clone(), ENOUGH)
        .await?;
    let fits = |attempt: &AttemptRecord| {
        attempt.outcome == AttemptOutcome::Unknown
            && (attempt.provider, &attempt.account) == (event.provider, &event.account)
            && called.contains(&attempt.called_at)
            && attempt.provider_message_id.is_none()
    };
    let mut fitting = Vec::new();
    for message in &found {
        let attempts = message.attempts.iter().filter(|attempt| fits(attempt));
        fitting.extend(attempts.map(|attempt| (&message.message, attempt.id)));
    }
    let [(message, attempt)] = fitting[..] else {
        return Ok(None);
    };
    // Read again with its events, which the search leaves out.
    let message = desk.ports.store.message(&message.tenant, message.id).await?;
    Ok(message.map(|message| (message, attempt)))
}

/// Whether an event implies a status, comes with a checked signature, and has waited for a better match.
fn may_be_matched(item: &Item) -> bool {
    let event = &item.record.event;
    item.looks >= LOOKS_BEFORE && event.kind.status().is_some() && is_signed(event.provider)
}
