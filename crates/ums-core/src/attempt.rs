//! One call to one provider: whom it was for, how it ended, and who said so.

use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::{AccountId, AttemptId, Failure, FailureClass, ProviderKind, Status, Timestamp};

/// How one call to a provider ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// The intent is committed, the outcome is not.
    Calling,
    /// The provider took the message.
    Accepted,
    /// The provider surely did not take it.
    Failed,
    /// Nobody can say.
    Unknown,
    /// The intent was committed, and the provider was not called after all.
    NotCalled(NotCalled),
}

impl AttemptOutcome {
    /// The word that callers see and that stores keep: an attempt without a call is one that failed.
    pub const fn word(self) -> OutcomeWord {
        match self {
            Self::Calling => OutcomeWord::Calling,
            Self::Accepted => OutcomeWord::Accepted,
            Self::Failed | Self::NotCalled(_) => OutcomeWord::Failed,
            Self::Unknown => OutcomeWord::Unknown,
        }
    }

    /// Whether the provider has the message, or may have it.
    pub const fn may_have_been_accepted(self) -> bool {
        matches!(self, Self::Accepted | Self::Unknown)
    }
}

words! {
    /// How one call to a provider ended, as callers see it.
    OutcomeWord {
        /// The intent is committed, the outcome is not.
        Calling = "calling",
        /// The provider took the message.
        Accepted = "accepted",
        /// The provider surely did not take it.
        Failed = "failed",
        /// Nobody can say.
        Unknown = "unknown",
    }
}

impl From<OutcomeWord> for AttemptOutcome {
    fn from(word: OutcomeWord) -> Self {
        match word {
            OutcomeWord::Calling => Self::Calling,
            OutcomeWord::Accepted => Self::Accepted,
            OutcomeWord::Failed => Self::Failed,
            OutcomeWord::Unknown => Self::Unknown,
        }
    }
}

words! {
    /// Why the provider of a committed intent was not called. The word is the attempt's code.
    NotCalled {
        /// The process was ending.
        Closing = "closing",
        /// The lease of the process was over, or too short for a call.
        LeaseLost = "lease_lost",
        /// The message's time ran out while the intent was being committed.
        Expired = "expired",
        /// The intent was not committed in time, or nobody knew whether it was.
        IntentLate = "not_called",
    }
}

words! {
    /// Who settled an attempt whose outcome was unknown, or was thought to be known.
    SettledBy {
        /// The provider, by a report.
        Feedback = "feedback",
        /// An operator said that a provider took it.
        MarkedSent = "marked_sent",
        /// An operator said that the recipient has it.
        MarkedDelivered = "marked_delivered",
        /// An operator said that nobody took it.
        MarkedFailed = "marked_failed",
    }
}

impl SettledBy {
    /// The attempt's detail, for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Feedback => "settled by feedback",
            Self::MarkedSent => "marked as sent",
            Self::MarkedDelivered => "marked as delivered",
            Self::MarkedFailed => "marked as failed",
        }
    }
}

/// Some recipients of a message, by their places in its list; a message has at most 50.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecipientSet(u64);

impl RecipientSet {
    /// Nobody.
    pub const NOBODY: Self = Self(0);
    /// Everybody, as far as is known: an attempt of a release that did not record for whom it was.
    pub const NOT_RECORDED: Self = Self(u64::MAX);

    /// From the bits that [`RecipientSet::bits`] gave.
    pub const fn from_bits(bits: Option<i64>) -> Self {
        match bits {
            Some(bits) => Self(bits.cast_unsigned()),
            None => Self::NOT_RECORDED,
        }
    }

    /// One bit for each place, as stores keep them; none when it is not recorded.
    pub const fn bits(self) -> Option<i64> {
        if self.is_recorded() { Some(self.0.cast_signed()) } else { None }
    }

    /// Whether it is known who they are.
    pub const fn is_recorded(self) -> bool {
        self.0 != Self::NOT_RECORDED.0
    }

    /// Whether nobody is among them.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the recipient at that place is among them.
    pub const fn contains(self, place: usize) -> bool {
        place < 64 && self.0 & (1 << place) != 0
    }

    /// How many of the first `recipients` places are among them.
    pub fn count(self, recipients: usize) -> u32 {
        u32::try_from((0..recipients.min(64)).filter(|place| self.contains(*place)).count()).unwrap_or(u32::MAX)
    }

    /// These, and the recipient at that place.
    #[must_use]
    pub const fn with(self, place: usize) -> Self {
        if place < 64 { Self(self.0 | (1 << place)) } else { self }
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Those that are in one of them or in both.
    #[must_use]
    pub const fn or(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }
}

impl FromIterator<usize> for RecipientSet {
    fn from_iter<I: IntoIterator<Item = usize>>(places: I) -> Self {
        places.into_iter().fold(Self::NOBODY, Self::with)
    }
}

/// A recipient that the provider refused while it took, or may have taken, the message for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRecipient {
    /// Place in the message's list of recipients.
    pub place: usize,
    /// The provider's answer.
    pub failure: Failure,
}

/// One call to one provider, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Its id.
    pub id: AttemptId,
    /// Which provider.
    pub provider: ProviderKind,
    /// Which account at the provider.
    pub account: AccountId,
    /// When the intent was recorded, just before the call.
    pub called_at: Timestamp,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Class of the failure.
    pub class: Option<FailureClass>,
    /// The provider's code of the failure.
    pub code: Option<String>,
    /// For people; redacted.
    pub detail: Option<String>,
    /// How long the call took; none when no process saw it end.
    pub duration_ms: Option<u64>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
    /// Whether nothing reached anybody.
    pub simulated: bool,
    /// Whether it went out from the provider's own sender.
    pub from_substituted: bool,
    /// Estimated cost in millionths of the currency; none when no price is known.
    pub cost_micros: Option<i64>,
    /// Where it stands by the provider's feedback: `sent`, `failed`, `delivered` or `bounced`; none without any. Of several recipients, the first
    /// one that the provider took it for counts.
    pub reported: Option<Status>,
    /// Whom it was for, without those whom the provider refused by name. After an acceptance or an unknown outcome the provider has the
    /// message for them, or may have.
    pub recipients: RecipientSet,
    /// Those whom the provider refused by name.
    pub refused: Vec<RefusedRecipient>,
    /// Who settled it, when its call did not.
    pub settled_by: Option<SettledBy>,
}

impl AttemptRecord {
    /// The record of an attempt that is about to be made for these recipients.
    pub fn intent(id: AttemptId, provider: ProviderKind, account: AccountId, called_at: Timestamp, recipients: RecipientSet) -> Self {
        Self {
            id,
            provider,
            account,
            called_at,
            outcome: AttemptOutcome::Calling,
            class: None,
            code: None,
            detail: None,
            duration_ms: None,
            provider_message_id: None,
            simulated: false,
            from_substituted: false,
            cost_micros: None,
            reported: None,
            recipients,
            refused: Vec::new(),
            settled_by: None,
        }
    }

    /// Whether the provider may have the message for the recipient at that place, and nobody knows.
    pub fn is_unknown_for(&self, place: usize) -> bool {
        self.outcome == AttemptOutcome::Unknown && self.recipients.contains(place)
    }

    /// Whether the provider has the message for the recipient at that place, or may have it.
    pub fn may_have_reached(&self, place: usize) -> bool {
        self.outcome.may_have_been_accepted() && self.recipients.contains(place)
    }

    /// Ends a call whose process is dead: nobody saw how it ended. Whether it was one.
    pub fn lose(&mut self) -> bool {
        let was_calling = self.outcome == AttemptOutcome::Calling;
        if was_calling {
            self.outcome = AttemptOutcome::Unknown;
            self.class = Some(FailureClass::Unknown);
            self.code = Some("process_ended".to_owned());
            self.detail = Some("the process ended during the call".to_owned());
        }
        was_calling
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_recipients_survives_its_bits() {
        let some: RecipientSet = [0, 3, 49, 63].into_iter().collect();
        assert_eq!(RecipientSet::from_bits(some.bits()), some);
        assert_eq!(some.count(50), 3);
        assert!(some.contains(49) && !some.contains(1) && !some.contains(64));
        assert_eq!(some.without([3].into_iter().collect()).count(10), 1);
        assert_eq!(RecipientSet::from_bits(None), RecipientSet::NOT_RECORDED);
        assert_eq!(RecipientSet::NOT_RECORDED.bits(), None);
        assert!(RecipientSet::NOT_RECORDED.contains(7));
    }
}
