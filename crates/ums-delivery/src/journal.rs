//! 3. What happened becomes one step in the store: attempts, recipients, status, next intent.

use std::time::Duration;

use tokio::time::Instant;
use ums_core::{ActRecord, AttemptOutcome, EventRecord, MessageRecord, Purpose, Status, Step, StoreError, Suppression, Undo};

use crate::desk::Desk;
use crate::drain::Progress;
use crate::fate::{self, Happened, Next, Says, told};

/// The first and the longest wait before a step is written again.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The record of a message in hand, and how much of the record the store has.
#[derive(Debug)]
pub(crate) struct Journal<'a> {
    desk: &'a Desk,
    pub(crate) record: MessageRecord,
    kept: Kept,
    /// Entries for the suppression list that the store does not have yet.
    suppress: Vec<Suppression>,
    /// Decisions to undo entries that the store does not have yet.
    undo: Vec<Undo>,
    /// The status that applications were told last.
    told: Option<Status>,
    /// What the last decision says about the providers, for the window of the lane.
    pub(crate) progress: Progress,
}

/// What the store has of a record.
#[derive(Debug)]
struct Kept {
    /// Number of attempts that the store has and that cannot change any more.
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
    /// A journal whose record the store has as it is.
    pub(crate) fn new(desk: &'a Desk, record: MessageRecord) -> Self {
        Self {
            desk,
            kept: Kept::of(&record),
            suppress: Vec::new(),
            undo: Vec::new(),
            told: told(&record),
            progress: Progress::Neutral,
            record,
        }
    }

    /// Has the decision core decide what becomes of the message. Nothing is stored before [`Journal::commit`].
    pub(crate) fn happened(&mut self, happened: Happened<'_>) -> Next {
        let fate = self.desk.decide(&mut self.record, happened);
        self.suppress.extend(fate.suppress);
        self.progress = fate.progress;
        fate.next
    }

    /// Adds a decision to undo entries of the suppression list.
    pub(crate) fn undo(&mut self, undo: Undo) {
        self.undo.push(undo);
    }

    /// Commits what is new, as one transaction. While the store does not answer, the journal tries again until the patience or the process
    /// ends: the outcome of a call must not be forgotten.
    ///
    /// # Errors
    /// The error of the store, if the error [is final](is_final), if the patience is over, or if the process ends.
    pub(crate) async fn commit(&mut self, patience: Option<Duration>) -> Result<(), StoreError> {
        let give_up_at = patience.map(|patience| Instant::now() + patience);
        let ended = &self.desk.ports.ended;
        let mut wait = FIRST_WAIT;
        let mut warned = false;
        let step = self.step();
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
        self.undo.clear();
        self.told = told(&self.record).or(self.told);
        Ok(())
    }

    /// Logs why the store will never take the step, and counts a step whose message another process has.
    fn tell_final(&self, error: StoreError) -> StoreError {
        if matches!(error, StoreError::MustNotContact(_)) {
            // The delivery leaves these recipients out.
            return error;
        }
        if matches!(error, StoreError::Fenced) {
            self.desk.ports.observer.fenced();
        }
        tracing::error!(message_id = %self.record.message.id, status = %self.record.status, %error, "the step was refused");
        error
    }

    fn step(&self) -> Step {
        let record = &self.record;
        let mut step = Step {
            attempts: record.attempts.iter().skip(self.kept.attempts).cloned().collect(),
            skips: record.skips.iter().skip(self.kept.skips).cloned().collect(),
            recipients: (!self.kept.has_recipients_of(record)).then(|| record.recipients.clone()),
            undo: self.undo.clone(),
            notices: self.desk.notices.of_step(record, self.told, &[]),
            ..step_to(record)
        };
        if !self.suppress.is_empty() {
            let says = Says {
                suppress: self.suppress.clone(),
                lift: Vec::new(),
            };
            step.list_notices = self.desk.notices.of_list(&says);
            step.suppress = says.suppress;
        }
        step
    }
}

/// The step to the status and work of a record; without attempts, recipients and other lists.
fn step_to(record: &MessageRecord) -> Step {
    // A one-time code is useless after its message has ended, and a reader of the store could see it.
    let code_is_useless = record.has_ended() && record.message.handling.purpose == Purpose::Otp;
    let needed_until = fate::body_is_needed_until(record);
    Step {
        tenant: record.message.tenant.clone(),
        message_id: record.message.id,
        occasion: record.message.handling.occasion(),
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
        forget_body: code_is_useless && needed_until.is_none(),
        forget_body_at: needed_until.filter(|_| code_is_useless),
        events: Vec::new(),
        suppress: Vec::new(),
        lift: Vec::new(),
        undo: Vec::new(),
        notices: Vec::new(),
        list_notices: Vec::new(),
    }
}

/// The step from one record to another, with the events that led to it; for a message that nobody works on.
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

/// Whether the store will refuse the same step every time.
pub(crate) const fn is_final(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Fenced | StoreError::NotFound | StoreError::IllegalMove { .. } | StoreError::MustNotContact(_) | StoreError::Gone(_)
    )
}
