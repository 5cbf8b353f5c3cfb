//! The stages of an SMTP dialogue, and what a reply code means at each where nothing says more.

use std::fmt;
use std::str::FromStr;

use ums_core::FailureClass;

use super::Place;
use crate::failure_table::Row;

/// Where in the dialogue a reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The connection and the server's greeting.
    Connect,
    /// The reply to EHLO.
    Ehlo,
    /// The reply to STARTTLS, and the negotiation.
    Starttls,
    /// The replies to AUTH.
    Auth,
    /// The reply to MAIL FROM.
    Mail,
    /// The reply to one RCPT TO.
    Rcpt,
    /// The reply to DATA.
    Data,
    /// The reply to the message's final dot.
    Dot,
}

impl Stage {
    /// All stages in the order of the dialogue.
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::Ehlo,
        Self::Starttls,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Dot,
    ];

    /// The word for it, as the command line takes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Ehlo => "ehlo",
            Self::Starttls => "starttls",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Dot => "dot",
        }
    }

    /// What a reply that cannot be read means here: only after the dot may the message have been taken.
    pub(crate) const fn class_of_unreadable(self) -> FailureClass {
        match self {
            Self::Dot => FailureClass::Unknown,
            Self::Connect | Self::Ehlo | Self::Starttls | Self::Auth | Self::Mail | Self::Rcpt | Self::Data => FailureClass::Unavailable,
        }
    }

    /// Whether a code says that the dialogue goes on.
    pub(crate) const fn goes_on(self, code: u16) -> bool {
        match self {
            Self::Data => code == 354,
            Self::Auth => code == 334 || code / 100 == 2,
            Self::Connect | Self::Ehlo | Self::Starttls | Self::Mail | Self::Rcpt | Self::Dot => code / 100 == 2,
        }
    }

    /// Whether a message has begun: what a reply says before is about the connection and the login alone.
    pub(crate) const fn is_of_message(self) -> bool {
        matches!(self, Self::Mail | Self::Rcpt | Self::Data | Self::Dot)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a stage; stages are connect, ehlo, starttls, auth, mail, rcpt, data, dot")]
pub struct UnknownStage;

impl FromStr for Stage {
    type Err = UnknownStage;
    fn from_str(word: &str) -> Result<Self, UnknownStage> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == word).ok_or(UnknownStage)
    }
}

/// What a refusal means whose words and enhanced code say nothing that is known: stage, then `code enhanced`, `code`, the enhanced code's
/// subject, or the first digit (the most particular row wins). RFC 5321 §4.2, §4.3.2; RFC 4954 §6; Gmail's and Amazon SES's lists.
///
/// A permanent refusal of a recipient without a word about why is `unsupported`: the next provider is tried, and the address stays good.
pub(super) const FAILURES: &[(Stage, &str, FailureClass)] = &[
    (Stage::Connect, "4", FailureClass::Unavailable),
    (Stage::Connect, "4.7", FailureClass::Throttled),
    (Stage::Connect, "5", FailureClass::Misconfigured),
    (Stage::Ehlo, "4", FailureClass::Unavailable),
    (Stage::Ehlo, "4.7", FailureClass::Throttled),
    (Stage::Ehlo, "5", FailureClass::Misconfigured),
    (Stage::Ehlo, "503", FailureClass::Unavailable),
    (Stage::Starttls, "4", FailureClass::Unavailable),
    (Stage::Starttls, "5", FailureClass::Misconfigured),
    (Stage::Starttls, "503", FailureClass::Unavailable),
    (Stage::Auth, "4", FailureClass::Unavailable),
    (Stage::Auth, "432", FailureClass::Misconfigured),
    (Stage::Auth, "5", FailureClass::Misconfigured),
    (Stage::Auth, "503", FailureClass::Unavailable),
    (Stage::Mail, "4", FailureClass::Unavailable),
    (Stage::Mail, "421 4.7.0", FailureClass::Throttled),
    (Stage::Mail, "421 4.7.28", FailureClass::Throttled),
    (Stage::Mail, "450 4.2.1", FailureClass::Throttled),
    (Stage::Mail, "454", FailureClass::Throttled),
    (Stage::Mail, "5", FailureClass::Misconfigured),
    (Stage::Mail, "503", FailureClass::Unavailable),
    (Stage::Mail, "552", FailureClass::InvalidMessage),
    (Stage::Rcpt, "4", FailureClass::Unavailable),
    (Stage::Rcpt, "421 4.7.0", FailureClass::Throttled),
    (Stage::Rcpt, "421 4.7.28", FailureClass::Throttled),
    (Stage::Rcpt, "454", FailureClass::Throttled),
    (Stage::Rcpt, "5", FailureClass::Unsupported),
    (Stage::Rcpt, "500", FailureClass::Misconfigured),
    (Stage::Rcpt, "502", FailureClass::Misconfigured),
    (Stage::Rcpt, "503", FailureClass::Unavailable),
    (Stage::Rcpt, "504", FailureClass::Misconfigured),
    (Stage::Rcpt, "530", FailureClass::Misconfigured),
    (Stage::Rcpt, "552", FailureClass::Unavailable),
    (Stage::Rcpt, "555", FailureClass::Misconfigured),
    (Stage::Rcpt, "556", FailureClass::InvalidRecipient),
    (Stage::Data, "4", FailureClass::Unavailable),
    (Stage::Data, "421 4.7.0", FailureClass::Throttled),
    (Stage::Data, "454", FailureClass::Throttled),
    (Stage::Data, "5", FailureClass::InvalidMessage),
    (Stage::Data, "503", FailureClass::Unavailable),
    (Stage::Data, "530", FailureClass::Misconfigured),
    (Stage::Dot, "4", FailureClass::Unavailable),
    (Stage::Dot, "421 4.7.0", FailureClass::Throttled),
    (Stage::Dot, "421 4.7.28", FailureClass::Throttled),
    (Stage::Dot, "454", FailureClass::Throttled),
    (Stage::Dot, "5", FailureClass::InvalidMessage),
    (Stage::Dot, "503", FailureClass::Unavailable),
    (Stage::Dot, "530", FailureClass::Misconfigured),
];

/// The class of a reply code at a stage.
pub(super) fn class_of_code(stage: Stage, code: u16, enhanced: Option<&str>) -> FailureClass {
    let plain = code.to_string();
    let digit = if code < 500 { "4" } else { "5" };
    let subject = enhanced.and_then(|enhanced| enhanced.rsplit_once('.')).map(|(subject, _)| subject);
    let keys = [
        enhanced.map(|enhanced| format!("{plain} {enhanced}")),
        Some(plain.clone()),
        subject.map(str::to_owned),
        Some(digit.to_owned()),
    ];
    keys.into_iter()
        .flatten()
        .find_map(|key| {
            let found = FAILURES
                .binary_search_by(|(at, row, _)| (*at, *row).cmp(&(stage, key.as_str())))
                .ok()?;
            FAILURES.get(found).map(|(.., class)| *class)
        })
        .unwrap_or(stage.class_of_unreadable())
}

/// The rows for a place, for people.
pub(super) fn rows(place: Place) -> Vec<Row> {
    const WHY: &str = "neither enhanced code nor words say more";
    const SOURCE: &str = "RFC 5321 §4.2, §4.3.2; RFC 7504";
    let stage = match place {
        Place::Mail => Stage::Mail,
        Place::Rcpt => Stage::Rcpt,
        Place::Message => Stage::Dot,
        Place::Report => return vec![Row::of_code("any", FailureClass::Unavailable, WHY, SOURCE)],
    };
    let of_stage = FAILURES.iter().filter(|(at, ..)| *at == stage);
    let shown = of_stage.map(|(_, code, class)| {
        let code = match *code {
            "4" => "4xx",
            "5" => "5xx",
            code => code,
        };
        Row::of_code(code, *class, WHY, SOURCE)
    });
    shown.collect()
}
