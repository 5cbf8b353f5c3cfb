//! Enhanced status codes (RFC 3463): how they are written, and what each is about.

use std::fmt;

use super::Topic;

/// An enhanced status code: `5.1.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enhanced {
    pub(crate) class: u16,
    pub(crate) subject: u16,
    pub(crate) detail: u16,
}

/// One row of [`CODES`].
type Coded = (&'static str, (u16, u16, u16), Topic, &'static str);

/// What codes are about: how people write them; subject, first and last detail; topic; source. The first row that fits holds.
///
/// A code without a row is vague: `X.0.0`, `X.1.0`, `X.2.0`, `X.4.0` and `X.5.0` ("other or undefined"), and codes that nobody registered.
/// Then the words decide alone.
pub(super) const CODES: &[Coded] = &[
    (
        "x.1.1 to x.1.3",
        (1, 1, 3),
        Topic::DeadAddress,
        "RFC 3463 §3.2: no such mailbox, no such system, bad syntax of the mailbox",
    ),
    ("x.1.4 to x.1.5", (1, 4, 5), Topic::Recipient, "RFC 3463 §3.2: ambiguous, or valid"),
    (
        "x.1.6",
        (1, 6, 6),
        Topic::DeadAddress,
        "RFC 3463 §3.2: moved, no forwarding address",
    ),
    ("x.1.7 to x.1.8", (1, 7, 8), Topic::Sender, "RFC 3463 §3.2: the sender's address"),
    (
        "x.1.9",
        (1, 9, 9),
        Topic::Recipient,
        "RFC 5248: relayed to a system that reports nothing",
    ),
    ("x.1.10", (1, 10, 10), Topic::DeadAddress, "RFC 7505 §4.1: null MX"),
    ("x.2.1", (2, 1, 1), Topic::DeadAddress, "RFC 3463 §3.3: the mailbox is disabled"),
    (
        "x.2.2",
        (2, 2, 2),
        Topic::NotNow,
        "RFC 3463 §3.3: the mailbox is full, a persistent transient failure",
    ),
    ("x.2.3", (2, 3, 3), Topic::Size, "RFC 3463 §3.3: longer than the mailbox takes"),
    ("x.2.4", (2, 4, 4), Topic::Recipient, "RFC 3463 §3.3: expansion of a mailing list"),
    ("x.3.4", (3, 4, 4), Topic::Size, "RFC 3463 §3.4: too big for the system"),
    ("x.3, any other", (3, 0, 999), Topic::System, "RFC 3463 §3.4: the mail system"),
    (
        "x.4.4",
        (4, 4, 4),
        Topic::DeadAddress,
        "RFC 3463 §3.5: no route, as for a domain that does not exist",
    ),
    (
        "x.4.1 to x.4.3",
        (4, 1, 3),
        Topic::System,
        "RFC 3463 §3.5: no answer, bad connection, directory failure",
    ),
    ("x.4.5", (4, 5, 5), Topic::Quota, "Gmail: 550 5.4.5 daily sending limit"),
    ("x.4.6 to x.4.7", (4, 6, 7), Topic::System, "RFC 3463 §3.5: loop, time expired"),
    ("x.5.3", (5, 3, 3), Topic::TooManyRecipients, "RFC 3463 §3.6"),
    ("x.5, any other", (5, 1, 999), Topic::Protocol, "RFC 3463 §3.6: the protocol"),
    ("x.6, any other", (6, 0, 999), Topic::Content, "RFC 3463 §3.7: the content"),
    (
        "x.7.8 to x.7.16",
        (7, 8, 16),
        Topic::Login,
        "RFC 4954 §6, RFC 5248: credentials and mechanisms",
    ),
    (
        "x.7.17 to x.7.19",
        (7, 17, 19),
        Topic::Recipient,
        "RFC 7293: the mailbox has another owner",
    ),
    ("x.7.20 to x.7.24", (7, 20, 24), Topic::Sender, "RFC 7372: DKIM and SPF"),
    ("x.7.25", (7, 25, 25), Topic::Client, "RFC 7372: reverse DNS"),
    ("x.7.26", (7, 26, 26), Topic::Sender, "RFC 7372: several authentication checks"),
    (
        "x.7.27",
        (7, 27, 27),
        Topic::Sender,
        "RFC 7505 §4.2: the sender's domain has a null MX",
    ),
    ("x.7.28", (7, 28, 28), Topic::Rate, "IANA: mail flood"),
    ("x.7.0", (7, 0, 0), Topic::Policy, "RFC 3463 §3.8: security, undefined"),
    (
        "x.7, any other",
        (7, 1, 999),
        Topic::Refused,
        "RFC 3463 §3.8: not authorised, by policy",
    ),
];

impl Enhanced {
    /// The first code in a text.
    pub(crate) fn find(text: &str) -> Option<Self> {
        Self::all(text).next()
    }

    /// All codes in a text.
    pub(crate) fn all(text: &str) -> impl Iterator<Item = Self> {
        text.split(|c: char| !c.is_ascii_digit() && c != '.')
            .map(|word| word.trim_end_matches('.'))
            .filter_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        // An IP address has four numbers.
        let mut numbers = word.split('.');
        let mut next = || numbers.next().filter(|digits| (1..=3).contains(&digits.len()))?.parse().ok();
        let status = Self {
            class: next()?,
            subject: next()?,
            detail: next()?,
        };
        (numbers.next().is_none() && matches!(status.class, 2 | 4 | 5)).then_some(status)
    }

    /// What the code is about; none for a vague code.
    pub(super) fn topic(self) -> Option<Topic> {
        let row = CODES
            .iter()
            .find(|(_, (subject, first, last), ..)| *subject == self.subject && (*first..=*last).contains(&self.detail));
        row.map(|(.., topic, _)| *topic)
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// The reply code of a diagnostic: `smtp; 550 5.1.1 …`.
pub(super) fn reply_in(diagnostic: &str) -> Option<u16> {
    let said = diagnostic.split_once(';').map_or(diagnostic, |(_, said)| said);
    let mut words = said
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .filter(|word| !word.is_empty());
    // It stands at the beginning, perhaps behind the host's name or a bracket.
    words
        .by_ref()
        .take(8)
        .find(|word| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|word| word.parse().ok())
        .filter(|code| (200..600).contains(code))
}
