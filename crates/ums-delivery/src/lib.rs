//! The flow of a delivery, pure over the ports of [`ums_core`].
//!
//! 1. `accept`: a request that was read passes the `gates`, takes a slot and is stored;
//! 2. `deliver`: along the `chain`, past each [`breaker`] and [`pacing`], one provider is called
//!    after the other until one takes the message;
//! 3. `journal`: what happened is committed, one transaction a step;
//! 4. `worker`: what was held or scheduled is taken up when it is due;
//! 5. `lease` and `housekeeping`: whose the messages are, and what dead processes left;
//! 6. `feedback`: what providers report afterwards becomes events, statuses and entries of the suppression list.
//!
//! **Invariant:** nothing here names a database, an HTTP client or a provider.

mod accept;
mod acts;
mod batches;
pub mod breaker;
mod call;
mod carried;
mod chain;
mod deliver;
mod drain;
mod engine;
mod feedback;
mod flow;
mod gates;
mod health;
mod housekeeping;
mod in_hand;
mod journal;
mod lanes;
mod lease;
mod lost;
pub mod mutants;
mod observer;
mod outbox;
pub mod pacing;
mod pressure;
mod rates;
mod rejection;
mod replay;
mod retry;
mod rules;
mod sharing;
mod story;
mod suppressions;
mod unsubscribe;
mod worker;

pub use acts::{ActError, Mark};
pub use breaker::BreakerSettings;
pub use chain::{LinkParts, Price};
pub use engine::{Accepted, Messaging, Submission, SubmitError, Ticket};
pub use feedback::FeedbackTally;
pub use flow::{Aftermath, Parts};
pub use observer::{AttemptEvent, BreakerEvent, FeedbackEnd, FeedbackSeen, NoObserver, NoticeEvent, Observer, SettledEvent};
pub use outbox::{EndpointChange, EndpointError, EndpointSecrets};
pub use pacing::PaceSettings;
pub use pressure::Standing;
pub use replay::{ReplayRequest, ReplaySlice};
pub use retry::{Expiry, RetryBudget, RetrySchedule};
pub use rules::{Chores, FeedbackRules, FeedbackWait, RateRules, RetentionRules, Rules, WebhookRules};
pub use suppressions::NewSuppression;
pub use unsubscribe::Unsubscriber;
