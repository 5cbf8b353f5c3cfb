//! 1. A request that was read becomes a stored message, and is on its way.
//!
//! The first intent is stored in the same transaction as the message when a provider is free at
//! once; so a message that is sent at once costs two commits, not three.

use std::sync::Arc;

use tokio::sync::oneshot;
use ums_core::{
    AttemptId, AttemptRecord, Content, IdempotencyKey, InvalidRequest, Message, MessageId, MessageRecord, NewMessage, ProviderKind,
    Purpose, Status, StoreError, Stored, Suppression, Timestamp, failpoint, request::FieldFault,
};

use crate::breaker::Now;
use crate::carried::{Carried, is_open};
use crate::chain::{Chain, Slot, Walk};
use crate::deliver::{Work, deliver};
use crate::engine::{Submission, SubmitError, Ticket};
use crate::flow::Flow;
use crate::gates;
use crate::lanes::Place;
use crate::lost::Accepting;
use crate::outbox::notices_for;
use crate::pressure::refuse_when_full;
use crate::story::resent_at;
use crate::unsubscribe;

/// Accepts a message: compose, gates, slot, store, go.
pub(crate) async fn accept<M: Carried>(flow: &Arc<Flow>, chain: &Chain<M>, submission: Submission) -> Result<Ticket, SubmitError> {
    if flow.closing.is_cancelled() {
        return Err(SubmitError::Closing);
    }
    refuse_what_nobody_could_carry(chain, &submission)?;
    refuse_when_full(flow, submission.parsed.handling.purpose, 1)?;
    let now = Now::read(&*flow.clock);
    let (tenant, idempotency) = (submission.tenant.clone(), submission.idempotency.clone());
    let (message, mut record) = compose(flow, submission, now);
    let place = flow.lanes.take(message.handling.purpose);
    if place.is_none() && !flow.store.is_durable() {
        return Err(SubmitError::Busy);
    }
    let term = flow.lease.term();
    if record.status == Status::Pending && (place.is_none() || !flow.may_send()) {
        // No room here, or another process sends from this store: whoever may takes it up at once.
        wait_until(&mut record, Status::Queued, now.wall);
    }

    let mut walk = walk_of::<M>(&message);
    let slot = if record.status == Status::Pending {
        chain.pick(&mut walk, flow)
    } else {
        None
    };
    match &slot {
        // Read anew: the story tells who was passed over before who was called.
        Some(slot) => begin_attempt(flow, &mut record, slot, flow.clock.now()),
        // Whoever delivers it looks again, and records why.
        None => walk.skips.clear(),
    }
    record.skips.append(&mut walk.skips);

    let accepting = Accepting::begin(flow, &message);
    failpoint::pass("accept.before_commit");
    let stored = store(flow, &mut record, idempotency, slot.as_ref()).await;
    if !matches!(stored, Ok(Stored::New)) || record.status.is_final() {
        let left = if record.status.is_final() { 0 } else { open_recipients(&record) };
        give_back(slot.as_ref(), left, now);
    }
    let slot = slot.filter(|_| !record.status.is_final());
    let held = match &stored {
        // Whoever looks it up puts it back.
        Err(StoreError::CommitUnknown(_)) => None,
        Ok(_) | Err(_) => accepting.known(),
    };
    let ticket = |message_id, replayed, settled| Ticket {
        message_id,
        tenant,
        replayed,
        settled,
        flow: flow.clone(),
    };
    match stored? {
        Stored::New => failpoint::pass("accept.committed"),
        Stored::Replayed(message_id) => return Ok(ticket(message_id, true, None)),
        Stored::KeyConflict => return Err(SubmitError::KeyConflict),
    }
    tracing::debug!(message_id = %message.id, channel = %message.content.channel(), purpose = %message.handling.purpose, "accepted");
    let is_waiting = matches!(record.status, Status::Scheduled | Status::Queued);
    let due_at = record.due_at.unwrap_or(now.wall);
    let settled = match held.filter(|_| !record.status.is_final() && !is_waiting) {
        Some(held) => {
            let work = Work {
                record,
                walk,
                slot,
                term,
                held,
            };
            Some(go(flow, work, place))
        }
        None => None,
    };
    if is_waiting {
        flow.backlog.add(1);
        flow.wake_for(due_at);
    }
    Ok(ticket(message.id, false, settled))
}

/// Sends it on a task of its own, so that a caller who goes away cancels nothing.
fn go<M: Carried>(flow: &Arc<Flow>, work: Work<M>, place: Option<Place>) -> oneshot::Receiver<ums_core::SendResult> {
    let (settle, settled) = oneshot::channel();
    let flow_of_task = flow.clone();
    flow.tasks.spawn(async move {
        let delivered = deliver(&flow_of_task, work).await;
        drop(place);
        if delivered.kept {
            // A caller who went away does not want the result.
            drop(settle.send(delivered.record.result()));
        }
    });
    settled
}

/// Stores a message without those who must not be contacted. Their room in the pace goes back at once.
async fn store<M: Carried>(
    flow: &Flow,
    record: &mut MessageRecord,
    idempotency: Option<IdempotencyKey>,
    slot: Option<&Slot<M>>,
) -> Result<Stored, StoreError> {
    loop {
        let stored = flow.store.accept(to_store(flow, record, idempotency.clone())).await;
        let Err(StoreError::MustNotContact(found)) = &stored else {
            return stored;
        };
        let before = open_recipients(record);
        // Somebody is left out each time, so this ends.
        if !found.iter().any(|found| leave_out(record, &found.entries)) {
            return stored;
        }
        give_back(slot, before - open_recipients(record), Now::read(&*flow.clock));
    }
}

/// Leaves out recipients of a message that is not stored yet; whether there were any.
pub(crate) fn leave_out(record: &mut MessageRecord, entries: &[Suppression]) -> bool {
    let Some(why) = gates::leave_out(record, entries) else {
        return false;
    };
    if open_recipients(record) == 0 {
        record.status = record.recipients.first().map_or(Status::Suppressed, |first| first.status);
        record.error = Some(why);
        record.due_at = None;
        record.attempts.clear();
        if record.message.handling.purpose == Purpose::Otp {
            // It has ended: the code must not be kept.
            let mut message = (*record.message).clone();
            message.content = message.content.without_body();
            record.message = Arc::new(message);
        }
    }
    true
}

fn open_recipients(record: &MessageRecord) -> u32 {
    let open = record.recipients.iter().filter(|recipient| is_open(recipient.status)).count();
    u32::try_from(open).unwrap_or(u32::MAX)
}

/// Some are not sent to after all: their room in the day's pace goes back.
fn give_back<M: Carried>(slot: Option<&Slot<M>>, recipients: u32, now: Now) {
    if let Some(slot) = slot.filter(|_| recipients > 0) {
        slot.link.pacer.refund(recipients, now.mono);
    }
}

/// Starts the walk of one round along the chain.
pub(crate) fn walk_of<M: Carried>(message: &Message) -> Walk {
    let recipients = M::of(&message.content).map_or(1, M::recipients);
    Walk::new(message.handling.purpose, message.handling.via, recipients).of_sender(&message.content)
}

/// Adds the intent to call a provider. It is never earlier than the act that had the message sent again.
pub(crate) fn begin_attempt<M>(flow: &Flow, record: &mut MessageRecord, slot: &Slot<M>, now: Timestamp) {
    let id = AttemptId::new(&*flow.clock, &*flow.random);
    let called_at = resent_at(record).map_or(now, |resent_at| now.max(resent_at));
    record
        .attempts
        .push(AttemptRecord::intent(id, slot.link.kind, slot.link.account.clone(), called_at));
    record.status = Status::Sending;
    record.due_at = None;
}

/// The message waits for that time.
pub(crate) fn wait_until(record: &mut MessageRecord, status: Status, due_at: Timestamp) {
    record.status = status;
    record.due_at = Some(due_at);
    for recipient in &mut record.recipients {
        recipient.status = status;
    }
}

/// Refuses a message that no provider of its chain may ever be asked to carry.
pub(crate) fn refuse_what_nobody_could_carry<M>(chain: &Chain<M>, submission: &Submission) -> Result<(), SubmitError> {
    if chain.links.is_empty() {
        return Err(SubmitError::NoProvider(submission.parsed.content.channel()));
    }
    let via: Option<ProviderKind> = submission.parsed.handling.via;
    if via.is_some_and(|via| chain.links.iter().all(|link| link.kind != via)) {
        let fault = FieldFault {
            field: "via".into(),
            reason: "names a provider that is not configured here; see `ums health`".into(),
        };
        return Err(InvalidRequest { faults: vec![fault] }.into());
    }
    Ok(())
}

/// Makes the message (id, times, and the text part where only HTML was given) and the record that it starts with: `pending`,
/// `scheduled`, or ended by a gate.
pub(crate) fn compose(flow: &Flow, submission: Submission, now: Now) -> (Arc<Message>, MessageRecord) {
    let mut content = submission.parsed.content;
    if let Content::Email(email) = &mut content
        && email.text.is_none()
        && let Some(html) = &email.html
    {
        email.text = ums_content::text_from_html(html).ok().filter(|text| !text.trim().is_empty());
    }
    let handling = submission.parsed.handling;
    let stopped = gates::check(flow, &content);
    if stopped.is_some() && handling.purpose == Purpose::Otp {
        // It has ended: the code must not be kept.
        content = content.without_body();
    }
    let starts_later = handling.send_at.filter(|send_at| *send_at > now.wall);
    let id = MessageId::new(&*flow.clock, &*flow.random);
    unsubscribe::add_link(flow, (&submission.tenant, id), handling.purpose, &mut content);
    let message = Arc::new(Message {
        id,
        tenant: submission.tenant,
        content,
        accepted_at: now.wall,
        expires_at: starts_later.unwrap_or(now.wall) + handling.expires_in.unwrap_or_else(|| flow.rules.expiry.of(handling.purpose)),
        handling,
        metadata: submission.parsed.metadata,
    });
    let mut record = MessageRecord::accepted(message.clone(), Status::Pending);
    if let Some(stopped) = stopped {
        gates::stop(&mut record, &stopped);
    } else if let Some(send_at) = starts_later {
        wait_until(&mut record, Status::Scheduled, send_at);
    }
    (message, record)
}

/// What the store is to keep of a message that was just accepted.
pub(crate) fn to_store(flow: &Flow, record: &MessageRecord, idempotency: Option<IdempotencyKey>) -> NewMessage {
    NewMessage {
        message: record.message.clone(),
        status: record.status,
        error: record.error.clone(),
        due_at: record.due_at,
        recipients: record.recipients.clone(),
        intent: record.attempts.first().cloned(),
        skips: record.skips.clone(),
        idempotency,
        notices: notices_for(flow, record, None, &[]),
    }
}
