//! One call to one provider: its recipients, its outcome, and who settled the outcome.

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
    /// The provider surely did not take the message.
    Failed,
    /// The provider may have taken the message.
    Unknown,
    /// The intent was committed, and the provider was not called after all.
    NotCalled(NotCalled),
}

impl AttemptOutcome {
    /// The word that callers see and that stores keep. An attempt without a call reads `failed`.
    pub const fn word(self) -> OutcomeWord {
        match self {
            Self::Calling => OutcomeWord::Calling,
            Self::Accepted => OutcomeWord::Accepted,
            Self::Failed | Self::NotCalled(_) => OutcomeWord::Failed,
            Self::Unknown => OutcomeWord::Unknown,
        }
    }

    /// Whether the provider took the message, or may have taken it.
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
        /// The provider surely did not take the message.
        Failed = "failed",
        /// The provider may have taken the message.
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
        /// The process's lease had ended, or was too short for a call.
        LeaseLost = "lease_lost",
        /// The message expired during the commit of the intent.
        Expired = "expired",
        /// The commit of the intent took too long, or its outcome was unknown.
        IntentLate = "not_called",
    }
}

words! {
    /// Who settled an attempt after its call: by a fact that the call did not give.
    SettledBy {
        /// The provider, by feedback.
        Feedback = "feedback",
        /// An operator, by the mark `sent`: a provider took the message.
        MarkedSent = "marked_sent",
        /// An operator, by the mark `delivered`: the recipient has the message.
        MarkedDelivered = "marked_delivered",
        /// An operator, by the mark `failed`: no provider took the message.
        MarkedFailed = "marked_failed",
    }
}

impl SettledBy {
    /// The text for [`AttemptRecord::detail`], for people. Nothing is decided by it.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Feedback => "settled by feedback",
            Self::MarkedSent => "marked as sent",
            Self::MarkedDelivered => "marked as delivered",
            Self::MarkedFailed => "marked as failed",
        }
    }
}

/// A set of a message's recipients. A *place* is the position in the message's list (to, cc, bcc), counted from 0; a message has at most 50.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecipientSet(u64);

impl RecipientSet {
    /// The empty set.
    pub const NOBODY: Self = Self(0);
    /// The set of an attempt that the release before wrote without its recipients. Every recipient counts as a member.
    pub const NOT_RECORDED: Self = Self(u64::MAX);

    /// Reads the bits of [`RecipientSet::bits`].
    pub const fn from_bits(bits: Option<i64>) -> Self {
        match bits {
            Some(bits) => Self(bits.cast_unsigned()),
            None => Self::NOT_RECORDED,
        }
    }

    /// One bit for each place, as stores keep the set; none for [`RecipientSet::NOT_RECORDED`].
    pub const fn bits(self) -> Option<i64> {
        if self.is_recorded() { Some(self.0.cast_signed()) } else { None }
    }

    /// Whether the set was recorded.
    pub const fn is_recorded(self) -> bool {
        self.0 != Self::NOT_RECORDED.0
    }

    /// Whether the set has no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the recipient at `place` is a member.
    pub const fn contains(self, place: usize) -> bool {
        place < 64 && self.0 & (1 << place) != 0
    }

    /// Number of members among the first `recipients` places.
    pub fn count(self, recipients: usize) -> u32 {
        u32::try_from((0..recipients.min(64)).filter(|place| self.contains(*place)).count()).unwrap_or(u32::MAX)
    }

    /// Adds the recipient at `place`.
    #[must_use]
    pub const fn with(self, place: usize) -> Self {
        if place < 64 { Self(self.0 | (1 << place)) } else { self }
    }

    /// Removes the members of `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// The members of either set.
    #[must_use]
    pub const fn or(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The members of both sets.
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

/// A recipient whom the provider refused by name, while it took, or may have taken, the message for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedRecipient {
    /// Place in the message's list of recipients.
    pub place: usize,
    /// The provider's answer.
    pub failure: Failure,
}

/// One call to one provider, as stores keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Id of the attempt.
    pub id: AttemptId,
    /// The provider.
    pub provider: ProviderKind,
    /// The account at the provider.
    pub account: AccountId,
    /// Time of the intent, just before the call.
    pub called_at: Timestamp,
    /// Outcome of the call.
    pub outcome: AttemptOutcome,
    /// Class of the failure.
    pub class: Option<FailureClass>,
    /// The provider's code of the failure.
    pub code: Option<String>,
    /// The provider's text, for people; redacted.
    pub detail: Option<String>,
    /// Length of the call in milliseconds; none if no process saw its end.
    pub duration_ms: Option<u64>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
    /// Whether a simulator or the console took the message: nothing reached anybody.
    pub simulated: bool,
    /// Whether the provider replaced the caller's sender by its own.
    pub from_substituted: bool,
    /// Estimated cost in millionths of the currency; none if the provider has no known price, or did not take the message.
    pub cost_micros: Option<i64>,
    /// What the provider takes for each recipient of the message, in millionths of the currency: for a text message the price of all its
    /// segments. Known since the intent; none if the provider has no known price. The body may be gone when the outcome is settled.
    pub price_micros: Option<i64>,
    /// The attempt's status by the provider's feedback: `sent`, `failed`, `delivered` or `bounced`; none without feedback. Of several
    /// recipients, the first recipient whom the attempt carried counts.
    pub reported: Option<Status>,
    /// The recipients that the attempt is for, without those whom the provider refused by name. After an acceptance or an unknown outcome they
    /// are the recipients whom the attempt carried, or may have carried.
    pub recipients: RecipientSet,
    /// The recipients whom the provider refused by name.
    pub refused: Vec<RefusedRecipient>,
    /// Who settled the outcome, if the call did not.
    pub settled_by: Option<SettledBy>,
    /// When an unknown outcome was settled; none if the outcome never was unknown, or is unknown still. Every attempt that was made before the
    /// settlement has a smaller `called_at`, every later one a greater or equal one.
    pub unknown_until: Option<Timestamp>,
}

impl AttemptRecord {
    /// The intent to call a provider for these recipients.
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
            price_micros: None,
            reported: None,
            recipients,
            refused: Vec::new(),
            settled_by: None,
            unknown_until: None,
        }
    }

    /// Writes the cost of an accepted attempt: the price for each of the message's `recipients` whom it carried.
    pub fn bill(&mut self, recipients: usize) {
        let carried = self.recipients.count(recipients);
        self.cost_micros = self.price_micros.map(|price| price.saturating_mul(i64::from(carried)));
    }

    /// Settles the outcome by a fact that the call did not give. An attempt that was not accepted before gets its cost.
    pub fn settle(&mut self, outcome: AttemptOutcome, by: SettledBy, at: Timestamp, recipients: usize) {
        if self.outcome == AttemptOutcome::Unknown {
            self.unknown_until = Some(at);
        }
        if outcome == AttemptOutcome::Accepted && self.outcome != AttemptOutcome::Accepted {
            self.bill(recipients);
            (self.class, self.code) = (None, None);
        }
        (self.outcome, self.settled_by) = (outcome, Some(by));
    }

    /// Whether the outcome was unknown at that time after the call.
    pub fn was_unknown_at(&self, at: Timestamp) -> bool {
        self.outcome == AttemptOutcome::Unknown || self.unknown_until.is_some_and(|until| at < until)
    }

    /// Whether the attempt is unknown for the recipient at `place`.
    pub fn is_unknown_for(&self, place: usize) -> bool {
        self.outcome == AttemptOutcome::Unknown && self.recipients.contains(place)
    }

    /// Whether the attempt carried the recipient at `place`, or may have carried it.
    pub fn may_have_reached(&self, place: usize) -> bool {
        self.outcome.may_have_been_accepted() && self.recipients.contains(place)
    }

    /// Makes a call under way unknown, because its process died. Returns whether a call was under way.
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
