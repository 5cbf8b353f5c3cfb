//! `ums messages explain`, for people: the story as the service tells it, one step on a line.

use ums_core::MessageRecord;
use ums_server::{Explanation, StepKind, StoryStep};

/// Tells the story of a stored message.
pub(super) fn of(record: &MessageRecord) -> Explanation {
    Explanation::of(record, &[])
}

/// The story in lines.
pub(super) fn for_people(story: &Explanation) -> String {
    let mut lines = vec![
        format!("Message {} ({}): {}", story.message_id, story.channel, story.status),
        format!("  {}", story.summary),
        String::new(),
    ];
    lines.extend(steps(&story.steps));
    if let Some(next) = &story.next {
        lines.push(String::new());
        lines.push(format!("  Next: {next}"));
    }
    lines.join("\n")
}

/// The steps of a story, two lines each; a report has both its times: the provider's, and when it came.
pub(super) fn steps(steps: &[StoryStep]) -> Vec<String> {
    let lines = steps.iter().enumerate().flat_map(|(index, step)| {
        let came = step
            .received_at
            .filter(|received_at| *received_at != step.at)
            .map(|received_at| format!(" (came {received_at})"));
        let first = format!("  {}. {}{}  {}", index + 1, step.at, came.unwrap_or_default(), headline(step));
        [first, format!("     {}", step.text)]
    });
    lines.collect()
}

fn headline(step: &StoryStep) -> String {
    let what = match step.step {
        StepKind::Accepted => "accepted".to_owned(),
        StepKind::Skipped => format!("skipped ({})", step.code.as_deref().unwrap_or("no reason")),
        StepKind::Attempted => step
            .outcome
            .map_or_else(|| "tried".to_owned(), |outcome| format!("tried, {outcome}")),
        StepKind::Reported => step
            .event
            .map_or_else(|| "reported something".to_owned(), |event| format!("reported {event}")),
        StepKind::Delivered => "delivered".to_owned(),
        StepKind::Suppressed => format!("not contacted ({})", step.code.as_deref().unwrap_or("no reason")),
        StepKind::Acted => step.code.clone().unwrap_or_else(|| "changed".to_owned()),
    };
    step.provider.map_or_else(|| what.clone(), |provider| format!("{provider} {what}"))
}
