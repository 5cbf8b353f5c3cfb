//! A story in lines, for people.

use ums_core::OutcomeWord;

use crate::explanation::Explanation;
use crate::message_story::MessageStory;
use crate::step::{StepKind, StoryStep};

impl Explanation {
    /// The explanation in lines: where the message stands, its steps, what happens next.
    pub fn for_people(&self) -> String {
        let mut lines = vec![
            format!("Message {} ({}): {}", self.message_id, self.channel, self.status),
            format!("  {}", self.summary),
            String::new(),
        ];
        lines.extend(self.steps.iter().enumerate().flat_map(numbered));
        if let Some(next) = &self.next {
            lines.push(String::new());
            lines.push(format!("  Next: {next}"));
        }
        lines.join("\n")
    }
}

impl MessageStory {
    /// The steps in lines, without the result.
    pub fn steps_for_people(&self) -> String {
        let lines: Vec<String> = self.story.iter().enumerate().flat_map(numbered).collect();
        lines.join("\n")
    }
}

/// Two lines for a step; a report has both its times: the provider's, and when it came.
fn numbered((index, step): (usize, &StoryStep)) -> [String; 2] {
    let came = step
        .received_at
        .filter(|received_at| *received_at != step.at)
        .map(|received_at| format!(" (came {received_at})"));
    let first = format!("  {}. {}{}  {}", index + 1, step.at, came.unwrap_or_default(), headline(step));
    [first, format!("     {}", step.text)]
}

fn headline(step: &StoryStep) -> String {
    let what = match step.step {
        StepKind::Accepted => "accepted".to_owned(),
        StepKind::Skipped => format!("skipped ({})", step.code.as_deref().unwrap_or("no reason")),
        StepKind::Attempted => format!("tried, {}", step.outcome.map_or("no outcome", OutcomeWord::as_str)),
        StepKind::Reported => step
            .event
            .map_or_else(|| "reported something".to_owned(), |event| format!("reported {event}")),
        StepKind::Delivered => "delivered".to_owned(),
        StepKind::Suppressed => format!("not contacted ({})", step.code.as_deref().unwrap_or("no reason")),
        StepKind::Acted => step.code.clone().unwrap_or_else(|| "changed".to_owned()),
    };
    step.provider.map_or_else(|| what.clone(), |provider| format!("{provider} {what}"))
}
