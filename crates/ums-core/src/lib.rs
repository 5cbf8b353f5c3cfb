//! Words and rules of the trade, without any input or output.
//!
//! Everything else in the workspace speaks in these types:
//!
//! - what callers hand in: [`SendEmail`], [`SendSms`], read once by `parse`;
//! - what travels: [`Email`], [`Sms`] in a [`Message`];
//! - what can go wrong: [`Failure`] with its [`FailureClass`], and what follows from it
//!   ([`FailureClass::consequence`]);
//! - what is known: [`MessageRecord`], and the [`SendResult`] that callers see;
//! - ports: [`Provider`], [`Store`], [`Clock`], [`Random`].
//!
//! **Invariant:** nothing here reads a clock, the environment, a file or a socket except through a
//! port, and no `Debug` shows a secret, a body or a full recipient.

mod base64_bytes;
mod channel;
mod clock;
pub mod email_address;
pub mod failpoint;
mod failure;
pub mod guard;
mod health;
mod ids;
mod message;
pub mod phone;
mod provider;
mod random;
mod record;
pub mod request;
mod secret;
mod segments;
mod status;
mod store;

pub use channel::{Channel, Duplicates, OnExhausted, ProviderKind, Purpose, UnknownWord};
pub use clock::{Clock, Monotonic, SystemClock, Timestamp};
pub use email_address::{EmailAddress, Mailbox};
pub use failure::{BreakerEffect, Consequence, Failure, FailureClass, FailureSource, MAX_DETAIL_BYTES, NextProvider, RetryLater, redact};
pub use health::{BreakerStateWord, HealthReport, HealthStatus, LastFailure, NotConfigured, Priority, ProviderHealth};
pub use ids::{AccountId, AttemptId, MessageId, TenantId};
pub use message::{Attachment, Content, Email, Handling, Header, Message, Metadata, Sms, SmsSender};
pub use phone::{PhoneNumber, Region};
pub use provider::{Accepted, Call, Probe, Provider, Refusal};
pub use random::{Random, SystemRandom};
pub use record::{
    ActKind, ActRecord, AttemptRecord, AttemptResult, FIRST_TOKEN, MessageRecord, RecipientRecord, RecipientResult, SendResult, Skip,
    format_micros, millis,
};
pub use request::{InvalidRequest, Parsed, SendEmail, SendSms};
pub use secret::Secret;
pub use segments::{Encoding, Segments};
pub use status::{AttemptOutcome, RecipientKind, Status};
pub use store::{
    BreakerRecord, IdempotencyKey, Lease, MessageFilter, MessagePage, NewMessage, PaceGrant, PaceRequest, Pruned, Recovered, Retention,
    Room, Step, Store, StoreError, Stored,
};
