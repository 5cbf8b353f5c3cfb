//! The circuit breaker of one provider account: decides from state and time whether the account may be called.
//!
//! A closed breaker takes no lock: an admission reads one word, a success counts into a time bucket. Everything else goes through one
//! mutex, for failures are rare. An admission is a [`Permit`]; a permit that is dropped without an outcome is *not counted*. Each change
//! of state raises the generation; the breaker drops outcomes of an earlier generation.
//!
//! **Invariant:** half-open, at most one permit is out at a time.

mod cause;
mod permit;
mod settings;
mod state;
mod sync;
pub(crate) mod window;

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ums_core::{BreakerEffect, BreakerStateWord, Failure, LastFailure, Monotonic, Random, Timestamp};

pub use self::cause::Cause;
use self::permit::Kind;
pub use self::permit::Permit;
pub use self::settings::BreakerSettings;
pub use self::state::Snapshot;
use self::state::{Admission, Mode, Slow};
use self::sync::{AtomicI64, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering};
use self::window::Window;

/// Lowest bit of the word: set when the slow state, behind the lock, decides on admission.
const SLOW: u64 = 1;
/// Resolution of the time of the last success, in microseconds.
const LAST_SUCCESS_MICROS: u64 = 1_000;

/// Both clocks, read once for a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For decisions.
    pub mono: Monotonic,
    /// For people.
    pub wall: Timestamp,
}

impl Now {
    /// Reads both clocks.
    pub fn read(clock: &dyn ums_core::Clock) -> Self {
        Self {
            mono: clock.monotonic(),
            wall: clock.now(),
        }
    }
}

/// A change of state, or a fact that changes no state (a pause, a good probe). The breaker tells its listener outside its lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// From.
    pub from: BreakerStateWord,
    /// To.
    pub to: BreakerStateWord,
    /// Why; redacted.
    pub reason: String,
    /// Whether a call or an answer in this process taught the change. Only such a change is saved, for a restart and for other processes;
    /// not a change that the passing of time brought about or that another process told.
    pub learned: bool,
}

/// Is called with each change, outside the lock of the breaker.
pub type Listener = Arc<dyn Fn(&Change) + Send + Sync>;

/// Why a breaker refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why the breaker is open or paused.
    pub cause: Cause,
    /// Time until the breaker admits a probe; zero while a probe is out.
    pub reopens_in: Duration,
}

/// Who asks a provider without a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The engine, once the wait of an open breaker is over.
    Background,
    /// An operator, at any time.
    Operator,
}

/// How a call ended, as the breaker sees it.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// The provider took the message.
    Success,
    /// The provider did not take the message, or the outcome is unknown.
    Failure(&'a Failure),
}

/// The breaker of one provider account.
pub struct Breaker {
    settings: BreakerSettings,
    random: Arc<dyn Random>,
    listener: Option<Listener>,
    /// Generation, shifted left by one; the lowest bit says whether the slow state decides.
    word: AtomicU64,
    consecutive: AtomicU32,
    last_success: AtomicI64,
    window: Window,
    slow: Mutex<Slow>,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings, random: Arc<dyn Random>, listener: Option<Listener>) -> Self {
        Self {
            window: Window::new(settings.window),
            settings,
            random,
            listener,
            word: AtomicU64::new(0),
            consecutive: AtomicU32::new(0),
            last_success: AtomicI64::new(i64::MIN),
            slow: Mutex::new(Slow::default()),
        }
    }

    /// Admits a call to the provider, or refuses it.
    ///
    /// # Errors
    /// A [`Refusal`] with the reason and the time left. It is boxed so that the usual answer fits
    /// registers: as a value it took the permit through memory, for 10 ns a call.
    #[inline]
    pub fn admit<B: Borrow<Self>>(breaker: B, now: Now) -> Result<Permit<B>, Box<Refusal>> {
        let word = breaker.borrow().word.load(Ordering::Acquire);
        let (generation, kind, ask_first) = if word & SLOW == 0 {
            (word >> 1, Kind::Plain, false)
        } else {
            breaker.borrow().admit_slowly(now)?
        };
        Ok(Permit {
            breaker,
            generation,
            kind,
            ask_first,
            open: true,
        })
    }

    #[cold]
    fn admit_slowly(&self, now: Now) -> Result<(u64, Kind, bool), Box<Refusal>> {
        let ((decision, generation), change) = self.locked(|slow| {
            let change = slow.advance(now);
            ((slow.admit(now), slow.generation), change)
        });
        self.tell(change);
        match decision? {
            Admission::Plain => Ok((generation, Kind::Plain, false)),
            Admission::Probe { ask_first } => Ok((generation, Kind::Probe, ask_first)),
        }
    }

    /// Admits a call of the last resort: when every provider of a chain refuses, the chain tries the least bad one. None unless the
    /// breaker is open for failed calls, has no pause and no probe out, and admitted no such call within the last second.
    pub fn admit_last_resort<B: Borrow<Self>>(breaker: B, now: Now) -> Option<Permit<B>> {
        let this: &Self = breaker.borrow();
        let (admitted, generation) = this.locked(|slow| ((slow.admit_last_resort(now), slow.generation), None)).0;
        admitted.then(|| Permit {
            breaker,
            generation,
            kind: Kind::LastResort,
            ask_first: false,
            open: true,
        })
    }

    /// Admits a question to the provider without a message; none if nobody is to be asked now, or another probe is out.
    pub(crate) fn admit_question<B: Borrow<Self>>(breaker: B, asker: Asker, now: Now) -> Option<Permit<B>> {
        let this: &Self = breaker.borrow();
        let ((kind, generation), change) = this.locked(|slow| {
            let change = slow.advance(now);
            ((slow.admit_question(asker), slow.generation), change)
        });
        this.tell(change);
        kind.map(|kind| Permit {
            breaker,
            generation,
            kind,
            ask_first: asker == Asker::Background,
            open: true,
        })
    }

    /// Lets the next message through, for an operator had the provider tried.
    pub(crate) fn let_through(&self, now: Now) {
        let ((), change) = self.locked(|slow| {
            slow.advance(now);
            ((), slow.let_through())
        });
        self.tell(change);
    }

    /// What the breaker shows of itself.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let last_success = self.last_success.load(Ordering::Relaxed);
        let consecutive = self.consecutive.load(Ordering::Relaxed);
        let totals = self.window.totals(now.mono);
        let (mut snapshot, _) = self.locked(|slow| (slow.snapshot(now), None));
        snapshot.last_success_at = (last_success != i64::MIN).then(|| Timestamp::from_micros(last_success));
        snapshot.failure_count = consecutive;
        snapshot.recent_failures = totals.failures;
        snapshot
    }

    /// The state to save, for a restart and for other processes on the same store.
    pub fn to_json(&self, now: Now) -> serde_json::Value {
        self.to_keep(now).0
    }

    /// As [`Breaker::to_json`], with the revision of that state.
    pub(crate) fn to_keep(&self, now: Now) -> (serde_json::Value, u64) {
        let (mut kept, revision) = self.locked(|slow| ((slow.to_json(now), slow.revision), None)).0;
        let last_success = self.last_success.load(Ordering::Relaxed);
        if last_success != i64::MIN {
            kept["last_success_micros"] = last_success.into();
        }
        (kept, revision)
    }

    /// Grows with everything that calls of this process taught.
    pub(crate) fn revision(&self) -> u64 {
        self.locked(|slow| (slow.revision, None)).0
    }

    /// Restores what an earlier process saved. The breaker ignores what is unreadable, and starts closed then.
    pub fn restore(&self, kept: &serde_json::Value, now: Now) {
        self.locked(|slow| (slow.load(kept, &self.settings, Duration::MAX, now), None));
        self.restore_last_success(kept);
    }

    /// Restores what was saved while the account had other settings: a breaker that was not closed lets one message through at once.
    pub(crate) fn restore_of_others(&self, kept: &serde_json::Value, now: Now) {
        self.locked(|slow| (slow.load_of_others(kept, &self.settings, now), None));
        self.restore_last_success(kept);
    }

    /// Adopts what another process that shares the store has saved; whether it was adopted. It is not when this process has learned
    /// something that the other one cannot have seen: `known` is the revision that the store had before the record was read. `looked` is
    /// the time since the last look at the store.
    ///
    /// If the state changes, the breaker drops outcomes of calls that were admitted before. The listener hears of the change as not
    /// learned, so that nobody saves it a second time.
    pub(crate) fn adopt(&self, kept: &serde_json::Value, known: u64, looked: Duration, now: Now) -> bool {
        let (adopted, change) = self.locked(|slow| {
            if slow.revision == known {
                (true, slow.load(kept, &self.settings, looked, now))
            } else {
                (false, None)
            }
        });
        if adopted {
            self.restore_last_success(kept);
        }
        if change.as_ref().is_some_and(|change| change.to == BreakerStateWord::Closed) {
            self.window.clear();
        }
        self.tell(change);
        adopted
    }

    fn restore_last_success(&self, kept: &serde_json::Value) {
        if let Some(last) = kept.get("last_success_micros").and_then(serde_json::Value::as_i64) {
            self.restore_success(Timestamp::from_micros(last));
        }
    }

    /// Takes up the time of a success that this process did not see.
    pub(crate) fn restore_success(&self, at: Timestamp) {
        self.last_success.fetch_max(at.as_micros(), Ordering::Relaxed);
    }

    #[inline]
    fn success(&self, generation: u64, kind: Kind, now: Now) {
        let word = self.word.load(Ordering::Acquire);
        if word >> 1 != generation {
            return;
        }
        // At most once a millisecond: with every call, threads that share the breaker would fight for its cache line.
        let wall = now.wall.as_micros();
        if wall.abs_diff(self.last_success.load(Ordering::Relaxed)) >= LAST_SUCCESS_MICROS {
            self.last_success.store(wall, Ordering::Relaxed);
        }
        if self.consecutive.load(Ordering::Relaxed) != 0 {
            self.consecutive.store(0, Ordering::Relaxed);
        }
        if self.settings.rate_percent.is_some() {
            self.window.success(now.mono);
        }
        if kind != Kind::Plain {
            self.probe_succeeded(generation);
        }
    }

    #[cold]
    fn probe_succeeded(&self, generation: u64) {
        let needed = self.settings.successes;
        let (closed, change) = self.locked(|slow| {
            if slow.generation != generation {
                return (false, None);
            }
            let change = slow.probe_succeeded(needed);
            (matches!(slow.mode, Mode::Closed), change)
        });
        if closed {
            self.window.clear();
        }
        self.tell(change);
    }

    #[cold]
    fn failure(&self, generation: u64, kind: Kind, failure: &Failure, now: Now) {
        if self.word.load(Ordering::Acquire) >> 1 != generation {
            return;
        }
        let effect = failure.class.consequence().breaker;
        let counted = effect == BreakerEffect::Counted;
        if counted {
            self.window.failure(now.mono);
            self.consecutive.fetch_add(1, Ordering::Relaxed);
        }
        let trip = counted.then(|| self.trip_cause(failure, now)).flatten();
        let jitter = self.random.unit();
        let ((), change) = self.locked(|slow| {
            if slow.generation != generation {
                return ((), None);
            }
            slow.last_failure = Some(LastFailure {
                at: now.wall,
                class: failure.class,
                code: failure.code.clone(),
                detail: failure.detail.clone(),
            });
            slow.probe_ended(kind != Kind::Plain);
            let mut open = |cause, wait| slow.open(cause, wait, &self.settings, jitter, now);
            let (code, detail) = (failure.code.clone(), failure.detail.clone());
            let change = match effect {
                BreakerEffect::NotCounted => None,
                _ if kind == Kind::Question => None,
                BreakerEffect::Counted if kind == Kind::LastResort => None,
                BreakerEffect::Counted if kind == Kind::Probe => {
                    let detail = "the probe failed".into();
                    Some(open(Cause::Failures { code, detail }, None))
                }
                BreakerEffect::Counted => trip.map(|cause| open(cause, None)),
                BreakerEffect::OpensMisconfigured => Some(open(Cause::Misconfigured { code, detail }, None)),
                BreakerEffect::OpensExhausted => Some(open(Cause::Exhausted { code, detail }, failure.retry_after)),
                BreakerEffect::Pauses => Some(slow.pause(failure.retry_after, now)),
            };
            ((), change)
        });
        self.tell(change);
    }

    /// Opens a closed breaker for a cause that no call of this process met: what the provider reports afterwards shows it.
    pub(crate) fn blame(&self, cause: &Failure, now: Now) {
        let (generation, is_closed) = self.locked(|slow| ((slow.generation, matches!(slow.mode, Mode::Closed)), None)).0;
        if is_closed {
            self.failure(generation, Kind::Plain, cause, now);
        }
    }

    /// Whether this failure trips the closed breaker, and why.
    fn trip_cause(&self, failure: &Failure, now: Now) -> Option<Cause> {
        let code = failure.code.clone();
        let consecutive = self.consecutive.load(Ordering::Relaxed);
        if consecutive >= self.settings.failures {
            return Some(Cause::Failures {
                code,
                detail: format!("{consecutive} failures in a row"),
            });
        }
        let percent = u64::from(self.settings.rate_percent?);
        let totals = self.window.totals(now.mono);
        let enough = totals.calls >= u64::from(self.settings.min_calls);
        (enough && totals.failures * 100 >= percent * totals.calls).then(|| Cause::Failures {
            code,
            detail: format!("{} of the last {} calls failed", totals.failures, totals.calls),
        })
    }

    /// Runs a change of the slow state, and updates the word before it releases the lock.
    fn locked<T>(&self, change: impl FnOnce(&mut Slow) -> (T, Option<Change>)) -> (T, Option<Change>) {
        let mut slow: MutexGuard<'_, Slow> = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        let before = slow.generation;
        let (value, change) = change(&mut slow);
        if slow.generation != before {
            self.consecutive.store(
                slow.consecutive_after_change(self.consecutive.load(Ordering::Relaxed)),
                Ordering::Relaxed,
            );
        }
        let word = slow.generation << 1 | u64::from(slow.decides());
        if word != self.word.load(Ordering::Relaxed) {
            self.word.store(word, Ordering::Release);
        }
        (value, change)
    }

    /// A permit was dropped without an outcome: the next probe may go out.
    #[cold]
    fn release(&self, generation: u64) {
        self.locked(|slow| {
            if slow.generation == generation {
                slow.probe_ended(true);
            }
            ((), None)
        });
    }

    fn tell(&self, change: Option<Change>) {
        if let (Some(change), Some(listener)) = (change, &self.listener) {
            listener(&change);
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Breaker(generation {})", self.word.load(Ordering::Relaxed) >> 1)
    }
}

#[cfg(test)]
#[cfg(not(feature = "model-check"))]
mod tests;
