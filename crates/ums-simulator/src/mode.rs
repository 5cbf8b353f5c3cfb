//! The ways in which a provider fails.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Provider;

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
    /// Recorded and marked: the provider drops it because the recipient is on its own unsubscribe list, and reports that. SendGrid only.
    Unsubscribed,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 22] = [
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
        Self::Unsubscribed,
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
            Self::Unsubscribed => "unsubscribed",
        }
    }

    /// Tells whether the provider can have this fault.
    ///
    /// SMTP cannot accept a message and then answer with an error: its answer to the
    /// final dot *is* the acceptance (RFC 5321 §4.2.5). Only SMTP answers for each
    /// recipient. Only SendGrid takes a message first and looks at its unsubscribe list then.
    pub fn is_possible_for(self, provider: Provider) -> bool {
        match provider {
            Provider::Smtp => !matches!(self, Self::AcceptThenError | Self::Unsubscribed),
            Provider::SendGrid => !matches!(self, Self::Defer | Self::TooMany),
            Provider::Ses | Provider::Sns | Provider::Twilio => !matches!(self, Self::Defer | Self::TooMany | Self::Unsubscribed),
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
            | Self::NeverDeliver
            | Self::Unsubscribed => false,
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
            | Self::NeverDeliver
            | Self::Unsubscribed => is_send,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
