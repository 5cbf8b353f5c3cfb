//! An event whose message cannot take it yet: how long it waits, and what it says of its recipient meanwhile.

use std::time::Duration;

use ums_core::{Channel, EventKind, MessageRecord, Parked, StoreError, TenantId, Timestamp};

use crate::desk::Desk;
use crate::fate::{Says, is_signed};
use crate::parking::Item;

/// Time in which a message is usually called for and its outcome kept, and the longest wait between two looks meanwhile.
const YOUNG: Duration = Duration::from_mins(2);
const LONGEST_WAIT_YOUNG: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// How long an event that names none of our ids waits at most.
const LONGEST_WAIT_OF_OTHERS: Duration = Duration::from_hours(1);

/// An event as it waits for its message, or for nobody.
pub(super) async fn parked(desk: &Desk, item: &Item, message: Option<&MessageRecord>) -> Parked {
    let now = desk.now();
    // What it says of its recipient is done when it is kept first.
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
        notices: desk.notices.of_list(&says, now).await,
        suppress: says.suppress,
        lift: says.lift,
    }
}

/// An event that named one of our messages, which never came: what it says of its recipient holds all the same.
pub(super) async fn give_up_on_recipient(desk: &Desk, item: &Item) -> Result<(), StoreError> {
    let over = item.record.received_at + desk.rules.feedback.give_up <= desk.now();
    if !over || is_about_a_recipient_only(item) {
        return Ok(());
    }
    let says = Says::of(&item.record, None, &TenantId::default());
    if !says.suppress.is_empty() {
        let notices = desk.notices.of_list(&says, desk.now()).await;
        desk.ports.store.suppress(says.suppress, notices).await?;
    }
    Ok(())
}

/// Whether an event names none of our messages: what it says of its recipient holds at once, for the tenant that there always is.
fn is_about_a_recipient_only(item: &Item) -> bool {
    let about = &item.record.event.about;
    about.attempt_id.is_none() && about.message_id.is_none()
}

/// How long an event waits for its message. Providers report on all mail of their account, and most that names nothing of ours is of others.
fn patience(desk: &Desk, item: &Item) -> Duration {
    let give_up = desk.rules.feedback.give_up;
    if is_about_a_recipient_only(item) {
        give_up.min(LONGEST_WAIT_OF_OTHERS)
    } else {
        give_up
    }
}

/// Whether a message may turn up that the event is about.
fn waits_for_a_message(item: &Item) -> bool {
    let event = &item.record.event;
    if !is_about_a_recipient_only(item) {
        return true;
    }
    if !is_signed(event.provider) {
        // Nothing is matched by what anybody may have written.
        return event.about.provider_message_id.is_some();
    }
    match event.kind {
        EventKind::Inbound | EventKind::Subscribed => false,
        // An answer has an id of its own.
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

/// The time until the next look, doubling each time.
fn wait(desk: &Desk, item: &Item, now: Timestamp) -> Duration {
    let first = desk.rules.feedback.park;
    let is_young = now.since(item.record.received_at) < YOUNG;
    let longest = if is_young { LONGEST_WAIT_YOUNG } else { LONGEST_WAIT };
    first.saturating_mul(1 << item.looks.min(16)).min(longest.max(first))
}
