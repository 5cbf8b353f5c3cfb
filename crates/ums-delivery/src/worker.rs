//! Takes up messages that are due: scheduled ones, held ones, and what an earlier process left.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use ums_core::{Content, Email, MessageRecord, Sms, StoreError};

use crate::accept::walk_of;
use crate::carried::Carried;
use crate::deliver::{Work, deliver};
use crate::flow::Flow;
use crate::gates;

/// Most messages taken up at once.
const CLAIM: usize = 64;
/// Longest sleep: another process may have queued something.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Works until the engine closes.
pub(crate) async fn run(flow: Arc<Flow>) {
    loop {
        let wait = match take_up_what_is_due(&flow).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, "the queue could not be read");
                LONGEST_WAIT
            }
        };
        tokio::select! {
            () = flow.closing.cancelled() => return,
            () = flow.queued.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Takes up all that is due and gives the time until the next is.
async fn take_up_what_is_due(flow: &Arc<Flow>) -> Result<Duration, StoreError> {
    if !flow.store.is_owner() {
        // Takes over when the process that sends from this store is gone.
        flow.store.recover(flow.clock.now()).await?;
        if !flow.store.is_owner() {
            return Ok(LONGEST_WAIT);
        }
    }
    loop {
        // The room is taken before the claim: messages that are accepted meanwhile may take what was merely seen to be free, and
        // a claimed message without room would lie until the next start.
        let free = flow.in_flight.available_permits().min(CLAIM);
        let room = flow.in_flight.clone().try_acquire_many_owned(u32::try_from(free).unwrap_or(0));
        let Some(mut room) = room.ok().filter(|_| free > 0 && !flow.closing.is_cancelled()) else {
            return Ok(Duration::from_millis(50));
        };
        let now = flow.clock.now();
        let due = flow.store.claim_due(now, ums_core::Room::of_each(free / 3)).await?;
        if due.is_empty() {
            drop(room);
            let next = flow.store.next_due().await?;
            return Ok(next.map_or(LONGEST_WAIT, |next| next.since(now).clamp(Duration::from_millis(1), LONGEST_WAIT)));
        }
        for record in due {
            let in_flight = room.split(1);
            match record.message.content {
                Content::Email(_) => go::<Email>(flow, record, in_flight),
                Content::Sms(_) => go::<Sms>(flow, record, in_flight),
            }
        }
    }
}

fn go<M: Carried>(flow: &Arc<Flow>, mut record: MessageRecord, in_flight: Option<OwnedSemaphorePermit>) {
    let flow_of_task = flow.clone();
    flow.tasks.spawn(async move {
        if let Some(stopped) = gates::check(&flow_of_task, &record.message.content) {
            gates::stop(&mut record, &stopped);
            crate::journal::Journal::stopped(record).commit_or_log(&flow_of_task).await;
        } else {
            let walk = walk_of::<M>(&record.message);
            deliver(&flow_of_task, Work::<M>::new(record, walk, None)).await;
        }
        drop(in_flight);
    });
}
