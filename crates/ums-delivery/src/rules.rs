//! What holds for all messages, as data.

use std::time::Duration;

use ums_core::{OnExhausted, Purpose, Region};

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

/// The waits between rounds of attempts of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    /// The wait after the first, second, … round; the last one repeats.
    pub waits: Vec<Duration>,
    /// The same for one-time codes, which are worthless after minutes.
    pub otp_waits: Vec<Duration>,
}

/// How long a message waits before it is given up, when its sender says nothing.
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
    /// The wait after that round (counted from 0): full jitter, from a tenth of the schedule's wait
    /// to the whole, so that an outage's messages do not come back together.
    /// `chance` is from 0 to 1.
    pub fn wait(&self, purpose: Purpose, round: usize, chance: f64) -> Duration {
        let waits = if purpose == Purpose::Otp { &self.otp_waits } else { &self.waits };
        let whole = waits.get(round).or(waits.last()).copied().unwrap_or(Duration::from_mins(1));
        whole.mul_f64(0.1 + 0.9 * chance)
    }

    /// The schedule's longest wait, for what somebody must mend first.
    pub fn slowest(&self, purpose: Purpose) -> Duration {
        let waits = if purpose == Purpose::Otp { &self.otp_waits } else { &self.waits };
        waits.iter().max().copied().unwrap_or(Duration::from_hours(1))
    }
}

/// How many held messages may be tried again within a minute, by channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// Retry rounds, in percent of the first attempts of the last minute.
    pub percent: u32,
    /// Retry rounds a minute that are always allowed, whatever was attempted. A quarter is kept for one-time codes.
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
