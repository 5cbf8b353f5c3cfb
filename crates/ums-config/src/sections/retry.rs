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
    /// Further rounds a minute, in percent of the first attempts of the last minute.
    pub budget_percent: u32,
    /// Further rounds a minute that are always allowed.
    pub budget_floor_per_minute: u32,
    /// How long feedback may settle an unknown attempt.
    pub feedback_wait: FeedbackWaitSettings,
}

/// How long feedback may settle an unknown attempt before the message is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedbackWaitSettings {
    /// One-time codes.
    pub otp: Duration,
    /// Receipts and notices.
    pub transactional: Duration,
    /// Mail to many.
    pub bulk: Duration,
}

/// How long what has ended is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Bodies, subjects, attachments and headers.
    pub bodies: Duration,
    /// The messages themselves.
    pub messages: Duration,
    /// Idempotency keys.
    pub keys: Duration,
}

/// What is made of a jump of the machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSettings {
    /// How long a jump has to stand before it is trusted.
    pub settle: Duration,
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
        budget_percent: reader.number("retry.budget_percent", 0..=1_000),
        budget_floor_per_minute: reader.number("retry.budget_floor_per_minute", 1..=1_000_000),
        feedback_wait: FeedbackWaitSettings {
            otp: reader.span("retry.feedback_wait_otp", Duration::ZERO..=DAY),
            transactional: reader.span("retry.feedback_wait_transactional", Duration::ZERO..=DAY),
            bulk: reader.span("retry.feedback_wait_bulk", Duration::ZERO..=DAY),
        },
    }
}

pub(crate) fn retention(reader: &mut Reader<'_>) -> RetentionSettings {
    let mut days = |path: &str| DAY * reader.number(path, 1..=3_650);
    let (bodies, messages) = (days("retention.bodies_days"), days("retention.messages_days"));
    if bodies > messages && !reader.has_fault("retention.bodies_days") && !reader.has_fault("retention.messages_days") {
        reader.fault(
            "retention.bodies_days",
            "must not be more than messages_days: a body goes with its message",
        );
    }
    RetentionSettings {
        bodies,
        messages,
        keys: Duration::from_hours(u64::from(reader.number("idempotency.keep_hours", 24..=8_760))),
    }
}

pub(crate) fn clock(reader: &mut Reader<'_>) -> ClockSettings {
    ClockSettings {
        settle: reader.span("clock.settle", Duration::from_secs(10)..=7 * DAY),
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
