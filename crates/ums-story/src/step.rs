//! One step of a story: when, what, by whom, and a sentence.

use std::fmt;

use serde::{Deserialize, Serialize};
use ums_core::{EventKind, FailureClass, OutcomeWord, ProviderKind, Timestamp};

/// What happened in one step of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// The message was stored.
    Accepted,
    /// A provider was passed over.
    Skipped,
    /// A provider was called, or was to be called.
    Attempted,
    /// A provider reported something afterwards.
    Reported,
    /// The message is known to have been delivered, and no provider's report is kept that says so.
    Delivered,
    /// A recipient is not to be contacted.
    Suppressed,
    /// A caller or an operator did something to the message.
    Acted,
}

/// One step of the story.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoryStep {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub step: StepKind,
    /// Which provider.
    pub provider: Option<ProviderKind>,
    /// How the call ended.
    pub outcome: Option<OutcomeWord>,
    /// Class of its failure.
    pub class: Option<FailureClass>,
    /// The provider's code, the short word for why it was passed over, for what was done to it, or for why a recipient is not contacted.
    pub code: Option<String>,
    /// How long the call took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// What was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventKind>,
    /// The provider's own words for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// When a report came, by our clock; `at` is the provider's time where it gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
    /// The step in a sentence. May name recipients whom a provider refused.
    pub text: String,
}

impl StoryStep {
    /// A step of which no more is known than this.
    pub(crate) fn new(at: Timestamp, step: StepKind, provider: Option<ProviderKind>, text: String) -> Self {
        Self {
            at,
            step,
            provider,
            outcome: None,
            class: None,
            code: None,
            duration_ms: None,
            event: None,
            word: None,
            received_at: None,
            text,
        }
    }
}

impl fmt::Debug for StoryStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StoryStep({} {:?} {:?} {:?} {:?})",
            self.at, self.step, self.provider, self.outcome, self.code
        )
    }
}

/// A detail at the end of a clause: `: the mailbox is full`; empty without one.
pub(crate) fn after_colon(detail: Option<&str>) -> String {
    match detail.map(|detail| detail.trim_end_matches('.')) {
        Some(detail) if !detail.is_empty() => format!(": {detail}"),
        Some(_) | None => String::new(),
    }
}
