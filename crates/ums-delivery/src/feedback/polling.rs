//! Polls the sources whose feedback does not come by webhook: each source in a task of its own, one process at a time.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{FailureClass, FeedbackSource, StoreError, millis};

use super::take::take;
use crate::desk::Desk;

/// Longest wait after errors, unless the source itself is polled less often.
const LONGEST_WAIT: Duration = Duration::from_mins(15);
/// Most pages of one poll.
const PAGES: usize = 100;

/// Why a poll failed.
enum PollError {
    /// The source did not answer.
    Source(ums_core::Failure),
    /// The store did not keep the events or the cursor.
    Store(StoreError),
}

impl From<StoreError> for PollError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Polls a source until the engine closes.
pub(crate) async fn run(desk: Arc<Desk>, source: Arc<dyn FeedbackSource>) {
    let mut errors = 0_u32;
    // The wait comes first: a process that sends one message and ends polls nothing.
    let mut wait = source.every();
    loop {
        tokio::select! {
            biased;
            () = desk.ports.closing.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let asked = tokio::select! {
            biased;
            () = desk.ports.closing.cancelled() => return,
            asked = ask(&desk, &*source) => asked,
        };
        wait = source.every();
        match asked {
            Ok(()) => errors = 0,
            Err(error) => {
                errors = errors.saturating_add(1);
                wait = wait.saturating_mul(1 << errors.min(10)).min(LONGEST_WAIT.max(wait));
                tell(&*source, &error, wait);
            }
        }
    }
}

/// Reads new events. The store gets the cursor after the events; after a crash between the two the events are read again.
async fn ask(desk: &Desk, source: &dyn FeedbackSource) -> Result<(), PollError> {
    let name = source.name();
    let chore = format!("feedback {name}");
    for _ in 0..PAGES {
        // Longer than the pause, so that the process that has the chore keeps it.
        let length = source.every().saturating_mul(2).max(Duration::from_secs(10));
        if !desk.ports.store.lease_chore(&chore, length).await? {
            return Ok(());
        }
        let cursor = desk.ports.store.feedback_cursor(name).await?;
        let polled = source.poll(cursor.as_deref(), desk.now()).await.map_err(PollError::Source)?;
        if !polled.events.is_empty() {
            let tally = take(desk, polled.events).await?;
            tracing::debug!(
                source = name,
                applied = tally.applied,
                known = tally.known,
                parked = tally.parked,
                "feedback was read"
            );
        }
        if let Some(cursor) = polled.cursor.filter(|next| Some(next) != cursor.as_ref()) {
            desk.ports.store.save_feedback_cursor(name, &cursor).await?;
        }
        if !polled.more || desk.ports.closing.is_cancelled() {
            break;
        }
    }
    Ok(())
}

fn tell(source: &dyn FeedbackSource, error: &PollError, again_in: Duration) {
    let (source, again_in_ms) = (source.name(), millis(again_in));
    match error {
        PollError::Store(error) => tracing::warn!(source, again_in_ms, %error, "feedback was not kept; it is read again"),
        PollError::Source(failure) => {
            let check = match failure.class {
                FailureClass::Misconfigured => "check the account's keys and that they may read its delivery reports",
                FailureClass::Unsupported => "check that the account writes delivery reports at all",
                FailureClass::Throttled | FailureClass::QuotaExhausted => "it is asked too often; give it a longer pause",
                FailureClass::LocalShortage => "raise the limit of open files (LimitNOFILE) or give the machine more memory",
                FailureClass::InvalidMessage
                | FailureClass::InvalidRecipient
                | FailureClass::RecipientBlocked
                | FailureClass::ProviderUnsubscribed
                | FailureClass::Unavailable
                | FailureClass::Unknown => "check the network and the provider's status page",
            };
            tracing::warn!(source, again_in_ms, class = %failure.class, code = %failure.code, detail = %failure.detail, check, "feedback could not be read");
        }
    }
}
