//! The flow of a delivery, pure over the ports of [`ums_core`].
//!
//! 1. `accept`: a request that was read passes the `gates`, takes a slot and is stored;
//! 2. `deliver`: along the `chain`, past each [`breaker`] and [`pacing`], one provider is called
//!    after the other until one takes the message;
//! 3. `journal`: what happened is committed, one transaction a step;
//! 4. `worker`: what was held or scheduled is taken up when it is due.
//!
//! **Invariant:** nothing here names a database, an HTTP client or a provider.

mod accept;
mod acts;
pub mod breaker;
mod carried;
mod chain;
mod deliver;
mod engine;
mod flow;
mod gates;
mod health;
mod journal;
mod observer;
pub mod pacing;
mod rejection;
mod retry;
mod worker;

pub use acts::{ActError, Mark, ReplayRequest, ReplaySlice};
pub use breaker::BreakerSettings;
pub use chain::{LinkParts, Price};
pub use engine::{Accepted, Messaging, Submission, SubmitError, Ticket};
pub use flow::{Parts, Rules};
pub use observer::{AttemptEvent, BreakerEvent, NoObserver, Observer, SettledEvent};
pub use pacing::PaceSettings;
pub use retry::{Expiry, RetryBudget, RetrySchedule};
