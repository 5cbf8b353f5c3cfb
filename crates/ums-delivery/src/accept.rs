//! 1. A parsed request becomes a stored message and goes out at once or waits in the queue.
//!
//! When a provider has a slot at once, one transaction stores the message together with its first intent: a message that is sent at
//! once costs two commits, not three.

use std::sync::Arc;

use tokio::sync::oneshot;
use ums_core::{
    Content, IdempotencyKey, InvalidRequest, Message, MessageId, MessageRecord, NewMessage, ProviderKind, Purpose, SendResult, Status,
    StoreError, Stored, Suppression, TenantId, failpoint, request::FieldFault,
};

use crate::breaker::Now;
use crate::carried::Carried;
use crate::chain::{Chain, Routed, Slot, Walk};
use crate::deliver::{Work, deliver, intent};
use crate::desk::Desk;
use crate::dispatch::Dispatch;
use crate::fate::Happened;
use crate::gates;
use crate::lanes::LanePermit;
use crate::lost::Accepting;
use crate::memory::{COPIES_IN_CALL, Share};
use crate::submission::{Submission, SubmitError, Ticket};

/// Accepts a message: compose, gates, slot, store, go.
pub(crate) async fn accept<M: Routed>(dispatch: &Arc<Dispatch>, submission: Submission, mut memory: Share) -> Result<Ticket, SubmitError> {
    let desk = &dispatch.desk;
    let chain = M::chain(&desk.chains);
    refuse_at_the_door(desk, chain, &submission)?;
    let now = Now::read(&*desk.ports.clock);
    let (tenant, idempotency) = (submission.tenant.clone(), submission.idempotency.clone());
    let (message, mut record) = compose(dispatch, submission, now);
    let permit = dispatch.lanes.acquire(message.handling.purpose);
    if permit.is_none() && !desk.ports.store.is_durable() {
        return Err(SubmitError::Busy);
    }
    let term = desk.lease.term();
    let has_memory = desk.memory.grow(&mut memory, message.content.bytes(), COPIES_IN_CALL);
    if record.is_under_way() && (permit.is_none() || !has_memory || !desk.may_send()) {
        // No permit or no memory for the call here, or another process sends from this store.
        desk.decide(&mut record, Happened::Enqueued);
    }

    let mut walk = walk_of::<M>(&message);
    let slot = first_slot(desk, chain, &mut record, &mut walk);
    let accepting = Accepting::begin(desk, &message);
    failpoint::pass("accept.before_commit");
    let (stored, slot) = store(desk, &mut record, idempotency, slot).await;
    let held = match &stored {
        // The task that looks the message up requeues it.
        Err(StoreError::CommitUnknown(_)) => None,
        Ok(_) | Err(_) => accepting.known(),
    };
    let ticket = |message_id, replayed, settled| Ticket {
        message_id,
        tenant,
        replayed,
        settled,
        ports: desk.ports.clone(),
    };
    match stored? {
        Stored::New => failpoint::pass("accept.committed"),
        Stored::Replayed(message_id) => return Ok(ticket(message_id, true, None)),
        Stored::KeyConflict => return Err(SubmitError::KeyConflict),
    }
    tracing::debug!(message_id = %message.id, channel = %message.content.channel(), purpose = %message.handling.purpose, "accepted");
    if let Some(due_at) = record.work.due_at() {
        desk.queue.add(1);
        desk.queue.wake_for(due_at, desk.now());
    }
    let settled = match held.filter(|_| record.is_under_way()) {
        Some(held) => {
            desk.memory.shrink(&mut memory, message.content.bytes(), COPIES_IN_CALL);
            let work = Work {
                record,
                walk,
                slot,
                term,
                held,
                memory,
            };
            Some(spawn(desk, work, permit))
        }
        None => None,
    };
    Ok(ticket(message.id, false, settled))
}

/// Delivers a message in a task of its own, so that a caller who goes away cancels nothing.
fn spawn<M: Routed>(desk: &Arc<Desk>, work: Work<M>, permit: Option<LanePermit>) -> oneshot::Receiver<SendResult> {
    let (settle, settled) = oneshot::channel();
    let desk_of_task = desk.clone();
    desk.ports.tasks.spawn(async move {
        let delivered = deliver(&desk_of_task, work).await;
        drop(permit);
        if delivered.kept {
            // The send fails when the caller went away; nobody needs the result then.
            drop(settle.send(delivered.record.result()));
        }
    });
    settled
}

/// A slot at the first provider that has room at once, if the message is to be sent now. With a slot, the intent is in the record.
fn first_slot<M: Routed>(desk: &Desk, chain: &Chain<M>, record: &mut MessageRecord, walk: &mut Walk) -> Option<Slot<M>> {
    if !record.is_under_way() {
        return None;
    }
    let slot = chain.pick(walk);
    match &slot {
        Some(slot) => {
            let intent = intent(desk, slot, record, record.open_recipients());
            desk.decide(record, Happened::Slot(intent));
        }
        // The delivery walks the chain again and records the skips itself.
        None => walk.skips.clear(),
    }
    record.skips.append(&mut walk.skips);
    slot
}

/// Stores a message without the recipients who must not be contacted, and refunds their room in the pace. Returns the slot if its
/// provider is to be called; releases it otherwise.
async fn store<M: Routed>(
    desk: &Desk,
    record: &mut MessageRecord,
    idempotency: Option<IdempotencyKey>,
    mut slot: Option<Slot<M>>,
) -> (Result<Stored, StoreError>, Option<Slot<M>>) {
    let now = || desk.ports.clock.monotonic();
    let stored = loop {
        let stored = desk.ports.store.accept(to_store(desk, record, idempotency.clone())).await;
        let Err(StoreError::MustNotContact(found)) = &stored else {
            break stored;
        };
        // Each round leaves out a recipient, so the loop ends.
        if !found.iter().any(|found| leave_out(desk, record, &found.entries)) {
            break stored;
        }
        if let Some(slot) = &mut slot {
            slot.shrink(record.open_recipients().count(record.recipients.len()), now());
        }
    };
    let is_called = matches!(stored, Ok(Stored::New)) && record.is_under_way();
    if !is_called && let Some(slot) = slot.take() {
        slot.release(now());
    }
    (stored, slot)
}

/// Leaves out the recipients of these entries from a message that is not stored yet. Whether the message had such recipients.
pub(crate) fn leave_out(desk: &Desk, record: &mut MessageRecord, entries: &[Suppression]) -> bool {
    let before = record.open_recipients();
    desk.decide(record, Happened::OptedOut(entries));
    record.open_recipients() != before
}

/// Starts the walk of one round along the chain.
pub(crate) fn walk_of<M: Carried>(message: &Message) -> Walk {
    let recipients = M::of(&message.content).map_or(1, M::recipients);
    Walk::new(message.handling.purpose, message.handling.via, recipients).of_sender(&message.content)
}

/// Refuses a message at shutdown, with a full backlog, or without a provider that could ever carry it.
fn refuse_at_the_door<M>(desk: &Desk, chain: &Chain<M>, submission: &Submission) -> Result<(), SubmitError> {
    if desk.ports.closing.is_cancelled() {
        return Err(SubmitError::Closing);
    }
    refuse_what_nobody_could_carry(chain, submission)?;
    let purpose = submission.parsed.handling.purpose;
    if desk.queue.has_room(purpose, 1, desk.rules.max_backlog) {
        Ok(())
    } else {
        Err(SubmitError::Full)
    }
}

/// Refuses a message whose channel has no provider, or whose `via` names a provider that is not configured.
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

/// Makes the message (id, times, and the text part where the request has only HTML) and its first record: `pending`, `scheduled`, or
/// ended by a gate.
pub(crate) fn compose(dispatch: &Dispatch, submission: Submission, now: Now) -> (Arc<Message>, MessageRecord) {
    let desk = &dispatch.desk;
    let (rules, ports) = (&desk.rules, &desk.ports);
    let mut content = submission.parsed.content;
    if let Content::Email(email) = &mut content
        && email.text.is_none()
        && let Some(html) = &email.html
    {
        email.text = ums_content::text_from_html(html).ok().filter(|text| !text.trim().is_empty());
    }
    let handling = submission.parsed.handling;
    let stopped = gates::check(rules, &content, desk.chains.are_local_for(&content));
    let starts_later = handling.send_at.filter(|send_at| *send_at > now.wall);
    let id = MessageId::new(&*ports.clock, &*ports.random);
    add_unsubscribe_link(dispatch, &submission.tenant, id, handling.purpose, &mut content);
    let message = Arc::new(Message {
        id,
        tenant: submission.tenant,
        content,
        accepted_at: now.wall,
        expires_at: starts_later.unwrap_or(now.wall) + handling.expires_in.unwrap_or_else(|| rules.expiry.of(handling.purpose)),
        handling,
        metadata: submission.parsed.metadata,
    });
    let mut record = MessageRecord::accepted(message.clone(), Status::Pending);
    if let Some(stopped) = stopped {
        desk.decide(&mut record, Happened::Stopped(stopped));
    } else if let Some(send_at) = starts_later {
        desk.decide(&mut record, Happened::Scheduled(send_at));
    }
    (message, record)
}

fn add_unsubscribe_link(dispatch: &Dispatch, tenant: &TenantId, id: MessageId, purpose: Purpose, content: &mut Content) {
    if let (Content::Email(email), Purpose::Bulk) = (content, purpose) {
        dispatch.links.add(tenant, id, email);
    }
}

/// The new message as the store takes it, with the notices of its first status.
pub(crate) fn to_store(desk: &Desk, record: &MessageRecord, idempotency: Option<IdempotencyKey>) -> NewMessage {
    NewMessage {
        message: kept_message(record),
        status: record.status,
        error: record.error.clone(),
        work: record.work,
        recipients: record.recipients.clone(),
        intent: record.attempts.first().cloned(),
        skips: record.skips.clone(),
        idempotency,
        notices: desk.notices.of_step(record, None, &[]),
    }
}

/// The message to store: without its body when the message is a one-time code that a gate has ended.
fn kept_message(record: &MessageRecord) -> Arc<Message> {
    let is_useless = record.has_ended() && record.message.handling.purpose == Purpose::Otp;
    if !is_useless {
        return record.message.clone();
    }
    let mut message = (*record.message).clone();
    message.content = message.content.without_body();
    Arc::new(message)
}
