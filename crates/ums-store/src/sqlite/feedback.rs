//! A batch of feedback as one request of the writer.
//!
//! Every step is judged before it writes, so a refused one leaves nothing and the others of its batch stay.

use rusqlite::Connection;
use ums_core::{FeedbackTaken, Parked, StoreError, Timestamp};

use super::events::{self, Kept};
use super::{messages, suppressions};
use crate::encoded::{EncodedFeedback, EncodedStep};
use crate::fence::{self, Process};
use crate::matching;

/// Keeps events with what follows from them.
pub(crate) fn take(
    connection: &Connection,
    process: Process,
    steps: &[EncodedFeedback],
    now: Timestamp,
) -> Result<Vec<FeedbackTaken>, StoreError> {
    let take = |step: &EncodedFeedback| match step {
        EncodedFeedback::Apply(step) => apply(connection, process, step, now),
        EncodedFeedback::Park(parked, json) => park(connection, parked, json, now),
    };
    steps.iter().map(take).collect()
}

fn apply(connection: &Connection, process: Process, step: &EncodedStep, now: Timestamp) -> Result<FeedbackTaken, StoreError> {
    let mut is_known = !step.step.events.is_empty();
    for record in &step.step.events {
        is_known = is_known && events::kept(connection, &record.event)? == Some(Kept::Known);
    }
    if is_known {
        return Ok(FeedbackTaken::Known);
    }
    matching::taken(messages::record(connection, (process, fence::judge_feedback), step, now))
}

fn park(connection: &Connection, parked: &Parked, json: &str, now: Timestamp) -> Result<FeedbackTaken, StoreError> {
    match events::kept(connection, &parked.record.event)? {
        Some(Kept::Known) => return Ok(FeedbackTaken::Known),
        Some(Kept::Parked) => events::park(connection, parked, json)?,
        None => {
            events::park(connection, parked, json)?;
            suppressions::change(connection, (&parked.suppress, &parked.lift), &parked.notices, now)?;
        }
    }
    Ok(FeedbackTaken::Kept)
}
