//! Why a message stands where it stands: the whole in a sentence, the story, and what happens next.

use std::fmt;

use serde::{Deserialize, Serialize};
use ums_core::{Channel, MessageId, MessageRecord, Status, Suppression};

use crate::step::StoryStep;
use crate::story::story;
use crate::summary::{next, summary};

/// Why a message stands where it stands.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The message's id.
    pub message_id: MessageId,
    /// Its channel.
    pub channel: Channel,
    /// Where it stands.
    pub status: Status,
    /// The whole in a sentence or two. Names the recipients who are still held or have another end than the first one.
    pub summary: String,
    /// The story, oldest first.
    pub steps: Vec<StoryStep>,
    /// What happens next by itself; null when nothing does, because every recipient has an end.
    pub next: Option<String>,
}

impl Explanation {
    /// Tells the story of a record, with the entries of the suppression list that its recipients are on.
    pub fn of(record: &MessageRecord, suppressions: &[Suppression]) -> Self {
        Self {
            message_id: record.message.id,
            channel: record.message.content.channel(),
            status: record.status,
            summary: summary(record),
            steps: story(record, suppressions),
            next: next(record),
        }
    }
}

impl fmt::Debug for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Explanation({} {} {} {:?})",
            self.message_id, self.channel, self.status, self.steps
        )
    }
}
