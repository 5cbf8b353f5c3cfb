//! What must hold at the end, when everything was healed and all time has passed.

use ums_core::{AttemptOutcome, AttemptRecord, MessageId, OnExhausted, Retry, SettledBy, Status};

use super::cast::{self, Set};
use super::ledger::Row;
use super::reports;
use super::steps;
use super::world::{CallMade, Told, World, short};

/// Judges every message.
pub(crate) fn judge(world: &mut World) {
    let accepted = world
        .callers
        .accepted
        .iter()
        .find(|id| !world.ledger.rows.contains_key(*id))
        .copied();
    let fault = accepted.map(|id| (id, "was accepted and is not stored".to_owned()));
    let fault = fault.or_else(|| {
        let mut rows = world.ledger.rows.iter();
        rows.find_map(|(id, row)| Some((*id, fault_of(world, *id, row)?)))
    });
    if let Some((id, fault)) = fault {
        world.blame(|| format!("{} {fault}", short(id)));
    }
}

/// Messages that a process works on still, long after all is well.
pub(crate) fn nothing_is_stuck(world: &mut World) {
    let stuck = world.ledger.rows.iter().find(|(_, row)| row.owner.is_some());
    let stuck = stuck.map(|(id, row)| (*id, row.record.status, row.owner));
    if let Some((id, status, owner)) = stuck {
        world.blame(|| format!("{} lies {status} with owner {owner:?} long after all was healed", short(id)));
    }
}

fn fault_of(world: &World, id: MessageId, row: &Row) -> Option<String> {
    let record = &row.record;
    if !record.has_ended() {
        return Some(format!("never ended: it is {}, {:?}", record.status, record.work));
    }
    let calls = world.calls.get(&id).map_or(&[][..], Vec::as_slice);
    let mut places = 0..record.recipients.len();
    places
        .find_map(|place| {
            let fault = fault_of_recipient(world, row, place, calls)?;
            Some(format!("has a recipient, at {place}, {fault}"))
        })
        .or_else(|| word_of_another(row))
        .or_else(|| steps::word_that_is_too_sure(record))
        .or_else(|| reports::fault_of(world, id, row))
        .or_else(|| double_that_is_not_shown(row, calls))
        .or_else(|| calls.iter().find_map(|call| fault_of_attempt(world, row, call)))
}

/// Each recipient has exactly one end, and it is the one that follows from the calls.
fn fault_of_recipient(world: &World, row: &Row, place: usize, calls: &[CallMade]) -> Option<String> {
    let record = &row.record;
    let recipient = &record.recipients[place];
    let (status, bit) = (recipient.status, cast::bit_of(&recipient.address));
    let has_arrived = calls.iter().any(|call| call.arrived & bit != 0);
    let is_unknown = record.attempts.iter().any(|attempt| attempt.is_unknown_for(place));
    let took = |attempt: &&AttemptRecord| attempt.outcome == AttemptOutcome::Accepted && attempt.recipients.contains(place);
    let mut taken = record.attempts.iter().filter(took);
    if row.marked {
        // An operator may be wrong.
        return (!status.is_final()).then(|| format!("who has no end: {status}"));
    }
    let is_fine = match status {
        Status::Pending | Status::Scheduled | Status::Queued | Status::Sending => false,
        Status::Sent | Status::Delivered | Status::Bounced => {
            let Some(attempt) = taken.next() else {
                return Some(format!("who is {status}, and no attempt says so"));
            };
            // What was reported of others settles an attempt for all whom it may have been for.
            let goes_with_others = attempt.settled_by == Some(SettledBy::Feedback) && attempt.recipients.count(record.recipients.len()) > 1;
            let fine = has_arrived || (goes_with_others && status == Status::Sent);
            return (!fine).then(|| format!("who is {status}, and nothing arrived"));
        }
        Status::Failed | Status::Expired | Status::Cancelled => !has_arrived,
        Status::Suppressed | Status::Unsubscribed => !has_arrived || is_unknown,
        Status::Unknown => is_unknown,
    };
    if !is_fine {
        return Some(format!("who is {status}; arrived: {has_arrived}, unknown: {is_unknown}"));
    }
    if status == Status::Failed
        && let Some(fault) = given_up_too_soon(world, row, place)
    {
        return Some(fault);
    }
    let silent = taken.find(|attempt| !world.reports.says_something(attempt.id));
    silent.map(|attempt| format!("who is {status} although {} took the message", attempt.provider))
}

/// A message that is held until its time is over gives nobody up before, unless a provider said that no try would help.
fn given_up_too_soon(world: &World, row: &Row, place: usize) -> Option<String> {
    if row.record.message.handling.on_exhausted != Some(OnExhausted::Hold) {
        return None;
    }
    let mut attempts = row.record.attempts.iter();
    let is_reason = attempts.any(|attempt| {
        let by_name = attempt.refused.iter().find(|refused| refused.place == place);
        let whole = attempt.class.filter(|_| attempt.recipients.contains(place));
        let class = by_name.map(|refused| refused.failure.class).or(whole);
        let is_hopeless = class.is_some_and(|class| class.consequence().retry == Retry::No);
        is_hopeless || world.reports.says_something(attempt.id)
    });
    (!is_reason).then(|| "who was given up although the message is to be held".to_owned())
}

/// The message's word is its first recipient's, and says when the message was sent.
fn word_of_another(row: &Row) -> Option<String> {
    let record = &row.record;
    let (word, first) = (record.status, record.recipients.first()?.status);
    // Nobody says `failed` or `expired` while any attempt is unknown; whoever was barred stays so, unless the attempt was the recipient's own.
    let is_maybe_sent = if matches!(first, Status::Failed | Status::Expired) {
        record.has_unknown_attempt()
    } else {
        first.says_not_sent() && record.attempts.iter().any(|attempt| attempt.is_unknown_for(0))
    };
    let expected = if is_maybe_sent { Status::Unknown } else { first };
    // The first recipient opted out before an attempt turned out to have failed.
    let was_unknown = word == Status::Failed
        && matches!(
            first,
            Status::Suppressed | Status::Unsubscribed | Status::Cancelled | Status::Expired
        );
    if first.is_success() && record.sent_at.is_none() {
        return Some(format!("is {word}, and does not say since when"));
    }
    (word != expected && !was_unknown).then(|| format!("is {word}, and its first recipient is {first}"))
}

/// Who got the message twice is told so.
fn double_that_is_not_shown(row: &Row, calls: &[CallMade]) -> Option<String> {
    let twice = calls.iter().fold((0, 0), |(once, twice): (Set, Set), call| {
        (once | call.arrived, twice | once & call.arrived)
    });
    let is_shown = row.record.result().possibly_duplicate || row.marked;
    (twice.1 != 0 && !is_shown).then(|| format!("arrived twice for {:#b}, and does not show it", twice.1))
}

/// An attempt's record may know less than the process that called did, never something else.
fn fault_of_attempt(world: &World, row: &Row, call: &CallMade) -> Option<String> {
    if row.marked || world.reports.says_something(call.attempt) {
        return None;
    }
    let record = &row.record;
    let attempt = record.attempts.iter().find(|attempt| attempt.id == call.attempt);
    let whom = attempt.map_or(0, |attempt| cast::set_of(&record.recipients, attempt.recipients));
    let by_name = attempt.map_or(0, |attempt| {
        let places = attempt.refused.iter().map(|refused| refused.place).collect();
        cast::set_of(&record.recipients, places)
    });
    let outcome = attempt.map(|attempt| attempt.outcome);
    let fine = match (&call.told, outcome) {
        (Told::Taken(refused), Some(AttemptOutcome::Accepted)) => whom == call.recipients & !refused && by_name == *refused,
        (Told::Failed(class, refused), Some(AttemptOutcome::Failed)) => {
            let is_sure = !class.may_have_been_accepted() || *refused == call.recipients;
            is_sure && whom == call.recipients & !refused && by_name == *refused
        }
        (_, Some(AttemptOutcome::Unknown)) => whom & !call.surely_refused() == call.recipients & !call.surely_refused(),
        (Told::Nothing | Told::Taken(_) | Told::Failed(..), _) => false,
    };
    (!fine).then(|| {
        format!(
            "has an attempt recorded as {outcome:?} for {whom:#b}, refused {by_name:#b}, of which was told {:?}",
            call.told
        )
    })
}
