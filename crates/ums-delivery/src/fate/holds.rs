//! What becomes of a message that no provider was called for.

use std::time::Duration;

use ums_core::{AttemptOutcome, AttemptRecord, FailureClass, MessageRecord, OnExhausted, Retry, Status, Timestamp, Work};

use super::recipients::{self, Eligibility, Moment};
use super::{Fate, Next, Search, Stopped, causes, turn};
use crate::drain::Progress;
use crate::rules::Rules;

/// Shortest time that a message is held.
const MIN_HOLD: Duration = Duration::from_secs(1);
const OUT_OF_TIME: &str = "its time ran out before a provider took it";

/// The message waits for its time.
pub(super) fn wait(record: &mut MessageRecord, status: Status, at: Timestamp) -> Fate {
    recipients::stand(record, status, Work::Due(at));
    Fate::new(Next::Wait)
}

/// A gate ended the message, or nothing is left to be sent.
pub(super) fn stopped(record: &mut MessageRecord, stopped: &Stopped) -> Fate {
    withdraw_intent(record);
    for place in recipients::places(record, record.open_recipients()) {
        recipients::end(record, place, stopped.status);
        if let Some(recipient) = record.recipients.get_mut(place) {
            recipient.reason = Some(stopped.reason.to_owned());
        }
    }
    recipients::close(record, Some(format!("{}: {}", stopped.reason, stopped.detail)));
    Fate::new(Next::End)
}

/// Takes back an intent that the store does not have: its provider is not called.
fn withdraw_intent(record: &mut MessageRecord) {
    record.attempts.pop_if(|attempt| attempt.outcome == AttemptOutcome::Calling);
}

/// A process took the message up.
pub(super) fn due(record: &mut MessageRecord, rules: &Rules, now: Timestamp) -> Fate {
    if record.message.expires_at <= now {
        recipients::end_all(record, Status::Expired, OUT_OF_TIME.to_owned());
        return Fate::new(Next::End);
    }
    let error = record.error.clone();
    Fate::new(recipients::go_on(record, rules, Moment::TakenUp, now, error))
}

/// The round is put off.
pub(super) fn put_off(record: &mut MessageRecord, wait: Duration, now: Timestamp) -> Fate {
    withdraw_intent(record);
    let until = (now + wait).min(record.message.expires_at);
    recipients::stand(record, Status::Queued, Work::Due(until));
    Fate::new(Next::Wait)
}

/// No provider is left in this round: the recipients are held, or end.
pub(super) fn no_slot(record: &mut MessageRecord, search: Search, rules: &Rules, now: Timestamp) -> Fate {
    let why = causes::why_not_taken(record);
    let expires_at = record.message.expires_at;
    if expires_at <= now {
        recipients::end_all(record, Status::Expired, why);
        return Fate::new(Next::End);
    }
    let fails = recipients::policy(record, rules) == OnExhausted::Fail && !search.paced;
    let mut until = None;
    let open = record.open_recipients();
    for place in recipients::places(record, open) {
        match recipients::eligibility(record, place, rules, Moment::AfterCall(open), now) {
            Eligibility::MayBeTried if fails || is_hopeless(record, place, search) => recipients::end(record, place, Status::Failed),
            Eligibility::MayBeTried => {
                let hold = hold_until(record, place, search, rules, now);
                until = Some(recipients::sooner(until, hold));
            }
            Eligibility::WaitsForFeedback(wait) => until = Some(recipients::sooner(until, wait)),
            Eligibility::UsedUp => recipients::end(record, place, Status::Unknown),
        }
    }
    let Some(until) = until else {
        recipients::close_untaken(record, Some(why));
        return Fate::new(Next::End);
    };
    recipients::hold(record, until, Some(why));
    Fate {
        progress: Progress::Held,
        ..Fate::new(Next::Wait)
    }
}

/// Whether every provider said that it never can carry the message to that recipient, and no provider was passed over.
fn is_hopeless(record: &MessageRecord, place: usize, search: Search) -> bool {
    let mut answers = turn::attempts(record).filter_map(|attempt| answer_for(attempt, place)).peekable();
    search.soonest.is_none() && answers.peek().is_some() && answers.all(|class| class.consequence().retry == Retry::No)
}

/// When a held recipient is tried again: when the first provider that was passed over reopens, or by the schedule after providers were
/// tried; never after the message's expiry.
fn hold_until(record: &MessageRecord, place: usize, search: Search, rules: &Rules, now: Timestamp) -> Timestamp {
    let purpose = record.message.handling.purpose;
    // A provider that takes some recipients in each transaction has several attempts in one round.
    let attempts = turn::attempts(record).filter(|attempt| was_for(attempt, place)).count();
    let round = (attempts / search.providers.max(1)).saturating_sub(1);
    let by_schedule = last_retry(record, place).map(|retry| match retry {
        Retry::Slowly => rules.retry.slowest(purpose),
        Retry::BySchedule | Retry::No => rules.retry.wait(purpose, round, search.chance),
    });
    let wait = match (search.soonest, by_schedule) {
        (Some(soonest), Some(schedule)) => soonest.min(schedule),
        (Some(wait), None) | (None, Some(wait)) => wait,
        (None, None) => MIN_HOLD,
    };
    (now + wait.max(MIN_HOLD)).min(record.message.expires_at)
}

/// What the table says of a retry after the last answer that a provider gave for that recipient.
fn last_retry(record: &MessageRecord, place: usize) -> Option<Retry> {
    let mut answers = record.attempts.iter().rev().filter_map(|attempt| answer_for(attempt, place));
    answers.next().map(|class| class.consequence().retry)
}

/// Whether that recipient was among those whom the attempt was for.
fn was_for(attempt: &AttemptRecord, place: usize) -> bool {
    attempt.recipients.contains(place) || attempt.refused.iter().any(|refused| refused.place == place)
}

/// What an attempt's failure means for that recipient: the refusal by name, else the failure of the whole call.
fn answer_for(attempt: &AttemptRecord, place: usize) -> Option<FailureClass> {
    let by_name = attempt.refused.iter().find(|refused| refused.place == place);
    let whole = attempt.class.filter(|_| attempt.recipients.contains(place));
    by_name.map(|refused| refused.failure.class).or(whole)
}
