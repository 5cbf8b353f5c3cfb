//! What all connections share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fault_board::FaultBoard;
use crate::feedback::{Feedback, Report};
use crate::ids::Ids;
use crate::journal::Journal;
use crate::recorder::{Draft, Entry, Recorder};
use crate::stats::Counters;
use crate::{Error, FeedbackSettings, Mode, Provider};

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) faults: FaultBoard,
    pub(crate) recorder: Recorder,
    journal: Journal,
    pub(crate) ids: Ids,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) feedback: Arc<Feedback>,
    counters: [Arc<Counters>; 5],
}

impl World {
    /// Begins, within a runtime, with nothing received.
    pub(crate) fn new(journal: Journal, feedback: FeedbackSettings) -> Result<Self, Error> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let feedback = Feedback::start(feedback, &stop, &tasks)?;
        Ok(Self {
            faults: FaultBoard::default(),
            recorder: Recorder::default(),
            journal,
            ids: Ids::new(),
            stop,
            tasks,
            feedback,
            counters: std::array::from_fn(|_| Arc::default()),
        })
    }

    pub(crate) fn counters(&self, provider: Provider) -> &Arc<Counters> {
        &self.counters[provider.index()]
    }

    /// Keeps what was accepted and counts it; returns what is to be reported before the answer.
    pub(crate) fn record(&self, provider: Provider, drafts: Vec<Draft>) -> Vec<Report> {
        self.counters(provider).accepted(drafts.len());
        let mut urgent = Vec::new();
        for draft in drafts {
            urgent.extend(self.feedback.accepted(&draft));
            if self.journal.is_kept() {
                let entry = Entry::new(draft);
                self.journal.recorded(&entry.expand());
                self.recorder.record(entry.into_draft());
            } else {
                self.recorder.record(draft);
            }
        }
        urgent
    }

    /// Counts a request that a fault hits; a message that it turns away as a whole goes to the journal.
    pub(crate) fn struck(&self, provider: Provider, mode: Mode, is_whole: bool) {
        self.counters(provider).faulted();
        if is_whole && mode.keeps_nothing() {
            self.journal.refused(provider, mode);
        }
    }
}
