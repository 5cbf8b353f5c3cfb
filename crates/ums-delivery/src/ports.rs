//! The ports of the engine: clock, random numbers, store, observer; and its tasks with the signals that end them.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ums_core::{Clock, Random, Store};

use crate::observer::Observer;
use crate::shortages::Shortages;

/// The ports and tasks that caretakers and drivers share.
pub(crate) struct Ports {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) observer: Arc<dyn Observer>,
    /// What our own machine lacks.
    pub(crate) shortages: Shortages,
    /// What ails this process or its machine.
    pub(crate) troubles: Troubles,
    /// Tasks that a shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// The shutdown has begun: this process accepts and claims no more messages.
    pub(crate) closing: CancellationToken,
    /// The wait of the shutdown is over: no call starts, and no commit is tried again.
    pub(crate) ended: CancellationToken,
}

impl Ports {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        store: Arc<dyn Store>,
        observer: Arc<dyn Observer>,
        shortages: Shortages,
    ) -> Self {
        Self {
            clock,
            random,
            store,
            observer,
            shortages,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ports({:?})", self.store)
    }
}
