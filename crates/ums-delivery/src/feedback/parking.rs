//! Events that came before their message could take them: its provider's id is not kept yet, or somebody works on it.
//!
//! What waits for a message in hand here is taken up when that ends its step. All else is looked at by the clock: soon at first, for
//! a call and its commit are a matter of seconds, then ever more seldom.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use ums_core::{Channel, EventKind, MessageId, MessageRecord, Parked, StoreError, TenantId, Timestamp};

use super::says::{Says, is_signed};
use super::take::{Item, take_items};
use crate::flow::Flow;

/// Time in which a message is usually called for and its outcome kept, and the longest wait between two looks meanwhile.
const YOUNG: Duration = Duration::from_mins(2);
const LONGEST_WAIT_YOUNG: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// How long an event that names none of our ids waits at most.
const LONGEST_WAIT_OF_OTHERS: Duration = Duration::from_hours(1);
/// Longest sleep: another process may have parked something and died.
const LOOK: Duration = Duration::from_secs(30);
/// Looks are no closer to each other.
const GRID_MICROS: i64 = 250_000;
/// Shortest sleep, for a clock that stands still.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
/// Sleep when the store could not be read.
const AGAIN: Duration = Duration::from_secs(2);
/// Events that are read at once.
const AT_ONCE: usize = 200;
/// Most events that are kept at hand for messages that are worked on; others are found by the clock.
const AT_HAND: usize = 10_000;

/// What this process knows of events that wait.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    waiting: Mutex<Waiting>,
    at_hand: AtomicUsize,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// When the store is to be looked at.
    looks: BTreeSet<Timestamp>,
    for_messages: HashMap<MessageId, Vec<Item>>,
    ready: Vec<Item>,
}

impl Parking {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event was parked.
    pub(super) fn note(&self, parked: &Parked) {
        let Some(due_at) = parked.due_at else { return };
        let look = due_at
            .as_micros()
            .div_euclid(GRID_MICROS)
            .saturating_add(1)
            .saturating_mul(GRID_MICROS);
        let look = Timestamp::from_micros(look);
        let mut waiting = self.waiting();
        let is_first = waiting.looks.first().is_none_or(|first| look < *first);
        waiting.looks.insert(look);
        drop(waiting);
        if is_first {
            self.wake.notify_one();
        }
    }

    /// An event waits for a message that is worked on here, as far as is known.
    fn wait_for(&self, flow: &Flow, message: MessageId, item: Item) {
        if self.at_hand.fetch_add(1, Ordering::Relaxed) >= AT_HAND {
            self.at_hand.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.waiting().for_messages.entry(message).or_default().push(item);
        // Whoever let go of it since did not see the item.
        if !flow.in_hand.holds(message) {
            self.release(message);
        }
    }

    /// Nobody works on a message here any more: what waits for it is taken up.
    pub(crate) fn release(&self, message: MessageId) {
        if self.at_hand.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut waiting = self.waiting();
        if let Some(items) = waiting.for_messages.remove(&message) {
            waiting.ready.extend(items);
            drop(waiting);
            self.wake.notify_one();
        }
    }

    fn take_ready(&self) -> Vec<Item> {
        let ready = std::mem::take(&mut self.waiting().ready);
        self.at_hand.fetch_sub(ready.len(), Ordering::Relaxed);
        ready
    }

    /// How long until the next look.
    fn wait(&self, now: Timestamp) -> Duration {
        let first = self.waiting().looks.first().copied();
        first.map_or(LOOK, |first| first.since(now).min(LOOK))
    }

    /// Whether it is time for a look, which is done then.
    fn is_time(&self, now: Timestamp) -> bool {
        let mut waiting = self.waiting();
        let later = waiting.looks.split_off(&(now + Duration::from_micros(1)));
        !std::mem::replace(&mut waiting.looks, later).is_empty()
    }
}

/// An event as it waits for its message, or for nobody.
pub(super) async fn parked(flow: &Flow, item: &Item, message: Option<&MessageRecord>) -> Parked {
    let now = flow.clock.now();
    // What it says of its recipient is done when it is kept first.
    let says = match message {
        _ if item.looks > 0 => Says::default(),
        Some(message) => Says::of(&item.record, Some(message), &message.message.tenant),
        None if is_about_a_recipient_only(item) => Says::of(&item.record, None, &TenantId::default()),
        None => Says::default(),
    };
    let has_time = message.is_some() || (item.record.received_at + patience(flow, item) > now && waits_for_a_message(item));
    let looks = item.looks + 1;
    if let Some(id) = message.map(|message| message.message.id).filter(|id| flow.in_hand.holds(*id)) {
        let record = item.record.clone();
        flow.parking.wait_for(flow, id, Item { record, looks });
    }
    Parked {
        record: item.record.clone(),
        due_at: has_time.then(|| now + wait(flow, item, now)),
        looks,
        notices: says.notices(flow, now).await,
        suppress: says.suppress,
        lift: says.lift,
    }
}

/// An event that named one of our messages, which never came: what it says of its recipient holds all the same.
pub(super) async fn give_up_on_recipient(flow: &Flow, item: &Item) -> Result<(), StoreError> {
    let over = item.record.received_at + flow.rules.feedback.give_up <= flow.clock.now();
    if !over || is_about_a_recipient_only(item) {
        return Ok(());
    }
    let says = Says::of(&item.record, None, &TenantId::default());
    if !says.suppress.is_empty() {
        let notices = says.notices(flow, flow.clock.now()).await;
        flow.store.suppress(says.suppress, notices).await?;
    }
    Ok(())
}

/// Whether an event names none of our messages: what it says of its recipient holds at once, for the tenant that there always is.
fn is_about_a_recipient_only(item: &Item) -> bool {
    let about = &item.record.event.about;
    about.attempt_id.is_none() && about.message_id.is_none()
}

/// How long an event waits for its message. Providers report on all mail of their account, and most that names nothing of ours is of others.
fn patience(flow: &Flow, item: &Item) -> Duration {
    let give_up = flow.rules.feedback.give_up;
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
fn wait(flow: &Flow, item: &Item, now: Timestamp) -> Duration {
    let first = flow.rules.feedback.park;
    let is_young = now.since(item.record.received_at) < YOUNG;
    let longest = if is_young { LONGEST_WAIT_YOUNG } else { LONGEST_WAIT };
    first.saturating_mul(1 << item.looks.min(16)).min(longest.max(first))
}

/// Looks at what waits until the engine closes.
pub(crate) async fn run(flow: Arc<Flow>) {
    let mut looked: Option<Instant> = None;
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            () = flow.closing.cancelled() => return,
            () = flow.parking.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        let is_time = flow.parking.is_time(flow.clock.now()) || looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if is_time {
            looked = Some(Instant::now());
        }
        wait = match look(&flow, is_time).await {
            Ok(()) => flow.parking.wait(flow.clock.now()).max(SHORTEST_WAIT),
            Err(error) => {
                tracing::warn!(%error, "events that wait for their message were not looked at; trying again");
                looked = None;
                AGAIN
            }
        };
    }
}

/// Takes up what was released, and what is due if it is time.
async fn look(flow: &Flow, is_time: bool) -> Result<(), StoreError> {
    let ready = flow.parking.take_ready();
    if !ready.is_empty() {
        take_items(flow, ready).await?;
    }
    while is_time && !flow.closing.is_cancelled() {
        let parked = flow.store.parked_events(flow.clock.now(), AT_ONCE).await?;
        let seen = parked.len();
        let items = parked.into_iter().map(|parked| Item {
            record: parked.record,
            looks: parked.looks,
        });
        if seen > 0 {
            take_items(flow, items.collect()).await?;
        }
        if seen < AT_ONCE {
            break;
        }
    }
    Ok(())
}
