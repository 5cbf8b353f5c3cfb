//! The one place where the simulator looks at the wall clock.

use jiff::Timestamp;

/// Returns the present moment, in whole microseconds.
#[expect(clippy::disallowed_methods, reason = "it plays an outside party, whose clock is not the engine's")]
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
