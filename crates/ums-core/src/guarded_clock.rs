//! A wall clock that a jump of the machine's clock does not move until the jump has stood for a while.
//!
//! Retention, expiry, the windows of keys and signatures, and due times all read the [`Clock`] port, so the guard stands here, once.
//! While the process runs, the reference is `Clock::uptime`, which runs on while the machine sleeps: a laptop that wakes up has not jumped.
//! At the start it is the time that an earlier process wrote into the database ([`KeptTime`]), and the database's own clock.

mod start;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::start::{Known, Window};
use crate::clock::{Boot, Clock, ClockGuard, ClockView, KeptTime, Monotonic, Timestamp};
use crate::trouble::{Trouble, TroubleKind, Troubles};

/// Steps up to this are followed at once: a time server corrects seconds or minutes, and clocks drift.
pub const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// The guard over a clock. While a jump has not stood for `settle`, the time is the last trusted one and what has passed since.
#[derive(Debug)]
pub struct GuardedClock {
    machine: Arc<dyn Clock>,
    settle: Duration,
    troubles: Troubles,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    trusted: Timestamp,
    /// When the trusted time was read.
    read_at: Monotonic,
    steady: Steady,
    jump: Option<Jump>,
    /// Which times of the machine's clock are believed at once, while none was believed since the start.
    window: Option<Window>,
    /// The time by the database's clock, and when it was heard.
    database: Option<(Timestamp, Monotonic)>,
    /// The kept time that was heard or given last.
    kept: Option<Timestamp>,
    changes: u64,
}

/// Since when the time has stood without a jump: how long before a moment, and that moment.
#[derive(Clone, Copy, Debug)]
struct Steady {
    before: Duration,
    since: Monotonic,
}

/// A jump that is not trusted yet.
#[derive(Clone, Copy, Debug)]
struct Jump {
    seen_at: Monotonic,
    /// Microseconds by which the machine's clock is ahead of the trusted time.
    ahead: i64,
}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug)]
struct Reading {
    wall: Timestamp,
    uptime: Monotonic,
}

impl GuardedClock {
    /// Trusts the machine's clock as it stands now, until [`ClockGuard::begin`] compares it.
    pub fn new(machine: Arc<dyn Clock>, settle: Duration, troubles: Troubles) -> Self {
        let read_at = machine.uptime();
        let state = Mutex::new(State {
            trusted: machine.now(),
            read_at,
            steady: Steady::from(read_at),
            jump: None,
            window: None,
            database: None,
            kept: None,
            changes: 0,
        });
        Self {
            machine,
            settle,
            troubles,
            state,
        }
    }

    /// Reads both clocks under the lock, so that readings of two threads are not mixed, and brings the state up to them.
    fn read(&self) -> (MutexGuard<'_, State>, Reading) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = Reading {
            wall: self.machine.now(),
            uptime: self.machine.uptime(),
        };
        if state.take(reading, self.settle) {
            self.tell(&state, reading);
        }
        (state, reading)
    }

    /// Raises the trouble that the state is in, or clears it.
    fn tell(&self, state: &State, reading: Reading) {
        match self.trouble(state, reading) {
            Some(reason) => drop(self.troubles.raise(Trouble {
                kind: TroubleKind::Clock,
                since: state.time(reading.uptime),
                reason,
                is_blocking: false,
            })),
            None => drop(self.troubles.clear(TroubleKind::Clock)),
        }
    }

    fn trouble(&self, state: &State, reading: Reading) -> Option<String> {
        let (time, wall) = (state.time(reading.uptime), reading.wall);
        let theirs = state.database(reading.uptime);
        if state.jump.is_none() {
            let theirs = theirs.filter(|theirs| !agree(*theirs, time))?;
            return Some(format!(
                "this process goes by {time}, and the database's clock says {theirs}: nothing is removed here; set the clocks right"
            ));
        }
        let until = match theirs {
            Some(theirs) if !agree(theirs, wall) => format!("until they agree, since the database's clock says {theirs}"),
            _ if !start::is_possible(wall) => "until that is set right".to_owned(),
            _ => format!("until the clock has stood for {} min", self.settle.as_secs() / 60),
        };
        Some(format!(
            "the machine's clock says {wall}; the service goes by {time} {until}: set the clock right, or have it trusted at once by `ums \
             clock trust`"
        ))
    }
}

impl State {
    /// The time that the service goes by.
    fn time(&self, uptime: Monotonic) -> Timestamp {
        self.trusted + uptime.since(self.read_at)
    }

    /// The time by the database's clock, without asking it again.
    fn database(&self, uptime: Monotonic) -> Option<Timestamp> {
        self.database.map(|(time, heard_at)| time + uptime.since(heard_at))
    }

    /// Takes a reading in. Whether there is news of a jump.
    fn take(&mut self, reading: Reading, settle: Duration) -> bool {
        let Reading { wall, uptime } = reading;
        let ahead = micros_ahead(wall, self.time(uptime));
        if is_within(ahead, 0) {
            let was_jump = self.jump.take().is_some();
            (self.trusted, self.read_at, self.window) = (wall, uptime, None);
            return was_jump;
        }
        let jump = self.jump.filter(|jump| is_within(ahead, jump.ahead));
        let is_believed = self.window.is_some_and(|window| window.holds(wall, uptime));
        let has_stood = jump.is_some_and(|jump| uptime.since(jump.seen_at) >= settle)
            && start::is_possible(wall)
            && self.database(uptime).is_none_or(|theirs| agree(theirs, wall));
        if is_believed || has_stood {
            let since = jump.filter(|_| has_stood).map_or(uptime, |jump| jump.seen_at);
            self.follow(reading, Steady::from(since));
            return true;
        }
        if jump.is_none() {
            self.jump = Some(Jump { seen_at: uptime, ahead });
            self.steady = Steady::from(uptime);
        }
        jump.is_none()
    }

    /// Goes by the machine's clock from now on.
    fn follow(&mut self, Reading { wall, uptime }: Reading, steady: Steady) {
        (self.trusted, self.read_at) = (wall, uptime);
        (self.jump, self.window, self.steady) = (None, None, steady);
        self.changes += 1;
    }

    /// Whether nothing contradicts the time that the service goes by.
    fn is_sure(&self, uptime: Monotonic) -> bool {
        let time = self.time(uptime);
        self.jump.is_none() && self.database(uptime).is_none_or(|theirs| agree(theirs, time))
    }

    fn is_settled(&self, uptime: Monotonic, settle: Duration) -> bool {
        self.is_sure(uptime) && self.steady.at(uptime) >= settle
    }

    fn kept(&mut self, uptime: Monotonic, boot: Option<Boot>) -> KeptTime {
        let trusted = self.time(uptime);
        self.kept = Some(trusted);
        KeptTime {
            trusted,
            boot,
            steady: self.steady.at(uptime),
        }
    }
}

impl From<Monotonic> for Steady {
    fn from(since: Monotonic) -> Self {
        Self {
            before: Duration::ZERO,
            since,
        }
    }
}

impl Steady {
    fn at(self, uptime: Monotonic) -> Duration {
        self.before.saturating_add(uptime.since(self.since))
    }
}

fn micros_ahead(of: Timestamp, than: Timestamp) -> i64 {
    of.as_micros().saturating_sub(than.as_micros())
}

/// Whether two differences, in microseconds, are the same but for the tolerance.
fn is_within(ahead: i64, of: i64) -> bool {
    u128::from(ahead.abs_diff(of)) <= CLOCK_TOLERANCE.as_micros()
}

/// Whether two clocks say the same but for the tolerance.
fn agree(one: Timestamp, other: Timestamp) -> bool {
    is_within(micros_ahead(one, other), 0)
}

impl Clock for GuardedClock {
    fn now(&self) -> Timestamp {
        let (state, reading) = self.read();
        state.time(reading.uptime)
    }

    fn monotonic(&self) -> Monotonic {
        self.machine.monotonic()
    }

    fn uptime(&self) -> Monotonic {
        self.machine.uptime()
    }

    fn is_settled(&self) -> bool {
        let (state, reading) = self.read();
        state.is_settled(reading.uptime, self.settle)
    }

    fn boot(&self) -> Option<Boot> {
        self.machine.boot()
    }

    fn guard(&self) -> Option<&dyn ClockGuard> {
        Some(self)
    }
}

impl ClockGuard for GuardedClock {
    fn begin(&self, kept: Option<&KeptTime>, database: Option<Timestamp>) {
        let boot = self.machine.boot();
        let (mut state, reading) = self.read();
        let Reading { wall, uptime } = reading;
        let known = Known::of(kept, boot.as_ref());
        let (time, window) = known.choose(wall, database, uptime);
        state.database = database.map(|theirs| (theirs, uptime));
        state.kept = kept.map(|kept| kept.trusted);
        (state.trusted, state.read_at, state.window) = (time, uptime, window);
        let ahead = micros_ahead(wall, time);
        state.jump = (!is_within(ahead, 0)).then_some(Jump { seen_at: uptime, ahead });
        if state.jump.is_none() {
            state.trusted = wall;
        }
        state.steady = Steady {
            before: known.steady(wall),
            since: uptime,
        };
        self.tell(&state, reading);
    }

    fn hear(&self, kept: Option<&KeptTime>, database: Option<Timestamp>) {
        let (mut state, reading) = self.read();
        state.database = database.map(|theirs| (theirs, reading.uptime));
        let heard = kept.map(|kept| kept.trusted);
        let is_news = heard.is_some() && heard != state.kept;
        state.kept = heard;
        let agrees = |theirs| agree(theirs, reading.wall);
        if state.jump.is_some() && is_news && heard.is_some_and(agrees) && database.is_none_or(agrees) {
            let steady = Steady {
                before: kept.map(|kept| kept.steady).unwrap_or_default(),
                since: reading.uptime,
            };
            state.follow(reading, steady);
        }
        self.tell(&state, reading);
    }

    fn keep(&self) -> Option<KeptTime> {
        let boot = self.machine.boot();
        let (mut state, reading) = self.read();
        state.is_sure(reading.uptime).then(|| state.kept(reading.uptime, boot))
    }

    fn trust(&self) -> KeptTime {
        let boot = self.machine.boot();
        let (mut state, reading) = self.read();
        let steady = Steady {
            before: self.settle,
            since: reading.uptime,
        };
        state.follow(reading, steady);
        self.tell(&state, reading);
        state.kept(reading.uptime, boot)
    }

    fn view(&self) -> ClockView {
        let (state, Reading { wall, uptime }) = self.read();
        let service = state.time(uptime);
        let database = state.database(uptime);
        let may_stand = start::is_possible(wall) && database.is_none_or(|theirs| agree(theirs, wall));
        let trusted_from = state.jump.filter(|_| may_stand);
        ClockView {
            service,
            machine: wall,
            database,
            is_trusted: state.jump.is_none(),
            is_settled: state.is_settled(uptime, self.settle),
            trusted_from: trusted_from.map(|jump| service + self.settle.saturating_sub(uptime.since(jump.seen_at))),
            trouble: self.trouble(&state, Reading { wall, uptime }),
        }
    }

    fn changes(&self) -> u64 {
        self.read().0.changes
    }
}
