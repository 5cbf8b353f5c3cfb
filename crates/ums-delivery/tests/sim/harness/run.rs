//! One seed from start to judgement.

use std::num::NonZeroU32;
use std::time::Duration;

use ums_core::{Clock as _, KeptTime, MessageId, OnExhausted};
use ums_delivery::{Messaging, PaceSettings};

use super::actions::{self, Request};
use super::answers::Mood;
use super::chance::Chance;
use super::judge;
use super::ledger::{Flaw, Ledger};
use super::mutants::Mutant;
use super::process::{Process, Setting, Standing};
use super::reports;
use super::world::{Callers, ProcessClock, SECOND, Shared, Tally, Weather, World, short};

/// Longest that time passes without anybody being looked at.
const STRIDE: u64 = 5 * SECOND;

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Decides everything.
    pub(crate) seed: u64,
    /// How many steps the stormy act has.
    pub(crate) steps: u64,
    /// A rule that the store breaks.
    pub(crate) flaw: Option<Flaw>,
    /// A fault that the engine seems to have.
    pub(crate) mutant: Option<Mutant>,
    /// Whether the story is wanted.
    pub(crate) tells: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The first thing that must not be.
    pub(crate) violation: Option<String>,
    /// Of all that happened; equal for equal seeds.
    pub(crate) hash: u64,
    /// What happened, when it was wanted.
    pub(crate) story: Vec<String>,
    /// How much happened.
    pub(crate) tally: Tally,
}

/// Everybody.
pub(crate) struct Stage {
    pub(crate) shared: Shared,
    pub(crate) setting: Setting,
    pub(crate) processes: Vec<Process>,
    /// Requests with a key, which may be repeated.
    pub(crate) requests: Vec<Request>,
}

/// Runs a seed.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let mut stage = Stage::new(plan);
    let menu = actions::menu(&stage);
    for _ in 0..plan.steps {
        if stage.over() {
            break;
        }
        let action = stage.shared.lock().chance.weighted(&menu);
        actions::perform(&mut stage, action);
        let wait = some_time(&mut stage.shared.lock().chance);
        stage.pass(wait);
        stage.shared.lock().tally.steps += 1;
    }
    stage.heal();
    stage.calm();
    if !stage.over() {
        judge::judge(&mut stage.shared.lock());
    }
    stage.end()
}

fn some_time(chance: &mut Chance) -> u64 {
    let (low, high) = chance.weighted(&[
        (50, (0, 1)),
        (25, (1, SECOND / 5)),
        (15, (SECOND / 5, 3 * SECOND)),
        (8, (3 * SECOND, 15 * SECOND)),
        (2, (15 * SECOND, 80 * SECOND)),
    ]);
    chance.between(low, high)
}

impl Stage {
    fn new(plan: &Plan) -> Self {
        let mut chance = Chance::new(plan.seed);
        let (seed, processes) = (chance.next(), chance.weighted(&[(2, 1), (5, 2), (3, 3)]));
        // Processes that share a pace wait for blocks of it on a channel that wakes its waiters in an order of real chance.
        let paced = processes == 1 && chance.happens(400);
        let setting = Setting {
            seed,
            processes,
            max_in_flight: chance.pick(&[3, 6, 12, 64]),
            pace: PaceSettings {
                per_second: paced.then_some(NonZeroU32::MIN.saturating_add(4)),
                per_day: None,
            },
            on_exhausted: chance.weighted(&[(4, None), (1, Some(OnExhausted::Fail)), (2, Some(OnExhausted::Hold))]),
            providers: chance.weighted(&[(2, 1), (2, 2), (5, 3)]),
            mutant: plan.mutant,
        };
        let picky = [[0, 0, 100, 400], [0, 0, 200, 600], [0, 200, 500, 900]].map(|shares| chance.pick(&shares));
        let mut world = World::new(chance, Ledger::new(plan.flaw), plan.tells);
        world.picky = picky;
        world.stays_picky = world.chance.happens(300);
        world.reports.reporting = world.chance.happens(600);
        world.note([0, plan.seed, 0], || format!("seed {} with {setting:?}", plan.seed));
        let shared = Shared::new(world);
        let clock = ProcessClock::new(&shared);
        // As an earlier process would have left it.
        shared.lock().ledger.kept_time = Some(KeptTime {
            trusted: clock.now(),
            boot: clock.boot(),
            steady: Duration::ZERO,
        });
        let mut processes: Vec<_> = (0..setting.processes).map(|number| Process::new(number, &shared)).collect();
        for process in &mut processes {
            process.start(&setting);
            process.run();
        }
        Self {
            shared,
            setting,
            processes,
            requests: Vec::new(),
        }
    }

    fn over(&self) -> bool {
        self.shared.lock().violation.is_some()
    }

    /// One of the processes for which that holds.
    pub(crate) fn any(&self, holds: impl Fn(&Process) -> bool) -> Option<usize> {
        let found: Vec<_> = self
            .processes
            .iter()
            .filter(|process| holds(process))
            .map(|process| process.number)
            .collect();
        (!found.is_empty()).then(|| self.shared.lock().chance.pick(&found))
    }

    /// One of the engines that run.
    pub(crate) fn any_engine(&self) -> Option<(usize, Messaging)> {
        let process = self.any(|process| process.engine().is_some())?;
        self.processes[process].engine().map(|engine| (process, engine))
    }

    /// Lets time pass, with all that happens meanwhile.
    pub(crate) fn pass(&mut self, time: u64) {
        let end = self.shared.now() + time;
        loop {
            let (woken, rest) = {
                let mut world = self.shared.lock();
                let stride = end.min(world.now() + STRIDE);
                let stop = world.next_event().map_or(stride, |next| next.min(stride)).max(world.now());
                world.move_to(stop);
                let at_stride = stop == stride;
                (if at_stride { u64::MAX } else { world.woken() }, end - stop)
            };
            for process in &mut self.processes {
                if woken & (1 << process.number) != 0 {
                    process.run();
                }
            }
            reports::deliver(self);
            if rest == 0 || self.over() {
                return;
            }
        }
    }

    /// Mends everything.
    fn heal(&mut self) {
        {
            let mut world = self.shared.lock();
            world.note([80, 0, 0], || "everything is healed".to_owned());
            world.weather = Weather::default();
            world.moods = [Mood::Well; 3];
            if !world.stays_picky {
                world.picky = [0; 3];
            }
            world.hang_up();
        }
        for process in &mut self.processes {
            process.jump(0);
            if matches!(process.standing, Standing::Paused(_)) {
                process.standing = Standing::Paused(0);
            }
        }
        self.revive();
    }

    /// Starts what is down, as somebody would: a start that failed because the store was away is tried again.
    fn revive(&mut self) {
        for process in &mut self.processes {
            if process.standing == Standing::Down {
                process.start(&self.setting);
            }
            process.run();
        }
    }

    /// Lets time pass until every message must have ended.
    fn calm(&mut self) {
        // Leases end, what was lost is given back, breakers close.
        for _ in 0..36 {
            if self.over() || (self.all_ended() && self.shared.lock().next_event().is_none()) {
                break;
            }
            self.revive();
            self.pass(STRIDE);
        }
        if !self.over() {
            judge::nothing_is_stuck(&mut self.shared.lock());
        }
        for _ in 0..60 {
            if self.over() || self.all_ended() {
                break;
            }
            // Straight to the next that is due, if it is far away: as if the machine had slept.
            let wait = {
                let world = self.shared.lock();
                let next = world.ledger.next_due().map_or(0, |next| next.since(world.wall()).as_micros());
                u64::try_from(next).unwrap()
            };
            if wait > 120 * SECOND {
                self.jump(wait - 100 * SECOND);
            }
            self.pass(4 * STRIDE);
        }
        // Reports may be on their way, or were parked by a process whose clock was an hour ahead.
        for round in 0..40 {
            if self.over() || !reports::anything_is_missing(&self.shared.lock()) {
                break;
            }
            if round >= 10 {
                self.jump(600 * SECOND);
            }
            self.pass(4 * STRIDE);
        }
    }

    /// Moves the time at once.
    fn jump(&mut self, time: u64) {
        {
            let mut world = self.shared.lock();
            let end = world.now() + time;
            while let Some(next) = world.next_event().filter(|next| *next <= end) {
                world.move_to(next);
            }
            world.move_to(end);
        }
        self.pass(0);
    }

    fn all_ended(&self) -> bool {
        let world = self.shared.lock();
        world.ledger.rows.values().all(|row| row.record.has_ended())
    }

    fn end(mut self) -> Outcome {
        self.processes.clear();
        let mut world = self.shared.lock();
        let rows = world.ledger.rows.values();
        let unknown = rows.map(|row| row.record.unknown_attempts().count()).sum::<usize>();
        world.tally.unknown = unknown as u64;
        Outcome {
            violation: world.violation.take(),
            hash: world.hash(),
            story: world.story.take().unwrap_or_default(),
            tally: world.tally,
        }
    }
}

impl World {
    /// A caller was told that a message is accepted.
    pub(crate) fn accepted(&mut self, id: MessageId, key: Option<u64>) {
        if !self.ledger.rows.contains_key(&id) {
            self.blame(|| format!("{} was accepted and is not stored", short(id)));
        }
        if !self.callers.accepted.contains(&id) {
            self.callers.accepted.push(id);
        }
        if let Some(key) = key {
            let first = *self.callers.keys.entry(key).or_insert(id);
            if first != id {
                self.blame(|| format!("key {key} made two messages, {} and {}", short(first), short(id)));
            }
        }
    }
}

impl Callers {
    /// A key that nobody has used.
    pub(crate) fn made_key(&mut self) -> u64 {
        self.made += 1;
        self.made
    }
}
