//! The decision core: what becomes of a message. Pure: no store, no clock, no provider, no waiting.
//!
//! Drivers ask [`next`] what follows from something that happened, commit the answer, and do it. Nothing else sets a status, holds or ends
//! a message or a recipient, or puts an address on the suppression list.
//!
//! The rules:
//!
//! - Each recipient has an own end. The message's word follows the first recipient ([`MessageRecord::word`]).
//! - What follows from a failure stands in the table of [`ums_core::FailureClass::consequence`].
//! - A recipient has at most two attempts of a turn whose outcome is unknown. A turn begins when an operator has the message sent again.
//! - While an attempt of a recipient is unknown, the recipient never ends as failed or expired, but as unknown.

mod acts;
mod calls;
mod causes;
mod holds;
mod notices;
mod recipients;
mod reports;
mod says;
mod turn;

use std::time::Duration;

use ums_core::{
    Accepted, AccountId, AttemptId, Failure, MessageRecord, NotCalled, ProviderKind, RecipientSet, Status, Suppression, Timestamp,
};

use crate::drain::Progress;
use crate::rules::Rules;

pub use self::acts::Mark;
pub(crate) use self::acts::{Act, act};
pub(crate) use self::causes::is_news;
pub(crate) use self::notices::told;
pub(crate) use self::reports::{body_is_needed_until, reported};
pub(crate) use self::says::{Says, is_signed};
pub(crate) use self::turn::{unsubscribed_at, was_called};

/// What happened to a message.
#[derive(Debug)]
pub(crate) enum Happened<'a> {
    /// The message was accepted, and its sender wants it to be sent later.
    Scheduled(Timestamp),
    /// The message was accepted, and waits for a process with room.
    Enqueued,
    /// A gate said no, or the content is lost. An intent in hand is withdrawn.
    Stopped(Stopped),
    /// A process took the message up, without an intent.
    Due,
    /// Too many messages are being tried again at the moment, or the store does not give the content. An intent in hand is withdrawn.
    PutOff(Duration),
    /// A provider has room for the message: its intent.
    Slot(Intent),
    /// No provider is left in this round.
    NoSlot(Search),
    /// The process ends, and looks for no provider any more.
    Closing,
    /// The provider of the intent in hand was called.
    CallEnded(&'a Answer),
    /// The provider of the intent in hand was not called after all.
    NotCalled(NotCalled),
    /// Recipients came onto the suppression list.
    OptedOut(&'a [Suppression]),
}

/// An attempt that is about to be made.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) id: AttemptId,
    pub(crate) provider: ProviderKind,
    pub(crate) account: AccountId,
    /// The recipients that it is for.
    pub(crate) recipients: RecipientSet,
    /// What the provider takes for each of them; none when no price is known.
    pub(crate) price_micros: Option<i64>,
}

/// How the search for a provider ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// How long until a provider that was passed over may be called.
    pub(crate) soonest: Option<Duration>,
    /// Whether only the pace stood in the way: the message waits, it never fails for that.
    pub(crate) paced: bool,
    /// How many providers the chain has.
    pub(crate) providers: usize,
    /// Chance, from 0 to 1: spreads the retries of an outage's messages.
    pub(crate) chance: f64,
}

/// How a call to a provider ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) result: Result<Accepted, Failure>,
    /// How long the call took.
    pub(crate) took: Duration,
    /// When it ended.
    pub(crate) at: Timestamp,
}

/// Why a message ends without a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) status: Status,
    /// Stable word, kept with the recipients.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) detail: &'static str,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Find a provider for these recipients, now.
    Provider(RecipientSet),
    /// The same provider takes these recipients in its next transaction, now.
    SameProvider(RecipientSet),
    /// Commit the intent, then call its provider.
    Call,
    /// Nothing now: the message waits for its time.
    Wait,
    /// Nothing any more.
    End,
}

/// What becomes of a message. Where it stands is in its record.
#[derive(Debug)]
pub(crate) struct Fate {
    pub(crate) next: Next,
    /// Addresses that come onto the suppression list.
    pub(crate) suppress: Vec<Suppression>,
    /// What the message's way says of the providers.
    pub(crate) progress: Progress,
}

impl Fate {
    fn new(next: Next) -> Self {
        Self {
            next,
            suppress: Vec::new(),
            progress: Progress::Neutral,
        }
    }

    /// What follows from where the record stands now.
    fn of(record: &MessageRecord) -> Self {
        Self::new(if record.has_ended() { Next::End } else { Next::Wait })
    }
}

/// Decides what becomes of a message, and writes it into its record.
pub(crate) fn next(record: &mut MessageRecord, happened: Happened<'_>, rules: &Rules, now: Timestamp) -> Fate {
    match happened {
        Happened::Scheduled(at) => holds::wait(record, Status::Scheduled, at),
        Happened::Enqueued | Happened::Closing => holds::wait(record, Status::Queued, now),
        Happened::Stopped(stopped) => holds::stopped(record, &stopped),
        Happened::Due => holds::due(record, rules, now),
        Happened::PutOff(wait) => holds::put_off(record, wait, now),
        Happened::Slot(intent) => calls::begin(record, intent, now),
        Happened::NoSlot(search) => holds::no_slot(record, search, rules, now),
        Happened::CallEnded(answer) => calls::ended(record, answer, rules, now),
        Happened::NotCalled(why) => calls::not_called(record, why, now),
        Happened::OptedOut(entries) => recipients::opted_out(record, entries, rules, now),
    }
}

#[cfg(test)]
mod tests;
