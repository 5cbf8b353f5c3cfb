//! Words and rules of the trade, without any input or output. `docs/glossary.md` explains the words.
//!
//! All other crates use these types:
//!
//! - requests of callers: [`SendEmail`], [`SendSms`], read once by `parse`;
//! - messages: [`Email`], [`Sms`] in a [`Message`];
//! - failures: [`Failure`] with its [`FailureClass`], and what follows ([`FailureClass::consequence`]);
//! - records: [`MessageRecord`] with its [`AttemptRecord`]s, and the [`SendResult`] that callers see;
//! - feedback of providers ([`Event`]), addresses that must not be contacted ([`Suppression`]), notices to applications ([`Notice`]);
//! - ports: [`Provider`], [`Hook`], [`FeedbackSource`], [`WebhookPost`], [`Store`], [`Clock`], [`Random`].
//!
//! **Invariant:** this crate reads a clock, the environment, a file or a socket only through a port, and no `Debug` shows a secret, a body
//! or a full recipient.

mod attempt;
mod base64_bytes;
mod channel;
mod clock;
pub mod email_address;
mod event;
pub mod failpoint;
mod failure;
mod feedback;
pub mod guard;
mod guarded_clock;
mod health;
mod helo_name;
mod ids;
mod media_type;
mod message;
pub mod phone;
mod provider;
mod random;
mod record;
pub mod request;
mod result;
mod secret;
mod segments;
mod shortage;
mod status;
mod store;
mod subscriber;
mod suppression;
mod switch;
mod trouble;
mod unseen;
mod webhook;

pub use attempt::{AttemptOutcome, AttemptRecord, NotCalled, OutcomeWord, RecipientSet, RefusedRecipient, SettledBy};
pub use channel::{Channel, Duplicates, OnExhausted, ProviderKind, Purpose, UnknownWord};
pub use clock::{Boot, Clock, ClockGuard, ClockView, KeptTime, Monotonic, SystemClock, Timestamp};
pub use email_address::{EmailAddress, Mailbox};
pub use event::{BounceKind, Event, EventKind, EventRecord, EventSubject};
pub use failure::{
    BreakerEffect, Consequence, Failure, FailureClass, FailureSource, MAX_DETAIL_BYTES, NextProvider, RecipientEnd, Refusal, Retry,
    Suppress, redact,
};
pub use feedback::{FeedbackSource, Hook, HookFault, HookRequest, Polled};
pub use guarded_clock::{CLOCK_TOLERANCE, GuardedClock};
pub use health::{BreakerStateWord, HealthReport, HealthStatus, LastFailure, NotConfigured, Priority, ProviderHealth};
pub use helo_name::{HeloName, HeloNameFault};
pub use ids::{AccountId, AttemptId, EndpointId, MessageId, NoticeId, TenantId};
pub use media_type::{MediaType, NoMediaType};
pub use message::{Attachment, Content, Email, Handling, Header, Message, Metadata, Sms, SmsSender};
pub use phone::{PhoneNumber, Region};
pub use provider::{Accepted, COPIES_TO_SEND, Call, Probe, Provider};
pub use random::{Random, SystemRandom};
pub use record::{ActKind, ActRecord, Body, FIRST_TOKEN, MessageRecord, RecipientRecord, Skip, SkipReason, Work};
pub use request::{InvalidRequest, Parsed, SendEmail, SendSms};
pub use result::{AttemptResult, RecipientResult, SendResult, format_micros, millis};
pub use secret::Secret;
pub use segments::{Encoding, Segments};
pub use shortage::{Shortage, has_way};
pub use status::{RecipientKind, Status};
pub use store::{
    BreakerRecord, FeedbackStep, FeedbackStore, FeedbackTaken, IdempotencyKey, Lease, LongestWaits, MessageFilter, MessagePage,
    MustNotContact, NewMessage, OutboxStore, PaceGrant, PaceRequest, Parked, ProviderStore, Pruned, RateRow, RateStore, Recovered,
    Retention, Room, Step, Store, StoreError, Stored, SuppressionStore, Target, Targets, TimeStore, Undo, Undone,
};
pub use subscriber::{fold, listed_key, spellings, subscriber_key};
pub use suppression::{
    InvalidListName, Lift, ListName, Occasion, Suppression, SuppressionCursor, SuppressionFilter, SuppressionOrigin, SuppressionPage,
    SuppressionReason, SuppressionScope, suppression_address,
};
pub use switch::{ProviderSwitch, SwitchedOff};
pub use trouble::{Trouble, TroubleKind, Troubles};
pub use unseen::is_unseen;
pub use webhook::{
    Disabled, Endpoint, EndpointUpdate, ListChange, ListNotice, Notice, NoticeFilter, NoticeKind, NoticeOutcome, NoticePage, NoticeState,
    SecretGeneration, WebhookCall, WebhookFault, WebhookPost,
};
