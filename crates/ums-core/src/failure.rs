//! Failures: one class each, and one table that says what follows from each class.
//!
//! No other code asks these questions; adapters only *name* the class.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::email_address::EmailAddress;
use crate::{Channel, Status, SuppressionReason};

/// Longest detail that is kept, in bytes.
pub const MAX_DETAIL_BYTES: usize = 500;

words! {
    /// What a failure means.
    FailureClass {
        /// The content was refused; every provider would.
        InvalidMessage = "invalid_message",
        /// The recipient cannot exist.
        InvalidRecipient = "invalid_recipient",
        /// The recipient opted out, or is on the provider's suppression list.
        RecipientBlocked = "recipient_blocked",
        /// This provider cannot carry the message: feature, destination, a sender the caller chose.
        Unsupported = "unsupported",
        /// The account: key, configured sender, sandbox, suspension.
        Misconfigured = "misconfigured",
        /// A daily, monthly or spend cap is used up.
        QuotaExhausted = "quota_exhausted",
        /// Too fast for the provider.
        Throttled = "throttled",
        /// Surely not accepted: no byte reached the socket, or the provider said so.
        Unavailable = "unavailable",
        /// May have been accepted.
        Unknown = "unknown",
    }
}

/// What a provider's breaker does with an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerEffect {
    /// Says nothing about the provider.
    NotCounted,
    /// Counts as a failure.
    Counted,
    /// Opens at once, probed at growing intervals.
    OpensMisconfigured,
    /// Opens until the allowance is renewed.
    OpensExhausted,
    /// Pauses until the provider's own delay is over; fails a probe, is not a failure.
    Pauses,
}

/// Whether the next provider of the chain may be tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextProvider {
    /// At once.
    Yes,
    /// No: the same answer elsewhere, or a way around somebody's will.
    No,
    /// Only if the message allows duplicates.
    IfDuplicatesAllowed,
}

/// When the same message is tried again, after every provider had its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// By the schedule, or when a provider reopens.
    BySchedule,
    /// By the schedule's longest wait: somebody must mend something first.
    Slowly,
    /// Never: this provider would say the same again.
    No,
}

/// What becomes of the recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientEnd {
    /// The recipient waits for another provider, or for the next round.
    Waits,
    /// Nobody can send the recipient this message.
    Failed,
    /// The recipient must not be contacted.
    Blocked,
}

impl RecipientEnd {
    /// The status that the recipient ends with; none while the recipient waits.
    pub const fn status(self, channel: Channel) -> Option<Status> {
        match (self, channel) {
            (Self::Waits, _) => None,
            (Self::Failed, _) => Some(Status::Failed),
            (Self::Blocked, Channel::Email) => Some(Status::Suppressed),
            (Self::Blocked, Channel::Sms) => Some(Status::Unsubscribed),
        }
    }
}

/// What comes onto the suppression list, when a provider says so of one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppress {
    /// Nothing.
    Nothing,
    /// The address is dead.
    DeadAddress,
    /// The recipient is on the provider's own list.
    ListedThere,
}

impl Suppress {
    /// Why the address must not be contacted again; none when the failure says nothing like that.
    pub const fn reason(self, channel: Channel) -> Option<SuppressionReason> {
        match (self, channel) {
            (Self::Nothing, _) => None,
            // A provider's list of e-mail addresses consists of hard bounces for the most part.
            (Self::DeadAddress, _) | (Self::ListedThere, Channel::Email) => Some(SuppressionReason::HardBounce),
            (Self::ListedThere, Channel::Sms) => Some(SuppressionReason::Stop),
        }
    }
}

/// What follows from a failure class: one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consequence {
    /// Whether the next provider is tried now.
    pub next_provider: NextProvider,
    /// When the message is tried again, after every provider had its turn.
    pub retry: Retry,
    /// What the breaker does.
    pub breaker: BreakerEffect,
    /// Whether an operator must be told.
    pub tell_operator: bool,
    /// What becomes of the recipient. The message's word follows its first recipient.
    pub recipient: RecipientEnd,
    /// What comes onto the suppression list.
    pub suppress: Suppress,
}

impl FailureClass {
    /// The table: what follows from each class.
    pub const fn consequence(self) -> Consequence {
        use {BreakerEffect as B, NextProvider as N, RecipientEnd as E, Retry as R, Suppress as S};
        let (next_provider, retry, breaker, tell_operator, recipient, suppress) = match self {
            Self::InvalidMessage => (N::No, R::No, B::NotCounted, false, E::Failed, S::Nothing),
            Self::InvalidRecipient => (N::No, R::No, B::NotCounted, false, E::Failed, S::DeadAddress),
            Self::RecipientBlocked => (N::No, R::No, B::NotCounted, false, E::Blocked, S::ListedThere),
            Self::Unsupported => (N::Yes, R::No, B::NotCounted, false, E::Waits, S::Nothing),
            Self::Misconfigured => (N::Yes, R::Slowly, B::OpensMisconfigured, true, E::Waits, S::Nothing),
            Self::QuotaExhausted => (N::Yes, R::BySchedule, B::OpensExhausted, true, E::Waits, S::Nothing),
            Self::Throttled => (N::Yes, R::BySchedule, B::Pauses, false, E::Waits, S::Nothing),
            Self::Unavailable => (N::Yes, R::BySchedule, B::Counted, false, E::Waits, S::Nothing),
            Self::Unknown => (N::IfDuplicatesAllowed, R::BySchedule, B::Counted, false, E::Waits, S::Nothing),
        };
        Consequence {
            next_provider,
            retry,
            breaker,
            tell_operator,
            recipient,
            suppress,
        }
    }

    /// Whether the provider may have taken the message all the same.
    pub const fn may_have_been_accepted(self) -> bool {
        matches!(self, Self::Unknown)
    }
}

words! {
    /// Who said so.
    FailureSource {
        /// The provider answered.
        Provider = "provider",
        /// The network, or the lack of it.
        Transport = "transport",
        /// We did, before anything was sent.
        Local = "local",
    }
}

/// One failed attempt, as an adapter reports it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it means.
    pub class: FailureClass,
    /// The provider's own code (`21610`, `MessageRejected`, `550 5.1.1`), or ours (`connect_timeout`).
    pub code: String,
    /// For people: redacted, at most [`MAX_DETAIL_BYTES`].
    pub detail: String,
    /// How long the provider asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Who said so.
    pub source: FailureSource,
    /// The recipients that the provider refused one by one before the call failed (SMTP only). Their own failures hold for them; this
    /// failure holds for every recipient that is not listed. Ask [`Failure::of_recipient`].
    ///
    /// The list is empty when the call had one recipient. It holds addresses: it is neither stored nor shown.
    #[serde(skip)]
    pub refusals: Box<[Refusal]>,
}

/// One recipient that the provider refused by itself: the other recipients of the call have fates of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who.
    pub address: EmailAddress,
    /// Why; without refusals of its own.
    pub failure: Failure,
    /// Whether the provider takes no more recipients in this transaction and takes this recipient in its next one (RFC 5321
    /// §4.5.3.1.10). Only a provider that took the message for another recipient says so: the flag is never set within
    /// [`Failure::refusals`].
    pub next_transaction: bool,
}

impl Failure {
    /// A failure that the provider reported.
    pub fn provider(class: FailureClass, code: impl Into<String>, detail: &str) -> Self {
        Self::from_source(FailureSource::Provider, class, code.into(), detail)
    }

    /// A failure of the network.
    pub fn transport(class: FailureClass, code: impl Into<String>, detail: &str) -> Self {
        Self::from_source(FailureSource::Transport, class, code.into(), detail)
    }

    /// A failure that we found before anything was sent.
    pub fn local(class: FailureClass, code: impl Into<String>, detail: &str) -> Self {
        Self::from_source(FailureSource::Local, class, code.into(), detail)
    }

    fn from_source(source: FailureSource, class: FailureClass, code: String, detail: &str) -> Self {
        Self {
            class,
            code,
            detail: redact(detail),
            retry_after: None,
            source,
            refusals: Box::default(),
        }
    }

    /// Adds the delay that the provider asks for.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    /// Adds the recipients that were refused one by one.
    #[must_use]
    pub fn with_refusals(mut self, refusals: Vec<Refusal>) -> Self {
        self.refusals = refusals.into();
        self
    }

    /// What the failed call means for one of its recipients: the recipient's own refusal, or else this failure.
    pub fn of_recipient(&self, address: &str) -> &Self {
        self.refusals
            .iter()
            .find(|refusal| refusal.address.expose() == address)
            .map_or(self, |refusal| &refusal.failure)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Failure({} {} {:?} retry_after={:?}",
            self.class, self.code, self.detail, self.retry_after
        )?;
        if !self.refusals.is_empty() {
            write!(f, " refusals={}", self.refusals.len())?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.class, self.code)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}

/// Makes a provider's text fit to keep: addresses, long digit runs (numbers, codes) and anything
/// that looks like a key are masked, controls become spaces, the end is cut.
pub fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(MAX_DETAIL_BYTES));
    for word in text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
    {
        if clean.len() >= MAX_DETAIL_BYTES {
            break;
        }
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(&redact_word(word));
    }
    while clean.len() > MAX_DETAIL_BYTES {
        clean.pop();
    }
    clean
}

fn redact_word(word: &str) -> String {
    const KEY_MARKS: [&str; 5] = ["SG.", "AKIA", "ASIA", "Bearer", "Basic"];
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if word.contains('@') {
        let inner = word.trim_matches(|c: char| !c.is_alphanumeric());
        return crate::email_address::mask(inner);
    }
    if KEY_MARKS.iter().any(|mark| word.contains(mark)) || word.len() > 80 {
        return "***".to_owned();
    }
    let number_like = digits >= 6 && word.bytes().filter(u8::is_ascii_alphabetic).count() <= 1;
    if number_like { "***".to_owned() } else { word.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the design, row by row, so that a change of one is seen twice.
    #[test]
    fn the_table_says_what_the_design_says() {
        use {BreakerEffect as B, FailureClass as C, NextProvider as N, Retry as R};
        let dead = Some(SuppressionReason::HardBounce);
        let (failed, blocked) = (Some(Status::Failed), Some(Status::Suppressed));
        let rows = [
            (C::InvalidMessage, N::No, R::No, B::NotCounted, false, failed, None),
            (C::InvalidRecipient, N::No, R::No, B::NotCounted, false, failed, dead),
            (C::RecipientBlocked, N::No, R::No, B::NotCounted, false, blocked, dead),
            (C::Unsupported, N::Yes, R::No, B::NotCounted, false, None, None),
            (C::Misconfigured, N::Yes, R::Slowly, B::OpensMisconfigured, true, None, None),
            (C::QuotaExhausted, N::Yes, R::BySchedule, B::OpensExhausted, true, None, None),
            (C::Throttled, N::Yes, R::BySchedule, B::Pauses, false, None, None),
            (C::Unavailable, N::Yes, R::BySchedule, B::Counted, false, None, None),
            (C::Unknown, N::IfDuplicatesAllowed, R::BySchedule, B::Counted, false, None, None),
        ];
        assert_eq!(rows.len(), FailureClass::ALL.len());
        for (class, next, retry, breaker, tell, recipient, suppress) in rows {
            let row = class.consequence();
            assert_eq!(
                (row.next_provider, row.retry, row.breaker, row.tell_operator),
                (next, retry, breaker, tell),
                "{class}"
            );
            assert_eq!(row.recipient.status(Channel::Email), recipient, "{class}");
            assert_eq!(row.suppress.reason(Channel::Email), suppress, "{class}");
        }
        let blocked = C::RecipientBlocked.consequence();
        assert_eq!(blocked.recipient.status(Channel::Sms), Some(Status::Unsubscribed));
        assert_eq!(blocked.suppress.reason(Channel::Sms), Some(SuppressionReason::Stop));
    }

    /// A recipient waits exactly where another provider may try, now or later.
    #[test]
    fn the_columns_of_the_table_agree() {
        for class in FailureClass::ALL {
            let row = class.consequence();
            assert_eq!(
                row.recipient == RecipientEnd::Waits,
                row.next_provider != NextProvider::No,
                "{class}"
            );
            assert!(row.suppress == Suppress::Nothing || row.recipient != RecipientEnd::Waits, "{class}");
            assert_eq!(
                class.may_have_been_accepted(),
                row.next_provider == NextProvider::IfDuplicatesAllowed,
                "{class}"
            );
        }
    }

    #[test]
    fn a_recipient_that_was_refused_keeps_its_own_failure_and_the_list_stays_inside() {
        let address = |text: &str| EmailAddress::parse(text).unwrap();
        let gone = Failure::provider(FailureClass::InvalidRecipient, "550 5.1.1", "");
        let lost = Failure::transport(FailureClass::Unknown, "connection_lost", "").with_refusals(vec![Refusal {
            address: address("canary@example.com"),
            failure: gone.clone(),
            next_transaction: false,
        }]);
        assert_eq!(lost.of_recipient("canary@example.com"), &gone);
        assert_eq!(lost.of_recipient("jane@example.com"), &lost);

        let stored = serde_json::to_string(&lost).unwrap();
        let shown = format!("{lost} {lost:?} {stored}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("refusals=1"), "{shown}");
        let read: Failure = serde_json::from_str(&stored).unwrap();
        assert!(read.refusals.is_empty());
    }

    #[test]
    fn details_hold_no_recipient_number_key_or_line_break() {
        let text = "Bad address <customer@example.com>: +14165550123 key SG.abc.def\r\nX: code 123456 status 550 5.1.1";
        let clean = redact(text);
        for canary in ["customer", "4165550123", "SG.abc", "123456", "\r", "\n"] {
            assert!(!clean.contains(canary), "{canary} in {clean}");
        }
        assert!(clean.contains("550 5.1.1"));
        assert!(redact(&"long ".repeat(1_000)).len() <= MAX_DETAIL_BYTES);
    }
}
