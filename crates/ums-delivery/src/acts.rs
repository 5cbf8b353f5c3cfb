//! What callers and operators do to a message that nobody works on: cancel, send again, say what became of it.
//!
//! Each act reads the message, decides, and records one step under the token that was read. Whoever was faster makes the store refuse
//! it; then it is read again.

use ums_core::{
    ActKind, ActRecord, AttemptOutcome, AttemptRecord, MessageId, MessageRecord, Status, Step, StoreError, TenantId, Timestamp,
};

use crate::engine::Messaging;
use crate::flow::Flow;
use crate::journal::Journal;

/// How often an act is decided anew because somebody else was faster.
const TRIES: usize = 5;

/// Said of an attempt that an operator marked as delivered.
pub(crate) const MARKED_DELIVERED: &str = "marked as delivered";

/// Why an act came to nothing. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// There is no such message.
    #[error("there is no such message")]
    NotFound,
    /// The message does not stand so that this can be done to it.
    #[error("a message that is {status} cannot be {act}: {why}")]
    NotPossible {
        /// Where it stands.
        status: Status,
        /// What was to be done, as a participle: `cancelled`, `sent again`, `marked as sent`.
        act: &'static str,
        /// Why not, and what to do instead.
        why: &'static str,
    },
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an operator says became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A provider took it.
    Sent,
    /// The recipient has it.
    Delivered,
    /// Nobody took it.
    Failed,
}

impl Messaging {
    /// Stops a message that is not sent yet. One whose attempt may have been accepted ends `unknown`.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when it is being sent or has ended.
    pub async fn cancel(&self, tenant: &TenantId, id: MessageId) -> Result<MessageRecord, ActError> {
        act(&self.flow, tenant, id, cancelled).await
    }

    /// Has a message sent again that failed, expired, or may have been accepted; the operator answers for a double. It gets the
    /// time of its purpose anew. Attempts that were unknown before count no more against the rules on duplicates, but
    /// they stay in the story, and the message still ends `unknown` rather than `failed`.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when it stands otherwise or its body is gone.
    pub async fn resend(&self, tenant: &TenantId, id: MessageId) -> Result<MessageRecord, ActError> {
        let done = act(&self.flow, tenant, id, resent).await;
        self.flow.queued.notify_one();
        done
    }

    /// Says what became of a message whose outcome is unknown.
    ///
    /// # Errors
    /// [`ActError::NotPossible`] when its outcome is known.
    pub async fn mark(&self, tenant: &TenantId, id: MessageId, mark: Mark) -> Result<MessageRecord, ActError> {
        act(&self.flow, tenant, id, |flow, record| marked(flow, record, mark)).await
    }
}

/// Reads, decides, records; and again when somebody was faster.
async fn act<D>(flow: &Flow, tenant: &TenantId, id: MessageId, decide: D) -> Result<MessageRecord, ActError>
where
    D: Fn(&Flow, MessageRecord) -> Result<Decided, ActError>,
{
    for _ in 1..TRIES {
        match act_once(flow, tenant, id, &decide).await {
            Err(ActError::Store(StoreError::Fenced | StoreError::IllegalMove { .. })) => {}
            done => return done,
        }
    }
    act_once(flow, tenant, id, &decide).await
}

async fn act_once<D>(flow: &Flow, tenant: &TenantId, id: MessageId, decide: &D) -> Result<MessageRecord, ActError>
where
    D: Fn(&Flow, MessageRecord) -> Result<Decided, ActError>,
{
    let record = flow.store.message(tenant, id).await?.ok_or(ActError::NotFound)?;
    let step = decide(flow, record)?.step(flow).await;
    match flow.store.record(step).await {
        Err(StoreError::NotFound) => return Err(ActError::NotFound),
        done => done?,
    }
    flow.store.message(tenant, id).await?.ok_or(ActError::NotFound)
}

/// What an act makes of a message, before it is recorded.
pub(crate) struct Decided {
    journal: Journal,
    act: ActRecord,
    settled: Vec<AttemptRecord>,
    expires_at: Option<Timestamp>,
}

impl Decided {
    pub(crate) async fn step(self, flow: &Flow) -> Step {
        let step = self.journal.step_of(flow, self.act).await;
        Step {
            attempts: self.settled,
            expires_at: self.expires_at,
            ..step
        }
    }
}

fn not_possible(record: &MessageRecord, act: &'static str, why: &'static str) -> ActError {
    ActError::NotPossible {
        status: record.status,
        act,
        why,
    }
}

/// Whether some process works on it right now.
fn is_under_way(record: &MessageRecord) -> bool {
    !record.status.is_final() && record.due_at.is_none()
}

fn cancelled(flow: &Flow, record: MessageRecord) -> Result<Decided, ActError> {
    if record.status.is_final() {
        return Err(not_possible(&record, "cancelled", "it has ended"));
    }
    if is_under_way(&record) {
        return Err(not_possible(
            &record,
            "cancelled",
            "it is being sent; look again when it has an outcome or is held",
        ));
    }
    let act = act_of(flow, &record, ActKind::Cancelled, format!("was {}", record.status));
    let (status, error) = if record.has_unknown_attempt() {
        (Status::Unknown, "cancelled, but a provider may have taken it before")
    } else {
        (Status::Cancelled, "cancelled before it was sent")
    };
    let mut journal = Journal::new(record);
    journal.stand(status, Some(error.to_owned()), None);
    Ok(Decided {
        journal,
        act,
        settled: Vec::new(),
        expires_at: None,
    })
}

fn resent(flow: &Flow, record: MessageRecord) -> Result<Decided, ActError> {
    let act = "sent again";
    match record.status {
        Status::Failed | Status::Expired | Status::Unknown => {}
        Status::Pending | Status::Scheduled | Status::Queued | Status::Sending => {
            return Err(not_possible(&record, act, "it has not ended yet"));
        }
        Status::Sent | Status::Delivered => return Err(not_possible(&record, act, "a provider took it; send a new message")),
        Status::Cancelled => return Err(not_possible(&record, act, "its sender stopped it; send a new message")),
        Status::Bounced | Status::Suppressed | Status::Unsubscribed => {
            return Err(not_possible(&record, act, "its recipient is not to be contacted"));
        }
    }
    if !record.message.content.has_body() {
        return Err(not_possible(&record, act, "its body is no longer kept; send a new message"));
    }
    if !record.recipients.iter().any(|recipient| may_be_written_to_again(recipient.status)) {
        return Err(not_possible(&record, act, "its recipient is not to be contacted"));
    }
    let now = flow.clock.now();
    let expires_at = now + flow.rules.expiry.of(record.message.handling.purpose);
    Ok(again(flow, record, ActKind::Resent, (now, Some(expires_at))))
}

/// Whether a recipient who stands so is written to when the message is sent again. Who has it, bounced or opted out is not.
const fn may_be_written_to_again(status: Status) -> bool {
    matches!(status, Status::Failed | Status::Expired | Status::Unknown)
}

/// The step that queues an ended message once more: those recipients who have it or must not get it are left out.
pub(crate) fn again(flow: &Flow, record: MessageRecord, kind: ActKind, (due_at, expires_at): (Timestamp, Option<Timestamp>)) -> Decided {
    let act = act_of(
        flow,
        &record,
        kind,
        format!("was {} after {} attempts", record.status, record.attempts.len()),
    );
    let mut journal = Journal::new(record);
    journal.reopen(may_be_written_to_again);
    journal.stand(Status::Queued, Some(format!("{kind} by an operator")), Some(due_at));
    Decided {
        journal,
        act,
        settled: Vec::new(),
        expires_at,
    }
}

fn marked(flow: &Flow, record: MessageRecord, mark: Mark) -> Result<Decided, ActError> {
    let (status, outcome, act) = match mark {
        Mark::Sent => (Status::Sent, AttemptOutcome::Accepted, "marked as sent"),
        Mark::Delivered => (Status::Delivered, AttemptOutcome::Accepted, MARKED_DELIVERED),
        Mark::Failed => (Status::Failed, AttemptOutcome::Failed, "marked as failed"),
    };
    let waits_for_feedback = record.status == Status::Queued && record.has_unknown_attempt();
    if is_under_way(&record) {
        return Err(not_possible(&record, act, "it is being sent"));
    }
    if record.status != Status::Unknown && !waits_for_feedback {
        return Err(not_possible(&record, act, "no attempt of it has an unknown outcome"));
    }
    let told = act_of(flow, &record, ActKind::Marked, format!("was {}, {act}", record.status));
    let sent_at = record
        .attempts
        .iter()
        .filter(|attempt| is_unknown(attempt))
        .map(|attempt| attempt.called_at)
        .max();
    let mut journal = Journal::new(record);
    let mut settled = Vec::new();
    for attempt in journal.record.attempts.iter_mut().filter(|attempt| is_unknown(attempt)) {
        attempt.outcome = outcome;
        if outcome == AttemptOutcome::Accepted {
            (attempt.class, attempt.code) = (None, None);
        }
        attempt.detail = Some(act.to_owned());
        settled.push(attempt.clone());
    }
    if mark != Mark::Failed {
        journal.record.sent_at = journal.record.sent_at.or(sent_at);
    }
    if mark == Mark::Delivered {
        journal.record.delivered_at = journal.record.delivered_at.or(Some(told.at));
    }
    // Those whom a provider refused by name stay refused.
    journal.reopen(|recipient| recipient == Status::Unknown);
    journal.stand(status, (mark == Mark::Failed).then(|| act.to_owned()), None);
    Ok(Decided {
        journal,
        act: told,
        settled,
        expires_at: None,
    })
}

fn is_unknown(attempt: &AttemptRecord) -> bool {
    attempt.outcome == AttemptOutcome::Unknown
}

/// An act is later than every attempt before it, whatever the clock says: that keeps the attempts before and after it apart.
fn act_of(flow: &Flow, record: &MessageRecord, kind: ActKind, detail: String) -> ActRecord {
    let last = record.attempts.iter().map(|attempt| attempt.called_at).max();
    let now = flow.clock.now();
    ActRecord {
        at: last.map_or(now, |last| now.max(last + std::time::Duration::from_micros(1))),
        kind,
        detail,
    }
}
