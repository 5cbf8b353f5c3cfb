//! Events that wait for their message, as this process knows them: when the store is to be looked at for them, and what waits for a
//! message that is worked on here.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use ums_core::{EventRecord, MessageId, Parked, Timestamp};

use crate::in_hand::InHand;

/// Longest sleep: another process may have parked something and died.
pub(crate) const LOOK: Duration = Duration::from_secs(30);
/// Looks are no closer to each other.
const GRID_MICROS: i64 = 250_000;
/// Most events that are kept at hand for messages that are worked on; others are found by the clock.
const AT_HAND: usize = 10_000;

/// An event on its way to its message.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) record: EventRecord,
    /// How often it was looked at before; 0 when it comes from its provider.
    pub(crate) looks: u32,
}

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
    pub(crate) fn note(&self, parked: &Parked) {
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
    pub(crate) fn wait_for(&self, in_hand: &InHand, message: MessageId, item: Item) {
        if self.at_hand.fetch_add(1, Ordering::Relaxed) >= AT_HAND {
            self.at_hand.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.waiting().for_messages.entry(message).or_default().push(item);
        // Whoever let go of it since did not see the item.
        if !in_hand.holds(message) {
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

    /// Removes the events whose message is free now.
    pub(crate) fn drain_ready(&self) -> Vec<Item> {
        let ready = std::mem::take(&mut self.waiting().ready);
        self.at_hand.fetch_sub(ready.len(), Ordering::Relaxed);
        ready
    }

    /// How long until the next look.
    pub(crate) fn wait(&self, now: Timestamp) -> Duration {
        let first = self.waiting().looks.first().copied();
        first.map_or(LOOK, |first| first.since(now).min(LOOK))
    }

    /// Whether it is time for a look, which is done then.
    pub(crate) fn is_time(&self, now: Timestamp) -> bool {
        let mut waiting = self.waiting();
        let later = waiting.looks.split_off(&(now + Duration::from_micros(1)));
        !std::mem::replace(&mut waiting.looks, later).is_empty()
    }

    /// Until something is released.
    pub(crate) async fn news(&self) {
        self.wake.notified().await;
    }
}
