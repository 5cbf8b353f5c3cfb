//! Parked events: how long an event waits for its message, and what the event does to the suppression list meanwhile.

use std::time::Duration;

use ums_core::{Channel, EventKind, MessageRecord, Parked, StoreError, TenantId, Timestamp};

use crate::desk::Desk;
use crate::fate::{Says, is_signed};
use crate::parking::Item;

/// Age up to which an event is young: its message is probably still in a call. And the longest wait between two looks meanwhile.
const YOUNG: Duration = Duration::from_mins(2);
const LONGEST_WAIT_YOUNG: Duration = Duration::from_secs(4);
/// Longest wait between two looks at an older event.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// Longest time that an event without one of our ids waits for its message.
const LONGEST_WAIT_OF_OTHERS: Duration = Duration::from_hours(1);

/// The parked form of an event, which waits for its message or belongs to none.
pub(super) fn parked(desk: &Desk, item: &Item, message: Option<&MessageRecord>) -> Parked {
    let now = desk.now();
    // The suppression list changed already when the event was parked first.
    let says = match message {
        _ if item.looks > 0 => Says::default(),
        Some(message) => Says::of(&item.record, Some(message), &message.message.tenant),
        None if is_about_a_recipient_only(item) => Says::of(&item.record, None, &TenantId::default()),
        None => Says::default(),
    };
    let has_time = message.is_some() || (item.record.received_at + patience(desk, item) > now && waits_for_a_message(item));
    let looks = item.looks + 1;
    if let Some(id) = message.map(|message| message.message.id).filter(|id| desk.in_hand.holds(*id)) {
        let record = item.record.clone();
        desk.parking.wait_for(&desk.in_hand, id, Item { record, looks });
    }
    Parked {
        record: item.record.clone(),
        due_at: has_time.then(|| now + wait(desk, item, now)),
        looks,
        notices: desk.notices.of_list(&says),
        suppress: says.suppress,
        lift: says.lift,
    }
}

/// Gives up waiting for a message that never came. The entries of the event for the suppression list hold all the same.
pub(super) async fn give_up_on_recipient(desk: &Desk, item: &Item) -> Result<(), StoreError> {
    let over = item.record.received_at + desk.rules.feedback.give_up <= desk.now();
    if !over || is_about_a_recipient_only(item) {
        return Ok(());
    }
    let says = Says::of(&item.record, None, &TenantId::default());
    if !says.suppress.is_empty() {
        let notices = desk.notices.of_list(&says);
        desk.ports.store.suppress(says.suppress, notices).await?;
    }
    Ok(())
}

/// Whether an event names none of our messages. Its entries for the suppression list hold at once, for the default tenant.
fn is_about_a_recipient_only(item: &Item) -> bool {
    let about = &item.record.event.about;
    about.attempt_id.is_none() && about.message_id.is_none()
}

/// How long an event waits for its message. Providers report on all mail of an account; most events without our ids belong to other
/// senders, and wait less.
fn patience(desk: &Desk, item: &Item) -> Duration {
    let give_up = desk.rules.feedback.give_up;
    if is_about_a_recipient_only(item) {
        give_up.min(LONGEST_WAIT_OF_OTHERS)
    } else {
        give_up
    }
}

/// Whether the message of the event may still turn up.
fn waits_for_a_message(item: &Item) -> bool {
    let event = &item.record.event;
    if !is_about_a_recipient_only(item) {
        return true;
    }
    if !is_signed(event.provider) {
        // Without a signature, anybody may have written the event: only the id of the provider may match it.
        return event.about.provider_message_id.is_some();
    }
    match event.kind {
        EventKind::Inbound | EventKind::Subscribed => false,
        // A text message in reply has an id of its own.
        EventKind::Unsubscribed => event.channel() == Channel::Email && event.about.provider_message_id.is_some(),
        EventKind::Queued
        | EventKind::Sent
        | EventKind::Delivered
        | EventKind::Deferred
        | EventKind::Bounced
        | EventKind::Rejected
        | EventKind::Failed
        | EventKind::Complained
        | EventKind::Opened
        | EventKind::Clicked
        | EventKind::Autoresponded
        | EventKind::Unknown => event.about.provider_message_id.is_some() || event.recipient.is_some(),
    }
}

/// The time until the next look; doubles with each look.
fn wait(desk: &Desk, item: &Item, now: Timestamp) -> Duration {
    let first = desk.rules.feedback.park;
    let is_young = now.since(item.record.received_at) < YOUNG;
    let longest = if is_young { LONGEST_WAIT_YOUNG } else { LONGEST_WAIT };
    first.saturating_mul(1 << item.looks.min(16)).min(longest.max(first))
}
