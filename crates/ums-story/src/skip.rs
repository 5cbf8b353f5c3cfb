//! Providers that were considered and passed over.

use ums_core::{Skip, SkipReason};

use crate::step::{StepKind, StoryStep};

/// The step of a provider that was passed over.
pub(crate) fn skipped(skip: &Skip) -> StoryStep {
    let detail = if skip.detail.is_empty() {
        String::new()
    } else {
        format!(" ({})", skip.detail)
    };
    let text = format!("{} was passed over: {}{detail}.", skip.provider, why(skip.reason));
    StoryStep {
        code: Some(skip.reason.to_string()),
        ..StoryStep::new(skip.at, StepKind::Skipped, Some(skip.provider), text)
    }
}

const fn why(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Open => "its breaker is open after failures",
        SkipReason::Misconfigured => "its account or settings need mending",
        SkipReason::Quota => "the provider's allowance is used up",
        SkipReason::Throttled => "it asked to be left alone for a while",
        SkipReason::Probing => "it is recovering, and another call is trying it",
        SkipReason::Paced => "it already has as many messages a second as it may",
        SkipReason::DayLimit => "it already has as many messages today as it may",
        SkipReason::Disabled => "an operator has taken it out of service",
        SkipReason::Degraded => "it takes messages, but few are reported as delivered, so the others come first",
        SkipReason::BounceRate => "too much of this sender's mail to many comes back",
        SkipReason::ComplaintRate => "too many recipients of this sender's mail to many call it spam",
        SkipReason::Unsubscribed => "the recipient is on its own unsubscribe list, which keeps nobody from a receipt or a code",
        SkipReason::Other => "a later release of this service had a reason that this release does not know",
    }
}
