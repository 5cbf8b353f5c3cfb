//! Where the engine meets the world: clock, chance, store, whoever counts; and the tasks with the signals that end them.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ums_core::{Clock, Random, Store};

use crate::observer::Observer;

/// What every caretaker and driver may use.
pub(crate) struct Ports {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) observer: Arc<dyn Observer>,
    /// Tasks that a shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// Nothing new is accepted or claimed.
    pub(crate) closing: CancellationToken,
    /// The wait of the shutdown is over: no call starts, and no commit is repeated.
    pub(crate) ended: CancellationToken,
}

impl Ports {
    pub(crate) fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>, store: Arc<dyn Store>, observer: Arc<dyn Observer>) -> Self {
        Self {
            clock,
            random,
            store,
            observer,
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
