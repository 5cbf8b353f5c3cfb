//! One call to one provider, within the time of the message. The breaker, the pace and the observer hear of the outcome; the record is
//! left to the caller.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use ums_core::{Accepted, AttemptId, Call, Failure, FailureClass, MessageRecord, OutcomeWord, ProviderKind, Refusal};

use crate::breaker::{Now, Verdict};
use crate::carried::Carried;
use crate::chain::Slot;
use crate::fate::Answer;
use crate::observer::AttemptEvent;
use crate::ports::Ports;

/// Calls the provider once for the recipients of the last attempt, settles the permit, and refunds the pace of a message that was surely
/// not sent.
pub(crate) async fn call<M: Carried>(ports: &Ports, record: &MessageRecord, content: &M, slot: Slot<M>) -> Answer {
    let began = Now::read(&*ports.clock);
    let recipients = slot.units();
    let Slot { link, permit, .. } = slot;
    let attempt_id = record
        .attempts
        .last()
        .map_or_else(|| AttemptId::new(&*ports.clock, &*ports.random), |attempt| attempt.id);
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
    let now = Now::read(&*ports.clock);
    let result = link.rejections.judge(result, link.kind, content, now);
    match &result {
        Ok(accepted) => {
            permit.settle(Verdict::Success, now);
            // The next transaction uses the room of those whom it is for.
            let refused = accepted.refused.iter().filter(|refusal| !refusal.next_transaction);
            link.pacer.refund(units(refused.count()), now.mono);
        }
        Err(failure) => {
            permit.settle(Verdict::Failure(failure), now);
            ports.shortages.failed(failure, &*ports.clock);
            let surely_not = if failure.class.may_have_been_accepted() {
                units(failure.refusals.len())
            } else {
                recipients
            };
            link.pacer.refund(surely_not, now.mono);
        }
    }
    let answer = Answer {
        result,
        took: now.mono.since(began.mono),
        at: now.wall,
    };
    tell_attempt(ports, record, link.kind, &answer);
    answer
}

fn units(recipients: usize) -> u32 {
    u32::try_from(recipients).unwrap_or(u32::MAX)
}

/// Makes an acceptance without an id an unknown outcome: no later report could be matched to it.
fn must_have_an_id(accepted: Accepted) -> Result<Accepted, Failure> {
    if !accepted.provider_message_id.is_empty() {
        return Ok(accepted);
    }
    let alone = |refusal| Refusal {
        next_transaction: false,
        ..refusal
    };
    let refusals = accepted.refused.into_iter().map(alone).collect();
    let failure = Failure::provider(FailureClass::Unknown, "no_message_id", "accepted without a message id");
    Err(failure.with_refusals(refusals))
}

fn tell_attempt(ports: &Ports, record: &MessageRecord, provider: ProviderKind, answer: &Answer) {
    let message = record.message.id;
    let duration_ms = ums_core::millis(answer.took);
    let (outcome, class) = match &answer.result {
        Ok(_) => {
            tracing::info!(message_id = %message, %provider, duration_ms, "provider accepted");
            (OutcomeWord::Accepted, None)
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
                    OutcomeWord::Unknown
                } else {
                    OutcomeWord::Failed
                },
                Some(class),
            )
        }
    };
    ports.observer.attempt(&AttemptEvent {
        provider,
        outcome,
        class,
        duration: answer.took,
    });
}

/// Turns a panic of an adapter into an unknown outcome: one broken adapter must not stop the service.
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
