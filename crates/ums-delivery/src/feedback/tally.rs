//! Counts what became of events.

use crate::observer::{FeedbackEnd, FeedbackSeen, Observer};
use crate::parking::Item;

/// Number of events of a batch, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedbackTally {
    /// Events that are part of the story of their message.
    pub applied: u64,
    /// Events that were known already.
    pub known: u64,
    /// Events that wait for their message.
    pub parked: u64,
}

impl FeedbackTally {
    pub(super) fn add(&mut self, other: Self) {
        self.applied += other.applied;
        self.known += other.known;
        self.parked += other.parked;
    }

    pub(super) fn count(&mut self, observer: &dyn Observer, item: &Item, end: FeedbackEnd) {
        match end {
            FeedbackEnd::Applied => self.applied += 1,
            FeedbackEnd::Known => self.known += 1,
            FeedbackEnd::Parked => self.parked += 1,
        }
        if item.looks == 0 || end == FeedbackEnd::Applied {
            let event = &item.record.event;
            observer.feedback(&FeedbackSeen {
                provider: event.provider,
                kind: event.kind,
                end,
            });
        }
    }
}
