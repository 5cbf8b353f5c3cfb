//! Calls to providers: how each ended, whom it was for, and what followed.

use ums_core::{AttemptOutcome, AttemptRecord, FailureClass, MessageRecord, NotCalled, SettledBy};

use crate::meaning::{BreakerView, Followed, Meaning};
use crate::refusal;
use crate::step::{StepKind, StoryStep, after_colon};

/// The steps of a message's attempts, in their order.
pub(crate) fn attempted(record: &MessageRecord) -> impl Iterator<Item = StoryStep> {
    record.attempts.iter().enumerate().map(|(index, attempt)| {
        let later = record.attempts.get(index + 1..).unwrap_or_default();
        Told { record, attempt, later }.step()
    })
}

/// An attempt and what it is told with.
struct Told<'a> {
    record: &'a MessageRecord,
    attempt: &'a AttemptRecord,
    /// The attempts after it.
    later: &'a [AttemptRecord],
}

impl Told<'_> {
    fn step(&self) -> StoryStep {
        let attempt = self.attempt;
        let mut text = self.sentence();
        for refused in &attempt.refused {
            text.push(' ');
            text.push_str(&refusal::sentence(self.record, refused, self.later));
        }
        StoryStep {
            outcome: Some(attempt.outcome.word()),
            class: attempt.class,
            code: attempt.code.clone(),
            duration_ms: attempt.duration_ms,
            ..StoryStep::new(attempt.called_at, StepKind::Attempted, Some(attempt.provider), text)
        }
    }

    fn sentence(&self) -> String {
        let (provider, whom) = (self.attempt.provider, self.whom());
        match (self.attempt.outcome, self.attempt.settled_by) {
            (AttemptOutcome::Calling, _) => format!("{provider} is being called{whom}."),
            (AttemptOutcome::NotCalled(why), _) => self.not_called(why),
            (AttemptOutcome::Accepted, None) => format!("{provider} took it{whom}{}.{}", self.took(), self.notes()),
            (AttemptOutcome::Accepted, Some(by)) => {
                format!(
                    "{provider} has it{whom}: {}.{}{}",
                    settled(by),
                    self.unknown_meanwhile(),
                    self.notes()
                )
            }
            (AttemptOutcome::Failed, Some(by)) => format!("{}{}", self.settled_as_failed(by), self.unknown_meanwhile()),
            (AttemptOutcome::Failed, None) | (AttemptOutcome::Unknown, _) => self.failed(),
        }
    }

    /// Whom the attempt was for, when not for everybody: ` for 2 of 3 recipients`.
    fn whom(&self) -> String {
        let all = self.record.recipients.len();
        let carried = self.attempt.recipients;
        let some = usize::try_from(carried.count(all)).unwrap_or(all);
        if some == all || !carried.is_recorded() {
            String::new()
        } else {
            format!(" for {some} of {all} recipients")
        }
    }

    fn took(&self) -> String {
        self.attempt
            .duration_ms
            .map(|millis| format!(" in {millis} ms"))
            .unwrap_or_default()
    }

    /// What else is to be known of a message that was taken.
    fn notes(&self) -> String {
        let sender = if self.attempt.from_substituted {
            " From its own sender, the caller's is in Reply-To."
        } else {
            ""
        };
        let simulated = if self.attempt.simulated {
            " Simulated: nothing reached anybody."
        } else {
            ""
        };
        format!("{sender}{simulated}")
    }

    /// The first provider that was called for the same recipients while the outcome of this attempt was unknown.
    fn unknown_meanwhile(&self) -> String {
        let called = |next: &&AttemptRecord| !matches!(next.outcome, AttemptOutcome::NotCalled(_));
        let shares = |next: &&AttemptRecord| (0..self.record.recipients.len()).any(|place| self.shares(next, place));
        let next = self.later.iter().filter(called).find(shares);
        let next = next.filter(|next| self.attempt.was_unknown_at(next.called_at));
        next.map(|next| format!(" Nobody knew when {} was called next.", next.provider))
            .unwrap_or_default()
    }

    fn shares(&self, next: &AttemptRecord, place: usize) -> bool {
        self.attempt.recipients.contains(place) && next.recipients.contains(place)
    }

    fn not_called(&self, why: NotCalled) -> String {
        let then = match self.followed() {
            Followed::AtOnce | Followed::Later => ", so it was tried again later",
            Followed::InHand | Followed::Due => ", so it is tried again",
            Followed::Never => "",
        };
        let (provider, whom) = (self.attempt.provider, self.whom());
        format!(
            "{provider} was not called{whom}: {}{then}. Nothing reached the provider.",
            hindrance(why)
        )
    }

    fn failed(&self) -> String {
        let (provider, whom, took) = (self.attempt.provider, self.whom(), self.took());
        let detail = after_colon(self.attempt.detail.as_deref());
        // A process that is dead wrote no duration: whoever found the call does not know.
        let is_unseen = self.attempt.outcome == AttemptOutcome::Unknown && self.attempt.duration_ms.is_none();
        let breaker = if is_unseen { BreakerView::Unseen } else { BreakerView::Seen };
        let (class, meaning) = (self.class_and_code(), self.meaning(breaker));
        format!("{provider} did not confirm it{whom}{took} ({class}){detail}. {meaning}")
    }

    fn settled_as_failed(&self, by: SettledBy) -> String {
        let (provider, whom, who) = (self.attempt.provider, self.whom(), settled(by));
        match by {
            SettledBy::Feedback => {
                let (class, meaning) = (self.class_and_code(), self.meaning(BreakerView::NotAsked));
                format!("{provider} does not have it{whom}: {who} ({class}). {meaning}")
            }
            // The class is that of the call, when nobody could say.
            SettledBy::MarkedSent | SettledBy::MarkedDelivered | SettledBy::MarkedFailed => {
                format!("{provider} does not have it{whom}: {who}.")
            }
        }
    }

    fn class(&self) -> FailureClass {
        self.attempt.class.unwrap_or(FailureClass::Unknown)
    }

    fn class_and_code(&self) -> String {
        let code = self.attempt.code.as_ref().map(|code| format!(", code {code}"));
        format!("{}{}", self.class(), code.unwrap_or_default())
    }

    fn meaning(&self, breaker: BreakerView) -> String {
        let duplicates = self.record.message.handling.duplicates;
        Meaning {
            class: self.class(),
            purpose: self.record.message.handling.purpose,
            duplicates,
            followed: self.followed(),
            breaker,
        }
        .to_string()
    }

    fn followed(&self) -> Followed {
        Followed::of(self.record, self.attempt, self.later)
    }
}

const fn hindrance(why: NotCalled) -> &'static str {
    match why {
        NotCalled::Closing => "the process was ending",
        NotCalled::LeaseLost => "the lease of the process was over, or too short for a call",
        NotCalled::Expired => "the message's time ran out just before the call",
        NotCalled::IntentLate => "the store did not confirm in time that the call was noted down",
    }
}

const fn settled(by: SettledBy) -> &'static str {
    match by {
        SettledBy::Feedback => "its report says so",
        SettledBy::MarkedSent => "an operator said that a provider took it",
        SettledBy::MarkedDelivered => "an operator said that the recipient has it",
        SettledBy::MarkedFailed => "an operator said that nobody took it",
    }
}
