//! Feedback: the events that providers report become part of the story of their message, a status, and entries of the suppression list.

mod matching;
mod parked;
pub(crate) mod polling;
mod take;
mod tally;
pub(crate) mod waiting;

pub(crate) use self::take::take;
pub use self::tally::FeedbackTally;
