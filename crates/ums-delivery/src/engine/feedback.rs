//! Feedback of providers.

use ums_core::{Event, StoreError};

use super::Messaging;
use crate::feedback::{self, FeedbackTally};

impl Messaging {
    /// Takes events whose signature was checked. When this returns, all events are on stable storage (with a durable store).
    ///
    /// # Errors
    /// The error of the store. The provider should report the events again then; the engine recognises events that it has already.
    pub async fn take_feedback(&self, events: Vec<Event>) -> Result<FeedbackTally, StoreError> {
        feedback::take(&self.engine.desk, events).await
    }
}
