//! What providers report becomes events in a message's story, a status, and entries of the suppression list.

mod matching;
mod parked;
pub(crate) mod polling;
mod take;
mod tally;
pub(crate) mod waiting;

pub(crate) use self::take::take;
pub use self::tally::FeedbackTally;
