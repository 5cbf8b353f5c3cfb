//! Parked events as this process knows them: the times at which to look for them in the store, and the events whose message this
//! process works on.
//!
//! Its place in the flow: `feedback` parks, `deliver` releases when its message is free, the task `feedback::waiting` takes the events
//! up. Parking is a hint: every parked event lies in the store before this module hears of it. **Invariant:** no event depends on this
//! memory; without it the store is looked at every [`LOOK`].

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use ums_core::{EventRecord, MessageId, Parked, Timestamp};

use crate::in_hand::InHand;

/// Longest time between two looks at the store: another process may have parked an event and died.
pub(crate) const LOOK: Duration = Duration::from_secs(30);
/// Looks lie on a grid of a quarter of a second, so that many events share one look.
const GRID_MICROS: i64 = 250_000;
/// Most events that are kept in memory for messages in hand; the looks find the others.
const AT_HAND: usize = 10_000;

/// An event on its way to its message.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) record: EventRecord,
    /// Number of earlier looks; 0 for an event that has just come from its provider.
    pub(crate) looks: u32,
}

/// What this process knows of parked events.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    waiting: Mutex<Waiting>,
    at_hand: AtomicUsize,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Times of the next looks at the store.
    looks: BTreeSet<Timestamp>,
    for_messages: HashMap<MessageId, Vec<Item>>,
    ready: Vec<Item>,
}

impl Parking {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the next look for an event that was parked in the store.
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

    /// Keeps an event in memory until its message, which this process works on, is released. Above [`AT_HAND`] events nothing is kept.
    pub(crate) fn wait_for(&self, in_hand: &InHand, message: MessageId, item: Item) {
        if self.at_hand.fetch_add(1, Ordering::Relaxed) >= AT_HAND {
            self.at_hand.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        self.waiting().for_messages.entry(message).or_default().push(item);
        // A delivery that released the message meanwhile did not see the item.
        if !in_hand.holds(message) {
            self.release(message);
        }
    }

    /// The message is free: the events that wait for it are ready.
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

    /// Time until the next look.
    pub(crate) fn wait(&self, now: Timestamp) -> Duration {
        let first = self.waiting().looks.first().copied();
        first.map_or(LOOK, |first| first.since(now).min(LOOK))
    }

    /// Whether a look is due. The due looks are forgotten: the caller looks now.
    pub(crate) fn is_time(&self, now: Timestamp) -> bool {
        let mut waiting = self.waiting();
        let later = waiting.looks.split_off(&(now + Duration::from_micros(1)));
        !std::mem::replace(&mut waiting.looks, later).is_empty()
    }

    /// Waits until events are ready or an earlier look is noted.
    pub(crate) async fn news(&self) {
        self.wake.notified().await;
    }
}
