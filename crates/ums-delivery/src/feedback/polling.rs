//! Feedback that has to be asked for: each source in a task of its own, one process at a time.

use std::sync::Arc;
use std::time::Duration;

use ums_core::{FailureClass, FeedbackSource, StoreError, millis};

use super::take::take;
use crate::desk::Desk;

/// The longest wait after errors.
const LONGEST_WAIT: Duration = Duration::from_mins(15);
/// Pages that are read one after the other before others have a turn.
const PAGES: usize = 100;

/// Why nothing was learned.
enum Fault {
    Source(ums_core::Failure),
    Store(StoreError),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Asks a source until the engine closes.
pub(crate) async fn run(desk: Arc<Desk>, source: Arc<dyn FeedbackSource>) {
    let mut errors = 0_u32;
    // A process that sends one message and ends asks nothing.
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
            Err(fault) => {
                errors = errors.saturating_add(1);
                wait = wait.saturating_mul(1 << errors.min(10)).min(LONGEST_WAIT.max(wait));
                tell(&*source, &fault, wait);
            }
        }
    }
}

/// Reads what is new. The cursor is kept after the events, so that a crash between has them read again.
async fn ask(desk: &Desk, source: &dyn FeedbackSource) -> Result<(), Fault> {
    let name = source.name();
    let chore = format!("feedback {name}");
    for _ in 0..PAGES {
        // Longer than the pause, so that the process renews its lease.
        let length = source.every().saturating_mul(2).max(Duration::from_secs(10));
        if !desk.ports.store.lease_chore(&chore, length).await? {
            return Ok(());
        }
        let cursor = desk.ports.store.feedback_cursor(name).await?;
        let polled = source.poll(cursor.as_deref(), desk.now()).await.map_err(Fault::Source)?;
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

fn tell(source: &dyn FeedbackSource, fault: &Fault, again_in: Duration) {
    let (source, again_in_ms) = (source.name(), millis(again_in));
    match fault {
        Fault::Store(error) => tracing::warn!(source, again_in_ms, %error, "feedback was not kept; it is read again"),
        Fault::Source(failure) => {
            let check = match failure.class {
                FailureClass::Misconfigured => "check the account's keys and that they may read its delivery reports",
                FailureClass::Unsupported => "check that the account writes delivery reports at all",
                FailureClass::Throttled | FailureClass::QuotaExhausted => "it is asked too often; give it a longer pause",
                FailureClass::InvalidMessage
                | FailureClass::InvalidRecipient
                | FailureClass::RecipientBlocked
                | FailureClass::Unavailable
                | FailureClass::Unknown => "check the network and the provider's status page",
            };
            tracing::warn!(source, again_in_ms, class = %failure.class, code = %failure.code, detail = %failure.detail, check, "feedback could not be read");
        }
    }
}
