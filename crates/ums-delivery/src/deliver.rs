//! 2. One message along the chain of its channel, until it has an outcome or is held.
//!
//! **Invariant:** the intent to call a provider is committed before its first byte is written, and
//! no transaction is open during the call.

use std::time::Duration;

use ums_core::{
    AttemptOutcome, Channel, Duplicates, FailureClass, MessageRecord, MustNotContact, NextProvider, OnExhausted, RetryLater, Status,
    StoreError, SuppressionOrigin, Timestamp, failpoint,
};

use crate::accept::begin_attempt;
use crate::call::call;
use crate::carried::Carried;
use crate::chain::{Link, Slot, Walk};
use crate::drain::Progress;
use crate::flow::Flow;
use crate::in_hand::Held;
use crate::journal::{Ended, Journal};
use crate::lease::Term;
use crate::mutants::{self, Mutant};
use crate::rejection;
use crate::story::{self, end_without_acceptance};

/// Most attempts of one message whose outcome is unknown, unless an operator has it sent again.
const MAX_UNKNOWN_ATTEMPTS: usize = 2;
/// Shortest time that a message is held.
const MIN_HOLD: Duration = Duration::from_secs(1);
/// How long an intent may take to be kept, while its slot waits. After it the provider is left alone and the message put back.
const INTENT_PATIENCE: Duration = Duration::from_secs(2);

/// A message in hand: its journal, its walk along the chain, and leave for the first call if there is one.
#[derive(Debug)]
pub(crate) struct Work<M> {
    pub(crate) record: MessageRecord,
    pub(crate) walk: Walk,
    /// With a slot its intent is committed already.
    pub(crate) slot: Option<Slot<M>>,
    /// The term of the lease that it was taken in hand under, read before the store was asked.
    pub(crate) term: Term,
    pub(crate) held: Held,
}

/// How far a delivery came.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) record: MessageRecord,
    /// Whether the store has it so. If not, the store alone knows where the message stands.
    pub(crate) kept: bool,
    pub(crate) progress: Progress,
}

/// What follows after a call.
enum Next {
    /// It is over.
    End(Status, Option<String>),
    /// The next provider, now.
    Provider,
    /// Feedback must settle it first.
    Feedback,
}

/// Delivers a message: find a provider, call it, note what it said, decide what follows, commit.
pub(crate) async fn deliver<M: Carried>(flow: &Flow, work: Work<M>) -> Delivered {
    let mut journal = Journal::new(work.record);
    let mut walk = work.walk;
    let mut kept = Ok(work.slot);
    if matches!(kept, Ok(None)) {
        let slot = first_slot::<M>(flow, &mut journal, &mut walk).await;
        kept = keep(flow, &mut journal, slot).await;
    }
    while let Ok(Some(slot)) = kept {
        let Some(content) = for_open_recipients::<M>(&journal.record) else {
            kept = Ok(None);
            break;
        };
        if let Some(why) = must_not_call(flow, &journal.record, work.term) {
            give_slot_back(flow, slot, &content);
            journal.put_back(why, flow.clock.now());
            kept = keep::<M>(flow, &mut journal, None).await;
            break;
        }
        let (price, units) = (slot.link.price.of_unit(content.country_code()), content.billed_units());
        let (link, recipients) = (slot.link.clone(), content.recipients());
        failpoint::pass("intent.committed");
        let ended = call(flow, &journal.record, &*content, slot).await;
        failpoint::pass("call.answered");
        if ended.result.is_err() {
            walk.call_failed();
        }
        journal.end_attempt(&ended, price, units);
        count_accepted(flow, &journal.record, &ended, recipients);
        let slot = match what_follows(&journal, &ended) {
            Next::End(status, error) => journal.end(status, error),
            Next::Feedback => wait_for_feedback(flow, &mut journal),
            Next::Provider => next_slot(flow, &mut journal, &mut walk).await,
        };
        kept = keep(flow, &mut journal, slot).await;
        failpoint::pass("outcome.committed");
        undo_what_was_the_providers_fault(flow, &link, &ended);
    }
    drop(work.held);
    flow.parking.release(journal.record.message.id);
    if kept.is_ok() {
        story::tell_result(flow, &journal.record);
    }
    Delivered {
        kept: kept.is_ok(),
        progress: journal.progress,
        record: journal.record,
    }
}

/// Counts for whom the provider took the message, if it did.
fn count_accepted(flow: &Flow, record: &MessageRecord, ended: &Ended, recipients: u32) {
    if let (Ok(accepted), Some(attempt)) = (&ended.result, record.attempts.last()) {
        let refused = accepted.refused.len() as u64;
        flow.rates
            .accepted(&record.message, attempt, u64::from(recipients).saturating_sub(refused));
    }
}

/// A refusal may have been the provider's own fault, as was judged from this one or while it was being kept: then what it brought onto the
/// suppression list is undone, now that it is written.
fn undo_what_was_the_providers_fault<M>(flow: &Flow, link: &Link<M>, ended: &Ended) {
    if ended.result.is_err()
        && let Some(since) = link.rejections.judged_since(ended.at)
    {
        rejection::undo(flow, (link.kind, SuppressionOrigin::Refusal), since);
    }
}

/// The content for those who have no outcome yet.
fn for_open_recipients<M: Carried>(record: &MessageRecord) -> Option<std::borrow::Cow<'_, M>> {
    use std::borrow::Cow;
    let content = M::of(&record.message.content)?;
    let partly_done = record.recipients.iter().any(|recipient| recipient.status.is_final());
    Some(if partly_done {
        Cow::Owned(content.for_the_rest(&record.recipients))
    } else {
        Cow::Borrowed(content)
    })
}

/// Why no provider may be called by this process now although the intent is committed.
fn must_not_call(flow: &Flow, record: &MessageRecord, term: Term) -> Option<&'static str> {
    let covered = flow.lease.covers_term(flow.clock.monotonic(), term) || mutants::is(Mutant::LeaseNotChecked);
    if flow.ended.is_cancelled() {
        Some("closing")
    } else if !covered {
        Some("lease_lost")
    } else if record.message.expires_at <= flow.clock.now() {
        // Its time ran out while the intent was being kept.
        Some("expired")
    } else {
        None
    }
}

/// The provider is not called: its room in the day's pace goes back, and the permit is not counted.
fn give_slot_back<M: Carried>(flow: &Flow, slot: Slot<M>, content: &M) {
    slot.link.pacer.refund(content.recipients(), flow.clock.monotonic());
    drop(slot);
}

/// Finds the first provider of a message that has no intent yet.
async fn first_slot<M: Carried>(flow: &Flow, journal: &mut Journal, walk: &mut Walk) -> Option<Slot<M>> {
    if must_not_be_sent(flow, journal) || !may_be_retried::<M>(flow, journal, walk) {
        None
    } else {
        next_slot(flow, journal, walk).await
    }
}

/// Commits what is new, and gives back the slot if its provider may be called now. An intent that cannot be kept at once is
/// withdrawn; everything else is repeated until the store has it.
///
/// # Errors
/// The store's last word: the message belongs to somebody else, or this process ends.
async fn keep<M: Carried>(flow: &Flow, journal: &mut Journal, slot: Option<Slot<M>>) -> Result<Option<Slot<M>>, StoreError> {
    if slot.is_some() && mutants::is(Mutant::CallBeforeIntent) {
        return Ok(slot);
    }
    let failed = loop {
        let is_intent = slot.is_some() && journal.record.status == Status::Sending;
        match (journal.commit(flow, is_intent.then_some(INTENT_PATIENCE)).await, &slot) {
            (Ok(()), _) => return Ok(slot.filter(|_| is_intent)),
            (Err(StoreError::MustNotContact(_)), Some(_)) if mutants::is(Mutant::OptOutIgnored) => return Ok(slot),
            (Err(StoreError::MustNotContact(found)), Some(slot)) if leave_out(flow, journal, &found, slot) => {}
            (Err(error), _) => break error,
        }
    };
    let Some(slot) = slot.filter(|_| journal.record.status == Status::Sending) else {
        return Err(failed);
    };
    let recipients = for_open_recipients::<M>(&journal.record).map_or(0, |content| content.recipients());
    slot.link.pacer.refund(recipients, flow.clock.monotonic());
    drop(slot);
    if crate::journal::is_final(&failed) {
        return Err(failed);
    }
    journal.put_back("not_called", flow.clock.now());
    journal.commit(flow, None).await?;
    Ok(None)
}

/// Leaves out who must not be contacted; whether anybody was. The slot's room in the pace goes back for them.
fn leave_out<M: Carried>(flow: &Flow, journal: &mut Journal, found: &[MustNotContact], slot: &Slot<M>) -> bool {
    let carried = |journal: &Journal| for_open_recipients::<M>(&journal.record).map_or(0, |content| content.recipients());
    let before = carried(journal);
    let left_out = found.iter().any(|found| journal.leave_out(&found.entries));
    let now = if journal.has_open_recipients() { carried(journal) } else { 0 };
    slot.link.pacer.refund(before.saturating_sub(now), flow.clock.monotonic());
    left_out
}

/// Pays for another round of a message that was called for before. When too many are being tried again it is put back.
fn may_be_retried<M: Carried>(flow: &Flow, journal: &mut Journal, walk: &mut Walk) -> bool {
    if !story::was_called(&journal.record) {
        return true;
    }
    let Err(wait) = M::chain(flow).pay_for_retry(walk, flow) else {
        return true;
    };
    let due_at = (flow.clock.now() + wait).min(journal.record.message.expires_at);
    let error = journal.record.error.clone();
    journal.stand(Status::Queued, error, Some(due_at));
    flow.queued.notify_one();
    false
}

/// A message that waits, is over, or may have been accepted as often as is allowed.
fn must_not_be_sent(flow: &Flow, journal: &mut Journal) -> bool {
    let record = &journal.record;
    let now = flow.clock.now();
    let unknown = story::unknown_of_this_turn(record);
    let never_twice = unknown > 0 && duplicates(record) == Duplicates::Never;
    if !journal.has_open_recipients() {
        // Everybody has an outcome: there is nobody whom the store could be asked about.
        let error = record.error.clone();
        journal.close(Status::Failed, error);
    } else if record.message.expires_at <= now {
        let (status, error) = end_without_acceptance(record, Status::Expired, "its time ran out before a provider took it");
        journal.close(status, Some(error));
    } else if unknown >= MAX_UNKNOWN_ATTEMPTS {
        let (status, error) = end_without_acceptance(record, Status::Failed, "");
        journal.close(status, Some(error));
    } else if never_twice {
        wait_for_feedback::<()>(flow, journal);
    } else if let Some(until) = feedback_may_come_until(flow, record).filter(|until| *until > now) {
        let error = "a provider may have taken it: feedback has a moment to say so before it is sent again".to_owned();
        journal.stand(Status::Queued, Some(error), Some(until));
        flow.queued.notify_one();
    } else {
        return false;
    }
    true
}

/// How long feedback may settle the last attempt, when nobody knows how that ended.
fn feedback_may_come_until(flow: &Flow, record: &MessageRecord) -> Option<Timestamp> {
    let last = story::attempts_of_this_turn(record)
        .filter(|attempt| attempt.outcome == AttemptOutcome::Unknown)
        .last()?;
    let wait = flow.rules.feedback_wait.of(record.message.handling.purpose);
    Some((last.called_at + wait).min(record.message.expires_at))
}

/// The next provider with its intent in the journal; without one the message is held or ends.
async fn next_slot<M: Carried>(flow: &Flow, journal: &mut Journal, walk: &mut Walk) -> Option<Slot<M>> {
    let now = flow.clock.now();
    let slot = if journal.record.message.expires_at > now {
        tokio::select! {
            biased;
            slot = M::chain(flow).next(walk, flow) => slot,
            () = flow.ended.cancelled() => {
                // Whoever takes it up looks for a provider again.
                journal.stand(Status::Queued, journal.record.error.clone(), Some(flow.clock.now()));
                return None;
            }
        }
    } else {
        None
    };
    for skip in walk.skips.drain(..) {
        if story::is_news(&journal.record, &skip) {
            journal.record.skips.push(skip);
        }
    }
    match &slot {
        Some(slot) => begin_attempt(flow, &mut journal.record, slot, flow.clock.now()),
        None => exhausted(flow, journal, walk, M::chain(flow).links.len()),
    }
    slot
}

/// Reads the table of failures.
fn what_follows(journal: &Journal, ended: &Ended) -> Next {
    let record = &journal.record;
    let failure = match &ended.result {
        Ok(_) if journal.has_open_recipients() => return Next::Provider,
        Ok(_) => return Next::End(status_of_first(record), None),
        Err(failure) => failure,
    };
    match failure.class.consequence().next_provider {
        NextProvider::Yes => Next::Provider,
        NextProvider::No => {
            let (status, error) = end_without_acceptance(record, status_when_refused(record, failure.class), failure.to_string());
            Next::End(status, Some(error))
        }
        NextProvider::IfDuplicatesAllowed if story::unknown_of_this_turn(record) >= MAX_UNKNOWN_ATTEMPTS => {
            let (status, error) = end_without_acceptance(record, Status::Unknown, failure.to_string());
            Next::End(status, Some(error))
        }
        NextProvider::IfDuplicatesAllowed => match duplicates(record) {
            Duplicates::Allow => Next::Provider,
            Duplicates::Never => Next::Feedback,
        },
    }
}

/// What the message says of arriving twice.
fn duplicates(record: &MessageRecord) -> Duplicates {
    if mutants::is(Mutant::NeverIsAllow) {
        return Duplicates::Allow;
    }
    record.message.handling.duplicates
}

/// A message's status follows its first recipient.
fn status_of_first(record: &MessageRecord) -> Status {
    record.recipients.first().map_or(Status::Sent, |recipient| recipient.status)
}

fn status_when_refused(record: &MessageRecord, class: FailureClass) -> Status {
    match (class, record.message.content.channel()) {
        (FailureClass::RecipientBlocked, Channel::Sms) => Status::Unsubscribed,
        (FailureClass::RecipientBlocked, Channel::Email) => Status::Suppressed,
        _ => Status::Failed,
    }
}

/// It must not go out twice: feedback has until expiry to say what became of it.
fn wait_for_feedback<M>(flow: &Flow, journal: &mut Journal) -> Option<Slot<M>> {
    let expires_at = journal.record.message.expires_at;
    match policy(flow, &journal.record) {
        OnExhausted::Hold => {
            let error = "a provider may have taken it, and it must not arrive twice: waiting for feedback".to_owned();
            journal.stand(Status::Queued, Some(error), Some(expires_at));
            flow.queued.notify_one();
        }
        OnExhausted::Fail => {
            let (status, error) = end_without_acceptance(&journal.record, Status::Unknown, "");
            journal.close(status, Some(error));
        }
    }
    None
}

/// No provider is left in this round: the message is held, or ends.
fn exhausted(flow: &Flow, journal: &mut Journal, walk: &Walk, providers: usize) {
    let now = flow.clock.now();
    let why = story::why_not_taken(&journal.record);
    let expired = journal.record.message.expires_at <= now;
    let hopeless = nobody_can_carry_it(&journal.record, walk);
    let enough = story::unknown_of_this_turn(&journal.record) >= MAX_UNKNOWN_ATTEMPTS;
    let some_took_it = journal.record.sent_at.is_some() && status_of_first(&journal.record).is_final();
    if some_took_it {
        // The first recipient has it; the rest found nobody.
        journal.close(Status::Failed, Some(why));
    } else if expired || hopeless || enough || (policy(flow, &journal.record) == OnExhausted::Fail && !walk.paced) {
        let end = if expired { Status::Expired } else { Status::Failed };
        let (status, error) = end_without_acceptance(&journal.record, end, why);
        journal.close(status, Some(error));
    } else {
        let due_at = hold_until(flow, &journal.record, (walk, providers), now);
        journal.stand(Status::Queued, Some(why), Some(due_at));
        journal.progress = Progress::Held;
        flow.queued.notify_one();
    }
}

/// Every provider said that it cannot carry the message, and none was passed over.
fn nobody_can_carry_it(record: &MessageRecord, walk: &Walk) -> bool {
    let mut attempts = story::attempts_of_this_turn(record).peekable();
    walk.soonest.is_none() && attempts.peek().is_some() && attempts.all(|attempt| attempt.class == Some(FailureClass::Unsupported))
}

/// When a held message is looked at again: when the first provider that was passed over reopens,
/// or by the schedule after providers were tried; never after its expiry.
fn hold_until(flow: &Flow, record: &MessageRecord, (walk, providers): (&Walk, usize), now: Timestamp) -> Timestamp {
    let attempts = story::attempts_of_this_turn(record).count();
    let round = (attempts / providers.max(1)).saturating_sub(1);
    let last_class = record.attempts.last().and_then(|attempt| attempt.class);
    let by_schedule = last_class.map(|class| match class.consequence().retry_later {
        RetryLater::Slowly => flow.rules.retry.slowest(record.message.handling.purpose),
        RetryLater::Yes | RetryLater::AtReset | RetryLater::AfterDelay | RetryLater::AfterFeedback | RetryLater::No => {
            flow.rules.retry.wait(record.message.handling.purpose, round, &*flow.random)
        }
    });
    let wait = match (walk.soonest, by_schedule) {
        (Some(soonest), Some(schedule)) => soonest.min(schedule),
        (Some(wait), None) | (None, Some(wait)) => wait,
        (None, None) => MIN_HOLD,
    };
    (now + wait.max(MIN_HOLD)).min(record.message.expires_at)
}

fn policy(flow: &Flow, record: &MessageRecord) -> OnExhausted {
    let by_route = if record.message.handling.via.is_some() {
        OnExhausted::Fail
    } else {
        flow.on_exhausted()
    };
    record.message.handling.on_exhausted.unwrap_or(by_route)
}
