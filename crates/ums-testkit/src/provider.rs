//! A provider that answers by script and remembers what it was asked.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use ums_core::{Accepted, Call, Failure, FailureClass, Probe, Provider, ProviderKind};

/// One answer of the script.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Takes the message; the id is `<provider>-<n>`.
    Accept,
    /// Takes the message in this way.
    AcceptAs(Accepted),
    /// Fails with this.
    Fail(Failure),
    /// Fails with this class and the code `test`.
    FailAs(FailureClass),
    /// Panics, as a broken adapter would.
    Panic,
}

/// A provider that answers by script: the queued replies first, then the standing one.
pub struct FakeProvider<M> {
    kind: ProviderKind,
    local: bool,
    askable: Mutex<bool>,
    standing: Mutex<Reply>,
    queued: Mutex<VecDeque<Reply>>,
    probe: Mutex<Probe>,
    seen: Mutex<Vec<(M, Call)>>,
    gate: Semaphore,
    gated: Mutex<bool>,
    calls: AtomicUsize,
    probes: AtomicUsize,
    running: AtomicUsize,
    peak: AtomicUsize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<M: Clone> FakeProvider<M> {
    /// A provider that takes everything.
    pub fn new(kind: ProviderKind) -> Self {
        Self {
            kind,
            local: true,
            askable: Mutex::new(false),
            standing: Mutex::new(Reply::Accept),
            queued: Mutex::default(),
            probe: Mutex::new(Probe::NoAnswer),
            seen: Mutex::default(),
            gate: Semaphore::new(0),
            gated: Mutex::new(false),
            calls: AtomicUsize::new(0),
            probes: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        }
    }

    /// A provider whose endpoint is not on this machine.
    #[must_use]
    pub fn remote(mut self) -> Self {
        self.local = false;
        self
    }

    /// Answers so from now on.
    pub fn answer(&self, reply: Reply) {
        *locked(&self.standing) = reply;
    }

    /// Answers so once, before the standing answer.
    pub fn answer_once(&self, reply: Reply) {
        locked(&self.queued).push_back(reply);
    }

    /// Whether it can be asked without sending.
    pub fn can_be_asked(&self, can: bool) {
        *locked(&self.askable) = can;
    }

    /// Answers so when asked without sending.
    pub fn answer_probe(&self, probe: Probe) {
        *locked(&self.probe) = probe;
    }

    /// Lets no call end until [`FakeProvider::release`] is called for it.
    pub fn hold(&self) {
        *locked(&self.gated) = true;
    }

    /// Lets that many held calls end.
    pub fn release(&self, calls: usize) {
        self.gate.add_permits(calls);
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// How often it was asked without sending.
    pub fn probes(&self) -> usize {
        self.probes.load(Ordering::SeqCst)
    }

    /// Most calls at the same time.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }

    /// Calls that have begun and not ended.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// What it was handed, in order.
    pub fn seen(&self) -> Vec<(M, Call)> {
        locked(&self.seen).clone()
    }
}

impl<M> fmt::Debug for FakeProvider<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FakeProvider({})", self.kind)
    }
}

/// Counts a call as ended when it is dropped, too.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl<M: Clone + Send + Sync> Provider<M> for FakeProvider<M> {
    fn kind(&self) -> ProviderKind {
        self.kind
    }

    fn is_local(&self) -> bool {
        self.local
    }

    fn can_be_asked(&self) -> bool {
        *locked(&self.askable)
    }

    #[expect(clippy::panic, reason = "a scripted panic is what the test asks for")]
    async fn send(&self, message: &M, call: &Call) -> Result<Accepted, Failure> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let at_once = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let _running = Running(&self.running);
        self.peak.fetch_max(at_once, Ordering::SeqCst);
        locked(&self.seen).push((message.clone(), *call));
        let gated = *locked(&self.gated);
        if gated && let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
        let queued = locked(&self.queued).pop_front();
        let reply = queued.unwrap_or_else(|| locked(&self.standing).clone());
        match reply {
            Reply::Accept => Ok(Accepted::new(format!("{}-{number}", self.kind))),
            Reply::AcceptAs(accepted) => Ok(accepted),
            Reply::Fail(failure) => Err(failure),
            Reply::FailAs(class) => Err(Failure::provider(class, "test", "as the script says")),
            Reply::Panic => panic!("as the script says"),
        }
    }

    async fn probe(&self) -> Probe {
        self.probes.fetch_add(1, Ordering::SeqCst);
        locked(&self.probe).clone()
    }
}
