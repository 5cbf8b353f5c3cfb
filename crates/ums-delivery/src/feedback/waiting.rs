//! The task that takes parked events up again: the id of their provider was not stored yet, or a process worked on their message.
//!
//! An event whose message is in hand here is taken when the message is free. The task looks at all other events by the clock: soon at
//! first, for a call and its commit take seconds, and then ever more seldom.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use ums_core::StoreError;

use super::take::take_items;
use crate::desk::Desk;
use crate::parking::{Item, LOOK};

/// Shortest sleep, for a clock that stands still.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
/// Sleep when the store could not be read.
const AGAIN: Duration = Duration::from_secs(2);
/// Most events of one read.
const AT_ONCE: usize = 200;

/// Takes parked events up until the engine closes.
pub(crate) async fn run(desk: Arc<Desk>) {
    let mut looked: Option<Instant> = None;
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            () = desk.ports.closing.cancelled() => return,
            () = desk.parking.news() => {}
            () = tokio::time::sleep(wait) => {}
        }
        let is_time = desk.parking.is_time(desk.now()) || looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if is_time {
            looked = Some(Instant::now());
        }
        wait = match look(&desk, is_time).await {
            Ok(()) => desk.parking.wait(desk.now()).max(SHORTEST_WAIT),
            Err(error) => {
                tracing::warn!(%error, "events that wait for their message were not looked at; trying again");
                looked = None;
                AGAIN
            }
        };
    }
}

/// Takes the events that are ready, and the due ones from the store if it is time.
async fn look(desk: &Desk, is_time: bool) -> Result<(), StoreError> {
    let ready = desk.parking.drain_ready();
    if !ready.is_empty() {
        take_items(desk, ready).await?;
    }
    while is_time && !desk.ports.closing.is_cancelled() {
        let parked = desk.ports.store.parked_events(desk.now(), AT_ONCE).await?;
        let seen = parked.len();
        let items = parked.into_iter().map(|parked| Item {
            record: parked.record,
            looks: parked.looks,
        });
        if seen > 0 {
            take_items(desk, items.collect()).await?;
        }
        if seen < AT_ONCE {
            break;
        }
    }
    Ok(())
}
