//! Which time a process goes by at its start: nothing that runs in it can tell a wrong clock from a long stop.

use std::time::Duration;

use super::{agree, is_within, micros_ahead};
use crate::clock::{Boot, KeptTime, Monotonic, Timestamp};

/// Longest time without a running process that a new start of a machine is believed to have been: a long weekend. A clock that is further
/// ahead of the kept time than this has to stand.
pub(super) const LONGEST_STOP: Duration = Duration::from_hours(4 * 24);

/// No clock says less and is right: 2026-01-01T00:00:00Z, before the first release. A machine without a battery for its clock begins in 1970.
const EARLIEST: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

/// Whether a clock that says so may be right.
pub(super) fn is_possible(wall: Timestamp) -> bool {
    wall >= EARLIEST
}

/// What is known of the time at the start, besides the clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    earliest: Timestamp,
    /// None if no time was kept: the first start.
    latest: Option<Timestamp>,
    /// How long the time had stood when it was kept, if the same start of the machine goes on.
    steady: Duration,
}

/// Between which times the machine's clock may be, at a moment and as time passes from there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    known: Known,
    at: Monotonic,
}

impl Known {
    pub(super) fn of(kept: Option<&KeptTime>, boot: Option<&Boot>) -> Self {
        let Some(kept) = kept else {
            return Self {
                earliest: EARLIEST,
                latest: None,
                steady: Duration::ZERO,
            };
        };
        // Within one start of the machine, the time between two processes is known.
        let passed = (kept.boot.as_ref().zip(boot))
            .filter(|(then, now)| then.id == now.id)
            .and_then(|(then, now)| now.up.checked_sub(then.up));
        Self {
            earliest: EARLIEST.max(kept.trusted + passed.unwrap_or_default()),
            latest: Some(kept.trusted + passed.unwrap_or(LONGEST_STOP)),
            steady: passed.map_or(Duration::ZERO, |passed| kept.steady + passed),
        }
    }

    /// The time to go by, and which times of the machine's clock are believed later. In doubt, a database's clock counts before the
    /// machine's: all replicas have it, and leases go by it.
    pub(super) fn choose(self, wall: Timestamp, database: Option<Timestamp>, at: Monotonic) -> (Timestamp, Option<Window>) {
        let database = database.map(|theirs| if agree(theirs, wall) { wall } else { theirs });
        let believed = [database, Some(wall)]
            .into_iter()
            .flatten()
            .find(|time| self.holds(*time, Duration::ZERO));
        match believed {
            Some(time) => (time, None),
            None => (self.earliest, Some(Window { known: self, at })),
        }
    }

    /// How long the machine's clock has stood at the start.
    pub(super) fn steady(self, wall: Timestamp) -> Duration {
        let is_told = self.holds(wall, Duration::ZERO);
        if is_told { self.steady } else { Duration::ZERO }
    }

    fn holds(self, time: Timestamp, passed: Duration) -> bool {
        let is_late_enough = |earliest| time >= earliest || is_within(micros_ahead(time, earliest), 0);
        let is_early_enough = |latest| time <= latest || is_within(micros_ahead(time, latest), 0);
        is_possible(time) && is_late_enough(self.earliest + passed) && self.latest.is_none_or(|latest| is_early_enough(latest + passed))
    }
}

impl Window {
    pub(super) fn holds(self, wall: Timestamp, uptime: Monotonic) -> bool {
        self.known.holds(wall, uptime.since(self.at))
    }
}
