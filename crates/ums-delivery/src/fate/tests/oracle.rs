//! An oracle for the table: design §5 and §7 written down once more, for one recipient at a time. A message to several is then as several
//! messages to one, whose waits and ends are put together.

use std::time::Duration;

use ums_core::{Duplicates, FailureClass, OnExhausted, Purpose, Status, Timestamp};

use super::super::{Next, Search};
use super::world::{EXPIRES, Wishes, places, rules, second};

/// What is known of a recipient before something happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The recipient's end, if it has come.
    pub(super) end: Option<Status>,
    /// The answers so far to calls for the recipient, all of this turn.
    pub(super) answers: &'static [FailureClass],
    /// When the last of these calls was made.
    pub(super) called_at: Timestamp,
}

/// What a recipient is told by what happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told {
    /// The message is taken up.
    Due,
    /// The budget of retries is spent for so long.
    PutOff(Duration),
    NoSlot(Search),
    /// The message goes back to the queue without a call, until then.
    PutBack(Timestamp),
    /// The provider took the message for the recipient.
    Taken,
    /// The provider did not, or may have.
    Refused(FailureClass),
    /// A gate or an opt-out ends the recipient.
    Barred(Status),
    /// Nothing: it is another recipient who opts out.
    Nothing,
}

/// What becomes of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lot {
    TriedNow,
    Waits(Timestamp),
    Ends(Status),
}

/// The rules for one recipient.
pub(super) fn lot(wishes: Wishes, known: Known, told: Told, now: Timestamp) -> Lot {
    if let Some(end) = known.end {
        return Lot::Ends(end);
    }
    let expires_at = second(EXPIRES);
    let before = known.answers.iter().filter(|class| **class == FailureClass::Unknown).count();
    let unknown = before + usize::from(matches!(told, Told::Refused(FailureClass::Unknown)));
    // A recipient who may have the message is never said not to have it.
    let ends = |status| Lot::Ends(if unknown > 0 { Status::Unknown } else { status });
    let fails = fails(wishes);
    let used_up = unknown >= 2 || (unknown > 0 && wishes.duplicates == Duplicates::Never && fails);
    let feedback_only = unknown > 0 && wishes.duplicates == Duplicates::Never;
    match told {
        Told::Taken => Lot::Ends(Status::Sent),
        Told::Barred(status) => Lot::Ends(status),
        Told::Refused(FailureClass::InvalidMessage | FailureClass::InvalidRecipient) => ends(Status::Failed),
        Told::Refused(FailureClass::RecipientBlocked) => ends(Status::Suppressed),
        Told::Refused(FailureClass::ProviderUnsubscribed) if wishes.purpose == Purpose::Bulk => ends(Status::Unsubscribed),
        Told::PutBack(until) => Lot::Waits(until),
        Told::PutOff(wait) => Lot::Waits((now + wait).min(expires_at)),
        Told::Due | Told::NoSlot(_) if expires_at <= now => ends(Status::Expired),
        Told::Due | Told::NoSlot(_) | Told::Refused(_) | Told::Nothing if used_up => Lot::Ends(Status::Unknown),
        Told::Due | Told::NoSlot(_) | Told::Refused(_) | Told::Nothing if feedback_only => Lot::Waits(expires_at),
        Told::Due | Told::Nothing if unknown > 0 && known.called_at + feedback_wait(wishes) > now => {
            Lot::Waits((known.called_at + feedback_wait(wishes)).min(expires_at))
        }
        Told::Due | Told::Nothing | Told::Refused(_) => Lot::TriedNow,
        Told::NoSlot(search) => {
            let nobody_can = search.soonest.is_none()
                && !known.answers.is_empty()
                && known
                    .answers
                    .iter()
                    .all(|class| matches!(class, FailureClass::Unsupported | FailureClass::ProviderUnsubscribed));
            if nobody_can || (fails && !search.paced) {
                ends(Status::Failed)
            } else {
                Lot::Waits((now + hold(wishes, known, search)).min(expires_at))
            }
        }
    }
}

fn fails(wishes: Wishes) -> bool {
    match wishes.on_exhausted {
        Some(policy) => policy == OnExhausted::Fail,
        None => wishes.via,
    }
}

fn feedback_wait(wishes: Wishes) -> Duration {
    rules().feedback_wait.of(wishes.purpose)
}

fn hold(wishes: Wishes, known: Known, search: Search) -> Duration {
    let schedule = rules().retry;
    let by_schedule = known.answers.last().map(|class| match class {
        FailureClass::Misconfigured => schedule.slowest(wishes.purpose),
        FailureClass::InvalidMessage
        | FailureClass::InvalidRecipient
        | FailureClass::RecipientBlocked
        | FailureClass::ProviderUnsubscribed
        | FailureClass::Unsupported
        | FailureClass::QuotaExhausted
        | FailureClass::Throttled
        | FailureClass::Unavailable
        | FailureClass::Unknown
        | FailureClass::LocalShortage => schedule.wait(wishes.purpose, 0, search.chance),
    });
    let wait = match (search.soonest, by_schedule) {
        (Some(reopens), Some(schedule)) => reopens.min(schedule),
        (one, other) => one.or(other).unwrap_or_default(),
    };
    wait.max(Duration::from_secs(1))
}

/// Where a message stands: its word, once that is to be kept; its recipients' ends; what follows; when it is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) word: Option<Status>,
    pub(super) ends: Vec<Option<Status>>,
    pub(super) next: Next,
    pub(super) due: Option<Timestamp>,
}

/// The lots of all recipients together. `maybe_sent` tells whether anybody may have the message and nobody knows.
pub(super) fn together(lots: &[Lot], maybe_sent: bool) -> Outcome {
    let tried: Vec<usize> = (0..lots.len()).filter(|place| lots[*place] == Lot::TriedNow).collect();
    let waits = lots.iter().filter_map(|lot| match lot {
        Lot::Waits(until) => Some(*until),
        Lot::TriedNow | Lot::Ends(_) => None,
    });
    let due = waits.min().filter(|_| tried.is_empty());
    let ends: Vec<Option<Status>> = lots
        .iter()
        .map(|lot| match lot {
            Lot::Ends(status) => Some(*status),
            Lot::TriedNow | Lot::Waits(_) => None,
        })
        .collect();
    let next = match due {
        _ if !tried.is_empty() => Next::Provider(places(&tried)),
        Some(_) => Next::Wait,
        None => Next::End,
    };
    let word = match ends[0] {
        Some(Status::Failed | Status::Expired) if maybe_sent => Status::Unknown,
        Some(first) => first,
        None => Status::Queued,
    };
    Outcome {
        word: tried.is_empty().then_some(word),
        ends,
        next,
        due,
    }
}
