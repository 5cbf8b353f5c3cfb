//! What all connections share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Provider;
use crate::fault_board::FaultBoard;
use crate::ids::Ids;
use crate::recorder::{Draft, Recorder};
use crate::stats::Counters;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) faults: FaultBoard,
    pub(crate) recorder: Recorder,
    pub(crate) ids: Ids,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    counters: [Arc<Counters>; 5],
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            faults: FaultBoard::default(),
            recorder: Recorder::default(),
            ids: Ids::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            counters: std::array::from_fn(|_| Arc::default()),
        }
    }

    pub(crate) fn counters(&self, provider: Provider) -> &Arc<Counters> {
        &self.counters[provider.index()]
    }

    /// Keeps what was accepted and counts it.
    pub(crate) fn record(&self, provider: Provider, drafts: Vec<Draft>) {
        self.counters(provider).accepted(drafts.len());
        for draft in drafts {
            self.recorder.record(draft);
        }
    }
}
