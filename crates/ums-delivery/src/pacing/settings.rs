//! The limits of a pace, and the refusal of an account over its pace.

use std::num::NonZeroU32;
use std::time::Duration;

use ums_core::SkipReason;

/// The limits of an account, in recipients; none means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceSettings {
    /// Most recipients a second.
    pub per_second: Option<NonZeroU32>,
    /// Most recipients in any 24 hours.
    pub per_day: Option<NonZeroU32>,
}

/// Why the account has no room for a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverPace {
    /// `paced` or `day_limit`.
    pub reason: SkipReason,
    /// Time until the account has room.
    pub wait: Duration,
}
