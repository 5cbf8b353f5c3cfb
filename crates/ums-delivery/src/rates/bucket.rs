//! Buckets of five minutes, by which counts are keyed; and the name of the default sender. The store keys its rows the same way.

use ums_core::Timestamp;

/// Length of a bucket, in microseconds.
pub(super) const BUCKET: i64 = 5 * 60 * 1_000_000;
/// The name under which messages from the configured sender of a provider are counted.
pub(super) const DEFAULT_SENDER: &str = "default";

/// The start of the bucket that a time lies in.
pub(super) fn bucket(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().div_euclid(BUCKET) * BUCKET)
}
