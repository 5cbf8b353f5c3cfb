//! `ums messages explain`, for people: the story as the service tells it, one step on a line.

use ums_core::MessageRecord;
use ums_server::{Explanation, StepKind, StoryStep};

/// Tells the story of a stored message.
pub(super) fn of(record: &MessageRecord) -> Explanation {
    Explanation::of(record)
}

/// The story in lines.
pub(super) fn for_people(story: &Explanation) -> String {
    let mut lines = vec![
        format!("Message {} ({}): {}", story.message_id, story.channel, story.status),
        format!("  {}", story.summary),
        String::new(),
    ];
    for (index, step) in story.steps.iter().enumerate() {
        lines.push(format!("  {}. {}  {}", index + 1, step.at, headline(step)));
        lines.push(format!("     {}", step.text));
    }
    if let Some(next) = &story.next {
        lines.push(String::new());
        lines.push(format!("  Next: {next}"));
    }
    lines.join("\n")
}

fn headline(step: &StoryStep) -> String {
    let what = match step.step {
        StepKind::Accepted => "accepted".to_owned(),
        StepKind::Skipped => format!("skipped ({})", step.code.as_deref().unwrap_or("no reason")),
        StepKind::Attempted => step
            .outcome
            .map_or_else(|| "tried".to_owned(), |outcome| format!("tried, {outcome}")),
        StepKind::Delivered => "delivered".to_owned(),
        StepKind::Acted => step.code.clone().unwrap_or_else(|| "changed".to_owned()),
    };
    step.provider.map_or_else(|| what.clone(), |provider| format!("{provider} {what}"))
}
