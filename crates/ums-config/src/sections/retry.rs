//! When a message is tried again, and when it is given up.

use std::time::Duration;

use ums_core::Purpose;

use crate::reader::Reader;

const DAY: Duration = Duration::from_hours(24);

/// Waits between rounds over the chain, and the budget of retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Longest wait before each further round; the last one repeats. Never empty.
    pub schedule: Vec<Duration>,
    /// The same for one-time codes.
    pub otp_schedule: Vec<Duration>,
    /// Retries as a share of first attempts, in percent.
    pub budget_percent: u32,
    /// Retries per minute that are always allowed.
    pub budget_floor_per_minute: u32,
}

impl RetrySettings {
    /// The waits of a purpose.
    pub fn schedule_of(&self, purpose: Purpose) -> &[Duration] {
        match purpose {
            Purpose::Otp => &self.otp_schedule,
            Purpose::Transactional | Purpose::Bulk => &self.schedule,
        }
    }
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

impl ExpirySettings {
    /// The time of a purpose.
    pub const fn of(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Otp => self.otp,
            Purpose::Transactional => self.transactional,
            Purpose::Bulk => self.bulk,
        }
    }
}

pub(crate) fn read(reader: &mut Reader<'_>) -> RetrySettings {
    let waits = Duration::from_millis(100)..=DAY;
    RetrySettings {
        schedule: reader.spans("retry.schedule", waits.clone()),
        otp_schedule: reader.spans("retry.otp_schedule", waits),
        budget_percent: reader.number("retry.budget_percent", 1..=1_000),
        budget_floor_per_minute: reader.number("retry.budget_floor_per_minute", 0..=1_000_000),
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
