//! What providers report.

use ums_core::{Event, StoreError};

use super::Messaging;
use crate::feedback::{self, FeedbackTally};

impl Messaging {
    /// Takes events of providers that were found genuine. When this returns all of them are on stable storage.
    ///
    /// # Errors
    /// The store; the provider should tell them again then. What was kept already is known the second time.
    pub async fn take_feedback(&self, events: Vec<Event>) -> Result<FeedbackTally, StoreError> {
        feedback::take(&self.engine.desk, events).await
    }
}
