//! The flow of a delivery, pure over the ports of [`ums_core`].
//!
//! 1. `accept`: a parsed request passes the `gates`, gets a slot and is stored;
//! 2. `deliver`: along the `chain`, past each [`breaker`] and [`pacing`], one provider is called
//!    after the other until each recipient has an end;
//! 3. `journal`: what happened is committed, one transaction a step;
//! 4. `worker`: claims held and scheduled messages when they are due;
//! 5. `lease` and `housekeeping`: which process owns a message, and what follows when a process dies;
//! 6. `feedback`: reports of providers become events, statuses and entries of the suppression list.
//!
//! All of them ask `fate`, the pure decision core, what becomes of a message.
//!
//! **Invariant:** nothing here names a database, an HTTP client or a provider.

mod accept;
mod acts;
mod asking;
mod batches;
pub mod breaker;
mod call;
mod carried;
mod chain;
mod deliver;
mod desk;
mod dispatch;
mod drain;
mod endpoints;
mod engine;
mod fate;
mod feedback;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gates;
mod health;
mod housekeeping;
mod in_hand;
mod journal;
mod lanes;
mod lease;
mod lost;
mod memory;
mod notices;
mod observer;
mod outbox;
pub mod pacing;
mod parking;
mod ports;
mod queue;
mod rates;
mod rejection;
mod replay;
mod retry;
mod rules;
mod sharing;
mod shortages;
mod submission;
mod suppressions;
mod unsubscribe;
mod worker;

pub use acts::ActError;
pub use breaker::BreakerSettings;
pub use chain::{LinkParts, Price};
pub use engine::{Aftermath, Messaging, Parts, Standing, SwitchError, SwitchOff, Tried};
pub use fate::Mark;
pub use feedback::FeedbackTally;
pub use memory::{COPIES_TO_ACCEPT, MemoryBudget, SMALL_BYTES, Share};
pub use observer::{AttemptEvent, BreakerEvent, FeedbackEnd, FeedbackSeen, NoObserver, NoticeEvent, Observer, SettledEvent};
pub use outbox::{EndpointChange, EndpointError, EndpointSecrets};
pub use pacing::PaceSettings;
pub use replay::{ReplayRequest, ReplaySlice};
pub use rules::{Chores, Expiry, FeedbackRules, FeedbackWait, RateRules, RetentionRules, RetryBudget, RetrySchedule, Rules, WebhookRules};
pub use sharing::Fingerprint;
pub use submission::{Accepted, Submission, SubmitError, Ticket};
pub use suppressions::{NewSuppression, Which};
pub use unsubscribe::{Left, StillBarred, TakenBack, Unsubscriber, Wish};
