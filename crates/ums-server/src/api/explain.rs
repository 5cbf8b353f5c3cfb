//! A message's story, told from its record: each provider that was considered, why it was passed
//! over or tried, what its answer meant, and what follows.

mod aftermath;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ums_core::{
    ActKind, ActRecord, AttemptOutcome, AttemptRecord, BounceKind, BreakerEffect, Channel, Duplicates, EventKind, EventRecord,
    FailureClass, MessageId, MessageRecord, NextProvider, ProviderKind, RetryLater, SendResult, Skip, Status, Suppression, Timestamp,
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
    /// A provider reported something afterwards.
    Reported,
    /// It is known to have been delivered, and no provider's report is kept that says so.
    Delivered,
    /// A recipient is not to be contacted.
    Suppressed,
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
    /// The provider's code, the short word for why it was passed over, for what was done to it, or for why a recipient is not contacted.
    pub code: Option<String>,
    /// How long the call took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventKind>,
    /// The provider's own words for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// When a report came, by our clock; `at` is the provider's time where it gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
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

/// A report of a provider about one recipient, as callers see it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedEvent {
    /// What is reported.
    pub kind: EventKind,
    /// Who reports.
    pub provider: ProviderKind,
    /// When it happened, by the provider's clock; null when it does not say.
    pub at: Option<Timestamp>,
    /// When the report came, by our clock.
    pub received_at: Timestamp,
    /// Full address or number; null when the provider does not say.
    pub recipient: Option<String>,
    /// What a bounce says of the address.
    pub bounce: Option<BounceKind>,
    /// The provider's own words.
    pub word: String,
    /// The provider's code or an SMTP status.
    pub code: Option<String>,
    /// Class of a failure that is reported.
    pub class: Option<FailureClass>,
    /// For people.
    pub detail: Option<String>,
    /// Whether a machine did it, not a person.
    pub by_machine: bool,
}

impl fmt::Debug for ReportedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReportedEvent({} {} {:?})", self.provider, self.kind, self.at)
    }
}

impl From<&EventRecord> for ReportedEvent {
    fn from(record: &EventRecord) -> Self {
        let event = &record.event;
        Self {
            kind: event.kind,
            provider: event.provider,
            at: event.at,
            received_at: record.received_at,
            recipient: event.recipient.clone(),
            bounce: event.bounce,
            word: event.word.clone(),
            code: event.code.clone(),
            class: event.class,
            detail: event.detail.clone(),
            by_machine: event.by_machine,
        }
    }
}

/// A message with what became of it: the result, and the whole story in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageStory {
    /// Where it stands.
    #[serde(flatten)]
    pub result: SendResult,
    /// What providers reported, in the order in which it came.
    #[serde(default)]
    pub events: Vec<ReportedEvent>,
    /// The story, oldest first.
    #[serde(default)]
    pub story: Vec<StoryStep>,
}

impl MessageStory {
    /// Tells all of a record, with the entries of the suppression list that its recipients are on.
    pub fn of(record: &MessageRecord, suppressions: &[Suppression]) -> Self {
        Self {
            result: record.result(),
            events: record.events.iter().map(ReportedEvent::from).collect(),
            story: story(record, suppressions),
        }
    }
}

impl Explanation {
    /// Tells the story of a record, with the entries of the suppression list that its recipients are on.
    pub fn of(record: &MessageRecord, suppressions: &[Suppression]) -> Self {
        Self {
            message_id: record.message.id,
            channel: record.message.content.channel(),
            status: record.status,
            summary: summary(record),
            steps: story(record, suppressions),
            next: next(record),
        }
    }
}

/// All that is known of a message in the order in which it happened.
pub(crate) fn story(record: &MessageRecord, suppressions: &[Suppression]) -> Vec<StoryStep> {
    let mut steps = vec![accepted(record)];
    steps.extend(record.skips.iter().map(skipped));
    let followers = record.attempts.iter().skip(1).map(Some).chain([None]);
    let tries = record.attempts.iter().zip(followers);
    steps.extend(tries.map(|(attempt, follower)| attempted(attempt, record.message.handling.duplicates, follower)));
    let is_reported = record.events.iter().any(|event| event.event.kind == EventKind::Delivered);
    steps.extend(
        record
            .delivered_at
            .filter(|_| !is_reported)
            .map(|at| told(at, StepKind::Delivered, None, "The provider reported delivery.".to_owned())),
    );
    steps.extend(record.acts.iter().map(acted));
    let mut steps: Vec<_> = steps.into_iter().map(|step| (step.at, step)).collect();
    steps.extend(record.events.iter().map(|event| (place(record, event), aftermath::reported(event))));
    steps.extend(aftermath::suppressed(record, suppressions).into_iter().map(|step| (step.at, step)));
    // Stable: at one instant a provider is passed over before the next is tried.
    steps.sort_by_key(|(at, _)| *at);
    steps.into_iter().map(|(_, step)| step).collect()
}

/// Where a report stands in the story. A provider's clock may be behind ours: nothing is reported of a call before that began.
fn place(record: &MessageRecord, event: &EventRecord) -> Timestamp {
    let at = event.event.at.unwrap_or(event.received_at);
    let attempt = record.attempts.iter().find(|attempt| Some(attempt.id) == event.attempt_id);
    at.max(attempt.map_or(record.message.accepted_at, |attempt| attempt.called_at))
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
        event: None,
        word: None,
        received_at: None,
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
