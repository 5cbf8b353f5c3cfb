//! One process: an engine on a paused runtime of its own, which can be crashed, paused and started again.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use ums_core::{BreakerStateWord, Clock as _, Email, OnExhausted};
use ums_delivery::{
    AttemptEvent, BreakerEvent, BreakerSettings, Expiry, FeedbackWait, LinkParts, Messaging, Observer, PaceSettings, Parts, Price,
    RetrySchedule, Rules, SettledEvent,
};

use super::cast;
use super::chance::ProcessChance;
use super::mutants::{self, Mutant};
use super::provider::SimProvider;
use super::store::SimStore;
use super::world::{ProcessClock, Shared};

/// What holds for all processes of one run.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) seed: u64,
    pub(crate) processes: usize,
    pub(crate) max_in_flight: usize,
    pub(crate) pace: PaceSettings,
    pub(crate) on_exhausted: Option<OnExhausted>,
    /// How many providers the chain has.
    pub(crate) providers: usize,
    /// A fault that the engine seems to have.
    pub(crate) mutant: Option<Mutant>,
}

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Runs.
    Up,
    /// Is stopped until then, as by SIGSTOP.
    Paused(u64),
    /// Is dead.
    Down,
}

/// A process.
pub(crate) struct Process {
    pub(crate) number: usize,
    pub(crate) standing: Standing,
    pub(crate) clock: Arc<ProcessClock>,
    shared: Shared,
    incarnation: u64,
    body: Option<Body>,
}

/// What dies with a process.
struct Body {
    runtime: Runtime,
    idle: Arc<Idle>,
    engine: Arc<Mutex<Started>>,
    /// How far the runtime's own clock is.
    at: u64,
}

/// What became of a start.
enum Started {
    Waiting,
    Engine(Messaging),
    Failed,
}

impl Process {
    /// A process that was never started.
    pub(crate) fn new(number: usize, shared: &Shared) -> Self {
        Self {
            number,
            standing: Standing::Down,
            clock: Arc::new(ProcessClock::new(shared)),
            shared: shared.clone(),
            incarnation: 0,
            body: None,
        }
    }

    /// Starts an engine.
    pub(crate) fn start(&mut self, setting: &Setting) {
        self.incarnation += 1;
        let id = (self.number, self.incarnation);
        let idle = Arc::new(Idle::default());
        let parked = idle.clone();
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .on_thread_park(move || parked.parked())
            .build()
            .unwrap();
        let engine = Arc::new(Mutex::new(Started::Waiting));
        let (slot, parts) = (engine.clone(), self.parts(setting, id));
        runtime.spawn(async move {
            let started = Messaging::start(parts).await;
            *slot.lock().unwrap() = started.map_or(Started::Failed, Started::Engine);
        });
        self.shared
            .lock()
            .note([20, self.number as u64, self.incarnation], || format!("process {id:?} starts"));
        self.body = Some(Body {
            runtime,
            idle,
            engine,
            at: self.shared.now(),
        });
        self.standing = Standing::Up;
    }

    fn parts(&self, setting: &Setting, id: (usize, u64)) -> Parts {
        let store = Arc::new(SimStore::open(&self.shared, id, setting.processes == 1));
        let link = |kind| LinkParts::<Email> {
            provider: mutants::provider(
                setting.mutant,
                SimProvider {
                    kind,
                    shared: self.shared.clone(),
                    store: store.clone(),
                    process: id,
                },
            ),
            breaker: breaker(),
            pace: setting.pace,
            price: Price::Free,
            fingerprint: ums_delivery::Fingerprint::default(),
        };
        let seed = setting.seed ^ ((self.number as u64) << 56) ^ (self.incarnation << 40);
        Parts {
            clock: mutants::clock(setting.mutant, self.clock.clone()),
            random: Arc::new(ProcessChance::new(seed)),
            observer: Arc::new(Watch {
                shared: self.shared.clone(),
                process: id,
            }),
            email: cast::CHAIN
                .into_iter()
                .skip(cast::CHAIN.len() - setting.providers)
                .map(link)
                .collect(),
            // Text messages would only add a walk of the same code, and a thread that reads numbering plans.
            sms: Vec::new(),
            troubles: ums_core::Troubles::default(),
            aftermath: ums_delivery::Aftermath::default(),
            not_configured: Vec::new(),
            rules: rules(setting),
            store: mutants::store(setting.mutant, store),
        }
    }

    /// Ends it between two polls: nothing that it had in hand goes on.
    pub(crate) fn crash(&mut self) {
        self.shared
            .lock()
            .note([21, self.number as u64, 0], || format!("process {} dies", self.number));
        self.body = None;
        self.standing = Standing::Down;
    }

    /// The engine, once it has started.
    pub(crate) fn engine(&self) -> Option<Messaging> {
        let body = self.body.as_ref().filter(|_| self.standing == Standing::Up)?;
        match &*body.engine.lock().unwrap() {
            Started::Engine(engine) => Some(engine.clone()),
            Started::Waiting | Started::Failed => None,
        }
    }

    /// Has the process do something beside its own work.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(body) = &self.body {
            // It ends with the process; nobody waits for it.
            drop(body.runtime.spawn(work));
        }
    }

    /// Sets its wall clock wrong.
    pub(crate) fn jump(&self, wrong_by: i64) {
        self.clock.jump(wrong_by);
        let wall = self.clock.now();
        self.shared.lock().note([22, self.number as u64, wrong_by.unsigned_abs()], || {
            format!("process {} thinks it is {wall}", self.number)
        });
    }

    /// Lets everything that can go on go on, at the present time.
    pub(crate) fn run(&mut self) {
        let now = self.shared.now();
        if let Standing::Paused(until) = self.standing {
            if until > now {
                return;
            }
            self.shared
                .lock()
                .note([23, self.number as u64, 0], || format!("process {} goes on", self.number));
            self.standing = Standing::Up;
        }
        let Some(body) = &mut self.body else { return };
        let passed = Duration::from_micros(now - body.at);
        body.at = now;
        body.idle.reset();
        let idle = body.idle.clone();
        body.runtime.block_on(async move {
            if !passed.is_zero() {
                tokio::time::advance(passed).await;
            }
            UntilIdle(idle).await;
        });
        if matches!(*body.engine.lock().unwrap(), Started::Failed) {
            self.crash();
        }
    }
}

/// Counts how often the runtime had nothing to do.
#[derive(Debug, Default)]
struct Idle {
    parks: AtomicUsize,
    driver: Mutex<Option<Waker>>,
}

impl Idle {
    fn reset(&self) {
        self.parks.store(0, Ordering::Relaxed);
    }

    /// The runtime is about to sleep: it must not, the world's time is not its own to move.
    fn parked(&self) {
        self.parks.fetch_add(1, Ordering::Relaxed);
        if let Some(driver) = &*self.driver.lock().unwrap() {
            driver.wake_by_ref();
        }
    }
}

/// Ready when no task can go on. The first time that the runtime has nothing to do it looks at its timers, so it takes two.
struct UntilIdle(Arc<Idle>);

impl Future for UntilIdle {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0.parks.load(Ordering::Relaxed) >= 2 {
            return Poll::Ready(());
        }
        *self.0.driver.lock().unwrap() = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Short waits, so that a run need not cover hours.
fn breaker() -> BreakerSettings {
    BreakerSettings {
        open: Duration::from_secs(5),
        open_max: Duration::from_secs(20),
        misconfigured: Duration::from_secs(10),
        misconfigured_max: Duration::from_secs(30),
        exhausted: Duration::from_secs(30),
        ..BreakerSettings::default()
    }
}

fn rules(setting: &Setting) -> Rules {
    let spans = |seconds: &[u64]| seconds.iter().copied().map(Duration::from_secs).collect();
    Rules {
        on_exhausted: setting.on_exhausted,
        retry: RetrySchedule {
            waits: spans(&[2, 5, 10, 20]),
            otp_waits: spans(&[1, 2, 5]),
        },
        expiry: Expiry {
            otp: Duration::from_mins(1),
            transactional: Duration::from_mins(4),
            bulk: Duration::from_mins(5),
        },
        feedback_wait: FeedbackWait {
            otp: Duration::ZERO,
            transactional: Duration::from_secs(5),
            bulk: Duration::from_secs(20),
        },
        max_in_flight: setting.max_in_flight,
        ..Rules::default()
    }
}

/// Watches one process's breakers.
#[derive(Debug)]
struct Watch {
    shared: Shared,
    process: (usize, u64),
}

impl Observer for Watch {
    fn attempt(&self, _: &AttemptEvent) {}

    fn breaker(&self, event: &BreakerEvent<'_>) {
        let mut world = self.shared.lock();
        let place = cast::place_of(event.provider);
        world.note([30, place as u64, event.to as u64], || {
            format!(
                "process {:?}: breaker of {} is {}, {}",
                self.process,
                event.provider,
                event.to.as_str(),
                event.reason
            )
        });
        if event.to == BreakerStateWord::Open && !world.blamed[place] {
            world.blame(|| format!("recipients alone opened the breaker of {}", event.provider));
        }
    }

    fn settled(&self, _: &SettledEvent) {}
}
