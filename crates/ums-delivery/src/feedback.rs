//! What providers report becomes events in a message's story, a status, and entries of the suppression list.

mod lift;
mod matching;
pub(crate) mod parking;
pub(crate) mod polling;
mod says;
mod take;

use ums_core::{Event, StoreError};

pub(crate) use self::lift::happened_at;
pub(crate) use self::says::Says;

use crate::engine::Messaging;

/// What became of a batch of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedbackTally {
    /// Events that were applied to their message, or had no more to be done with.
    pub applied: u64,
    /// Events that were known already.
    pub known: u64,
    /// Events that wait for their message.
    pub parked: u64,
}

impl Messaging {
    /// Takes events of providers that were found genuine. When this returns all of them are on stable storage.
    ///
    /// # Errors
    /// The store; the provider should tell them again then. What was kept already is known the second time.
    pub async fn take_feedback(&self, events: Vec<Event>) -> Result<FeedbackTally, StoreError> {
        take::take(&self.flow, events).await
    }
}
