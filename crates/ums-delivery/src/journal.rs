//! 3. What happened becomes one step in the store: attempts, recipients, status, next intent.

use std::time::Duration;

use tokio::time::Instant;
use ums_core::{
    Accepted, ActRecord, AttemptOutcome, AttemptRecord, Failure, FailureClass, MessageRecord, Purpose, Refusal, Status, Step, StoreError,
    Timestamp, millis,
};

use crate::carried::is_open;
use crate::drain::Progress;
use crate::flow::Flow;
use crate::mutants::{self, Mutant};

/// The first and the longest wait before a step is written again.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A message's record, and how much of it the store has.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) record: MessageRecord,
    /// Attempts whose rows the store has as they are.
    kept_attempts: usize,
    kept_skips: usize,
    recipients_changed: bool,
    /// What the message's fate says of the providers.
    pub(crate) progress: Progress,
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
            progress: Progress::Neutral,
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

    /// The end after a call.
    pub(crate) fn end<S>(&mut self, status: Status, error: Option<String>) -> Option<S> {
        self.progress = Progress::Through;
        self.close(status, error);
        None
    }

    /// The end. Those who wait for a provider stand as is said; the message follows its first recipient, whose end may have come
    /// before. It never ends as not sent while a provider may have taken it.
    pub(crate) fn close(&mut self, status: Status, error: Option<String>) {
        let first = self.record.recipients.first().map(|recipient| recipient.status);
        self.stand(status, error, None);
        if let Some(first) = first.filter(|first| first.is_final()) {
            let maybe_sent = !first.is_success() && self.record.has_unknown_attempt();
            self.record.status = if maybe_sent { Status::Unknown } else { first };
        }
    }

    /// The provider of the intent in hand was surely not called: the attempt ends so, and the message waits for whoever may send it.
    pub(crate) fn put_back(&mut self, code: &str, now: Timestamp) {
        if let Some(attempt) = self.record.attempts.last_mut()
            && attempt.outcome == AttemptOutcome::Calling
        {
            let failure = Failure::local(FailureClass::Unavailable, code, "the provider was not called");
            end_as_failed(attempt, &failure);
        }
        self.progress = Progress::Neutral;
        self.stand(Status::Queued, Some(format!("put back: {code}")), Some(now));
    }

    /// Commits what is new, as one transaction. While the store is away it tries again, as long as the process lives
    /// or its patience lasts: the outcome of a call must not be forgotten.
    ///
    /// # Errors
    /// The store's, when it [is final](is_final), when patience is at its end, or when the process ends.
    pub(crate) async fn commit(&mut self, flow: &Flow, patience: Option<Duration>) -> Result<(), StoreError> {
        let give_up_at = patience.map(|patience| Instant::now() + patience);
        let mut wait = FIRST_WAIT;
        let mut told = false;
        while let Err(error) = flow.store.record(self.step()).await {
            if is_final(&error) {
                return Err(self.tell_final(flow, error));
            }
            let again_at = Instant::now() + wait;
            if flow.ended.is_cancelled()
                || mutants::is(Mutant::OutcomeForgotten)
                || give_up_at.is_some_and(|give_up_at| again_at > give_up_at)
            {
                tracing::error!(message_id = %self.record.message.id, %error, "the step was not kept");
                return Err(error);
            }
            if !told {
                tracing::warn!(message_id = %self.record.message.id, %error, "the step was not kept; trying again until it is");
                told = true;
            }
            tokio::select! {
                biased;
                () = flow.ended.cancelled() => {}
                () = tokio::time::sleep_until(again_at) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        if told {
            tracing::info!(message_id = %self.record.message.id, "the step is kept now");
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

    /// Says why a step will never be kept, and counts it when another process has the message.
    fn tell_final(&self, flow: &Flow, error: StoreError) -> StoreError {
        if matches!(error, StoreError::Fenced) {
            flow.observer.fenced();
        }
        tracing::error!(message_id = %self.record.message.id, status = %self.record.status, %error, "the step was refused");
        error
    }

    /// Opens the recipients again who stand so.
    pub(crate) fn reopen(&mut self, stands: impl Fn(Status) -> bool) {
        for recipient in self.record.recipients.iter_mut().filter(|recipient| stands(recipient.status)) {
            (recipient.status, recipient.reason) = (Status::Queued, None);
            self.recipients_changed = true;
        }
    }

    /// The step of an act of a caller or an operator.
    pub(crate) fn step_of(&self, act: ActRecord) -> Step {
        Step {
            act: Some(act),
            ..self.step()
        }
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
            delivered_at: record.delivered_at,
            recipients: self.recipients_changed.then(|| record.recipients.clone()),
            act: None,
            expires_at: None,
            // A code is of no use to anybody afterwards, and could be read by whoever reads the store.
            forget_body: record.status.is_final() && record.message.handling.purpose == Purpose::Otp,
            events: Vec::new(),
            suppress: Vec::new(),
            lift: Vec::new(),
            notices: Vec::new(),
        }
    }
}

/// Whether writing the same step again is of no use.
pub(crate) const fn is_final(error: &StoreError) -> bool {
    matches!(error, StoreError::Fenced | StoreError::NotFound | StoreError::IllegalMove { .. })
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
