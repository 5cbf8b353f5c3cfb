//! What one connection is doing, as the service, its stream and the door tell each other.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How long a stranger may take to send its body, or to take its answer, before its connection goes ahead of an idle caller's.
const SLOW: Duration = Duration::from_secs(1);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// It waits for a request, or for the rest of one's head.
    Idle,
    /// A request's body is being read.
    Reading,
    /// A request is being worked on.
    Working,
    /// A refusal is kept back.
    Withheld,
    /// An answer is being written.
    Answering,
    /// The door told it to go: it begins nothing any more.
    Leaving,
}

impl Stage {
    const ALL: [Self; 6] = [
        Self::Idle,
        Self::Reading,
        Self::Working,
        Self::Withheld,
        Self::Answering,
        Self::Leaving,
    ];

    fn of(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Leaving)
    }
}

/// In which order connections go; a smaller one goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    NeverAsked,
    IdleStranger,
    Withheld,
    SlowStranger,
    IdleCaller,
    StrangersBody,
}

/// What a connection is doing, since when, and for whom.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    stage: AtomicU8,
    /// When the request, the answer or the idle time began, in milliseconds since `start`. Bytes that drip are no merit.
    since: AtomicU64,
    start: Instant,
    /// The last request showed a valid key.
    is_known: AtomicBool,
    /// Requests that have come.
    requests: AtomicU64,
    /// A request came whose length can be read in two ways.
    pub(crate) ambiguous: AtomicBool,
}

impl ConnectionState {
    pub(crate) fn new(start: Instant) -> Self {
        let state = Self {
            stage: AtomicU8::new(Stage::Idle as u8),
            since: AtomicU64::new(0),
            start,
            is_known: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            ambiguous: AtomicBool::new(false),
        };
        state.begin_time();
        state
    }

    fn stage(&self) -> Stage {
        Stage::of(self.stage.load(Ordering::Acquire))
    }

    /// Goes on to that stage, unless the connection was told to go.
    fn enter(&self, stage: Stage) -> bool {
        let next = |now: u8| (now != Stage::Leaving as u8).then_some(stage as u8);
        self.stage.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }

    fn begin_time(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(now, Ordering::Relaxed);
    }

    /// Whether a request is in hand: read, worked on or answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.stage() != Stage::Idle
    }

    /// Notes that the head of a request has come; gives how many have, none if the connection was told to go.
    pub(crate) fn begin_request(&self) -> Option<u64> {
        self.is_known.store(false, Ordering::Release);
        self.begin_time();
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        self.enter(Stage::Working).then_some(before + 1)
    }

    /// Waits for something in that stage; what was waited for, unless the connection was told to go meanwhile.
    pub(crate) async fn wait<T>(&self, stage: Stage, wait: impl Future<Output = T>) -> Option<T> {
        if !self.enter(stage) {
            return None;
        }
        let come = wait.await;
        self.enter(Stage::Working).then_some(come)
    }

    /// Notes that the request has a valid key.
    pub(crate) fn is_a_callers(&self) {
        self.is_known.store(true, Ordering::Release);
    }

    /// Notes that the answer is there to be written.
    pub(crate) fn begin_answer(&self) {
        self.begin_time();
        self.enter(Stage::Answering);
    }

    /// Notes that all that was to be written is written.
    pub(crate) fn flushed(&self) {
        if self.stage() == Stage::Answering {
            self.begin_time();
            self.enter(Stage::Idle);
        }
    }

    /// Tells the connection to go; not if its rank has changed since it was looked at.
    pub(super) fn leave(&self, from: Stage) -> bool {
        let leaving = Stage::Leaving as u8;
        let left = self
            .stage
            .compare_exchange(from as u8, leaving, Ordering::AcqRel, Ordering::Acquire);
        left.is_ok()
    }

    /// When this one goes, and in which stage; none while its request is worked on or answered.
    pub(super) fn rank(&self) -> Option<((Rank, u64), Stage)> {
        let stage = self.stage();
        let since = self.since.load(Ordering::Relaxed);
        let is_known = self.is_known.load(Ordering::Acquire);
        let is_slow = self.start.elapsed().saturating_sub(Duration::from_millis(since)) >= SLOW;
        let rank = match (stage, is_known) {
            (Stage::Idle, _) if self.requests.load(Ordering::Relaxed) == 0 => Rank::NeverAsked,
            (Stage::Idle, false) => Rank::IdleStranger,
            (Stage::Idle, true) => Rank::IdleCaller,
            (Stage::Withheld, _) => Rank::Withheld,
            (Stage::Reading | Stage::Answering, false) if is_slow => Rank::SlowStranger,
            (Stage::Reading, false) => Rank::StrangersBody,
            (Stage::Reading | Stage::Answering | Stage::Working | Stage::Leaving, _) => return None,
        };
        Some(((rank, since), stage))
    }
}
