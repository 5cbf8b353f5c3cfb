//! Time as a port: wall time for people, monotonic time for breakers and leases.

mod guard;

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::guard::{Boot, ClockGuard, ClockView, KeptTime};

/// A point in wall time: whole microseconds since 1970-01-01T00:00:00 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes a time stamp from microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch, the form that stores keep.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the Unix epoch, the form that UUIDv7 holds; 0 before 1970.
    pub const fn as_unix_millis(self) -> u64 {
        if self.0 < 0 { 0 } else { self.0.unsigned_abs() / 1_000 }
    }

    /// Reads RFC 3339 with any offset; cuts digits finer than microseconds.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let parsed: jiff::Timestamp = text.parse().ok()?;
        Some(Self(parsed.as_microsecond()))
    }

    /// The time since `earlier`, zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time with an offset"))
    }
}

/// A point in monotonic time: the time since the clock was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// Makes a point from the time since the clock's start.
    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// The time since the clock's start.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time since `earlier`, zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;
    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }
}

/// The two clocks. All code that needs the time gets a clock as an argument.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall time; jumps when an operator or a time server sets the clock.
    fn now(&self) -> Timestamp;
    /// Monotonic time; never jumps back. May stand still while the machine sleeps.
    fn monotonic(&self) -> Monotonic;
    /// Monotonic time that runs on while the machine sleeps, so that wall time can be held against it.
    fn uptime(&self) -> Monotonic {
        self.monotonic()
    }
    /// Whether the wall time has stood long enough to remove, for good, what is over by it.
    fn is_settled(&self) -> bool {
        true
    }
    /// The start of the machine, so that two processes of one start can compare their times; none where it is not known.
    fn boot(&self) -> Option<Boot> {
        None
    }
    /// The guard of this clock, if it has one.
    fn guard(&self) -> Option<&dyn ClockGuard> {
        None
    }
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// Starts the monotonic clock at zero.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
    #[expect(clippy::new_without_default, reason = "starting a clock is an act, not a default")]
    pub fn new() -> Self {
        Self {
            start: std::time::Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clocks")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.start.elapsed())
    }

    /// `CLOCK_BOOTTIME` of `clock_gettime(2)`: as `CLOCK_MONOTONIC`, "except that it also includes any time that the system is suspended".
    #[cfg(target_os = "linux")]
    fn uptime(&self) -> Monotonic {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
        Monotonic(seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0)))
    }

    #[cfg(target_os = "linux")]
    fn boot(&self) -> Option<Boot> {
        Boot::read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_with_any_offset_becomes_utc() {
        let time = Timestamp::parse_rfc3339("2026-11-22T12:00:00+02:00").unwrap();
        assert_eq!(time.to_string(), "2026-11-22T10:00:00Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-11-22 10:00"), None, "an offset is required");
    }

    #[test]
    fn json_is_rfc3339_and_round_trips() {
        let time = Timestamp::from_micros(1_795_341_600_000_001);
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
    }
}
