//! 3. What happened becomes one step in the store: attempts, recipients, status, next intent.

use std::time::Duration;

use ums_core::{
    Accepted, AttemptOutcome, AttemptRecord, Failure, FailureClass, MessageRecord, Refusal, Status, Step, StoreError, Timestamp, millis,
};

use crate::carried::is_open;
use crate::flow::Flow;

/// How often an outcome is written again while the store is away, and the first wait between.
const COMMIT_TRIES: u32 = 8;
const COMMIT_WAIT: Duration = Duration::from_millis(50);

/// A message's record, and how much of it the store has.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) record: MessageRecord,
    /// Attempts whose rows the store has as they are.
    kept_attempts: usize,
    kept_skips: usize,
    recipients_changed: bool,
}

/// How one call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) result: Result<Accepted, Failure>,
    pub(crate) took: Duration,
    pub(crate) at: Timestamp,
}

impl Journal {
    /// Goes on from what the store has.
    pub(crate) fn new(record: MessageRecord) -> Self {
        Self {
            kept_attempts: record
                .attempts
                .iter()
                .filter(|attempt| attempt.outcome != AttemptOutcome::Calling)
                .count(),
            kept_skips: record.skips.len(),
            recipients_changed: false,
            record,
        }
    }

    /// A message that a gate ended after it had been stored.
    pub(crate) fn stopped(record: MessageRecord) -> Self {
        Self {
            recipients_changed: true,
            ..Self::new(record)
        }
    }

    /// Commits, and only logs when that fails: the message is taken up again at the next start.
    pub(crate) async fn commit_or_log(&mut self, flow: &Flow) {
        if let Err(error) = self.commit(flow).await {
            tracing::error!(message_id = %self.record.message.id, %error, "the step could not be kept");
        }
    }

    /// Writes how the attempt in hand ended.
    pub(crate) fn end_attempt(&mut self, ended: &Ended, unit_micros: Option<i64>, billed_units: u32) {
        let Some(attempt) = self.record.attempts.last_mut() else { return };
        attempt.duration_ms = Some(millis(ended.took));
        match &ended.result {
            Ok(accepted) => {
                attempt.outcome = AttemptOutcome::Accepted;
                attempt.provider_message_id = Some(accepted.provider_message_id.clone());
                attempt.simulated = accepted.simulated;
                attempt.from_substituted = accepted.from_substituted;
                attempt.cost_micros = unit_micros.map(|micros| micros.saturating_mul(i64::from(billed_units)));
                self.record.sent_at = Some(ended.at);
                self.took_recipients(&accepted.refused);
            }
            Err(failure) => end_as_failed(attempt, failure),
        }
    }

    /// The provider took the message for all recipients in hand but the refused ones.
    fn took_recipients(&mut self, refused: &[Refusal]) {
        self.recipients_changed = true;
        for recipient in self.record.recipients.iter_mut().filter(|recipient| is_open(recipient.status)) {
            let refusal = refused.iter().find(|refusal| refusal.address.expose() == recipient.address);
            (recipient.status, recipient.reason) = match refusal {
                None => (Status::Sent, None),
                Some(refusal) => match end_of_recipient(&refusal.failure, recipient.status) {
                    status if status.is_final() => (status, Some(refusal.failure.code.clone())),
                    open => (open, None),
                },
            };
        }
    }

    /// Whether some recipient still waits for a provider.
    pub(crate) fn has_open_recipients(&self) -> bool {
        self.record.recipients.iter().any(|recipient| is_open(recipient.status))
    }

    /// Sets where the message stands, its open recipients with it.
    pub(crate) fn stand(&mut self, status: Status, error: Option<String>, due_at: Option<Timestamp>) {
        self.record.status = status;
        self.record.error = error;
        self.record.due_at = due_at;
        if status != Status::Sending {
            for recipient in self.record.recipients.iter_mut().filter(|recipient| is_open(recipient.status)) {
                self.recipients_changed |= recipient.status != status;
                recipient.status = status;
            }
        }
    }

    /// Commits what is new, as one transaction. While the store is away it tries again: the
    /// outcome of a call must not be forgotten.
    ///
    /// # Errors
    /// The store's, after the last try, or at once when the message was taken over.
    pub(crate) async fn commit(&mut self, flow: &Flow) -> Result<(), StoreError> {
        let mut wait = COMMIT_WAIT;
        for last in (0..COMMIT_TRIES).map(|n| n + 1 == COMMIT_TRIES) {
            match flow.store.record(self.step()).await {
                Ok(()) => break,
                Err(error @ (StoreError::Unavailable(_) | StoreError::CommitUnknown(_))) if !last => {
                    tracing::warn!(message_id = %self.record.message.id, %error, "the step was not kept; trying again");
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => return Err(error),
            }
        }
        self.kept_attempts = self
            .record
            .attempts
            .iter()
            .filter(|attempt| attempt.outcome != AttemptOutcome::Calling)
            .count();
        self.kept_skips = self.record.skips.len();
        self.recipients_changed = false;
        Ok(())
    }

    fn step(&self) -> Step {
        let record = &self.record;
        Step {
            tenant: record.message.tenant.clone(),
            message_id: record.message.id,
            token: record.token,
            attempts: record.attempts.iter().skip(self.kept_attempts).cloned().collect(),
            skips: record.skips.iter().skip(self.kept_skips).cloned().collect(),
            status: record.status,
            error: record.error.clone(),
            due_at: record.due_at,
            sent_at: record.sent_at,
            recipients: self.recipients_changed.then(|| record.recipients.clone()),
            act: None,
            expires_at: None,
            forget_body: false,
        }
    }
}

fn end_as_failed(attempt: &mut AttemptRecord, failure: &Failure) {
    let unknown = failure.class.may_have_been_accepted();
    attempt.outcome = if unknown { AttemptOutcome::Unknown } else { AttemptOutcome::Failed };
    attempt.class = Some(failure.class);
    attempt.code = Some(failure.code.clone());
    attempt.detail = (!failure.detail.is_empty()).then(|| failure.detail.clone());
}

/// Where a recipient stands after the provider refused it; `now` when another provider may take it.
fn end_of_recipient(failure: &Failure, now: Status) -> Status {
    match failure.class {
        FailureClass::InvalidMessage | FailureClass::InvalidRecipient => Status::Failed,
        FailureClass::RecipientBlocked => Status::Suppressed,
        FailureClass::Unsupported
        | FailureClass::Misconfigured
        | FailureClass::QuotaExhausted
        | FailureClass::Throttled
        | FailureClass::Unavailable
        | FailureClass::Unknown => now,
    }
}
