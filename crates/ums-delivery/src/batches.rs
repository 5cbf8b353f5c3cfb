//! A batch: one transaction stores all its messages, or none. The transaction stores no intents; the worker claims the messages from the
//! queue.

use std::collections::BTreeMap;

use ums_core::{Content, IdempotencyKey, InvalidRequest, MessageId, MessageRecord, Purpose, StoreError, Stored, failpoint};

use crate::accept::{compose, leave_out, refuse_what_nobody_could_carry, to_store};
use crate::breaker::Now;
use crate::desk::Desk;
use crate::dispatch::Dispatch;
use crate::fate::Happened;
use crate::submission::{Accepted, Submission, SubmitError};

/// Accepts all messages of a batch, or none.
pub(crate) async fn accept_all(dispatch: &Dispatch, submissions: Vec<Submission>) -> Result<Vec<Accepted>, SubmitError> {
    let desk = &*dispatch.desk;
    if desk.ports.closing.is_cancelled() {
        return Err(SubmitError::Closing);
    }
    refuse_faults(desk, &submissions)?;
    refuse_pressure(desk, &submissions)?;
    let now = Now::read(&*desk.ports.clock);
    let mut items: Vec<BatchItem> = submissions
        .into_iter()
        .map(|submission| queued(dispatch, submission, now))
        .collect();
    let ids: Vec<_> = items.iter().map(|item| item.record.message.id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let stored = store(desk, &mut items).await?;
    let waiting = items.iter().filter(|item| !item.record.has_ended()).count();
    failpoint::pass("batch.committed");
    let accepted = answers(&ids, &stored)?;
    if accepted.iter().any(|item| !item.replayed) {
        tracing::debug!(messages = ids.len(), "accepted a batch");
        desk.queue.add(u64::try_from(waiting).unwrap_or(u64::MAX));
        desk.queue.wake();
    }
    Ok(accepted)
}

/// A message of a batch before it is stored.
struct BatchItem {
    record: MessageRecord,
    idempotency: Option<IdempotencyKey>,
}

/// Stores the messages without the recipients who must not be contacted.
async fn store(desk: &Desk, items: &mut [BatchItem]) -> Result<Vec<Stored>, StoreError> {
    loop {
        let news = items.iter().map(|item| to_store(desk, &item.record, item.idempotency.clone()));
        let stored = desk.ports.store.accept_all(news.collect()).await;
        let Err(StoreError::MustNotContact(found)) = &stored else {
            return stored;
        };
        let mut left_out = false;
        for BatchItem { record, .. } in items.iter_mut() {
            let id = record.message.id;
            for found in found.iter().filter(|found| found.message_id == id) {
                left_out |= leave_out(desk, record, &found.entries);
            }
        }
        // Each round leaves out a recipient, so the loop ends.
        if !left_out {
            return stored;
        }
    }
}

/// Composes a message of a batch: due now or at its `send_at`, or ended by a gate.
fn queued(dispatch: &Dispatch, submission: Submission, now: Now) -> BatchItem {
    let idempotency = submission.idempotency.clone();
    let (_, mut record) = compose(dispatch, submission, now);
    if record.is_under_way() {
        dispatch.desk.decide(&mut record, Happened::Enqueued);
    }
    BatchItem { record, idempotency }
}

/// Refuses messages that no provider could carry. Reports the faults of all items together; each field names its item.
fn refuse_faults(desk: &Desk, submissions: &[Submission]) -> Result<(), SubmitError> {
    let mut faults = Vec::new();
    for (index, submission) in submissions.iter().enumerate() {
        let fine = match submission.parsed.content {
            Content::Email(_) => refuse_what_nobody_could_carry(&desk.chains.email, submission),
            Content::Sms(_) => refuse_what_nobody_could_carry(&desk.chains.sms, submission),
        };
        match fine {
            Ok(()) => {}
            Err(SubmitError::Invalid(invalid)) => faults.extend(invalid.faults.into_iter().map(|mut fault| {
                fault.field = format!("messages[{index}].{}", fault.field);
                fault
            })),
            Err(other) => return Err(other),
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(InvalidRequest { faults }.into())
    }
}

/// Refuses a batch that does not fit into the backlog.
fn refuse_pressure(desk: &Desk, submissions: &[Submission]) -> Result<(), SubmitError> {
    let mut by_purpose: BTreeMap<Purpose, u64> = BTreeMap::new();
    for submission in submissions {
        *by_purpose.entry(submission.parsed.handling.purpose).or_default() += 1;
    }
    let max_backlog = desk.rules.max_backlog;
    if by_purpose
        .into_iter()
        .all(|(purpose, messages)| desk.queue.has_room(purpose, messages, max_backlog))
    {
        Ok(())
    } else {
        Err(SubmitError::Full)
    }
}

/// Answers the caller: all messages are new, or all were stored before. A mixture means another batch under a used key: a conflict.
fn answers(ids: &[MessageId], stored: &[Stored]) -> Result<Vec<Accepted>, SubmitError> {
    if stored.len() != ids.len() {
        let error = StoreError::Unusable("the store did not answer for every message of a batch".to_owned());
        return Err(error.into());
    }
    let accepted: Option<Vec<Accepted>> = ids
        .iter()
        .zip(stored)
        .map(|(id, stored)| match stored {
            Stored::New => Some(Accepted {
                message_id: *id,
                replayed: false,
            }),
            Stored::Replayed(earlier) => Some(Accepted {
                message_id: *earlier,
                replayed: true,
            }),
            Stored::KeyConflict => None,
        })
        .collect();
    let accepted = accepted.ok_or(SubmitError::KeyConflict)?;
    let replayed = accepted.iter().filter(|item| item.replayed).count();
    if replayed != 0 && replayed != accepted.len() {
        return Err(SubmitError::KeyConflict);
    }
    Ok(accepted)
}
