//! The events that the flow tells its observer, for metrics: attempts, changes of breakers, outcomes, feedback, notices.

use std::fmt;
use std::time::Duration;

use ums_core::{BreakerStateWord, Channel, EventKind, FailureClass, NoticeKind, NoticeState, OutcomeWord, ProviderKind, Status};

/// One attempt ended.
#[derive(Clone, Copy, Debug)]
pub struct AttemptEvent {
    /// The provider.
    pub provider: ProviderKind,
    /// How the attempt ended.
    pub outcome: OutcomeWord,
    /// Class of the failure.
    pub class: Option<FailureClass>,
    /// How long the call took.
    pub duration: Duration,
}

/// A breaker changed its state.
#[derive(Clone, Copy, Debug)]
pub struct BreakerEvent<'a> {
    /// The provider.
    pub provider: ProviderKind,
    /// State before.
    pub from: BreakerStateWord,
    /// State after.
    pub to: BreakerStateWord,
    /// Why; redacted.
    pub reason: &'a str,
}

/// A message has an outcome, or is held.
#[derive(Clone, Copy, Debug)]
pub struct SettledEvent {
    /// The channel of the message.
    pub channel: Channel,
    /// The status of the message.
    pub status: Status,
    /// Whether more than one attempt may have been accepted for a recipient.
    pub possibly_duplicate: bool,
}

/// A notice was posted to the user's application.
#[derive(Clone, Copy, Debug)]
pub struct NoticeEvent {
    /// The kind of the notice.
    pub kind: NoticeKind,
    /// `delivered`; `pending` when the notice will be posted again; `failed` when it was given up.
    pub state: NoticeState,
    /// How long the post took.
    pub duration: Duration,
}

/// What became of an event of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackEnd {
    /// The event is part of the story of its message.
    Applied,
    /// The event waits for its message, or belongs to none.
    Parked,
    /// The event was known already.
    Known,
}

impl FeedbackEnd {
    /// As a word for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Parked => "parked",
            Self::Known => "known",
        }
    }
}

/// An event of a provider was taken. A parked event is told a second time when it is applied.
#[derive(Clone, Copy, Debug)]
pub struct FeedbackSeen {
    /// The provider.
    pub provider: ProviderKind,
    /// The kind of the event; [`EventKind::Unknown`] for words that are not in our tables.
    pub kind: EventKind,
    /// What became of the event.
    pub end: FeedbackEnd,
}

/// Counts events. The flow calls it on the hot path: an implementation must not block.
pub trait Observer: Send + Sync + fmt::Debug {
    /// An attempt ended.
    fn attempt(&self, event: &AttemptEvent);
    /// A breaker changed its state.
    fn breaker(&self, event: &BreakerEvent<'_>);
    /// A message has an outcome, or is held.
    fn settled(&self, event: &SettledEvent);
    /// A provider took a message at this estimated cost, in millionths of the currency. Each attempt is counted once: by its call, or when its
    /// outcome is settled.
    fn cost(&self, channel: Channel, micros: i64) {
        let _ = (channel, micros);
    }
    /// The store refused a step because another process has the message.
    fn fenced(&self) {}
    /// An event of a provider came.
    fn feedback(&self, event: &FeedbackSeen) {
        let _ = event;
    }
    /// A notice was posted to the user's application.
    fn notice(&self, event: &NoticeEvent) {
        let _ = event;
    }
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn attempt(&self, _: &AttemptEvent) {}
    fn breaker(&self, _: &BreakerEvent<'_>) {}
    fn settled(&self, _: &SettledEvent) {}
}
