//! The faults that a provider can be given, and their settings.

use serde::{Deserialize, Serialize};

use crate::{Error, Mode, Provider};

/// Longest delay of an answer: one hour, in milliseconds.
const MAX_DELAY_MS: u64 = 3_600_000;

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
