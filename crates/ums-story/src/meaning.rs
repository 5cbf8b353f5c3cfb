//! What a failure means for the message and for the provider, from the one table of consequences.

use std::fmt;
use std::time::Duration;

use ums_core::{AttemptRecord, BreakerEffect, Duplicates, FailureClass, MessageRecord, NextProvider, Purpose, RecipientEnd, Retry, Work};

/// The longest time between a call's end and the next one's start that is still the same round.
const AT_ONCE: Duration = Duration::from_millis(500);

/// What came after an attempt, for the same recipients.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    /// The next call, at once.
    AtOnce,
    /// A call in a later round, or by a later process.
    Later,
    /// No call yet: a process works on the message.
    InHand,
    /// No call yet: the message waits.
    Due,
    /// No call: the recipients have an end.
    Never,
}

impl Followed {
    pub(crate) fn of(record: &MessageRecord, attempt: &AttemptRecord, later: &[AttemptRecord]) -> Self {
        let follower = later.iter().find(|later| !later.recipients.and(attempt.recipients).is_empty());
        let Some(follower) = follower else {
            let is_open = !record.open_recipients().and(attempt.recipients).is_empty();
            return match record.work {
                Work::InHand if is_open => Self::InHand,
                Work::Due(_) if is_open => Self::Due,
                Work::InHand | Work::Due(_) | Work::Ended => Self::Never,
            };
        };
        let between = follower.called_at.since(attempt.called_at);
        let called = attempt.duration_ms.map(Duration::from_millis);
        if called.is_some_and(|called| between <= called + AT_ONCE) {
            Self::AtOnce
        } else {
            Self::Later
        }
    }
}

/// Whether the provider's breaker learned of the failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerView {
    /// The process saw the call end.
    Seen,
    /// No process saw the call end.
    Unseen,
    /// The provider reported the failure after the call.
    NotAsked,
}

/// A failure in the course of a message.
pub(crate) struct Meaning {
    pub(crate) class: FailureClass,
    pub(crate) purpose: Purpose,
    pub(crate) duplicates: Duplicates,
    pub(crate) followed: Followed,
    pub(crate) breaker: BreakerView,
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, then, breaker) = (what(self.class), self.then(), self.on_breaker());
        write!(f, "{what}{then}{breaker}.")
    }
}

impl Meaning {
    fn then(&self) -> &'static str {
        let row = self.class.consequence();
        let goes_on = match row.next_provider {
            NextProvider::Yes | NextProvider::No | NextProvider::UnlessBulk => self.class.lets_the_next_try(self.purpose),
            NextProvider::IfDuplicatesAllowed => self.duplicates == Duplicates::Allow,
        };
        match (goes_on, self.followed) {
            (true, Followed::AtOnce) => ", so the next provider was tried",
            (true, Followed::Later) => ", so it was tried again later",
            (true, Followed::InHand) => ", so the next provider is tried",
            (true, Followed::Due) => match row.retry {
                Retry::BySchedule => ", so it is tried again later",
                Retry::Slowly => ", so it is tried again after the longest wait",
                Retry::No => ", so it waits for another provider",
            },
            (true, Followed::Never) => ", and no further provider was left",
            (false, Followed::AtOnce | Followed::Later) => ", so it was tried again later only",
            (false, Followed::InHand | Followed::Due) if row.recipient == RecipientEnd::Waits => {
                ", so no other provider is asked before its feedback had time to come"
            }
            (false, Followed::InHand | Followed::Due | Followed::Never) => ", so no other provider was asked",
        }
    }

    fn on_breaker(&self) -> &'static str {
        match self.breaker {
            BreakerView::NotAsked => "",
            BreakerView::Unseen => "; no process saw how it ended, so no breaker counts it",
            BreakerView::Seen => match self.class.consequence().breaker {
                BreakerEffect::NotCounted => "; the breaker does not count it",
                BreakerEffect::Counted => "; the breaker counts it",
                BreakerEffect::OpensMisconfigured => "; the breaker opens until it is mended",
                BreakerEffect::OpensExhausted => "; the breaker opens until the allowance is renewed",
                BreakerEffect::Pauses => "; the provider is left alone for a while",
            },
        }
    }
}

const fn what(class: FailureClass) -> &'static str {
    match class {
        FailureClass::InvalidMessage => "The content was refused, as it would be anywhere",
        FailureClass::InvalidRecipient => "The recipient cannot exist",
        FailureClass::RecipientBlocked => "The recipient does not want messages",
        FailureClass::ProviderUnsubscribed => "The recipient is on this provider's own unsubscribe list",
        FailureClass::Unsupported => "This provider cannot carry the message",
        FailureClass::Misconfigured => "The account or its settings need mending",
        FailureClass::QuotaExhausted => "The allowance is used up",
        FailureClass::Throttled => "It was too fast for the provider",
        FailureClass::Unavailable => "The provider surely does not have it",
        FailureClass::Unknown => "The provider may have it all the same",
        FailureClass::LocalShortage => "This machine had no descriptor, port or memory left for the call; nothing was sent",
    }
}
