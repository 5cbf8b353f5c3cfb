//! What a guard over a clock is told, keeps and shows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// One start of a machine, and the time since then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// An id that the machine makes at each start.
    pub id: String,
    /// The time since the start, with the time in which the machine slept.
    pub up: Duration,
}

#[cfg(target_os = "linux")]
impl Boot {
    /// `/proc/sys/kernel/random/boot_id` of random(4) and the first number of `/proc/uptime` of proc(5): "the uptime of the system, including
    /// time spent in suspend".
    pub(super) fn read() -> Option<Self> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        Some(Self {
            id: id.trim().to_owned(),
            up: Duration::try_from_secs_f64(seconds).ok()?,
        })
    }
}

/// The trusted time as a process last wrote it into the database, for the processes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTime {
    /// The trusted time.
    pub trusted: Timestamp,
    /// The start of the machine of the process that wrote it.
    pub boot: Option<Boot>,
    /// How long the time had stood without a jump.
    pub steady: Duration,
}

/// The clocks, for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockView {
    /// The time that the service goes by.
    pub service: Timestamp,
    /// The time by the machine's clock.
    pub machine: Timestamp,
    /// The time by the database's clock, where it has one.
    pub database: Option<Timestamp>,
    /// Whether the service goes by the machine's clock.
    pub is_trusted: bool,
    /// Whether what is over by this time may be removed for good.
    pub is_settled: bool,
    /// When the service will go by the machine's clock without an operator's word; null while it does, and where it never will.
    pub trusted_from: Option<Timestamp>,
    /// What is wrong and what to do, in words for operators; null if nothing is.
    pub trouble: Option<String>,
}

/// A guard over the machine's clock: it decides which time the service goes by.
pub trait ClockGuard: Send + Sync {
    /// Compares the machine's clock with what the database knows of the time, once, before anything is decided by the time.
    fn begin(&self, kept: Option<&KeptTime>, database: Option<Timestamp>);
    /// Compares it again while the service runs. A time that another process wrote down meanwhile and that agrees with the machine's clock
    /// ends a jump.
    fn hear(&self, kept: Option<&KeptTime>, database: Option<Timestamp>);
    /// The time to write into the database; none while the time is not sure.
    fn keep(&self) -> Option<KeptTime>;
    /// An operator says that the machine's clock is right. Gives the time to write into the database.
    fn trust(&self) -> KeptTime;
    /// The clocks, for operators.
    fn view(&self) -> ClockView;
    /// A number that grows when the service begins to go by another time: rows may have been written by the time before.
    fn changes(&self) -> u64;
}
