//! A message as callers see it, with its whole story.

use std::fmt;

use serde::{Deserialize, Serialize};
use ums_core::{MessageRecord, SendResult, Suppression};

use crate::report::ReportedEvent;
use crate::step::StoryStep;
use crate::story::story;

/// A message with what became of it: the result, and the whole story in order.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageStory {
    /// Where it stands.
    #[serde(flatten)]
    pub result: SendResult,
    /// What providers reported, in the order in which it came.
    #[serde(default)]
    pub events: Vec<ReportedEvent>,
    /// The story, oldest first.
    #[serde(default)]
    pub story: Vec<StoryStep>,
}

impl MessageStory {
    /// Tells all of a record, with the entries of the suppression list that its recipients are on.
    pub fn of(record: &MessageRecord, suppressions: &[Suppression]) -> Self {
        Self {
            result: record.result(),
            events: record.events.iter().map(ReportedEvent::from).collect(),
            story: story(record, suppressions),
        }
    }
}

impl fmt::Debug for MessageStory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { result, events, story } = self;
        write!(f, "MessageStory({} {} {events:?} {story:?})", result.message_id, result.status)
    }
}
