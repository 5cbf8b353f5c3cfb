//! The five providers that the simulator speaks for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names a provider that is simulated.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Amazon SES, v2 API.
    Ses,
    /// Amazon SNS, `Publish` to a telephone number.
    Sns,
    /// SendGrid, v3 `mail/send`.
    SendGrid,
    /// Twilio, 2010-04-01 `Messages`.
    Twilio,
    /// A submission server that speaks SMTP.
    Smtp,
}

impl Provider {
    /// All providers, in the order of their ports.
    pub const ALL: [Self; 5] = [Self::Ses, Self::Sns, Self::SendGrid, Self::Twilio, Self::Smtp];

    /// Returns the name used in paths and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ses => "ses",
            Self::Sns => "sns",
            Self::SendGrid => "sendgrid",
            Self::Twilio => "twilio",
            Self::Smtp => "smtp",
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Ses => 0,
            Self::Sns => 1,
            Self::SendGrid => 2,
            Self::Twilio => 3,
            Self::Smtp => 4,
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names none of the five providers.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no such provider; possible: ses, sns, sendgrid, twilio, smtp")]
pub struct UnknownProvider;

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|provider| provider.name() == name)
            .ok_or(UnknownProvider)
    }
}
