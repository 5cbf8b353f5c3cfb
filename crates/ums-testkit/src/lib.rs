//! For tests: a clock that is set by hand, chance from a seed, providers that answer by script, a store that waits
//! and fails when told, and everything that was logged.

mod clock;
mod log;
mod provider;
mod random;
mod shared;
mod store;

pub use clock::TestClock;
pub use log::LogCapture;
pub use provider::{FakeProvider, Reply};
pub use random::SeededRandom;
pub use shared::SharedStore;
pub use store::{Hold, Moment, Operation, StoreInHand};
