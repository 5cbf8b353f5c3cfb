//! What the flow tells to whoever counts: attempts, breaker changes, results.

use std::fmt;
use std::time::Duration;

use ums_core::{BreakerStateWord, Channel, EventKind, FailureClass, NoticeKind, NoticeState, OutcomeWord, ProviderKind, Status};

/// One attempt ended.
#[derive(Clone, Copy, Debug)]
pub struct AttemptEvent {
    /// Which provider.
    pub provider: ProviderKind,
    /// How it ended.
    pub outcome: OutcomeWord,
    /// Class of the failure.
    pub class: Option<FailureClass>,
    /// How long the call took.
    pub duration: Duration,
}

/// A breaker changed its state.
#[derive(Clone, Copy, Debug)]
pub struct BreakerEvent<'a> {
    /// Which provider.
    pub provider: ProviderKind,
    /// From.
    pub from: BreakerStateWord,
    /// To.
    pub to: BreakerStateWord,
    /// Why; redacted.
    pub reason: &'a str,
}

/// A message has an outcome, or is held.
#[derive(Clone, Copy, Debug)]
pub struct SettledEvent {
    /// Its channel.
    pub channel: Channel,
    /// Where it stands.
    pub status: Status,
    /// Whether more than one provider may have taken it.
    pub possibly_duplicate: bool,
    /// Estimated cost in millionths of the currency.
    pub cost_micros: Option<i64>,
}

/// A notice was posted to the user's application.
#[derive(Clone, Copy, Debug)]
pub struct NoticeEvent {
    /// What it tells.
    pub kind: NoticeKind,
    /// `pending` when it was not taken and is posted again, `failed` when it was given up.
    pub state: NoticeState,
    /// How long the post took.
    pub duration: Duration,
}

/// What became of an event of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackEnd {
    /// It is part of its message's story.
    Applied,
    /// It waits for its message, or belongs to none.
    Parked,
    /// It was known already.
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

/// An event of a provider came. One that was parked is told again when it is applied.
#[derive(Clone, Copy, Debug)]
pub struct FeedbackSeen {
    /// Which provider.
    pub provider: ProviderKind,
    /// What it reports; [`EventKind::Unknown`] for words that are not in our tables.
    pub kind: EventKind,
    /// What became of it.
    pub end: FeedbackEnd,
}

/// Somebody who counts. Called on the hot path: must not block.
pub trait Observer: Send + Sync + fmt::Debug {
    /// An attempt ended.
    fn attempt(&self, event: &AttemptEvent);
    /// A breaker changed its state.
    fn breaker(&self, event: &BreakerEvent<'_>);
    /// A message has an outcome, or is held.
    fn settled(&self, event: &SettledEvent);
    /// The store refused a write because the message belongs to another process by now.
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
