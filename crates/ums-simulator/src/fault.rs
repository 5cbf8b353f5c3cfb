//! The faults that a provider can be given, and their settings.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Provider};

/// Longest delay of an answer: one hour, in milliseconds.
const MAX_DELAY_MS: u64 = 3_600_000;

/// How a provider fails.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Answers with the given status; SMTP 451 4.3.0 at MAIL. Nothing recorded.
    Error,
    /// The port is closed; under 8081 the connection is dropped. Nothing recorded.
    Refuse,
    /// No answer until healed or the peer leaves; SMTP at MAIL. Nothing recorded.
    Hang,
    /// A TCP reset before the request is read. Nothing recorded.
    ResetBefore,
    /// Too fast: 429; SMTP 454 4.7.0 at MAIL. Nothing recorded.
    Throttle,
    /// The credentials are refused: 401 or 403; SMTP 535 5.7.8. Nothing recorded.
    Unauthorized,
    /// The account is suspended; SMTP 550 5.7.0 at MAIL. Nothing recorded.
    Suspended,
    /// The allowance is used up; SMTP 550 5.4.5 at MAIL. Nothing recorded.
    Quota,
    /// The recipient is refused for good; SMTP 550 5.1.1 at RCPT. Nothing recorded; SMTP records the message for its other recipients.
    Reject,
    /// The recipient is refused for now (greylisting); SMTP 451 4.7.1 at RCPT, SMTP only. Recorded for the other recipients.
    Defer,
    /// `limit` recipients are taken in a transaction, the others refused; SMTP 452 4.5.3 at RCPT, SMTP only. Recorded for those taken.
    TooMany,
    /// Recorded, answered after `delay_ms`.
    Slow,
    /// Recorded, then no answer until healed or the peer leaves.
    HangAfter,
    /// Recorded, then a TCP reset.
    ResetAfter,
    /// Recorded, then a success whose body is nonsense.
    Garbage,
    /// Recorded, then a success whose body breaks off.
    Truncate,
    /// Recorded, then a success without body and id.
    Empty,
    /// Recorded, then a success with a body of 2 GB.
    Huge,
    /// Recorded, then a 500.
    AcceptThenError,
    /// Recorded and marked: it will bounce, hard.
    Bounce,
    /// Recorded and marked: it will never be reported as delivered.
    NeverDeliver,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 21] = [
        Self::Error,
        Self::Refuse,
        Self::Hang,
        Self::ResetBefore,
        Self::Throttle,
        Self::Unauthorized,
        Self::Suspended,
        Self::Quota,
        Self::Reject,
        Self::Defer,
        Self::TooMany,
        Self::Slow,
        Self::HangAfter,
        Self::ResetAfter,
        Self::Garbage,
        Self::Truncate,
        Self::Empty,
        Self::Huge,
        Self::AcceptThenError,
        Self::Bounce,
        Self::NeverDeliver,
    ];

    /// Returns the name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Refuse => "refuse",
            Self::Hang => "hang",
            Self::ResetBefore => "reset_before",
            Self::Throttle => "throttle",
            Self::Unauthorized => "unauthorized",
            Self::Suspended => "suspended",
            Self::Quota => "quota",
            Self::Reject => "reject",
            Self::Defer => "defer",
            Self::TooMany => "too_many",
            Self::Slow => "slow",
            Self::HangAfter => "hang_after",
            Self::ResetAfter => "reset_after",
            Self::Garbage => "garbage",
            Self::Truncate => "truncate",
            Self::Empty => "empty",
            Self::Huge => "huge",
            Self::AcceptThenError => "accept_then_error",
            Self::Bounce => "bounce",
            Self::NeverDeliver => "never_deliver",
        }
    }

    /// Tells whether the provider can have this fault.
    ///
    /// SMTP cannot accept a message and then answer with an error: its answer to the
    /// final dot *is* the acceptance (RFC 5321 §4.2.5). Only SMTP answers for each
    /// recipient.
    pub fn is_possible_for(self, provider: Provider) -> bool {
        match provider {
            Provider::Smtp => self != Self::AcceptThenError,
            Provider::Ses | Provider::Sns | Provider::SendGrid | Provider::Twilio => !matches!(self, Self::Defer | Self::TooMany),
        }
    }

    /// Tells whether SMTP refuses recipients one by one under it.
    pub(crate) fn acts_at_rcpt(self) -> bool {
        matches!(self, Self::Reject | Self::Defer | Self::TooMany)
    }

    /// Tells whether a message that is hit is turned away, so that nothing of it is recorded.
    pub(crate) fn keeps_nothing(self) -> bool {
        match self {
            Self::Error
            | Self::Refuse
            | Self::Hang
            | Self::ResetBefore
            | Self::Throttle
            | Self::Unauthorized
            | Self::Suspended
            | Self::Quota
            | Self::Reject
            | Self::Defer => true,
            Self::TooMany
            | Self::Slow
            | Self::HangAfter
            | Self::ResetAfter
            | Self::Garbage
            | Self::Truncate
            | Self::Empty
            | Self::Huge
            | Self::AcceptThenError
            | Self::Bounce
            | Self::NeverDeliver => false,
        }
    }

    /// Tells whether a request is touched: some faults hit messages only, while
    /// questions about the account are answered (and then tell of the fault).
    pub(crate) fn touches(self, provider: Provider, is_send: bool) -> bool {
        match self {
            Self::Error
            | Self::Refuse
            | Self::Hang
            | Self::ResetBefore
            | Self::Throttle
            | Self::Unauthorized
            | Self::Slow
            | Self::Garbage
            | Self::Truncate
            | Self::Empty
            | Self::Huge => true,
            Self::Suspended => is_send || matches!(provider, Provider::Sns | Provider::SendGrid),
            Self::Quota
            | Self::Reject
            | Self::Defer
            | Self::TooMany
            | Self::HangAfter
            | Self::ResetAfter
            | Self::AcceptThenError
            | Self::Bounce
            | Self::NeverDeliver => is_send,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A fault given to a provider, with its settings.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// How it fails.
    pub mode: Mode,
    /// Share of the requests that are hit, 0 to 1, spread evenly and without chance.
    #[serde(default = "one")]
    pub rate: f64,
    /// Seconds until it heals by itself; `None` lasts until healed.
    #[serde(default)]
    pub for_seconds: Option<f64>,
    /// HTTP status of `error`.
    #[serde(default = "service_unavailable")]
    pub status: u16,
    /// Seconds for the header `Retry-After` of a refusal; `None` sends no header.
    #[serde(default)]
    pub retry_after: Option<u32>,
    /// Milliseconds that `slow` waits before it answers.
    #[serde(default = "two_seconds")]
    pub delay_ms: u64,
    /// Addresses that SMTP's `reject` and `defer` refuse; every recipient if there are none.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// Recipients that `too_many` takes in a transaction.
    #[serde(default = "one_recipient")]
    pub limit: usize,
}

fn one() -> f64 {
    1.0
}

fn one_recipient() -> usize {
    1
}

fn service_unavailable() -> u16 {
    503
}

fn two_seconds() -> u64 {
    2_000
}

impl From<Mode> for Fault {
    fn from(mode: Mode) -> Self {
        Self::new(mode)
    }
}

impl Fault {
    /// Makes a fault that hits every request until healed.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            rate: one(),
            for_seconds: None,
            status: service_unavailable(),
            retry_after: None,
            delay_ms: two_seconds(),
            recipients: Vec::new(),
            limit: one_recipient(),
        }
    }

    /// Hits only this share of the requests, 0 to 1.
    #[must_use]
    pub fn rate(self, rate: f64) -> Self {
        Self { rate, ..self }
    }

    /// Heals by itself after so many seconds.
    #[must_use]
    pub fn for_seconds(self, seconds: f64) -> Self {
        Self {
            for_seconds: Some(seconds),
            ..self
        }
    }

    /// Sets the HTTP status of `error`.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Sends `Retry-After` with so many seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// Sets the delay of `slow`, in milliseconds.
    #[must_use]
    pub fn delay_ms(self, delay_ms: u64) -> Self {
        Self { delay_ms, ..self }
    }

    /// Refuses only these recipients of a mail, under `reject` and `defer`.
    #[must_use]
    pub fn recipients<A: Into<String>>(self, addresses: impl IntoIterator<Item = A>) -> Self {
        let recipients = addresses.into_iter().map(Into::into).collect();
        Self { recipients, ..self }
    }

    /// Sets how many recipients `too_many` takes in a transaction.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Tells whether `reject` or `defer` refuses this recipient.
    pub(crate) fn names(&self, address: &str) -> bool {
        self.recipients.is_empty() || self.recipients.iter().any(|named| named.eq_ignore_ascii_case(address))
    }

    pub(crate) fn check(&self, provider: Provider) -> Result<(), Error> {
        if !self.mode.is_possible_for(provider) {
            return Err(Error::Impossible {
                provider,
                mode: self.mode,
                possible: possible_modes(provider),
            });
        }
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(Error::Setting("`rate` must be between 0 and 1"));
        }
        if self.mode == Mode::Refuse && self.rate < 1.0 {
            return Err(Error::Setting("`refuse` closes the port, so its `rate` must be 1"));
        }
        if !(400..=599).contains(&self.status) {
            return Err(Error::Setting("`status` must be between 400 and 599"));
        }
        let takes_names = provider == Provider::Smtp && matches!(self.mode, Mode::Reject | Mode::Defer);
        if !takes_names && !self.recipients.is_empty() {
            return Err(Error::Setting("`recipients` belongs to `reject` and `defer` of smtp"));
        }
        if self.delay_ms > MAX_DELAY_MS {
            return Err(Error::Setting("`delay_ms` must be at most 3600000"));
        }
        let in_range = |seconds: f64| seconds > 0.0 && seconds <= 31_536_000.0;
        if !self.for_seconds.is_none_or(in_range) {
            return Err(Error::Setting("`for_seconds` must be above 0 and at most a year"));
        }
        Ok(())
    }
}

fn possible_modes(provider: Provider) -> String {
    let names: Vec<_> = Mode::ALL
        .into_iter()
        .filter(|mode| mode.is_possible_for(provider))
        .map(Mode::name)
        .collect();
    names.join(", ")
}
