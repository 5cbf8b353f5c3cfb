//! One call to one provider: within the message's time, told to the breaker, counted.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use ums_core::{Accepted, AttemptOutcome, Call, Failure, FailureClass, MessageRecord};

use crate::breaker::{Now, Verdict};
use crate::carried::Carried;
use crate::chain::Slot;
use crate::flow::Flow;
use crate::journal::Ended;
use crate::mutants::{self, Mutant};
use crate::observer::AttemptEvent;

/// Calls the provider once, within the message's time, and tells its breaker.
pub(crate) async fn call<M: Carried>(flow: &Flow, record: &MessageRecord, content: &M, slot: Slot<M>) -> Ended {
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
    let result = link.rejections.judge(result, link.kind, content.first_recipient(), now);
    match &result {
        Ok(_) => permit.settle(Verdict::Success, now),
        Err(failure) => {
            let blamed = mutants::is(Mutant::RecipientsBlamed).then(|| Failure::local(FailureClass::Unavailable, "mutant", ""));
            permit.settle(Verdict::Failure(blamed.as_ref().unwrap_or(failure)), now);
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
