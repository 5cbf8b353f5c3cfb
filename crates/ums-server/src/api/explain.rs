//! A message's story, told from its record: each provider that was considered, why it was passed
//! over or tried, what its answer meant, and what follows.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ums_core::{
    ActKind, ActRecord, AttemptOutcome, AttemptRecord, BreakerEffect, Channel, Duplicates, FailureClass, MessageId, MessageRecord,
    NextProvider, ProviderKind, RetryLater, Skip, Status, Timestamp,
};

/// The code of a call whose process ended before the answer.
const PROCESS_ENDED: &str = "process_ended";
/// The longest time between a call's end and the next one's start that is still the same round.
const AT_ONCE: Duration = Duration::from_millis(500);

/// What happened in one step of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// The message was stored.
    Accepted,
    /// A provider was passed over.
    Skipped,
    /// A provider was called.
    Attempted,
    /// A provider reported delivery.
    Delivered,
    /// A caller or an operator did something to it.
    Acted,
}

/// One step of the story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoryStep {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub step: StepKind,
    /// Which provider.
    pub provider: Option<ProviderKind>,
    /// How the call ended.
    pub outcome: Option<AttemptOutcome>,
    /// Class of its failure.
    pub class: Option<FailureClass>,
    /// The provider's code, the short word for why it was passed over, or for what was done to it.
    pub code: Option<String>,
    /// How long the call took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// The step in a sentence.
    pub text: String,
}

/// Why a message stands where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The message's id.
    pub message_id: MessageId,
    /// Its channel.
    pub channel: Channel,
    /// Where it stands.
    pub status: Status,
    /// The whole in a sentence.
    pub summary: String,
    /// The story, oldest first.
    pub steps: Vec<StoryStep>,
    /// What happens next by itself; null when nothing does.
    pub next: Option<String>,
}

impl Explanation {
    /// Tells the story of a record.
    pub fn of(record: &MessageRecord) -> Self {
        let mut steps = vec![accepted(record)];
        steps.extend(record.skips.iter().map(skipped));
        let followers = record.attempts.iter().skip(1).map(Some).chain([None]);
        let tries = record.attempts.iter().zip(followers);
        steps.extend(tries.map(|(attempt, follower)| attempted(attempt, record.message.handling.duplicates, follower)));
        steps.extend(
            record
                .delivered_at
                .map(|at| told(at, StepKind::Delivered, None, "The provider reported delivery.".to_owned())),
        );
        steps.extend(record.acts.iter().map(acted));
        // Stable: at one instant a provider is passed over before the next is tried.
        steps.sort_by_key(|step| step.at);
        Self {
            message_id: record.message.id,
            channel: record.message.content.channel(),
            status: record.status,
            summary: summary(record),
            steps,
            next: next(record),
        }
    }
}

fn told(at: Timestamp, step: StepKind, provider: Option<ProviderKind>, text: String) -> StoryStep {
    StoryStep {
        at,
        step,
        provider,
        outcome: None,
        class: None,
        code: None,
        duration_ms: None,
        text,
    }
}

fn accepted(record: &MessageRecord) -> StoryStep {
    let handling = &record.message.handling;
    let via = handling.via.map(|via| format!(", by {via} only")).unwrap_or_default();
    let from = handling.send_at.map(|at| format!(", to be sent from {at} on")).unwrap_or_default();
    let text = format!(
        "Accepted for {} recipient(s), purpose {}, duplicates {}{via}{from}; given up at {}.",
        record.recipients.len(),
        handling.purpose,
        handling.duplicates,
        record.message.expires_at
    );
    told(record.message.accepted_at, StepKind::Accepted, None, text)
}

fn acted(act: &ActRecord) -> StoryStep {
    let what = match act.kind {
        ActKind::Cancelled => "It was cancelled",
        ActKind::Resent => "An operator had it sent again",
        ActKind::Replayed => "It was sent again with others, after an outage",
        ActKind::Marked => "An operator said what became of it",
    };
    let detail = if act.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", act.detail.trim_end_matches('.'))
    };
    StoryStep {
        code: Some(act.kind.to_string()),
        ..told(act.at, StepKind::Acted, None, format!("{what}{detail}."))
    }
}

fn skipped(skip: &Skip) -> StoryStep {
    let why = match skip.reason.as_str() {
        "open" => "its breaker is open after failures",
        "misconfigured" => "its account or settings need mending",
        "quota" => "the provider's allowance is used up",
        "throttled" => "it asked to be left alone for a while",
        "probing" => "it is recovering, and another call is trying it",
        "paced" => "it already has as many messages a second as it may",
        "day_limit" => "it already has as many messages today as it may",
        other => other,
    };
    let detail = if skip.detail.is_empty() {
        String::new()
    } else {
        format!(" ({})", skip.detail)
    };
    let text = format!("{} was passed over: {why}{detail}.", skip.provider);
    StoryStep {
        code: Some(skip.reason.clone()),
        ..told(skip.at, StepKind::Skipped, Some(skip.provider), text)
    }
}

/// What came after an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Followed {
    /// The next call, at once.
    AtOnce,
    /// A call in a later round, or by a later process.
    Later,
    /// No other call.
    Never,
}

impl Followed {
    fn of(attempt: &AttemptRecord, follower: Option<&AttemptRecord>) -> Self {
        let Some(follower) = follower else { return Self::Never };
        let between = follower.called_at.since(attempt.called_at);
        let called = attempt.duration_ms.map(Duration::from_millis);
        if called.is_some_and(|called| between <= called + AT_ONCE) {
            Self::AtOnce
        } else {
            Self::Later
        }
    }
}

fn attempted(attempt: &AttemptRecord, duplicates: Duplicates, follower: Option<&AttemptRecord>) -> StoryStep {
    let took = attempt.duration_ms.map(|millis| format!(" in {millis} ms")).unwrap_or_default();
    let detail = attempt
        .detail
        .as_ref()
        .filter(|detail| !detail.is_empty())
        .map(|detail| format!(": {}", detail.trim_end_matches('.')))
        .unwrap_or_default();
    let provider = attempt.provider;
    let text = match attempt.outcome {
        AttemptOutcome::Calling => format!("{provider} is being called."),
        AttemptOutcome::Accepted => {
            let sender = if attempt.from_substituted {
                " From its own sender, the caller's is in Reply-To."
            } else {
                ""
            };
            let simulated = if attempt.simulated {
                " Simulated: nothing reached anybody."
            } else {
                ""
            };
            format!("{provider} took it{took}.{sender}{simulated}")
        }
        AttemptOutcome::Failed | AttemptOutcome::Unknown => {
            let code = attempt.code.as_ref().map(|code| format!(", code {code}")).unwrap_or_default();
            let class = attempt.class.unwrap_or(FailureClass::Unknown);
            format!(
                "{provider} did not confirm it{took} ({class}{code}){detail}. {}",
                meaning(
                    class,
                    duplicates,
                    Followed::of(attempt, follower),
                    attempt.code.as_deref() == Some(PROCESS_ENDED)
                )
            )
        }
    };
    StoryStep {
        outcome: Some(attempt.outcome),
        class: attempt.class,
        code: attempt.code.clone(),
        duration_ms: attempt.duration_ms,
        ..told(attempt.called_at, StepKind::Attempted, Some(provider), text)
    }
}

/// What a class means for the message and for the provider, from the one table of consequences.
fn meaning(class: FailureClass, duplicates: Duplicates, followed: Followed, unseen: bool) -> String {
    let consequence = class.consequence();
    let what = match class {
        FailureClass::InvalidMessage => "The content was refused, as it would be anywhere",
        FailureClass::InvalidRecipient => "The recipient cannot exist",
        FailureClass::RecipientBlocked => "The recipient does not want messages",
        FailureClass::Unsupported => "This provider cannot carry the message",
        FailureClass::Misconfigured => "The account or its settings need mending",
        FailureClass::QuotaExhausted => "The allowance is used up",
        FailureClass::Throttled => "It was too fast for the provider",
        FailureClass::Unavailable => "The provider surely does not have it",
        FailureClass::Unknown => "The provider may have it all the same",
    };
    let goes_on = match consequence.next_provider {
        NextProvider::Yes => true,
        NextProvider::No => false,
        NextProvider::IfDuplicatesAllowed => duplicates == Duplicates::Allow,
    };
    let then = match (goes_on, followed) {
        (true, Followed::AtOnce) => ", so the next provider was tried",
        (true, Followed::Later) => ", so it was tried again later",
        (true, Followed::Never) => ", and no further provider was left",
        (false, Followed::AtOnce | Followed::Later) => ", so it was tried again later only",
        (false, Followed::Never) if consequence.retry_later == RetryLater::No => ", so no other provider was asked",
        (false, Followed::Never) => ", so no other provider is asked before its feedback had time to come",
    };
    let breaker = match consequence.breaker {
        _ if unseen => "no breaker saw how it ended",
        BreakerEffect::NotCounted => "the breaker does not count it",
        BreakerEffect::Counted => "the breaker counts it",
        BreakerEffect::OpensMisconfigured => "the breaker opens until it is mended",
        BreakerEffect::OpensExhausted => "the breaker opens until the allowance is renewed",
        BreakerEffect::Pauses => "the provider is left alone for a while",
    };
    format!("{what}{then}; {breaker}.")
}

fn summary(record: &MessageRecord) -> String {
    let taker = record
        .attempts
        .iter()
        .rev()
        .find(|attempt| attempt.outcome == AttemptOutcome::Accepted);
    let by = taker.map(|attempt| format!(" by {}", attempt.provider)).unwrap_or_default();
    let failed = record
        .attempts
        .iter()
        .filter(|attempt| attempt.outcome == AttemptOutcome::Failed)
        .count();
    let after = if failed == 0 {
        String::new()
    } else {
        format!(" after {failed} failed attempt(s)")
    };
    let why = record.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let possibly_twice = if record.result().possibly_duplicate {
        " It may have arrived twice."
    } else {
        ""
    };
    let text = match record.status {
        Status::Pending => "Accepted, not yet picked up.".to_owned(),
        Status::Scheduled => "Waits for its time.".to_owned(),
        Status::Queued => format!("Held{after}, not lost{why}."),
        Status::Sending => "A provider is being called.".to_owned(),
        Status::Sent => format!("Sent{by}{after}."),
        Status::Delivered => format!("Delivered{by}{after}."),
        Status::Bounced => format!("Sent{by}, and it came back{why}."),
        Status::Failed => format!("Not sent{after}{why}."),
        Status::Expired => format!("Given up when its time was over{after}{why}."),
        Status::Cancelled => "Cancelled before it was sent.".to_owned(),
        Status::Suppressed => format!("Not sent: the recipient is not to be contacted{why}."),
        Status::Unsubscribed => format!("Not sent: the recipient opted out{why}."),
        Status::Unknown => format!("Nobody can say whether it was sent{why}."),
    };
    format!("{text}{possibly_twice}")
}

fn next(record: &MessageRecord) -> Option<String> {
    if record.status.is_final() {
        return None;
    }
    let due = record.due_at.map(|at| format!("It is taken up at {at}"));
    let due = due.unwrap_or_else(|| "It is being worked on".to_owned());
    Some(format!(
        "{due}; if nobody takes it, it is given up at {}.",
        record.message.expires_at
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ums_core::{AccountId, AttemptId};
    use ums_testkit::{SeededRandom, TestClock};

    #[test]
    fn a_call_that_was_cut_off_by_the_end_of_its_process_is_told_as_it_was() {
        let (clock, random) = (TestClock::new(), SeededRandom::new(1));
        let call = |at_ms: u64| {
            let id = AttemptId::new(&clock, &random);
            let at = Timestamp::from_micros(0) + Duration::from_millis(at_ms);
            AttemptRecord::intent(id, ProviderKind::AwsSes, AccountId::default(), at)
        };
        let lost = AttemptRecord {
            outcome: AttemptOutcome::Unknown,
            class: Some(FailureClass::Unknown),
            code: Some(PROCESS_ENDED.to_owned()),
            ..call(0)
        };
        let text = attempted(&lost, Duplicates::Allow, Some(&call(1_500))).text;
        assert!(text.contains("so it was tried again later; no breaker saw how it ended"), "{text}");

        let failed = AttemptRecord {
            outcome: AttemptOutcome::Failed,
            class: Some(FailureClass::Unavailable),
            duration_ms: Some(12),
            ..call(0)
        };
        let text = |follower: Option<u64>| attempted(&failed, Duplicates::Allow, follower.map(call).as_ref()).text;
        assert!(text(Some(20)).contains("so the next provider was tried"));
        assert!(text(Some(5_000)).contains("so it was tried again later"));
        assert!(text(None).contains("no further provider was left"));
    }
}
