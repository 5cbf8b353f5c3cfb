//! Messages whose acceptance has no known outcome: the connection broke at the commit, or the caller went away during the commit.
//!
//! The store may hold such a message as being sent by this process, although no provider was called. **Invariant:** the message is never
//! sent from memory, for the caller was told that it may not be stored. A task looks the message up until the store answers, and requeues
//! a stored one as surely not sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use ums_core::{FIRST_TOKEN, Message, MessageRecord, NotCalled, StoreError};

use crate::desk::Desk;
use crate::fate::Happened;
use crate::in_hand::Held;
use crate::journal::Journal;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A commit that is not visible after this time was never made.
const NEVER_COMES: Duration = Duration::from_mins(1);

/// Guards an acceptance. Dropped without [`Accepting::known`], the guard starts the task that finds out the outcome.
pub(crate) struct Accepting<'a> {
    desk: &'a Arc<Desk>,
    message: &'a Arc<Message>,
    held: Option<Held>,
}

impl<'a> Accepting<'a> {
    /// Takes the message in hand, before the store is asked.
    pub(crate) fn begin(desk: &'a Arc<Desk>, message: &'a Arc<Message>) -> Self {
        let held = Some(desk.in_hand.hold(message.id));
        Self { desk, message, held }
    }

    /// Ends the guard: the outcome is known. The caller goes on with the message in hand.
    pub(crate) fn known(mut self) -> Option<Held> {
        self.held.take()
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        if let (Some(held), Ok(runtime)) = (self.held.take(), tokio::runtime::Handle::try_current()) {
            let (desk, message) = (self.desk.clone(), self.message.clone());
            self.desk.ports.tasks.spawn_on(find_out(desk, message, held), &runtime);
        }
    }
}

/// Looks the message up until the store answers.
async fn find_out(desk: Arc<Desk>, message: Arc<Message>, held: Held) {
    let began = Instant::now();
    let mut wait = FIRST_WAIT;
    loop {
        match desk.ports.store.message(&message.tenant, message.id).await {
            Ok(Some(record)) => {
                requeue(&desk, record).await;
                break;
            }
            Ok(None) if began.elapsed() >= NEVER_COMES => break,
            Err(StoreError::Gone(_)) => break,
            Ok(None) => {}
            Err(error) => tracing::warn!(message_id = %message.id, %error, "the outcome of an accept is not known yet"),
        }
        tokio::select! {
            biased;
            () = desk.ports.ended.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    drop(held);
}

/// Requeues a message that the store thinks is in hand here; its intent ends as not called.
async fn requeue(desk: &Desk, record: MessageRecord) {
    if record.token == FIRST_TOKEN && record.is_under_way() {
        let mut journal = Journal::new(desk, record);
        journal.happened(Happened::NotCalled(NotCalled::IntentLate));
        // The journal tells when the step is refused; then another process has found out before.
        journal.commit(None).await.ok();
    }
    desk.queue.wake();
}
