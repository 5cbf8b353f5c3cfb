//! The rules of the engine, as data. `fate`, the gates and the caretakers read them; the configuration sets them.

use std::time::Duration;

use ums_core::{OnExhausted, Purpose, Region};

/// The rules that hold for all messages.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What follows when no provider accepted a message that has no such setting of its own. None means: hold with a durable store, fail
    /// without one.
    pub on_exhausted: Option<OnExhausted>,
    /// Waits until a held message is tried again.
    pub retry: RetrySchedule,
    /// Most retry rounds of held messages within a minute.
    pub retry_budget: RetryBudget,
    /// Expiry of a message whose sender sets none.
    pub expiry: Expiry,
    /// Time for feedback to settle an unknown attempt, before the message is sent again.
    pub feedback_wait: FeedbackWait,
    /// Whether this is a development environment: providers that are not on this machine contact only allowed recipients.
    pub development: bool,
    /// Allowed recipients in development: addresses, or `@domain`.
    pub allow_recipients: Vec<String>,
    /// Allowed countries of text messages; empty for all.
    pub sms_countries: Vec<Region>,
    /// Number of lane permits: most messages in hand at the same time.
    pub max_in_flight: usize,
    /// Memory of the messages in hand, in bytes: from the read of a request to the end of a call.
    pub memory_bytes: usize,
    /// Most messages that may wait in the store; above it, requests are refused at the door.
    pub max_backlog: u64,
    /// Retention of messages and their bodies.
    pub retention: RetentionRules,
    /// Intervals of the chores of the engine.
    pub chores: Chores,
    /// Times of feedback.
    pub feedback: FeedbackRules,
    /// Limits of bounces, complaints and missing receipts.
    pub rates: RateRules,
    /// Schedule of notices to the user's application.
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
            memory_bytes: 256 * 1_024 * 1_024,
            max_backlog: 1_000_000,
            retention: RetentionRules::default(),
            chores: Chores::default(),
            feedback: FeedbackRules::default(),
            rates: RateRules::default(),
            webhooks: WebhookRules::default(),
        }
    }
}

/// How long events wait for their message, and how they are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedbackRules {
    /// Time until the first look at a parked event; doubles with each look.
    pub park: Duration,
    /// Longest time that an event waits for its message.
    pub give_up: Duration,
    /// Largest time between the call of an unknown attempt and an event that names only its recipient.
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

/// Limits at which bounces, complaints and missing receipts warn, hold bulk mail, or degrade a provider. Shares are in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateRules {
    /// Window of bounces and complaints.
    pub window: Duration,
    /// Fewest accepted recipients in the window for a rate to be judged.
    pub min_sample: u64,
    /// Bounce rate that warns. SES reviews accounts at 5 %.
    pub bounce_warn: u32,
    /// Bounce rate that holds bulk mail. SES pauses accounts at 10 %.
    pub bounce_hold: u32,
    /// Complaint rate that warns. SES reviews accounts at 0.1 %.
    pub complaint_warn: u32,
    /// Complaint rate that holds bulk mail. SES pauses accounts at 0.5 %.
    pub complaint_hold: u32,
    /// Time after the call at which a receipt counts as missing.
    pub receipt_within: Duration,
    /// Window of missing receipts.
    pub receipt_window: Duration,
    /// Fewest accepted recipients in that window for missing receipts to be judged.
    pub receipt_min_sample: u64,
    /// Share of missing receipts that degrades a provider, while others do better.
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

/// Schedule of notices to the user's application, and limits of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRules {
    /// Waits between the tries of a notice, in order; the last one repeats.
    pub retry: Vec<Duration>,
    /// Age at which a notice is given up.
    pub give_up: Duration,
    /// Time without a success after which a failing endpoint is disabled.
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

/// Time for feedback to settle an unknown attempt, from its call, before the message is sent again. Holds for messages that allow
/// duplicates; a message that must not arrive twice waits until it expires.
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

/// How long the store keeps ended messages, from acceptance. The body of a one-time code goes when the message ends.
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

/// Intervals of the chores of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chores {
    /// Renewal of the lease. The lease lasts four times as long.
    pub renew: Duration,
    /// Recovery of messages of dead processes.
    pub recover: Duration,
    /// Look for messages that the store assigns to this process and that are not in hand; the second look requeues them.
    pub reconcile: Duration,
    /// Count of the backlog.
    pub backlog: Duration,
    /// Removal of rows whose retention is over.
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

/// The waits between rounds of attempts of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    /// The wait after the first, second, … round; the last one repeats.
    pub waits: Vec<Duration>,
    /// The same for one-time codes, which are worthless after minutes.
    pub otp_waits: Vec<Duration>,
}

/// Time until a message expires whose sender sets no expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// One-time codes.
    pub otp: Duration,
    /// Receipts and notices.
    pub transactional: Duration,
    /// Mail to many.
    pub bulk: Duration,
}

impl Default for Expiry {
    fn default() -> Self {
        Self {
            otp: Duration::from_mins(10),
            transactional: Duration::from_hours(72),
            bulk: Duration::from_hours(72),
        }
    }
}

impl Expiry {
    /// The time of a purpose.
    pub const fn of(&self, purpose: Purpose) -> Duration {
        match purpose {
            Purpose::Otp => self.otp,
            Purpose::Transactional => self.transactional,
            Purpose::Bulk => self.bulk,
        }
    }
}

impl Default for RetrySchedule {
    fn default() -> Self {
        let spans = |seconds: &[u64]| seconds.iter().copied().map(Duration::from_secs).collect();
        Self {
            waits: spans(&[5, 30, 120, 600, 1_800, 3_600, 7_200]),
            otp_waits: spans(&[2, 5, 10, 20, 30, 60]),
        }
    }
}

impl RetrySchedule {
    /// The wait after that round (counted from 0): a random part, at least a tenth, of the wait in the schedule, so that the messages of an
    /// outage do not come back together. `chance` is from 0 to 1.
    pub fn wait(&self, purpose: Purpose, round: usize, chance: f64) -> Duration {
        let waits = if purpose == Purpose::Otp { &self.otp_waits } else { &self.waits };
        let whole = waits.get(round).or(waits.last()).copied().unwrap_or(Duration::from_mins(1));
        whole.mul_f64(0.1 + 0.9 * chance)
    }

    /// The longest wait of the schedule, for failures that an operator must mend first.
    pub fn slowest(&self, purpose: Purpose) -> Duration {
        let waits = if purpose == Purpose::Otp { &self.otp_waits } else { &self.waits };
        waits.iter().max().copied().unwrap_or(Duration::from_hours(1))
    }
}

/// Most retry rounds of held messages within a minute, by channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// Retry rounds, in percent of the first attempts of the last minute.
    pub percent: u32,
    /// Retry rounds per minute that are always allowed. A quarter is reserved for one-time codes.
    pub floor_per_minute: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            percent: 20,
            floor_per_minute: 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_within_the_schedule() {
        let schedule = RetrySchedule::default();
        for round in 0..20 {
            let whole = schedule.waits.get(round).unwrap_or(&Duration::from_hours(2)).as_secs_f64();
            for chance in [0.0, 0.3, 0.999] {
                let wait = schedule.wait(Purpose::Bulk, round, chance).as_secs_f64();
                assert!(wait >= 0.1 * whole && wait <= whole, "round {round}: {wait}");
                assert!(schedule.wait(Purpose::Otp, round, chance) <= Duration::from_mins(1));
            }
        }
    }
}
