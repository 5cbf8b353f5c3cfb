//! What all connections share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fault_board::FaultBoard;
use crate::ids::Ids;
use crate::journal::Journal;
use crate::recorder::{Draft, Entry, Recorder};
use crate::stats::Counters;
use crate::{Mode, Provider};

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) faults: FaultBoard,
    pub(crate) recorder: Recorder,
    journal: Journal,
    pub(crate) ids: Ids,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    counters: [Arc<Counters>; 5],
}

impl World {
    pub(crate) fn new(journal: Journal) -> Self {
        Self {
            faults: FaultBoard::default(),
            recorder: Recorder::default(),
            journal,
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
            if self.journal.is_kept() {
                let entry = Entry::new(draft);
                self.journal.recorded(&entry.expand());
                self.recorder.record(entry.into_draft());
            } else {
                self.recorder.record(draft);
            }
        }
    }

    /// Counts a request that a fault hits; a message that it turns away goes to the journal.
    pub(crate) fn struck(&self, provider: Provider, mode: Mode, is_send: bool) {
        self.counters(provider).faulted();
        if is_send && mode.keeps_nothing() {
            self.journal.refused(provider, mode);
        }
    }
}
