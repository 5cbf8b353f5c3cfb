//! 3. What happened becomes one step in the store: attempts, recipients, status, next intent.

use std::time::Duration;

use tokio::time::Instant;
use ums_core::{ActRecord, AttemptOutcome, EventRecord, MessageRecord, Purpose, Status, Step, StoreError, Suppression};

use crate::desk::Desk;
use crate::drain::Progress;
use crate::fate::{Happened, Next, Says, told};

/// The first and the longest wait before a step is written again.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A message's record, and how much of it the store has.
#[derive(Debug)]
pub(crate) struct Journal<'a> {
    desk: &'a Desk,
    pub(crate) record: MessageRecord,
    kept: Kept,
    /// Addresses that providers refused, not on the suppression list yet.
    suppress: Vec<Suppression>,
    /// What applications were told last.
    told: Option<Status>,
    /// What the message's fate says of the providers.
    pub(crate) progress: Progress,
}

/// What the store has of a record.
#[derive(Debug)]
struct Kept {
    /// Attempts whose rows the store has as they are.
    attempts: usize,
    skips: usize,
    recipients: Vec<(Status, Option<String>)>,
}

impl Kept {
    fn of(record: &MessageRecord) -> Self {
        let ended = record.attempts.iter().filter(|attempt| attempt.outcome != AttemptOutcome::Calling);
        let recipients = record.recipients.iter();
        Self {
            attempts: ended.count(),
            skips: record.skips.len(),
            recipients: recipients.map(|recipient| (recipient.status, recipient.reason.clone())).collect(),
        }
    }

    fn has_recipients_of(&self, record: &MessageRecord) -> bool {
        let stand = record.recipients.iter().map(|recipient| (recipient.status, &recipient.reason));
        self.recipients.iter().map(|(status, reason)| (*status, reason)).eq(stand)
    }
}

impl<'a> Journal<'a> {
    /// Goes on from what the store has.
    pub(crate) fn new(desk: &'a Desk, record: MessageRecord) -> Self {
        Self {
            desk,
            kept: Kept::of(&record),
            suppress: Vec::new(),
            told: told(&record),
            progress: Progress::Neutral,
            record,
        }
    }

    /// Has the decision core say what becomes of the message.
    pub(crate) fn happened(&mut self, happened: Happened<'_>) -> Next {
        let fate = self.desk.decide(&mut self.record, happened);
        self.suppress.extend(fate.suppress);
        self.progress = fate.progress;
        fate.next
    }

    /// Commits what is new, as one transaction. While the store is away it tries again, as long as the process lives
    /// or its patience lasts: the outcome of a call must not be forgotten.
    ///
    /// # Errors
    /// The store's, when it [is final](is_final), when patience is at its end, or when the process ends.
    pub(crate) async fn commit(&mut self, patience: Option<Duration>) -> Result<(), StoreError> {
        let give_up_at = patience.map(|patience| Instant::now() + patience);
        let ended = &self.desk.ports.ended;
        let mut wait = FIRST_WAIT;
        let mut warned = false;
        let step = self.step().await;
        while let Err(error) = self.desk.ports.store.record(step.clone()).await {
            if is_final(&error) {
                return Err(self.tell_final(error));
            }
            let again_at = Instant::now() + wait;
            if ended.is_cancelled() || give_up_at.is_some_and(|give_up_at| again_at > give_up_at) {
                tracing::error!(message_id = %self.record.message.id, %error, "the step was not kept");
                return Err(error);
            }
            if !warned {
                tracing::warn!(message_id = %self.record.message.id, %error, "the step was not kept; trying again until it is");
                warned = true;
            }
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                () = tokio::time::sleep_until(again_at) => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        if warned {
            tracing::info!(message_id = %self.record.message.id, "the step is kept now");
        }
        self.kept = Kept::of(&self.record);
        self.suppress.clear();
        self.told = told(&self.record).or(self.told);
        Ok(())
    }

    /// Says why a step will never be kept, and counts it when another process has the message.
    fn tell_final(&self, error: StoreError) -> StoreError {
        if matches!(error, StoreError::MustNotContact(_)) {
            // The delivery leaves them out.
            return error;
        }
        if matches!(error, StoreError::Fenced) {
            self.desk.ports.observer.fenced();
        }
        tracing::error!(message_id = %self.record.message.id, status = %self.record.status, %error, "the step was refused");
        error
    }

    async fn step(&self) -> Step {
        let record = &self.record;
        let mut step = Step {
            attempts: record.attempts.iter().skip(self.kept.attempts).cloned().collect(),
            skips: record.skips.iter().skip(self.kept.skips).cloned().collect(),
            recipients: (!self.kept.has_recipients_of(record)).then(|| record.recipients.clone()),
            notices: self.desk.notices.of_step(record, self.told, &[]),
            ..step_to(record)
        };
        if !self.suppress.is_empty() {
            let says = Says {
                suppress: self.suppress.clone(),
                lift: Vec::new(),
            };
            step.notices.extend(self.desk.notices.of_list(&says, self.desk.now()).await);
            step.suppress = says.suppress;
        }
        step
    }
}

/// The step that brings a message to where a record stands, without its attempts and all else that may have changed.
fn step_to(record: &MessageRecord) -> Step {
    Step {
        tenant: record.message.tenant.clone(),
        message_id: record.message.id,
        token: record.token,
        attempts: Vec::new(),
        skips: Vec::new(),
        status: record.status,
        error: record.error.clone(),
        work: record.work,
        sent_at: record.sent_at,
        delivered_at: record.delivered_at,
        recipients: None,
        act: None,
        expires_at: None,
        // A code is of no use to anybody afterwards, and could be read by whoever reads the store.
        forget_body: record.has_ended() && record.message.handling.purpose == Purpose::Otp,
        events: Vec::new(),
        suppress: Vec::new(),
        lift: Vec::new(),
        notices: Vec::new(),
    }
}

/// The step from one record of a message that nobody works on to another, with the events that led to it.
pub(crate) fn step_between(desk: &Desk, before: &MessageRecord, after: &MessageRecord, events: &[EventRecord]) -> Step {
    let changed = before.attempts.iter().zip(&after.attempts).filter(|(was, is)| was != is);
    let expires_at = after.message.expires_at;
    Step {
        attempts: changed.map(|(_, is)| is.clone()).collect(),
        recipients: (before.recipients != after.recipients).then(|| after.recipients.clone()),
        expires_at: (before.message.expires_at != expires_at).then_some(expires_at),
        events: events.to_vec(),
        notices: desk.notices.of_step(after, told(before), events),
        ..step_to(after)
    }
}

/// The step of an act of a caller or an operator.
pub(crate) fn step_of_act(desk: &Desk, before: &MessageRecord, after: &MessageRecord, act: ActRecord) -> Step {
    Step {
        act: Some(act),
        ..step_between(desk, before, after, &[])
    }
}

/// Whether writing the same step again is of no use.
pub(crate) const fn is_final(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Fenced | StoreError::NotFound | StoreError::IllegalMove { .. } | StoreError::MustNotContact(_)
    )
}
