//! What became of a message and why: its record, told to people.
//!
//! [`Explanation`] is the answer to "why does this message stand where it stands?", [`MessageStory`] the message itself with its
//! whole story. Server, command line and library tell the same story, with or without a service that runs. Each word of a closed
//! set (a reason to pass a provider over, an act, a class of failure, …) has a sentence of its own.
//!
//! **Invariant:** a story is made of typed facts. No sentence depends on the wording of another text.
//!
//! **Invariant:** addresses stand in two places of an explanation: in the text of an attempt, for recipients whom the provider refused by name, and in
//! the summary, for recipients who are still held or have another end than the first recipient, whom the message's word follows. `Debug` shows neither.

mod act;
mod attempt;
mod explanation;
mod for_people;
mod meaning;
mod message_story;
mod refusal;
mod report;
mod skip;
mod step;
mod story;
mod summary;
mod suppression;

pub use explanation::Explanation;
pub use message_story::MessageStory;
pub use report::ReportedEvent;
pub use step::{StepKind, StoryStep};
