//! What is stored as JSON, made on the caller's thread: a writer has better things to do.

use std::sync::Arc;

use ums_core::{FeedbackStep, NewMessage, Parked, Step, StoreError};

use crate::json::to_json;
use crate::{fence, newer};

/// Bytes above which a content has an envelope beside it; the SQL of the readers and of the migration names the same number.
pub(crate) const LARGE: usize = 16_384;

/// A message to be stored, with the texts of its columns.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) new: NewMessage,
    pub(crate) content: String,
    /// The envelope of a content that is [`LARGE`].
    pub(crate) envelope: Option<String>,
    pub(crate) handling: String,
    pub(crate) metadata: String,
}

impl Encoded {
    pub(crate) fn new(new: NewMessage) -> Result<Self, StoreError> {
        let message = &new.message;
        let (content, handling, metadata) = (to_json(&message.content)?, to_json(&message.handling)?, to_json(&message.metadata)?);
        let envelope = if content.len() > LARGE {
            Some(to_json(&message.content.envelope())?)
        } else {
            None
        };
        Ok(Self {
            new,
            content,
            envelope,
            handling,
            metadata,
        })
    }

    /// Bytes that it will take, about.
    pub(crate) fn bytes(&self) -> usize {
        self.content.len() + self.handling.len() + self.metadata.len()
    }
}

/// A step to be recorded, with its mark and the texts of its events.
#[derive(Debug)]
pub(crate) struct EncodedStep {
    pub(crate) step: Arc<Step>,
    pub(crate) mark: i64,
    /// For each of its events, in order.
    pub(crate) events: Vec<String>,
}

impl EncodedStep {
    /// A step with its mark.
    pub(crate) fn new(step: Arc<Step>, mark: i64) -> Result<Self, StoreError> {
        let events = step.events.iter().map(newer::event_json).collect::<Result<_, _>>()?;
        Ok(Self { step, mark, events })
    }
}

/// Events to be kept, with the texts of their columns.
#[derive(Debug)]
pub(crate) enum EncodedFeedback {
    Apply(EncodedStep),
    Park(Box<Parked>, String),
}

impl EncodedFeedback {
    pub(crate) fn new(step: FeedbackStep, owner: i64) -> Result<Self, StoreError> {
        Ok(match step {
            FeedbackStep::Apply(step) => {
                let mark = fence::mark(owner, &step);
                Self::Apply(EncodedStep::new(Arc::new(*step), mark)?)
            }
            FeedbackStep::Park(parked) => {
                let json = newer::event_json(&parked.record)?;
                Self::Park(parked, json)
            }
        })
    }

    /// The step as it was given.
    pub(crate) fn step(&self) -> FeedbackStep {
        match self {
            Self::Apply(EncodedStep { step, .. }) => FeedbackStep::Apply(Box::new(Step::clone(step))),
            Self::Park(parked, _) => FeedbackStep::Park(parked.clone()),
        }
    }

    /// Bytes that it will take, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Apply(step) => step.events.iter().map(String::len).sum(),
            Self::Park(_, json) => json.len(),
        }
    }
}
