//! Where a count stands: five minutes, and a sender.

use ums_core::Timestamp;

/// Length of a bucket, in microseconds.
pub(super) const BUCKET: i64 = 5 * 60 * 1_000_000;
/// The sender of messages that went out from the provider's own.
pub(super) const DEFAULT_SENDER: &str = "default";

/// The start of the five minutes that a time lies in.
pub(super) fn bucket(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().div_euclid(BUCKET) * BUCKET)
}
