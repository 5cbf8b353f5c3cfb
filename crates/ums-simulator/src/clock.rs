//! The one place where the simulator looks at the wall clock.

use jiff::Timestamp;

/// Returns the present moment.
#[expect(clippy::disallowed_methods, reason = "it plays an outside party, whose clock is not the engine's")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
