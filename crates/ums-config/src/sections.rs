//! The sections of the configuration, one file for each group of settings.

pub(crate) mod aws;
pub(crate) mod breaker;
mod chains;
pub(crate) mod feedback;
pub(crate) mod limits;
pub(crate) mod pace;
pub(crate) mod prices;
pub(crate) mod recipients;
pub(crate) mod retry;
pub(crate) mod sendgrid;
pub(crate) mod service;
pub(crate) mod smtp;
pub(crate) mod timeouts;
pub(crate) mod twilio;

pub use aws::{AwsCredentialSource, AwsEndpoints, AwsKeys, AwsSettings, SesSettings, SnsSettings};
pub use breaker::BreakerSettings;
pub use feedback::{FeedbackSettings, Network, RateSettings, WebhookSettings};
pub use limits::{HttpSettings, LimitSettings, PostgresSettings};
pub use pace::PaceSettings;
pub use prices::Prices;
pub use retry::{ClockSettings, ExpirySettings, FeedbackWaitSettings, RetentionSettings, RetrySettings};
pub use sendgrid::SendGridSettings;
pub use service::{Environment, LogFormat, place_to_listen};
pub use smtp::{SmtpLogin, SmtpSettings, SmtpTls};
pub use timeouts::TimeoutSettings;
pub use twilio::TwilioSettings;

pub(crate) use chains::{Chain, chain};

use ums_core::{EmailAddress, Mailbox};

use crate::reader::Reader;
use crate::senders::SenderRule;

/// Whether a provider's settings are there.
#[derive(Debug)]
pub(crate) enum Configured<T> {
    /// All of them, as far as no fault was reported.
    Yes(T),
    /// None of them; what it would need.
    No(Vec<&'static str>),
    /// Some, and the faults are reported.
    Faulty,
}

impl<T> Configured<T> {
    /// Reports, when some of the settings are there and others are not, each one that is missing.
    ///
    /// `any` tells whether the user has begun to configure the provider.
    fn unless_missing(reader: &mut Reader<'_>, any: bool, missing: Vec<&'static str>, because: &str, settings: Option<T>) -> Self {
        if missing.is_empty() {
            return settings.map_or(Self::Faulty, Self::Yes);
        }
        if any {
            reader.missing(&missing, because);
            return Self::Faulty;
        }
        Self::No(missing)
    }
}

/// The names of a list that are not set.
fn unset(reader: &Reader<'_>, names: &[&'static str]) -> Vec<&'static str> {
    names.iter().copied().filter(|name| !reader.is_set(name)).collect()
}

/// A sender of `…_FROM_EMAIL` and `…_FROM_NAME`.
fn sender(reader: &mut Reader<'_>, email: &'static str, name: &'static str) -> Option<Mailbox> {
    let mailbox = reader.parsed(email, Mailbox::parse);
    let display = reader.text(name);
    let mailbox = mailbox?;
    let display = display.or(mailbox.name);
    Mailbox::new(display.as_deref(), mailbox.address)
        .map_err(|fault| reader.fault(name, fault.to_string()))
        .ok()
}

/// The senders that a provider may use: the list of the file, else what its own sender covers.
fn senders(reader: &mut Reader<'_>, path: &str, own: Option<&EmailAddress>) -> Vec<SenderRule> {
    let entries = reader.file_list(path);
    let mut rules: Vec<SenderRule> = Vec::with_capacity(entries.len().max(1));
    for (index, entry) in entries.iter().enumerate() {
        match SenderRule::parse(entry.trim()) {
            Some(rule) => rules.push(rule),
            None => reader.fault(format!("{path}[{index}]"), "must be an e-mail address or a domain"),
        }
    }
    match own {
        Some(own) if entries.is_empty() => rules.push(SenderRule::of_own_sender(own)),
        Some(own) => rules.push(SenderRule::Address(own.clone())),
        None => {}
    }
    rules
}
