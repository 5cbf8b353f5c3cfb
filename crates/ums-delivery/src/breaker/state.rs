//! The slow state of a breaker, behind its lock: everything but a closed breaker without a pause.

use std::time::Duration;

use serde_json::{Value, json};
use ums_core::{BreakerStateWord, LastFailure, Monotonic, Timestamp};

use super::permit::Kind;
use super::{Asker, BreakerSettings, Cause, Change, Now, Refusal};

/// Longest time for which the breaker believes an allowance to be used up.
const MAX_EXHAUSTED: Duration = Duration::from_hours(24 * 32);
/// Longest pause that the breaker grants a provider.
const MAX_PAUSE: Duration = Duration::from_mins(15);
/// Shortest pause.
const MIN_PAUSE: Duration = Duration::from_secs(1);
/// Shortest time between two tries of the last resort.
const LAST_RESORT_EVERY: Duration = Duration::from_secs(1);
/// Largest share of an open time that jitter takes off.
const JITTER_SHARE: f64 = 0.2;

#[derive(Debug)]
pub(super) enum Mode {
    Closed,
    Open { cause: Cause, until: Monotonic },
    HalfOpen { cause: Cause, successes: u32, asked: bool },
}

/// The state behind the lock.
#[derive(Debug)]
pub(super) struct Slow {
    pub(super) mode: Mode,
    pub(super) generation: u64,
    /// Grows with everything that a call or an answer taught. A revision that is not saved yet must be kept.
    pub(super) revision: u64,
    pub(super) last_failure: Option<LastFailure>,
    /// Times that the breaker has opened since it was last closed; each doubles the open time.
    rounds: u32,
    paused_until: Option<Monotonic>,
    probe_out: bool,
    last_resort_at: Option<Monotonic>,
}

impl Default for Slow {
    fn default() -> Self {
        Self {
            mode: Mode::Closed,
            generation: 0,
            revision: 0,
            last_failure: None,
            rounds: 0,
            paused_until: None,
            probe_out: false,
            last_resort_at: None,
        }
    }
}

/// What the slow state admits.
pub(super) enum Admission {
    Plain,
    Probe { ask_first: bool },
}

/// What a breaker shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its state.
    pub state: BreakerStateWord,
    /// Why it is not plainly closed.
    pub cause: Option<Cause>,
    /// When it lets the next call through.
    pub reopens_at: Option<Timestamp>,
    /// Counted failures since the last success.
    pub failure_count: u32,
    /// Failures within the window.
    pub recent_failures: u64,
    /// When the provider last took a message.
    pub last_success_at: Option<Timestamp>,
    /// Its last failure.
    pub last_failure: Option<LastFailure>,
}

impl Slow {
    /// Whether an admission needs the slow state.
    pub(super) fn decides(&self) -> bool {
        !matches!(self.mode, Mode::Closed) || self.paused_until.is_some()
    }

    /// A breaker that has just closed starts to count from zero.
    pub(super) fn consecutive_after_change(&self, before: u32) -> u32 {
        if matches!(self.mode, Mode::Closed) { 0 } else { before }
    }

    fn word(&self) -> BreakerStateWord {
        match self.mode {
            Mode::Closed => BreakerStateWord::Closed,
            Mode::Open { .. } => BreakerStateWord::Open,
            Mode::HalfOpen { .. } => BreakerStateWord::HalfOpen,
        }
    }

    fn become_mode(&mut self, mode: Mode, reason: String) -> Change {
        let from = self.word();
        self.mode = mode;
        self.generation += 1;
        self.probe_out = false;
        Change {
            from,
            to: self.word(),
            reason,
            learned: false,
        }
    }

    /// Marks a change that a call or an answer taught.
    fn learned(&mut self, change: Change) -> Change {
        self.revision += 1;
        Change { learned: true, ..change }
    }

    /// A fact that a call or an answer taught, without a change of state.
    fn noted(&mut self, reason: String) -> Change {
        let word = self.word();
        self.learned(Change {
            from: word,
            to: word,
            reason,
            learned: true,
        })
    }

    /// Moves with time: a pause ends, an open breaker becomes half-open.
    pub(super) fn advance(&mut self, now: Now) -> Option<Change> {
        if self.paused_until.is_some_and(|until| until <= now.mono) {
            self.paused_until = None;
        }
        match &self.mode {
            Mode::Open { cause, until } if *until <= now.mono => {
                let cause = cause.clone();
                // Not learned: every process on a store sees by itself that the time is over. A saved change would overwrite what
                // the first of them may have learned since.
                Some(self.become_mode(
                    Mode::HalfOpen {
                        cause,
                        successes: 0,
                        asked: false,
                    },
                    "its time is over; probing".to_owned(),
                ))
            }
            Mode::Closed | Mode::Open { .. } | Mode::HalfOpen { .. } => None,
        }
    }

    pub(super) fn admit(&mut self, now: Now) -> Result<Admission, Box<Refusal>> {
        let refused = |cause: Cause, reopens_in: Duration| Err(Box::new(Refusal { cause, reopens_in }));
        if let Some(until) = self.paused_until {
            return refused(Cause::Throttled, until.since(now.mono));
        }
        match &self.mode {
            Mode::Closed => Ok(Admission::Plain),
            Mode::Open { cause, until } => refused(cause.clone(), until.since(now.mono)),
            Mode::HalfOpen { .. } if self.probe_out => refused(Cause::Probing, Duration::ZERO),
            Mode::HalfOpen { asked, .. } => {
                let ask_first = !asked;
                self.probe_out = true;
                Ok(Admission::Probe { ask_first })
            }
        }
    }

    pub(super) fn admit_last_resort(&mut self, now: Now) -> bool {
        let failing = matches!(
            &self.mode,
            Mode::Open {
                cause: Cause::Failures { .. },
                ..
            }
        );
        let rested = self.last_resort_at.is_none_or(|last| now.mono.since(last) >= LAST_RESORT_EVERY);
        let free = failing && rested && !self.probe_out && self.paused_until.is_none();
        if free {
            self.probe_out = true;
            self.last_resort_at = Some(now.mono);
        }
        free
    }

    pub(super) fn probe_ended(&mut self, was_probe: bool) {
        if was_probe {
            self.probe_out = false;
        }
    }

    pub(super) fn is_to_be_asked(&self) -> bool {
        matches!(self.mode, Mode::HalfOpen { asked: false, .. })
    }

    /// The provider was asked without sending, and did not say no.
    pub(super) fn asked(&mut self) -> Option<Change> {
        if let Mode::HalfOpen { asked, .. } = &mut self.mode
            && !*asked
        {
            *asked = true;
            return Some(self.noted("it was asked and did not say no".to_owned()));
        }
        None
    }

    pub(super) fn probe_succeeded(&mut self, needed: u32) -> Option<Change> {
        self.probe_out = false;
        let (cause, successes) = match &self.mode {
            Mode::Closed => return None,
            Mode::Open { cause, .. } => (cause.clone(), 1),
            Mode::HalfOpen { cause, successes, .. } => (cause.clone(), successes + 1),
        };
        if successes >= needed {
            self.rounds = 0;
            let change = self.become_mode(Mode::Closed, format!("{successes} calls in a row went well"));
            return Some(self.learned(change));
        }
        let reason = "a call went well; probing".to_owned();
        if let Mode::HalfOpen {
            successes: counted, asked, ..
        } = &mut self.mode
        {
            *counted = successes;
            *asked = true;
            return Some(self.noted(reason));
        }
        let change = self.become_mode(
            Mode::HalfOpen {
                cause,
                successes,
                asked: true,
            },
            reason,
        );
        Some(self.learned(change))
    }

    /// Opens, or stays open for another round. Jitter only shortens.
    pub(super) fn open(&mut self, cause: Cause, wait: Option<Duration>, settings: &BreakerSettings, jitter: f64, now: Now) -> Change {
        let (first, longest) = match &cause {
            Cause::Misconfigured { .. } => (settings.misconfigured, settings.misconfigured_max),
            Cause::Exhausted { .. } => (settings.exhausted, settings.exhausted),
            Cause::Failures { .. } | Cause::Throttled | Cause::Probing => (settings.open, settings.open_max),
        };
        let doubled = first
            .saturating_mul(1_u32.checked_shl(self.rounds.min(20)).unwrap_or(u32::MAX))
            .min(longest);
        let wait = wait.unwrap_or_else(|| doubled.mul_f64(1.0 - JITTER_SHARE * jitter));
        self.rounds = self.rounds.saturating_add(1);
        let reason = cause.describe();
        let change = self.become_mode(
            Mode::Open {
                cause,
                until: now.mono + wait,
            },
            reason,
        );
        self.learned(change)
    }

    /// Pauses, as the provider asked. A throttled probe has failed: its successes count no more.
    pub(super) fn pause(&mut self, wait: Option<Duration>, now: Now) -> Change {
        let until = now.mono + wait.unwrap_or(MIN_PAUSE).clamp(MIN_PAUSE, MAX_PAUSE);
        self.paused_until = Some(self.paused_until.map_or(until, |before| before.max(until)));
        if let Mode::HalfOpen { successes, .. } = &mut self.mode {
            *successes = 0;
        }
        self.noted(Cause::Throttled.describe())
    }

    /// An operator had the provider tried, and it did not say no: the next message is let through, and the waits begin anew. Not learned:
    /// each process that hears of the trial does the same.
    pub(super) fn let_through(&mut self) -> Option<Change> {
        self.paused_until = None;
        let cause = match &self.mode {
            Mode::Closed | Mode::HalfOpen { asked: true, .. } => return None,
            Mode::Open { cause, .. } | Mode::HalfOpen { cause, .. } => cause.clone(),
        };
        self.rounds = 0;
        let mode = Mode::HalfOpen {
            cause,
            successes: 0,
            asked: true,
        };
        Some(self.become_mode(mode, "an operator had it tried; probing".to_owned()))
    }

    /// What a question without a message may be admitted as; none if nobody is to be asked now.
    pub(super) fn admit_question(&mut self, asker: Asker) -> Option<Kind> {
        let kind = match (&self.mode, asker) {
            (Mode::HalfOpen { asked: false, .. }, Asker::Background) if self.paused_until.is_none() => Kind::Probe,
            (Mode::Closed, Asker::Operator) => return Some(Kind::Plain),
            (Mode::HalfOpen { .. }, Asker::Operator) => Kind::Probe,
            (Mode::Open { .. }, Asker::Operator) => Kind::Question,
            (_, Asker::Background) => return None,
        };
        let free = !self.probe_out;
        self.probe_out = true;
        free.then_some(kind)
    }

    /// Loads what was learned with other settings of the account. It says nothing about these, so the next message tries the provider: the
    /// waits, the pause and the good probes are forgotten. What failed last is kept for people.
    pub(super) fn load_of_others(&mut self, kept: &Value, settings: &BreakerSettings, now: Now) {
        self.load(kept, settings, Duration::MAX, now);
        self.paused_until = None;
        self.rounds = 0;
        self.mode = match std::mem::replace(&mut self.mode, Mode::Closed) {
            Mode::Closed => Mode::Closed,
            Mode::Open { cause, .. } | Mode::HalfOpen { cause, .. } => Mode::HalfOpen {
                cause,
                successes: 0,
                // Not asked first: the question would cost the first message its first provider.
                asked: true,
            },
        };
    }

    pub(super) fn snapshot(&mut self, now: Now) -> Snapshot {
        let over = matches!(&self.mode, Mode::Open { until, .. } if *until <= now.mono);
        let wall = |until: Monotonic| now.wall + until.since(now.mono);
        let paused = self.paused_until.filter(|until| *until > now.mono);
        let (cause, until) = match &self.mode {
            Mode::Closed => (None, None),
            Mode::Open { cause, until } => (Some(cause.clone()), (!over).then(|| wall(*until))),
            Mode::HalfOpen { cause, .. } => (Some(cause.clone()), None),
        };
        Snapshot {
            state: if over { BreakerStateWord::HalfOpen } else { self.word() },
            cause: cause.or_else(|| paused.map(|_| Cause::Throttled)),
            reopens_at: until.or_else(|| paused.map(wall)),
            failure_count: 0,
            recent_failures: 0,
            last_success_at: None,
            last_failure: self.last_failure.clone(),
        }
    }

    pub(super) fn to_json(&self, now: Now) -> Value {
        let (cause, until) = match &self.mode {
            Mode::Closed => (None, None),
            Mode::Open { cause, until } => (Some(cause), Some(now.wall + until.since(now.mono))),
            Mode::HalfOpen { cause, .. } => (Some(cause), Some(now.wall)),
        };
        let cause = cause.map(|cause| {
            let (word, code, detail) = cause.parts();
            json!({ "word": word, "code": code, "detail": detail })
        });
        let half_open = match &self.mode {
            Mode::HalfOpen { successes, asked, .. } => Some(json!({ "successes": successes, "asked": asked })),
            Mode::Closed | Mode::Open { .. } => None,
        };
        json!({
            "at_micros": now.wall.as_micros(),
            "cause": cause,
            "until_micros": until.map(Timestamp::as_micros),
            "half_open": half_open,
            "rounds": self.rounds,
            "paused_until_micros": self.paused_until.map(|until| (now.wall + until.since(now.mono)).as_micros()),
            "last_failure": self.last_failure,
        })
    }

    /// Loads what an earlier process saved, or what another process that shares the store has learned. `looked` is the time since this
    /// process looked last: a record that was written since cannot be older, whatever the clocks say.
    ///
    /// Waits count from the time of writing, by the clock of the writer. Therefore clocks that differ neither lengthen nor shorten a wait
    /// by more than `looked`; and no wait is longer than the settings of this process allow.
    pub(super) fn load(&mut self, kept: &Value, settings: &BreakerSettings, looked: Duration, now: Now) -> Option<Change> {
        let time = |name: &str| kept.get(name).and_then(Value::as_i64).map(Timestamp::from_micros);
        let written_at = time("at_micros").unwrap_or(now.wall);
        let age = now.wall.since(written_at).min(looked);
        let ahead = |until: Timestamp, longest: Duration| now.mono + until.since(written_at).saturating_sub(age).min(longest);
        if let Some(failure) = kept.get("last_failure") {
            self.last_failure = serde_json::from_value(failure.clone()).ok().or(self.last_failure.take());
        }
        let number = |path: &str| kept.pointer(path).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        self.rounds = number("/rounds").unwrap_or(0);
        let pause = time("paused_until_micros").map(|until| ahead(until, MAX_PAUSE));
        // Of two pauses the longer one holds, for a provider asked for both.
        self.paused_until = self.paused_until.max(pause.filter(|until| *until > now.mono));
        let text = |name: &str| kept.pointer(&format!("/cause/{name}")).and_then(Value::as_str).unwrap_or_default();
        let cause = Cause::from_parts(text("word"), text("code"), text("detail"));
        let mode = match (cause, number("/half_open/successes"), time("until_micros")) {
            (Some(cause), Some(successes), _) => Mode::HalfOpen {
                cause,
                successes,
                asked: kept.pointer("/half_open/asked").and_then(Value::as_bool).unwrap_or(false),
            },
            (Some(cause), None, Some(until)) => Mode::Open {
                until: ahead(until, longest(&cause, settings)),
                cause,
            },
            (None, ..) | (Some(_), None, None) => Mode::Closed,
        };
        self.load_mode(mode)
    }

    /// A mode of the same kind replaces the details, and a probe that is out goes on. Another mode raises the generation, so that the
    /// outcome of the probe is dropped.
    fn load_mode(&mut self, mode: Mode) -> Option<Change> {
        match (&mut self.mode, mode) {
            (Mode::Closed, Mode::Closed) => None,
            (here @ Mode::Open { .. }, told @ Mode::Open { .. }) | (here @ Mode::HalfOpen { .. }, told @ Mode::HalfOpen { .. }) => {
                *here = told;
                None
            }
            (_, told) => {
                let reason = match &told {
                    Mode::Closed => "it was found well elsewhere".to_owned(),
                    Mode::Open { cause, .. } | Mode::HalfOpen { cause, .. } => cause.describe(),
                };
                Some(self.become_mode(told, reason))
            }
        }
    }
}

fn longest(cause: &Cause, settings: &BreakerSettings) -> Duration {
    match cause {
        Cause::Failures { .. } | Cause::Throttled | Cause::Probing => settings.open_max,
        Cause::Misconfigured { .. } => settings.misconfigured_max,
        Cause::Exhausted { .. } => MAX_EXHAUSTED,
    }
}
