//! When a message is tried again, and when it is given up.

use std::time::Duration;

use crate::reader::Reader;

const DAY: Duration = Duration::from_hours(24);

/// Waits between rounds over the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Longest wait before each further round; the last one repeats. Never empty.
    pub schedule: Vec<Duration>,
    /// The same for one-time codes.
    pub otp_schedule: Vec<Duration>,
}

/// How long messages wait before they are given up, unless they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpirySettings {
    /// One-time codes.
    pub otp: Duration,
    /// Receipts and notices.
    pub transactional: Duration,
    /// Mail to many.
    pub bulk: Duration,
}

pub(crate) fn read(reader: &mut Reader<'_>) -> RetrySettings {
    let waits = Duration::from_millis(100)..=DAY;
    RetrySettings {
        schedule: reader.spans("retry.schedule", waits.clone()),
        otp_schedule: reader.spans("retry.otp_schedule", waits),
    }
}

pub(crate) fn expiry(reader: &mut Reader<'_>) -> ExpirySettings {
    let bounds = Duration::from_secs(1)..=30 * DAY;
    ExpirySettings {
        otp: reader.span("expiry.otp", bounds.clone()),
        transactional: reader.span("expiry.transactional", bounds.clone()),
        bulk: reader.span("expiry.bulk", bounds),
    }
}
