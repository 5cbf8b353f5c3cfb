//! What holds for all messages, as data.

use std::time::Duration;

use ums_core::{OnExhausted, Purpose, Region};

use crate::retry::{Expiry, RetryBudget, RetrySchedule};

/// What holds for all messages.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What follows when no provider took a message that does not say so itself; none to hold
    /// with a durable store and to fail without one.
    pub on_exhausted: Option<OnExhausted>,
    /// When a held message is tried again.
    pub retry: RetrySchedule,
    /// How many held messages may be tried again within a minute.
    pub retry_budget: RetryBudget,
    /// When a message is given up whose sender says nothing.
    pub expiry: Expiry,
    /// How long a provider's feedback may settle an unknown attempt before the message is sent again.
    pub feedback_wait: FeedbackWait,
    /// Whether this is a development environment, where only allowed recipients are contacted by
    /// providers that are not on this machine.
    pub development: bool,
    /// Recipients that are contacted in development.
    pub allow_recipients: Vec<String>,
    /// Countries that text messages go to; empty for all.
    pub sms_countries: Vec<Region>,
    /// Most messages that are worked on at the same time.
    pub max_in_flight: usize,
    /// Most messages that may wait in the store; more are refused at the door.
    pub max_backlog: u64,
    /// How long messages and their bodies are kept.
    pub retention: RetentionRules,
    /// How often the engine looks after itself.
    pub chores: Chores,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            on_exhausted: None,
            retry: RetrySchedule::default(),
            retry_budget: RetryBudget::default(),
            expiry: Expiry::default(),
            feedback_wait: FeedbackWait::default(),
            development: false,
            allow_recipients: Vec::new(),
            sms_countries: Vec::new(),
            max_in_flight: 1_024,
            max_backlog: 1_000_000,
            retention: RetentionRules::default(),
            chores: Chores::default(),
        }
    }
}

/// How long, from the call, a provider's feedback may settle an attempt whose outcome is unknown, before a message that may be
/// sent twice is sent again. A message that must not arrive twice waits until it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedbackWait {
    /// One-time codes.
    pub otp: Duration,
    /// Receipts and notices.
    pub transactional: Duration,
    /// Mail to many, where the sender allows duplicates.
    pub bulk: Duration,
}

impl Default for FeedbackWait {
    fn default() -> Self {
        Self {
            otp: Duration::ZERO,
            transactional: Duration::from_secs(30),
            bulk: Duration::from_mins(5),
        }
    }
}

impl FeedbackWait {
    /// The wait of a purpose.
    pub const fn of(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Otp => self.otp,
            Purpose::Transactional => self.transactional,
            Purpose::Bulk => self.bulk,
        }
    }
}

/// How long ended messages are kept, from acceptance. Bodies of one-time codes go when the message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionRules {
    /// Bodies, subjects, attachments and headers.
    pub bodies: Duration,
    /// The messages themselves.
    pub messages: Duration,
}

impl Default for RetentionRules {
    fn default() -> Self {
        Self {
            bodies: Duration::from_hours(30 * 24),
            messages: Duration::from_hours(400 * 24),
        }
    }
}

/// How often the engine looks after itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chores {
    /// Renewal of the lease, which lasts four times as long.
    pub renew: Duration,
    /// Look for what dead processes left.
    pub recover: Duration,
    /// Look for messages that the store thinks are in hand here and are not. They are given back at the second look.
    pub reconcile: Duration,
    /// Count of the backlog.
    pub backlog: Duration,
    /// Removal of what need not be kept.
    pub prune: Duration,
}

impl Default for Chores {
    fn default() -> Self {
        Self {
            renew: Duration::from_secs(15),
            recover: Duration::from_secs(5),
            reconcile: Duration::from_secs(15),
            backlog: Duration::from_secs(5),
            prune: Duration::from_mins(10),
        }
    }
}
