//! What a caller or an operator did to a message.

use ums_core::{ActKind, ActRecord};

use crate::step::{StepKind, StoryStep, after_colon};

/// The step of an act.
pub(crate) fn acted(act: &ActRecord) -> StoryStep {
    let (what, detail) = (what(act.kind), after_colon(Some(&act.detail)));
    StoryStep {
        code: Some(act.kind.to_string()),
        ..StoryStep::new(act.at, StepKind::Acted, None, format!("{what}{detail}."))
    }
}

const fn what(kind: ActKind) -> &'static str {
    match kind {
        ActKind::Cancelled => "It was cancelled",
        ActKind::Resent => "An operator had it sent again",
        ActKind::Replayed => "It was sent again with others, after an outage",
        ActKind::Marked => "An operator said what became of it",
    }
}
