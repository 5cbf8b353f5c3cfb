//! What all processes share: time, chance, the store, the providers, and the record of what happened.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use ums_core::{Accepted, AttemptId, Boot, Clock, Failure, FailureClass, MessageId, Monotonic, ProviderKind, Timestamp};

use super::answers::Mood;
use super::cast::Set;
use super::chance::{Chance, mix};
use super::ledger::Ledger;

use super::reports::Reports;

/// Where the wall clock starts: 2026-11-22T10:00:00Z.
const START_MICROS: i64 = 1_795_341_600_000_000;
/// One second in the unit of the simulation.
pub(crate) const SECOND: u64 = 1_000_000;

/// By how much a process's clock may be wrong without being noticed, in microseconds.
pub(crate) const NEAR: u64 = 30 * SECOND;
/// One day.
pub(crate) const DAY: u64 = 24 * 3_600 * SECOND;

/// Something that will happen to the world.
pub(crate) type Happening = Box<dyn FnOnce(&mut World) + Send>;

/// An event in the order of its time, then of its making.
struct Event {
    at: u64,
    number: u64,
    happening: Happening,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// How the store behaves; shares of 1,000 calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Calls that wait before or after their write.
    pub(crate) delayed: u64,
    /// Calls whose answer is lost.
    pub(crate) lost: u64,
    /// Calls that are refused.
    pub(crate) refused: u64,
    /// Whether every call is refused.
    pub(crate) out: bool,
}

/// What the process that called was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing yet.
    Nothing,
    /// Taken, but for those.
    Taken(Set),
    /// Refused, or nobody knows; those were refused by name.
    Failed(FailureClass, Set),
}

/// One call to a provider.
#[derive(Clone, Debug)]
pub(crate) struct CallMade {
    pub(crate) attempt: AttemptId,
    /// The process and its incarnation.
    pub(crate) by: (usize, u64),
    pub(crate) recipients: Set,
    pub(crate) told: Told,
    /// Whether the provider has it, and for whom.
    pub(crate) arrived: Set,
}

impl CallMade {
    /// Those of whom the process was told that the provider did not take the message for them.
    pub(crate) fn surely_refused(&self) -> Set {
        match self.told {
            Told::Nothing => 0,
            Told::Taken(refused) => refused,
            Told::Failed(class, by_name) if class.may_have_been_accepted() => by_name,
            Told::Failed(..) => self.recipients,
        }
    }
}

/// What is known of the callers' side of a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Callers {
    /// Messages that were accepted with a 2xx.
    pub(crate) accepted: Vec<MessageId>,
    /// The message that was answered for a key.
    pub(crate) keys: BTreeMap<u64, MessageId>,
    /// How many keys were made up.
    pub(crate) made: u64,
}

/// How much happened, to show that a run is no walk in the park.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) messages: u64,
    pub(crate) calls: u64,
    pub(crate) crashes: u64,
    pub(crate) fenced: u64,
    pub(crate) lost_answers: u64,
    pub(crate) unknown: u64,
    /// Calls that the suppression list forbade.
    pub(crate) opted_out: u64,
    /// Events that became part of a message's story.
    pub(crate) reports: u64,
    /// Messages that a provider took for some of their recipients.
    pub(crate) partly: u64,
    /// Recipients that a provider took in a transaction of their own, after it had taken the message for others.
    pub(crate) next_transactions: u64,
}

impl Tally {
    /// Adds another run's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.messages += other.messages;
        self.calls += other.calls;
        self.crashes += other.crashes;
        self.fenced += other.fenced;
        self.lost_answers += other.lost_answers;
        self.unknown += other.unknown;
        self.opted_out += other.opted_out;
        self.reports += other.reports;
        self.partly += other.partly;
        self.next_transactions += other.next_transactions;
    }
}

/// All that is shared.
pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) ledger: Ledger,
    pub(crate) weather: Weather,
    pub(crate) moods: [Mood; 3],
    /// How many of 1,000 calls each provider takes for some of their recipients only.
    pub(crate) picky: [u64; 3],
    /// Whether they do so to the end.
    pub(crate) stays_picky: bool,
    /// The recipients that a provider takes in its next transaction.
    pub(crate) promised: BTreeSet<(ProviderKind, MessageId, Set)>,
    /// Whether a provider ever gave a breaker reason to open.
    pub(crate) blamed: [bool; 3],
    pub(crate) calls: BTreeMap<MessageId, Vec<CallMade>>,
    pub(crate) callers: Callers,
    pub(crate) reports: Reports,
    pub(crate) tally: Tally,
    /// The first thing that must not be.
    pub(crate) violation: Option<String>,
    /// The story, when it is wanted.
    pub(crate) story: Option<Vec<String>>,
    /// Calls that are never answered.
    unanswered: Vec<oneshot::Sender<Result<Accepted, Failure>>>,
    woken: u64,
    hash: u64,
    time: Arc<AtomicU64>,
    events: BinaryHeap<Reverse<Event>>,
    made: u64,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World({} s)", self.now() / SECOND)
    }
}

impl World {
    /// An empty world.
    pub(crate) fn new(chance: Chance, ledger: Ledger, tells: bool) -> Self {
        Self {
            chance,
            ledger,
            weather: Weather::default(),
            moods: [Mood::Well; 3],
            picky: [0; 3],
            stays_picky: false,
            promised: BTreeSet::new(),
            blamed: [false; 3],
            calls: BTreeMap::new(),
            callers: Callers::default(),
            reports: Reports::default(),
            tally: Tally::default(),
            violation: None,
            story: tells.then(Vec::new),
            unanswered: Vec::new(),
            woken: 0,
            hash: 0,
            time: Arc::default(),
            events: BinaryHeap::new(),
            made: 0,
        }
    }

    /// Microseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    /// The true wall time.
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp::from_micros(START_MICROS) + Duration::from_micros(self.now())
    }

    /// Has something happen later.
    pub(crate) fn later(&mut self, wait: u64, happening: Happening) {
        self.made += 1;
        let event = Event {
            at: self.now() + wait,
            number: self.made,
            happening,
        };
        self.events.push(Reverse(event));
    }

    /// When the next thing happens.
    pub(crate) fn next_event(&self) -> Option<u64> {
        self.events.peek().map(|event| event.0.at)
    }

    /// Moves the time to `at`, which is not later than the next event, and lets happen what is due.
    pub(crate) fn move_to(&mut self, at: u64) {
        self.time.fetch_max(at, Ordering::Relaxed);
        while self.next_event().is_some_and(|next| next <= self.now()) {
            let Some(Reverse(event)) = self.events.pop() else { return };
            (event.happening)(self);
        }
    }

    /// Answers no call that hangs before everything is healed.
    pub(crate) fn keep_open(&mut self, tell: oneshot::Sender<Result<Accepted, Failure>>) {
        self.unanswered.push(tell);
    }

    /// Ends all calls that hang.
    pub(crate) fn hang_up(&mut self) {
        for call in self.unanswered.drain(..) {
            // The process may be gone.
            drop(call.send(Err(Failure::transport(FailureClass::Unknown, "timeout", ""))));
        }
    }

    /// Notes that a process has something to do now.
    pub(crate) fn wake(&mut self, process: usize) {
        self.woken |= 1 << process;
    }

    /// The processes that have something to do now, as bits; they are told once.
    pub(crate) fn woken(&mut self) -> u64 {
        std::mem::take(&mut self.woken)
    }

    /// Notes what happened: always into the hash, into the story when it is wanted.
    pub(crate) fn note(&mut self, facts: [u64; 3], tell: impl FnOnce() -> String) {
        let mut hash = mix(self.hash ^ self.now());
        for fact in facts {
            hash = mix(hash ^ fact).wrapping_add(fact);
        }
        self.hash = hash;
        if self.story.is_some() {
            let now = self.now();
            let line = format!("{:>4}.{:06} {}", now / SECOND, now % SECOND, tell());
            self.story.get_or_insert_default().push(line);
        }
    }

    /// Notes that something happened that must not.
    pub(crate) fn blame(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            let what = what();
            self.note([u64::MAX, 0, 0], || format!("VIOLATION: {what}"));
            self.violation = Some(what);
        }
    }

    /// The hash of all that happened.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}

/// The world, as the ports hold it.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    world: Arc<Mutex<World>>,
    time: Arc<AtomicU64>,
}

impl Shared {
    /// Shares a world.
    pub(crate) fn new(world: World) -> Self {
        Self {
            time: world.time.clone(),
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// The world, for a moment; never over an await.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Microseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }
}

/// A process's clocks: its wall clock may be wrong.
#[derive(Debug)]
pub(crate) struct ProcessClock {
    time: Arc<AtomicU64>,
    wrong_by: AtomicI64,
}

impl ProcessClock {
    /// A clock that is right.
    pub(crate) fn new(shared: &Shared) -> Self {
        Self {
            time: shared.time.clone(),
            wrong_by: AtomicI64::new(0),
        }
    }

    /// Sets by how many microseconds the wall clock is ahead.
    pub(crate) fn jump(&self, wrong_by: i64) {
        self.wrong_by.store(wrong_by, Ordering::Relaxed);
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.time.load(Ordering::Relaxed)).unwrap();
        Timestamp::from_micros(START_MICROS + elapsed + self.wrong_by.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_start(Duration::from_micros(self.time.load(Ordering::Relaxed)))
    }

    fn boot(&self) -> Option<Boot> {
        Some(Boot {
            id: "the machine of all processes".to_owned(),
            up: self.monotonic().since_start(),
        })
    }
}

/// An id as a number for the hash.
pub(crate) fn number_of(id: MessageId) -> u64 {
    let (high, low) = id.as_uuid().as_u64_pair();
    high ^ low
}

/// The end of an id, which is enough to tell ids apart in a story.
pub(crate) fn short(id: impl fmt::Display) -> String {
    let text = id.to_string();
    text.get(text.len().saturating_sub(6)..).unwrap_or(&text).to_owned()
}
