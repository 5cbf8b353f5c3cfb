//! What the store knows of the time, for a clock that may be wrong.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::{KeptTime, Timestamp};

/// The longest times for which anything is put off. What is due further ahead was written under a wrong clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongestWaits {
    /// Of a message that its sender did not schedule, and that is not put off until it expires.
    pub messages: Duration,
    /// Of a notice.
    pub notices: Duration,
    /// Of a parked event.
    pub events: Duration,
    /// By how much a message may have been accepted ahead of the time.
    pub tolerance: Duration,
}

/// The time as the database knows it, and the repair of rows that were written under a wrong clock.
#[async_trait]
pub trait TimeStore: Send + Sync {
    /// The time by the database's own clock; none where the store has no other clock than this process.
    async fn database_time(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The trusted time that a process kept last.
    async fn kept_time(&self) -> Result<Option<KeptTime>, StoreError>;

    /// Keeps the trusted time for the processes that start later.
    async fn keep_time(&self, time: &KeptTime) -> Result<(), StoreError>;

    /// Makes messages, notices and parked events due at `now` that are due further ahead than anything is put off; at most `limit` of each.
    /// A message that was accepted in the future gets its whole life from now on. Gives the number of rows.
    async fn hasten(&self, waits: LongestWaits, now: Timestamp, limit: usize) -> Result<u64, StoreError>;
}
