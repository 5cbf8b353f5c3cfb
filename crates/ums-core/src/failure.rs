//! Failures: each has one class, and one table says what follows from each class.
//!
//! Adapters only *name* the class; [`FailureClass::consequence`] is the only table. `docs/glossary.md` shows the same table, and a test
//! compares the two.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::channel::words;
use crate::email_address::EmailAddress;
use crate::{Channel, Purpose, Status, SuppressionReason};

/// Longest detail that is kept, in bytes.
pub const MAX_DETAIL_BYTES: usize = 500;

words! {
    /// What a failure means.
    FailureClass {
        /// The provider refused the content; every other provider would, too.
        InvalidMessage = "invalid_message",
        /// The recipient cannot exist.
        InvalidRecipient = "invalid_recipient",
        /// The recipient opted out, or is on the provider's suppression list.
        RecipientBlocked = "recipient_blocked",
        /// The recipient is on this provider's own list of those who unsubscribed (not its list of STOPs, complaints or bounces).
        ProviderUnsubscribed = "provider_unsubscribed",
        /// This provider cannot carry the message: feature, destination, a sender the caller chose.
        Unsupported = "unsupported",
        /// The account or its settings need mending: key, configured sender, sandbox, suspension.
        Misconfigured = "misconfigured",
        /// A daily, monthly or spend cap is used up.
        QuotaExhausted = "quota_exhausted",
        /// The calls come too fast for the provider.
        Throttled = "throttled",
        /// The provider surely did not accept the message: no byte reached the socket, or the provider said so.
        Unavailable = "unavailable",
        /// The provider may have accepted the message.
        Unknown = "unknown",
        /// This machine or process has no descriptor, local port, memory or thread left for the call; nothing was sent.
        LocalShortage = "local_shortage",
    }
}

/// The effect of a failure on the provider's breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerEffect {
    /// None: the failure says nothing about the provider.
    NotCounted,
    /// The breaker counts a failure.
    Counted,
    /// The breaker opens at once and probes at growing intervals.
    OpensMisconfigured,
    /// The breaker opens until the provider renews the allowance.
    OpensExhausted,
    /// The breaker pauses for the provider's own delay. The breaker counts no failure; a probe fails.
    Pauses,
}

/// Whether the next provider of the chain may be tried now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextProvider {
    /// The next provider is tried at once.
    Yes,
    /// No other provider is tried: the answer would be the same, or the recipient's will would be evaded.
    No,
    /// The next provider is tried only if the message allows duplicates.
    IfDuplicatesAllowed,
    /// The next provider is tried at once for a receipt or a code. For mail to many it is not: the recipient's will would be evaded.
    UnlessBulk,
}

/// When the same message is tried again, after every provider of the chain was tried or skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After the schedule's next wait, or when a provider reopens.
    BySchedule,
    /// After the schedule's longest wait: an operator must mend something first.
    Slowly,
    /// Never: this provider would give the same answer again.
    No,
}

/// The fate of a recipient after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientEnd {
    /// The recipient has no end: another provider is tried now, or a retry follows.
    Waits,
    /// The recipient ends `failed`: no provider can send this message to the recipient.
    Failed,
    /// The recipient ends `suppressed` (e-mail) or `unsubscribed` (SMS): the recipient must not be contacted.
    Blocked,
    /// The recipient of mail to many ends `unsubscribed`; a receipt or a code waits.
    UnsubscribedFromBulk,
}

impl RecipientEnd {
    /// The status that the recipient of a message ends with; none while the recipient waits.
    pub const fn status(self, channel: Channel, purpose: Purpose) -> Option<Status> {
        match (self, channel, purpose) {
            (Self::Waits, _, _) | (Self::UnsubscribedFromBulk, _, Purpose::Otp | Purpose::Transactional) => None,
            (Self::Failed, _, _) => Some(Status::Failed),
            (Self::Blocked, Channel::Email, _) => Some(Status::Suppressed),
            (Self::Blocked, Channel::Sms, _) | (Self::UnsubscribedFromBulk, _, Purpose::Bulk) => Some(Status::Unsubscribed),
        }
    }
}

/// The entry for the suppression list, when a provider refuses one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppress {
    /// No entry.
    Nothing,
    /// The address is dead: a hard bounce.
    DeadAddress,
    /// The recipient is on the provider's own list: a hard bounce (e-mail) or a stop (SMS).
    ListedThere,
    /// The recipient unsubscribed at the provider: an unsubscribe, which bars mail to many.
    UnsubscribedThere,
}

impl Suppress {
    /// The entry's reason; none without an entry.
    pub const fn reason(self, channel: Channel) -> Option<SuppressionReason> {
        match (self, channel) {
            (Self::Nothing, _) => None,
            // A provider's list of e-mail addresses consists of hard bounces for the most part.
            (Self::DeadAddress, _) | (Self::ListedThere, Channel::Email) => Some(SuppressionReason::HardBounce),
            (Self::ListedThere, Channel::Sms) => Some(SuppressionReason::Stop),
            (Self::UnsubscribedThere, _) => Some(SuppressionReason::Unsubscribe),
        }
    }
}

/// What follows from a failure class: one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consequence {
    /// Whether the next provider is tried now.
    pub next_provider: NextProvider,
    /// When the same message is tried again.
    pub retry: Retry,
    /// The effect on the provider's breaker.
    pub breaker: BreakerEffect,
    /// Whether the service must tell an operator.
    pub tell_operator: bool,
    /// The recipient's fate. The message's word follows its first recipient.
    pub recipient: RecipientEnd,
    /// The entry for the suppression list.
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
            Self::ProviderUnsubscribed => {
                let (next, recipient) = (N::UnlessBulk, E::UnsubscribedFromBulk);
                (next, R::No, B::NotCounted, false, recipient, S::UnsubscribedThere)
            }
            Self::Unsupported => (N::Yes, R::No, B::NotCounted, false, E::Waits, S::Nothing),
            Self::Misconfigured => (N::Yes, R::Slowly, B::OpensMisconfigured, true, E::Waits, S::Nothing),
            Self::QuotaExhausted => (N::Yes, R::BySchedule, B::OpensExhausted, true, E::Waits, S::Nothing),
            Self::Throttled => (N::Yes, R::BySchedule, B::Pauses, false, E::Waits, S::Nothing),
            Self::Unavailable => (N::Yes, R::BySchedule, B::Counted, false, E::Waits, S::Nothing),
            Self::Unknown => (N::IfDuplicatesAllowed, R::BySchedule, B::Counted, false, E::Waits, S::Nothing),
            // The next provider may have an open connection, which wants nothing more. Health tells the operator, once for all messages.
            Self::LocalShortage => (N::Yes, R::BySchedule, B::NotCounted, false, E::Waits, S::Nothing),
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

    /// Whether the class, known of an attempt that surely sent nothing, lets the next provider try a message of that purpose.
    pub const fn lets_the_next_try(self, purpose: Purpose) -> bool {
        match self.consequence().next_provider {
            NextProvider::Yes => true,
            NextProvider::No | NextProvider::IfDuplicatesAllowed => false,
            NextProvider::UnlessBulk => !matches!(purpose, Purpose::Bulk),
        }
    }

    /// Whether the provider may have taken the message although the call failed.
    pub const fn may_have_been_accepted(self) -> bool {
        matches!(self, Self::Unknown)
    }
}

words! {
    /// Who found the failure.
    FailureSource {
        /// The provider, by its answer.
        Provider = "provider",
        /// The transport: no connection, a broken connection, or no answer.
        Transport = "transport",
        /// The service itself, before it sent a byte.
        Local = "local",
    }
}

/// One failed attempt, as an adapter reports it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class: what the failure means.
    pub class: FailureClass,
    /// The provider's own code (`21610`, `MessageRejected`, `550 5.1.1`), or ours (`connect_timeout`).
    pub code: String,
    /// The provider's text, for people: redacted, at most [`MAX_DETAIL_BYTES`] bytes.
    pub detail: String,
    /// The delay that the provider asks for before the next call.
    pub retry_after: Option<Duration>,
    /// Who found the failure.
    pub source: FailureSource,
    /// The recipients whom the provider refused by name before the call failed (SMTP only). A listed recipient has its own failure; this
    /// failure holds for all others ([`Failure::of_recipient`]).
    ///
    /// The list is empty if the call had one recipient. The list holds addresses; therefore it is neither stored nor shown.
    #[serde(skip)]
    pub refusals: Box<[Refusal]>,
}

/// A provider's refusal of one recipient by name. The other recipients of the call have fates of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The refused recipient.
    pub address: EmailAddress,
    /// The provider's answer for this recipient; without refusals of its own.
    pub failure: Failure,
    /// Whether the provider's transaction was full, so that the provider takes this recipient in its next transaction (RFC 5321
    /// §4.5.3.1.10). The flag is never set within [`Failure::refusals`]: the provider must have taken the message for another recipient.
    pub next_transaction: bool,
}

impl Failure {
    /// A failure that the provider reported.
    pub fn provider(class: FailureClass, code: impl Into<String>, detail: &str) -> Self {
        Self::from_source(FailureSource::Provider, class, code.into(), detail)
    }

    /// A failure that the transport found.
    pub fn transport(class: FailureClass, code: impl Into<String>, detail: &str) -> Self {
        Self::from_source(FailureSource::Transport, class, code.into(), detail)
    }

    /// A failure that the service found before it sent a byte.
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

    /// Adds the recipients whom the provider refused by name.
    #[must_use]
    pub fn with_refusals(mut self, refusals: Vec<Refusal>) -> Self {
        self.refusals = refusals.into();
        self
    }

    /// The failure for one recipient of the call: the recipient's own refusal, or else this failure.
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

/// Redacts a provider's text for storage: masks addresses, long runs of digits (numbers, codes, also in groups), what looks like a key and what
/// follows the word for one, turns control characters into spaces, and cuts the text to [`MAX_DETAIL_BYTES`] bytes.
pub fn redact(text: &str) -> String {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .take(MAX_DETAIL_BYTES)
        .collect();
    let mut clean = String::with_capacity(text.len().min(MAX_DETAIL_BYTES));
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|_| clean.len() < MAX_DETAIL_BYTES) {
        if !clean.is_empty() {
            clean.push(' ');
        }
        let group = words[at..].iter().take_while(|word| is_group(word)).count();
        let digits: usize = words[at..at + group].iter().map(|word| digits_of(word)).sum();
        let follows_key = at > 0 && is_key(words[at - 1], word);
        if group > 1 && digits >= SHORTEST_NUMBER {
            clean.push_str(MASK);
            at += group;
            continue;
        }
        clean.push_str(&if follows_key { MASK.to_owned() } else { redact_word(word) });
        at += 1;
    }
    while clean.len() > MAX_DETAIL_BYTES {
        clean.pop();
    }
    clean
}

/// What stands for a part that is left out.
const MASK: &str = "***";
/// Digits of the shortest phone number (E.164 has up to 15; the shortest with a country code have 7). Two reply codes have six.
const SHORTEST_NUMBER: usize = 7;
/// Characters of the shortest key that is looked for behind its word.
const SHORTEST_KEY: usize = 8;

/// Digits in whatever script.
fn digits_of(word: &str) -> usize {
    word.chars().filter(|c| c.is_numeric()).count()
}

/// Whether a word may be a part of a number that is written in groups.
fn is_group(word: &str) -> bool {
    let word = word.trim_end_matches([',', '.', ';', ':']);
    digits_of(word) > 0 && word.chars().all(|c| c.is_numeric() || "+()-/\u{2010}\u{2011}".contains(c))
}

/// Whether a word is a key, by the word before it: `Authorization: Bearer …`, `password: …`.
fn is_key(before: &str, word: &str) -> bool {
    let bare = before.trim_matches(|c: char| !c.is_alphanumeric());
    let is_scheme = ["bearer", "basic"].iter().any(|scheme| bare.eq_ignore_ascii_case(scheme));
    let is_mixed = word.chars().any(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    word.chars().count() >= SHORTEST_KEY && ((is_scheme && is_mixed) || (before.ends_with([':', '=']) && names_key(bare)))
}

fn names_key(word: &str) -> bool {
    const NAMES: [&str; 9] = [
        "bearer", "basic", "password", "passwd", "secret", "token", "apikey", "api_key", "api-key",
    ];
    let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
    NAMES.iter().any(|name| bare.eq_ignore_ascii_case(name))
}

/// Whether a word names a key and has it: `api_key=…`.
fn holds_key(word: &str) -> bool {
    word.split_once(['=', ':'])
        .is_some_and(|(name, value)| value.chars().count() >= SHORTEST_KEY && names_key(name))
}

fn redact_word(word: &str) -> String {
    const KEY_MARKS: [&str; 5] = ["SG.", "AKIA", "ASIA", "Bearer", "Basic"];
    if word.contains(['@', '\u{ff20}', '\u{fe6b}']) {
        let plain = word.replace(['\u{ff20}', '\u{fe6b}'], "@");
        let inner = plain.trim_matches(|c: char| !c.is_alphanumeric());
        return crate::email_address::mask(inner);
    }
    if KEY_MARKS.iter().any(|mark| word.contains(mark)) || word.len() > 80 || holds_key(word) {
        return MASK.to_owned();
    }
    let number_like = digits_of(word) >= 6 && word.chars().filter(|c| c.is_alphabetic()).count() <= 1;
    if number_like { MASK.to_owned() } else { word.to_owned() }
}

#[cfg(test)]
mod tests;
