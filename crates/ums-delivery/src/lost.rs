//! A message whose accept has no known outcome: the connection broke at commit, or the caller went away during it.
//!
//! It may be stored as being sent by us, although nobody was called. It is never sent from memory, for the caller was told that it may
//! not be stored; it is looked up until the store answers, and what is found is put back as surely not sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use ums_core::{FIRST_TOKEN, Message, MessageRecord, Status};

use crate::flow::Flow;
use crate::in_hand::Held;
use crate::journal::Journal;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A commit that is not seen for so long was never made.
const NEVER_COMES: Duration = Duration::from_mins(1);

/// Watches over an accept: unless it is told the outcome, it finds out when it is dropped.
pub(crate) struct Accepting<'a> {
    flow: &'a Arc<Flow>,
    message: &'a Arc<Message>,
    held: Option<Held>,
}

impl<'a> Accepting<'a> {
    /// Takes the message in hand, before the store is asked.
    pub(crate) fn begin(flow: &'a Arc<Flow>, message: &'a Arc<Message>) -> Self {
        let held = Some(flow.in_hand.hold(message.id));
        Self { flow, message, held }
    }

    /// The outcome is known: the message stays in hand for whoever goes on with it.
    pub(crate) fn known(mut self) -> Option<Held> {
        self.held.take()
    }
}

impl Drop for Accepting<'_> {
    fn drop(&mut self) {
        if let (Some(held), Ok(runtime)) = (self.held.take(), tokio::runtime::Handle::try_current()) {
            let (flow, message) = (self.flow.clone(), self.message.clone());
            self.flow.tasks.spawn_on(find_out(flow, message, held), &runtime);
        }
    }
}

/// Looks the message up until the store answers.
async fn find_out(flow: Arc<Flow>, message: Arc<Message>, held: Held) {
    let began = Instant::now();
    let mut wait = FIRST_WAIT;
    loop {
        match flow.store.message(&message.tenant, message.id).await {
            Ok(Some(record)) => {
                put_back(&flow, record).await;
                break;
            }
            Ok(None) if began.elapsed() >= NEVER_COMES => break,
            Ok(None) => {}
            Err(error) => tracing::warn!(message_id = %message.id, %error, "the outcome of an accept is not known yet"),
        }
        tokio::select! {
            biased;
            () = flow.ended.cancelled() => break,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
    drop(held);
}

/// What is stored as being worked on by us is queued, and its intent ends as not called.
async fn put_back(flow: &Flow, record: MessageRecord) {
    let is_ours = record.token == FIRST_TOKEN && record.due_at.is_none();
    if is_ours && matches!(record.status, Status::Pending | Status::Sending) {
        let mut journal = Journal::new(record);
        journal.put_back("not_called", flow.clock.now());
        // The journal tells when the step is refused; then another process has found out before.
        journal.commit(flow, None).await.ok();
    }
    flow.queued.notify_one();
}
