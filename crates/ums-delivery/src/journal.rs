//! 3. What happened becomes one step in the store: attempts, recipients, status, next intent.

use std::time::Duration;

use tokio::time::Instant;
use ums_core::{
    Accepted, ActRecord, AttemptOutcome, AttemptRecord, Channel, Failure, FailureClass, FailureSource, MessageRecord, Purpose, Refusal,
    Status, Step, StoreError, Suppression, SuppressionOrigin, SuppressionReason, Timestamp, millis, suppression_address,
};

use crate::carried::is_open;
use crate::drain::Progress;
use crate::feedback::Says;
use crate::flow::Flow;
use crate::gates;
use crate::mutants::{self, Mutant};
use crate::outbox::{notices_for, told};

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
    /// Addresses that providers refused, not on the suppression list yet.
    refused: Vec<Suppression>,
    /// What applications were told last.
    told: Option<Status>,
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
            refused: Vec::new(),
            told: told(&record),
            progress: Progress::Neutral,
            record,
        }
    }

    /// A message that a gate ended after it had been stored; `before` is what applications were told of it last.
    pub(crate) fn stopped(record: MessageRecord, before: Option<Status>) -> Self {
        Self {
            recipients_changed: true,
            told: before,
            ..Self::new(record)
        }
    }

    /// Writes how the attempt in hand ended.
    pub(crate) fn end_attempt(&mut self, ended: &Ended, unit_micros: Option<i64>, billed_units: u32) {
        self.note_refusals(ended);
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

    /// A provider that refuses a recipient for good says something for the messages to come, too. A refusal of a message to several is
    /// nobody's in particular.
    fn note_refusals(&mut self, ended: &Ended) {
        let mut open = self.record.recipients.iter().filter(|recipient| is_open(recipient.status));
        let refusals: Vec<(&str, &Failure)> = match (&ended.result, open.next(), open.next()) {
            (Ok(accepted), _, _) => accepted
                .refused
                .iter()
                .map(|refusal| (refusal.address.expose(), &refusal.failure))
                .collect(),
            (Err(failure), Some(only), None) => vec![(only.address.as_str(), failure)],
            (Err(_), _, _) => Vec::new(),
        };
        let entries = refusals
            .into_iter()
            .filter_map(|(address, failure)| self.entry_of(address, failure, ended.at));
        self.refused = entries.collect();
    }

    fn entry_of(&self, address: &str, failure: &Failure, at: Timestamp) -> Option<Suppression> {
        let message = &self.record.message;
        let channel = message.content.channel();
        let reason = reason_of(failure, channel)?;
        Some(Suppression {
            tenant: message.tenant.clone(),
            channel,
            address: suppression_address(channel, address),
            reason,
            origin: SuppressionOrigin::Refusal,
            provider: self.record.attempts.last().map(|attempt| attempt.provider),
            message_id: Some(message.id),
            detail: Some(failure.to_string()),
            since: at,
            expires_at: None,
            lifted_at: None,
        })
    }

    /// Leaves out recipients who came onto the suppression list. When nobody is left the intent in hand is withdrawn, and the message ends.
    ///
    /// Whether anybody was left out.
    pub(crate) fn leave_out(&mut self, entries: &[Suppression]) -> bool {
        let Some(why) = gates::leave_out(&mut self.record, entries) else {
            return false;
        };
        self.recipients_changed = true;
        if !self.has_open_recipients() {
            self.record.attempts.pop_if(|attempt| attempt.outcome == AttemptOutcome::Calling);
            self.close(Status::Suppressed, Some(why));
        }
        true
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
            let maybe_sent = !first.is_success() && first != Status::Bounced && self.record.has_unknown_attempt();
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
        let step = self.step(flow).await;
        while let Err(error) = flow.store.record(step.clone()).await {
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
        self.refused.clear();
        self.told = crate::outbox::told(&self.record).or(self.told);
        Ok(())
    }

    /// Says why a step will never be kept, and counts it when another process has the message.
    fn tell_final(&self, flow: &Flow, error: StoreError) -> StoreError {
        if matches!(error, StoreError::MustNotContact(_)) {
            // Whoever asked leaves them out.
            return error;
        }
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
    pub(crate) async fn step_of(&self, flow: &Flow, act: ActRecord) -> Step {
        Step {
            act: Some(act),
            ..self.step(flow).await
        }
    }

    async fn step(&self, flow: &Flow) -> Step {
        let record = &self.record;
        let mut notices = notices_for(flow, record, self.told, &[]);
        let says = Says {
            suppress: self.refused.clone(),
            lift: Vec::new(),
        };
        if !says.suppress.is_empty() {
            notices.extend(says.notices(flow, flow.clock.now()).await);
        }
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
            suppress: says.suppress,
            lift: says.lift,
            notices,
        }
    }
}

/// Whether writing the same step again is of no use.
pub(crate) const fn is_final(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Fenced | StoreError::NotFound | StoreError::IllegalMove { .. } | StoreError::MustNotContact(_)
    )
}

/// What a refusal at the hand-over says of the address, if it says anything for good.
fn reason_of(failure: &Failure, channel: Channel) -> Option<SuppressionReason> {
    if failure.source != FailureSource::Provider {
        return None;
    }
    match (failure.class, channel) {
        // Blocked is an e-mail address that is on the provider's own list, where hard bounces bring most.
        (FailureClass::InvalidRecipient, _) | (FailureClass::RecipientBlocked, Channel::Email) => Some(SuppressionReason::HardBounce),
        (FailureClass::RecipientBlocked, Channel::Sms) => Some(SuppressionReason::Stop),
        (
            FailureClass::InvalidMessage
            | FailureClass::Unsupported
            | FailureClass::Misconfigured
            | FailureClass::QuotaExhausted
            | FailureClass::Throttled
            | FailureClass::Unavailable
            | FailureClass::Unknown,
            _,
        ) => None,
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
