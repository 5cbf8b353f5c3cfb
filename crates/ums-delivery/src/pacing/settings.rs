//! What an account may send, and what is said when it may not.

use std::num::NonZeroU32;
use std::time::Duration;

use ums_core::SkipReason;

/// What an account may send. Units are recipients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceSettings {
    /// Most recipients a second.
    pub per_second: Option<NonZeroU32>,
    /// Most recipients in any 24 hours.
    pub per_day: Option<NonZeroU32>,
}

/// Why a message must not go out by this account now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverPace {
    /// `paced` or `day_limit`.
    pub reason: SkipReason,
    /// How long until there is room.
    pub wait: Duration,
}
