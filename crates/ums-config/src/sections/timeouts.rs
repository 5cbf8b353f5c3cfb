//! The time of one attempt.

use std::time::Duration;

use crate::reader::Reader;
use crate::values::ByProvider;

/// Limits of one attempt at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutSettings {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// Without any progress in writing.
    pub write_stall: Duration,
    /// From the last byte written to the whole reply.
    pub reply: Duration,
}

pub(crate) fn read(reader: &mut Reader<'_>) -> ByProvider<TimeoutSettings> {
    ByProvider::each(|provider| {
        let mut span = |key: &str| {
            let path = reader.path_for("timeouts", provider, key);
            reader.span(&path, Duration::from_millis(10)..=Duration::from_mins(5))
        };
        TimeoutSettings {
            connect: span("connect"),
            write_stall: span("write_stall"),
            reply: span("reply"),
        }
    })
}
