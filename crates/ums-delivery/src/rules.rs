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
    /// What is done with feedback.
    pub feedback: FeedbackRules,
    /// When bounces, complaints and missing receipts become a warning, and more.
    pub rates: RateRules,
    /// How the user's application is told.
    pub webhooks: WebhookRules,
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
            feedback: FeedbackRules::default(),
            rates: RateRules::default(),
            webhooks: WebhookRules::default(),
        }
    }
}

/// What is done with feedback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedbackRules {
    /// How often events that wait for their message are looked at: the first time, later ever more seldom.
    pub park: Duration,
    /// How long an event waits for its message.
    pub give_up: Duration,
    /// How far around the call of an unknown attempt an event may lie that names its recipient only.
    pub match_window: Duration,
}

impl Default for FeedbackRules {
    fn default() -> Self {
        Self {
            park: Duration::from_secs(1),
            give_up: Duration::from_hours(24),
            match_window: Duration::from_mins(10),
        }
    }
}

/// When bounces, complaints and missing receipts become a warning, and more. Shares are in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateRules {
    /// How far back bounces and complaints are counted.
    pub window: Duration,
    /// No rate is judged before that many recipients were accepted in the window.
    pub min_sample: u64,
    /// Bounce rate that is a warning. SES reviews accounts at 5 %.
    pub bounce_warn: u32,
    /// Bounce rate at which mail to many is held. SES pauses accounts at 10 %.
    pub bounce_hold: u32,
    /// Complaint rate that is a warning. SES reviews accounts at 0.1 %.
    pub complaint_warn: u32,
    /// Complaint rate at which mail to many is held. SES pauses accounts at 0.5 %.
    pub complaint_hold: u32,
    /// How long a receipt may take before it is missed.
    pub receipt_within: Duration,
    /// How far back missing receipts are counted.
    pub receipt_window: Duration,
    /// No missing receipts are judged before that many recipients were accepted in that window.
    pub receipt_min_sample: u64,
    /// Share of missing receipts at which a provider is degraded, while others do better.
    pub receipt_missing: u32,
}

impl Default for RateRules {
    fn default() -> Self {
        Self {
            window: Duration::from_hours(24),
            min_sample: 200,
            bounce_warn: 50_000,
            bounce_hold: 100_000,
            complaint_warn: 1_000,
            complaint_hold: 5_000,
            receipt_within: Duration::from_mins(10),
            receipt_window: Duration::from_mins(30),
            receipt_min_sample: 20,
            receipt_missing: 500_000,
        }
    }
}

/// How the user's application is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRules {
    /// Waits between the tries of a notice, one after the other; the last one again and again.
    pub retry: Vec<Duration>,
    /// When a notice is given up.
    pub give_up: Duration,
    /// When an endpoint that never took anything since is disabled.
    pub disable_after: Duration,
    /// Most posts to one endpoint at a time.
    pub at_once: usize,
    /// Most endpoints of a tenant.
    pub max_endpoints: usize,
}

impl Default for WebhookRules {
    fn default() -> Self {
        Self {
            retry: [1, 5, 30, 2 * 60, 6 * 60].map(Duration::from_mins).to_vec(),
            give_up: Duration::from_hours(3 * 24),
            disable_after: Duration::from_hours(5 * 24),
            at_once: 4,
            max_endpoints: 20,
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
    /// Events that belong to no message, notices that were delivered or given up, counts for rates.
    pub aftermath: Duration,
}

impl Default for RetentionRules {
    fn default() -> Self {
        Self {
            bodies: Duration::from_hours(30 * 24),
            messages: Duration::from_hours(400 * 24),
            aftermath: Duration::from_hours(14 * 24),
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
