//! 2. One message along the chain of its channel, until it has an outcome or is held.
//!
//! **Invariant:** the intent to call a provider is committed before its first byte is written, and
//! no transaction is open during the call.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ums_core::{
    Accepted, AttemptOutcome, Call, Channel, Duplicates, Failure, FailureClass, MessageRecord, NextProvider, OnExhausted, RetryLater, Skip,
    Status, Timestamp,
};

use crate::accept::begin_attempt;
use crate::breaker::{Now, Verdict};
use crate::carried::Carried;
use crate::chain::{Slot, Walk};
use crate::flow::Flow;
use crate::journal::{Ended, Journal};
use crate::observer::{AttemptEvent, SettledEvent};

/// Most attempts of one message whose outcome is unknown.
const MAX_UNKNOWN_ATTEMPTS: usize = 2;
/// Shortest time that a message is held.
const MIN_HOLD: Duration = Duration::from_secs(1);

/// A message in hand: its journal, its walk along the chain, and leave for the first call if there is one.
#[derive(Debug)]
pub(crate) struct Work<M> {
    journal: Journal,
    walk: Walk,
    slot: Option<Slot<M>>,
}

impl<M> Work<M> {
    /// Takes a message in hand. With a slot its intent is committed already.
    pub(crate) fn new(record: MessageRecord, walk: Walk, slot: Option<Slot<M>>) -> Self {
        Self {
            journal: Journal::new(record),
            walk,
            slot,
        }
    }
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
pub(crate) async fn deliver<M: Carried>(flow: &Flow, work: Work<M>) -> MessageRecord {
    let Work {
        mut journal,
        mut walk,
        mut slot,
    } = work;
    if slot.is_none() {
        slot = first_slot::<M>(flow, &mut journal, &mut walk).await;
    }
    while let Some(current) = slot.take() {
        let Some(content) = M::of(&journal.record.message.content) else {
            break;
        };
        let partly_done = journal.record.recipients.iter().any(|recipient| recipient.status.is_final());
        let rest = partly_done.then(|| content.for_the_rest(&journal.record.recipients));
        let content = rest.as_ref().unwrap_or(content);
        let (price, units) = (current.link.price.of_unit(content.country_code()), content.billed_units());
        let ended = call(flow, &journal.record, content, current).await;
        if ended.result.is_err() {
            walk.call_failed();
        }
        journal.end_attempt(&ended, price, units);
        match what_follows(&journal, &ended) {
            Next::End(status, error) => journal.stand(status, error, None),
            Next::Feedback => wait_for_feedback(flow, &mut journal),
            Next::Provider => slot = next_slot(flow, &mut journal, &mut walk).await,
        }
        if let Err(error) = journal.commit(flow).await {
            tracing::error!(message_id = %journal.record.message.id, %error, "the outcome could not be kept; the next start takes it up");
            break;
        }
    }
    tell_result(flow, &journal.record);
    journal.record
}

/// Finds the first provider of a message that has no intent yet, and commits the intent.
async fn first_slot<M: Carried>(flow: &Flow, journal: &mut Journal, walk: &mut Walk) -> Option<Slot<M>> {
    let slot = if must_not_be_sent(flow, journal) || !may_be_retried::<M>(flow, journal, walk) {
        None
    } else {
        next_slot(flow, journal, walk).await
    };
    match journal.commit(flow).await {
        Ok(()) => slot,
        Err(error) => {
            tracing::error!(message_id = %journal.record.message.id, %error, "the intent could not be kept; nothing was sent");
            None
        }
    }
}

/// Pays for another round of a message that was called for before. When too many are being tried again it is put back.
fn may_be_retried<M: Carried>(flow: &Flow, journal: &mut Journal, walk: &mut Walk) -> bool {
    if journal.record.attempts.is_empty() {
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
    let unknown = record.unknown_attempts();
    let never_twice = unknown > 0 && record.message.handling.duplicates == Duplicates::Never;
    if record.message.expires_at <= now {
        let (status, error) = end_without_acceptance(record, Status::Expired, "its time ran out before a provider took it");
        journal.stand(status, Some(error), None);
    } else if unknown >= MAX_UNKNOWN_ATTEMPTS {
        let (status, error) = end_without_acceptance(record, Status::Failed, "");
        journal.stand(status, Some(error), None);
    } else if never_twice {
        wait_for_feedback(flow, journal);
    } else {
        return false;
    }
    true
}

/// The next provider with its intent in the journal; without one the message is held or ends.
async fn next_slot<M: Carried>(flow: &Flow, journal: &mut Journal, walk: &mut Walk) -> Option<Slot<M>> {
    let now = flow.clock.now();
    let slot = if journal.record.message.expires_at > now {
        M::chain(flow).next(walk, flow).await
    } else {
        None
    };
    for skip in walk.skips.drain(..) {
        if is_news(&journal.record, &skip) {
            journal.record.skips.push(skip);
        }
    }
    match &slot {
        Some(slot) => begin_attempt(flow, &mut journal.record, slot, flow.clock.now()),
        None => exhausted(flow, journal, walk, M::chain(flow).links.len()),
    }
    slot
}

/// Whether a provider was passed over for another reason than the last time, or was called since. A message that is held through a
/// long outage is looked at again and again: saying the same each time would fill the store.
fn is_news(record: &MessageRecord, skip: &Skip) -> bool {
    let same_provider = |earlier: &&Skip| (earlier.provider, &earlier.account) == (skip.provider, &skip.account);
    record.skips.iter().rev().find(same_provider).is_none_or(|earlier| {
        (&earlier.reason, &earlier.detail) != (&skip.reason, &skip.detail)
            || record
                .attempts
                .iter()
                .any(|attempt| attempt.provider == skip.provider && attempt.called_at >= earlier.at)
    })
}

/// Calls the provider once, within the message's time, and tells its breaker.
async fn call<M: Carried>(flow: &Flow, record: &MessageRecord, content: &M, slot: Slot<M>) -> Ended {
    let began = Now::read(&*flow.clock);
    let Slot { link, permit } = slot;
    let attempt_id = record
        .attempts
        .last()
        .map_or_else(|| ums_core::AttemptId::new(&*flow.clock, &*flow.random), |attempt| attempt.id);
    let call = Call {
        message_id: record.message.id,
        attempt_id,
        purpose: record.message.handling.purpose,
        time_left: record.message.expires_at.since(began.wall),
    };
    let send = Caught(link.provider.send(content, &call));
    let result = match tokio::time::timeout(call.time_left, send).await {
        Ok(result) => result.and_then(must_have_an_id),
        Err(_) => Err(Failure::transport(
            FailureClass::Unknown,
            "deadline",
            "the message's time ran out during the call",
        )),
    };
    let now = Now::read(&*flow.clock);
    let result = link.rejections.judge(result, content.first_recipient(), now.mono);
    match &result {
        Ok(_) => permit.settle(Verdict::Success, now),
        Err(failure) => {
            permit.settle(Verdict::Failure(failure), now);
            if !failure.class.may_have_been_accepted() {
                link.pacer.refund(content.recipients(), now.mono);
            }
        }
    }
    let ended = Ended {
        result,
        took: now.mono.since(began.mono),
        at: now.wall,
    };
    tell_attempt(flow, record, link.kind, &ended);
    ended
}

/// An acceptance without an id cannot be followed up: it may be one.
fn must_have_an_id(accepted: Accepted) -> Result<Accepted, Failure> {
    if accepted.provider_message_id.is_empty() {
        return Err(Failure::provider(
            FailureClass::Unknown,
            "no_message_id",
            "accepted without a message id",
        ));
    }
    Ok(accepted)
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
            let (status, error) = end_without_acceptance(record, status_when_refused(record, failure.class), &failure.to_string());
            Next::End(status, Some(error))
        }
        NextProvider::IfDuplicatesAllowed if record.unknown_attempts() >= MAX_UNKNOWN_ATTEMPTS => {
            let (status, error) = end_without_acceptance(record, Status::Unknown, &failure.to_string());
            Next::End(status, Some(error))
        }
        NextProvider::IfDuplicatesAllowed => match record.message.handling.duplicates {
            Duplicates::Allow => Next::Provider,
            Duplicates::Never => Next::Feedback,
        },
    }
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

/// The end of a message that no provider is known to have taken: never `failed` or `expired` while
/// an attempt may have been accepted.
fn end_without_acceptance(record: &MessageRecord, status: Status, why: &str) -> (Status, String) {
    if record.has_unknown_attempt() {
        let error = "a provider may have taken it; nothing more will be tried".to_owned();
        return (Status::Unknown, if why.is_empty() { error } else { format!("{error} ({why})") });
    }
    (status, why.to_owned())
}

/// It must not go out twice: feedback has until expiry to say what became of it.
fn wait_for_feedback(flow: &Flow, journal: &mut Journal) {
    let expires_at = journal.record.message.expires_at;
    match policy(flow, &journal.record) {
        OnExhausted::Hold => {
            let error = "a provider may have taken it, and it must not arrive twice: waiting for feedback".to_owned();
            journal.stand(Status::Queued, Some(error), Some(expires_at));
            flow.queued.notify_one();
        }
        OnExhausted::Fail => {
            let (status, error) = end_without_acceptance(&journal.record, Status::Unknown, "");
            journal.stand(status, Some(error), None);
        }
    }
}

/// No provider is left in this round: the message is held, or ends.
fn exhausted(flow: &Flow, journal: &mut Journal, walk: &Walk, providers: usize) {
    let now = flow.clock.now();
    let why = story(&journal.record);
    let expired = journal.record.message.expires_at <= now;
    let hopeless = nobody_can_carry_it(&journal.record, walk);
    let enough = journal.record.unknown_attempts() >= MAX_UNKNOWN_ATTEMPTS;
    let some_took_it = journal.record.sent_at.is_some() && status_of_first(&journal.record).is_final();
    if some_took_it {
        // The first recipient has it; the rest found nobody.
        let status = status_of_first(&journal.record);
        journal.stand(Status::Failed, Some(why), None);
        journal.record.status = status;
    } else if expired || hopeless || enough || (policy(flow, &journal.record) == OnExhausted::Fail && !walk.paced) {
        let end = if expired { Status::Expired } else { Status::Failed };
        let (status, error) = end_without_acceptance(&journal.record, end, &why);
        journal.stand(status, Some(error), None);
    } else {
        let due_at = hold_until(flow, &journal.record, (walk, providers), now);
        journal.stand(Status::Queued, Some(why), Some(due_at));
        flow.queued.notify_one();
    }
}

/// Every provider said that it cannot carry the message, and none was passed over.
fn nobody_can_carry_it(record: &MessageRecord, walk: &Walk) -> bool {
    let all_unsupported = record
        .attempts
        .iter()
        .all(|attempt| attempt.class == Some(FailureClass::Unsupported));
    walk.soonest.is_none() && !record.attempts.is_empty() && all_unsupported
}

/// When a held message is looked at again: when the first provider that was passed over reopens,
/// or by the schedule after providers were tried; never after its expiry.
fn hold_until(flow: &Flow, record: &MessageRecord, (walk, providers): (&Walk, usize), now: Timestamp) -> Timestamp {
    let round = (record.attempts.len() / providers.max(1)).saturating_sub(1);
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

/// Each provider and why it did not take the message the last time, in one line.
fn story(record: &MessageRecord) -> String {
    let (attempts, skips) = (&record.attempts, &record.skips);
    let tried = attempts
        .iter()
        .enumerate()
        .filter(|(index, attempt)| {
            attempt.outcome != AttemptOutcome::Accepted
                && !attempts.iter().skip(index + 1).any(|later| later.provider == attempt.provider)
                && !skips
                    .iter()
                    .any(|skip| skip.provider == attempt.provider && skip.at > attempt.called_at)
        })
        .map(|(_, attempt)| {
            let class = attempt.class.map_or("?", FailureClass::as_str);
            let code = attempt.code.as_deref().unwrap_or("?");
            format!("{}: {class} ({code})", attempt.provider)
        });
    let skipped = skips
        .iter()
        .enumerate()
        .filter(|(index, skip)| {
            !skips.iter().skip(index + 1).any(|later| later.provider == skip.provider)
                && !attempts
                    .iter()
                    .any(|attempt| attempt.provider == skip.provider && attempt.called_at >= skip.at)
        })
        .map(|(_, skip)| format!("{}: not tried, {} ({})", skip.provider, skip.reason, skip.detail));
    let lines: Vec<String> = tried.chain(skipped).collect();
    if lines.is_empty() {
        "no provider was free".to_owned()
    } else {
        format!("no provider took it: {}", lines.join("; "))
    }
}

fn tell_attempt(flow: &Flow, record: &MessageRecord, provider: ums_core::ProviderKind, ended: &Ended) {
    let message = record.message.id;
    let duration_ms = ums_core::millis(ended.took);
    let (outcome, class) = match &ended.result {
        Ok(_) => {
            tracing::info!(message_id = %message, %provider, duration_ms, "provider accepted");
            (AttemptOutcome::Accepted, None)
        }
        Err(failure) => {
            let (class, code, detail) = (failure.class, &failure.code, &failure.detail);
            if class.consequence().tell_operator {
                tracing::error!(message_id = %message, %provider, duration_ms, %class, %code, %detail, "provider needs an operator");
            } else {
                tracing::warn!(message_id = %message, %provider, duration_ms, %class, %code, %detail, "attempt failed");
            }
            (
                if class.may_have_been_accepted() {
                    AttemptOutcome::Unknown
                } else {
                    AttemptOutcome::Failed
                },
                Some(class),
            )
        }
    };
    flow.observer.attempt(&AttemptEvent {
        provider,
        outcome,
        class,
        duration: ended.took,
    });
}

fn tell_result(flow: &Flow, record: &MessageRecord) {
    let costs = record.attempts.iter().filter_map(|attempt| attempt.cost_micros);
    let cost_micros = costs.reduce(i64::saturating_add);
    let taken = record
        .attempts
        .iter()
        .filter(|attempt| matches!(attempt.outcome, AttemptOutcome::Accepted | AttemptOutcome::Unknown))
        .count();
    let (message, status, channel) = (record.message.id, record.status, record.message.content.channel());
    tracing::info!(message_id = %message, %channel, %status, attempts = record.attempts.len(), cost_micros, "settled");
    flow.observer.settled(&SettledEvent {
        channel,
        status,
        possibly_duplicate: taken > 1,
        cost_micros,
    });
}

/// A call whose panic is an unknown outcome: one broken adapter must not stop the service.
struct Caught<F>(F);

impl<F: Future<Output = Result<Accepted, Failure>> + Unpin> Future for Caught<F> {
    type Output = Result<Accepted, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let call = &mut self.0;
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(call).poll(context)));
        polled.unwrap_or_else(|_| {
            Poll::Ready(Err(Failure::local(
                FailureClass::Unknown,
                "panic",
                "the provider's adapter panicked",
            )))
        })
    }
}
