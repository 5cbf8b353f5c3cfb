//! Finds the message of an event that names its recipient only: some providers tell nothing of ours back.

use ums_core::{AttemptId, AttemptOutcome, AttemptRecord, MessageRecord, StoreError};

use crate::desk::Desk;
use crate::fate::is_signed;
use crate::parking::Item;

/// How often an event is looked at before it is matched so: its own message may only need a moment until the provider's id is kept, and
/// then another one must not have taken it.
const LOOKS_BEFORE: u32 = 2;
/// More than one fits nobody.
const ENOUGH: usize = 2;

/// The message whose unknown attempt alone fits the event's recipient and time.
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
    // With its events, which the search leaves out.
    let message = desk.ports.store.message(&message.tenant, message.id).await?;
    Ok(message.map(|message| (message, attempt)))
}

/// Whether an event says something of a message's way, comes from who it says, and has waited for a better sign.
fn may_be_matched(item: &Item) -> bool {
    let event = &item.record.event;
    item.looks >= LOOKS_BEFORE && event.kind.status().is_some() && is_signed(event.provider)
}
