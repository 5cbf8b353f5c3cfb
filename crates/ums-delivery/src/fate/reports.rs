//! What a message is by all that providers reported of it: a pure function of its record and the set of its events.
//!
//! It is computed anew whenever an event comes, so neither the order of events nor the number of their copies can matter.
//!
//! - An attempt stands where its furthest report puts it: sent, then failed, then delivered, then bounced.
//! - A recipient is delivered if any attempt delivered, else sent if any attempt stands so, else bounced if any did, else failed; while an
//!   attempt for the recipient is unknown still, nobody calls the recipient failed.
//! - A provider that took a message and then kept it back because of its own unsubscribe list sent nothing. A receipt or a code goes on to
//!   the next provider while its time lasts; the recipient of mail to many is unsubscribed.
//! - The message follows its first recipient. It waits as long as any recipient waits for a provider.
//!
//! **Invariant:** a status moves only as [`Status::may_become`] allows.

use ums_core::{
    AttemptOutcome, AttemptRecord, EventKind, EventRecord, FailureClass, MessageRecord, Purpose, SettledBy, Status, Timestamp, Work,
    redact, subscriber_key,
};

use super::recipients::is_closed;
use super::{causes, recipients, turn};

mod kept_back;

pub(crate) use self::kept_back::body_is_needed_until;
use self::kept_back::{as_called, go_back_to_work, is_unsubscribed_by_report, kept_back_by};

/// Where one attempt stands for one recipient, and the event that says so.
#[derive(Clone, Copy)]
struct Reported<'a> {
    status: Status,
    by: &'a EventRecord,
}

/// The reports of a message, sorted to its attempts and recipients.
struct Reports<'a> {
    record: &'a MessageRecord,
    purpose: Purpose,
    now: Timestamp,
    /// For each attempt, for each recipient.
    table: Vec<Vec<Option<Reported<'a>>>>,
    /// For each recipient, what is reported of no attempt in particular.
    loose: Vec<Option<Reported<'a>>>,
}

/// The record as all its events together make it. A message that a process works on stays as it is.
pub(crate) fn reported(before: &MessageRecord, now: Timestamp) -> MessageRecord {
    if before.is_under_way() {
        return before.clone();
    }
    let called = as_called(before);
    let mut after = called.clone();
    let reports = Reports::of(&called, now);
    let at = turn::after_every_attempt(before, now);
    for (place, attempt) in after.attempts.iter_mut().enumerate() {
        reports.settle(place, attempt, at);
    }
    lift_times(&mut after);
    let message_is_closed = is_closed(before.status) && !is_unsubscribed_by_report(before);
    let mut ends = vec![None; after.recipients.len()];
    for (place, end) in ends.iter_mut().enumerate() {
        *end = reports.end_of(place, &after.attempts);
        let stands = after.recipients[place].status;
        // A closed message follows its first recipient and stays closed. The others may have been reached before they were barred.
        let stays = place == 0 && message_is_closed && is_closed(stands);
        if let Some(end) = end
            && !stays
            && may_stand(stands, *end)
        {
            after.recipients[place].status = end.status;
            after.recipients[place].reason = end.by.filter(|_| is_bad(end.status)).map(reason);
        }
    }
    let first = ends.iter().copied().next().flatten();
    let goes_back = ends.iter().flatten().find(|end| end.status == Status::Queued);
    if let Some(end) = goes_back.filter(|_| !after.open_recipients().is_empty()) {
        go_back_to_work(&mut after, *end, now);
    } else if !before.has_ended() && !after.open_recipients().is_empty() {
        go_on_waiting(before, &mut after, now);
    } else if message_is_closed {
        after.work = Work::Ended;
    } else if first.is_some() || !before.has_ended() || before.status == Status::Unknown {
        end_message(before, &mut after, first);
    }
    after
}

/// The end of a recipient by what was reported, and the event that decided it.
#[derive(Clone, Copy)]
struct End<'a> {
    status: Status,
    /// Whether reports say that the provider had the message for the recipient, against all that was known, and gave it up.
    was_given_up: bool,
    by: Option<&'a EventRecord>,
}

/// Recipients wait for a provider: at once, if an attempt is known now to have failed. What failed for good has ended its recipients.
fn go_on_waiting(before: &MessageRecord, after: &mut MessageRecord, now: Timestamp) {
    let settled = before.attempts.iter().zip(&after.attempts);
    let mut failed = settled.filter(|(before, after)| (before.outcome, after.outcome) == (AttemptOutcome::Unknown, AttemptOutcome::Failed));
    if failed.next().is_some()
        && let Work::Due(at) = before.work
    {
        after.work = Work::Due(at.min(now));
    }
    after.status = after.word(before.status);
}

/// Nobody waits any more: the message follows its first recipient; `first` is what was reported of that one.
fn end_message(before: &MessageRecord, after: &mut MessageRecord, first: Option<End<'_>>) {
    let status = recipients::word_of_ended(after);
    after.work = Work::Ended;
    if status != before.status && !before.status.may_become(status) {
        return;
    }
    after.status = status;
    let by = first.and_then(|first| first.by);
    after.error = match (status, by) {
        (Status::Sent | Status::Delivered, _) => None,
        (Status::Unknown, Some(by)) => Some(format!("a provider may have taken it; nothing more will be tried ({})", tell(by))),
        (_, Some(by)) => Some(tell(by)),
        (Status::Failed | Status::Expired, None) => {
            Some(causes::why_first_was_refused(after).unwrap_or_else(|| "no provider took it".to_owned()))
        }
        (_, None) => after.error.take(),
    };
}

/// Whether a recipient who stands so may come to stand otherwise by a report. Whoever must not be contacted may have been all the same.
fn may_stand(from: Status, end: End<'_>) -> bool {
    let to = end.status;
    match from {
        Status::Cancelled | Status::Suppressed | Status::Unsubscribed => {
            end.was_given_up || matches!(to, Status::Sent | Status::Delivered | Status::Bounced)
        }
        Status::Pending | Status::Scheduled | Status::Queued | Status::Sending => true,
        Status::Sent | Status::Delivered | Status::Bounced | Status::Failed | Status::Expired | Status::Unknown => {
            from == to || from.may_become(to)
        }
    }
}

const fn is_bad(status: Status) -> bool {
    matches!(status, Status::Bounced | Status::Failed | Status::Unknown | Status::Unsubscribed)
}

/// When a provider took it first, and when one first said that it arrived.
fn lift_times(record: &mut MessageRecord) {
    let settled = record
        .attempts
        .iter()
        .filter(|attempt| attempt.settled_by == Some(SettledBy::Feedback) && attempt.outcome == AttemptOutcome::Accepted)
        .map(|attempt| attempt.called_at);
    record.sent_at = record.sent_at.into_iter().chain(settled).min();
    let is_of_first = |event: &&EventRecord| event.event.kind == EventKind::Delivered && concerns(record, event, 0);
    let delivered = record.events.iter().filter(is_of_first).map(EventRecord::happened_at);
    record.delivered_at = record.delivered_at.into_iter().chain(delivered).min();
}

/// Whether an event is about that recipient of the message. An event that names nobody is about all whom its attempt was for; an address
/// that is not among several may be where one of them forwards to, but nobody can say which.
fn concerns(record: &MessageRecord, event: &EventRecord, place: usize) -> bool {
    let Some(address) = &event.event.recipient else {
        let attempt = record.attempts.iter().find(|attempt| Some(attempt.id) == event.attempt_id);
        return attempt.is_none_or(|attempt| attempt.recipients.contains(place));
    };
    is_of(record, address, place)
}

/// Whether an address is that recipient's.
fn is_of(record: &MessageRecord, address: &str, place: usize) -> bool {
    let key = |address: &str| subscriber_key(record.message.content.channel(), address);
    let recipient = record.recipients.get(place);
    record.recipients.len() == 1 || recipient.is_some_and(|recipient| key(&recipient.address) == key(address))
}

/// The further one; of two that are as far, the one that ends more, then the later.
fn further<'a>(one: Option<Reported<'a>>, other: Reported<'a>, purpose: Purpose) -> Reported<'a> {
    let rank = |standing: &Reported<'_>| match standing.status {
        Status::Sent => 1,
        Status::Failed => 2,
        Status::Delivered => 3,
        Status::Bounced => 4,
        Status::Pending
        | Status::Scheduled
        | Status::Queued
        | Status::Sending
        | Status::Expired
        | Status::Cancelled
        | Status::Suppressed
        | Status::Unsubscribed
        | Status::Unknown => 0,
    };
    match one {
        Some(one) if (rank(&one), weight(one.by, purpose)) >= (rank(&other), weight(other.by, purpose)) => one,
        _ => other,
    }
}

/// Puts events in an order that does not depend on how they came.
fn weight(event: &EventRecord, purpose: Purpose) -> (bool, Option<Timestamp>, &str) {
    (!class_of(event).lets_the_next_try(purpose), event.event.at, &event.event.id)
}

/// What a failure that was reported means.
fn class_of(event: &EventRecord) -> FailureClass {
    let unsaid = if event.event.kind == EventKind::Rejected {
        FailureClass::InvalidMessage
    } else {
        FailureClass::Unavailable
    };
    event.event.class.unwrap_or(unsaid)
}

/// Whether a provider that reports so has, or had, the message.
const fn shows_that_it_was_taken(kind: EventKind) -> bool {
    match kind {
        EventKind::Queued
        | EventKind::Sent
        | EventKind::Delivered
        | EventKind::Deferred
        | EventKind::Bounced
        | EventKind::Complained
        | EventKind::Unsubscribed
        | EventKind::Opened
        | EventKind::Clicked
        | EventKind::Autoresponded => true,
        // An unknown word may mean that it was refused.
        EventKind::Rejected | EventKind::Failed | EventKind::Subscribed | EventKind::Inbound | EventKind::Unknown => false,
    }
}

const fn is_failure(kind: EventKind) -> bool {
    matches!(kind, EventKind::Rejected | EventKind::Failed)
}

impl<'a> Reports<'a> {
    fn of(record: &'a MessageRecord, now: Timestamp) -> Self {
        let purpose = record.message.handling.purpose;
        let nobody = vec![None; record.recipients.len()];
        let mut table = vec![nobody.clone(); record.attempts.len()];
        let mut loose = nobody;
        for event in &record.events {
            let Some(status) = event.event.kind.status() else { continue };
            let attempt = event
                .attempt_id
                .and_then(|id| record.attempts.iter().position(|attempt| attempt.id == id));
            let row = match attempt {
                Some(attempt) => &mut table[attempt],
                // Whether another attempt may be made is not to be read from it.
                None if status == Status::Failed => continue,
                None => &mut loose,
            };
            for (place, cell) in row.iter_mut().enumerate() {
                if concerns(record, event, place) {
                    *cell = Some(further(*cell, Reported { status, by: event }, purpose));
                }
            }
        }
        Self {
            record,
            purpose,
            now,
            table,
            loose,
        }
    }

    /// Writes what was reported of an attempt into its record.
    fn settle(&self, place: usize, attempt: &mut AttemptRecord, at: Timestamp) {
        let events = || self.record.events.iter().filter(|event| event.attempt_id == Some(attempt.id));
        let (id, row) = (
            events().filter_map(|event| event.event.about.provider_message_id.as_ref()).min(),
            &self.table[place],
        );
        let id = id.cloned();
        let taken = events().any(|event| shows_that_it_was_taken(event.event.kind));
        let failed = events()
            .filter(|event| is_failure(event.event.kind))
            .max_by_key(|event| weight(event, self.purpose));
        attempt.reported = row.iter().flatten().next().map(|standing| standing.status);
        let was_called = match attempt.outcome {
            AttemptOutcome::Calling => false,
            // A report knows better.
            AttemptOutcome::NotCalled(_) => taken,
            AttemptOutcome::Accepted | AttemptOutcome::Unknown | AttemptOutcome::Failed => true,
        };
        if was_called && self.keep_back(attempt, row, at) {
            attempt.provider_message_id = attempt.provider_message_id.take().or(id);
            return;
        }
        match attempt.outcome {
            AttemptOutcome::Calling => return,
            AttemptOutcome::Unknown | AttemptOutcome::Failed | AttemptOutcome::NotCalled(_) if taken => {
                attempt.settle(AttemptOutcome::Accepted, SettledBy::Feedback, at, self.record.recipients.len());
                attempt.detail = Some(SettledBy::Feedback.describe().to_owned());
            }
            AttemptOutcome::Accepted | AttemptOutcome::NotCalled(_) => {}
            AttemptOutcome::Unknown | AttemptOutcome::Failed => {
                // Who is on the provider's own list stays there, whatever else is reported of the failed call.
                let is_listed_there = attempt.settled_by.is_none() && attempt.class == Some(FailureClass::ProviderUnsubscribed);
                if let Some(failed) = failed.filter(|_| !is_listed_there && self.all_failed(attempt, row)) {
                    if attempt.outcome == AttemptOutcome::Unknown {
                        attempt.settle(AttemptOutcome::Failed, SettledBy::Feedback, at, self.record.recipients.len());
                    }
                    attempt.class = Some(class_of(failed));
                    attempt.code = Some(reason(failed));
                    attempt.detail = failed.event.detail.clone();
                }
            }
        }
        attempt.provider_message_id = attempt.provider_message_id.take().or(id);
    }

    /// Whether a failure was reported for every recipient whom the attempt may have been for: what failed for some was taken.
    fn all_failed(&self, attempt: &AttemptRecord, row: &[Option<Reported<'_>>]) -> bool {
        let left_out = |status| matches!(status, Status::Cancelled | Status::Suppressed | Status::Unsubscribed);
        let mut recipients = self.record.recipients.iter().zip(row).enumerate();
        recipients.all(|(place, (recipient, standing))| {
            standing.is_some() || !attempt.recipients.contains(place) || (!attempt.recipients.is_recorded() && left_out(recipient.status))
        })
    }

    /// Where the reports put a recipient; none when they say nothing of it, or when another provider may try. `attempts` are settled.
    fn end_of(&self, place: usize, attempts: &[AttemptRecord]) -> Option<End<'a>> {
        let own: Vec<(&AttemptRecord, Reported<'a>)> = attempts
            .iter()
            .zip(&self.table)
            .filter_map(|(attempt, row)| Some((attempt, row[place]?)))
            .collect();
        if own.is_empty() && self.loose[place].is_none() {
            return self.end_with_others(place, attempts);
        }
        let silent = self.stands_without_report(place, attempts, &own);
        let standings = own.iter().map(|(_, standing)| *standing).chain(self.loose[place]);
        let best = |status| {
            let of_it = standings.clone().filter(|standing| standing.status == status);
            let best = of_it.fold(None, |best, standing| Some(further(best, standing, self.purpose)));
            best.map(|standing: Reported<'a>| End {
                status,
                was_given_up: false,
                by: Some(standing.by),
            })
        };
        let by_silence = |status| {
            silent.filter(|silent| *silent == status).map(|status| End {
                status,
                was_given_up: false,
                by: None,
            })
        };
        let end = best(Status::Delivered)
            .or_else(|| by_silence(Status::Delivered))
            .or_else(|| best(Status::Sent))
            .or_else(|| by_silence(Status::Sent))
            .or_else(|| best(Status::Bounced));
        end.or_else(|| self.failed(best(Status::Failed)?, place, attempts, &own))
    }

    /// A recipient for whom nothing but failures were reported.
    fn failed(&self, end: End<'a>, place: usize, attempts: &[AttemptRecord], own: &[(&AttemptRecord, Reported<'a>)]) -> Option<End<'a>> {
        let is_open = self
            .record
            .recipients
            .get(place)
            .is_some_and(|recipient| !recipient.status.is_final());
        let waits = is_open && !self.record.has_ended();
        let took = |attempt: &AttemptRecord| attempt.outcome == AttemptOutcome::Accepted && !turn::kept_back(attempt).contains(place);
        let was_taken = own.iter().any(|(attempt, _)| took(attempt));
        // The failure that ends most comes first.
        let next_may_try = !was_taken && end.by.is_some_and(|by| class_of(by).lets_the_next_try(self.purpose));
        if waits && next_may_try {
            return None;
        }
        let unsettled = attempts.iter().any(|attempt| attempt.is_unknown_for(place));
        if own.iter().any(|(_, standing)| kept_back_by(Some(*standing)).is_some())
            && let Some(status) = self.after_kept_back(place, next_may_try, unsettled)
        {
            return Some(End { status, ..end });
        }
        let status = if unsettled { Status::Unknown } else { Status::Failed };
        Some(End {
            status,
            was_given_up: own.iter().any(|(attempt, _)| was_lifted_for(attempt, place)),
            ..end
        })
    }

    /// A recipient of whom nothing was reported goes with an attempt for the recipient that was settled just now.
    fn end_with_others(&self, place: usize, attempts: &[AttemptRecord]) -> Option<End<'a>> {
        let recipient = self.record.recipients.get(place)?;
        let mut pairs = self.record.attempts.iter().zip(attempts);
        let settled = pairs.find(|(before, after)| {
            before.outcome != AttemptOutcome::Accepted && after.outcome == AttemptOutcome::Accepted && after.recipients.contains(place)
        });
        let is_recorded = settled?.1.recipients.is_recorded();
        // A message that is unknown was carried to its first recipient, whatever became of that one later.
        let was_carried = is_recorded || (place == 0 && self.record.status == Status::Unknown);
        let may = match recipient.status {
            Status::Sent | Status::Delivered | Status::Bounced => false,
            _ if was_carried => true,
            Status::Pending | Status::Scheduled | Status::Queued | Status::Sending => true,
            Status::Unknown | Status::Failed | Status::Expired => recipient.reason.is_none(),
            Status::Cancelled | Status::Suppressed | Status::Unsubscribed => false,
        };
        let end = End {
            status: Status::Sent,
            was_given_up: false,
            by: None,
        };
        may.then_some(end)
    }

    /// Where attempts put a recipient that a provider took and did not report on. Where it is not recorded which attempt was for whom, a
    /// recipient with a report of an attempt that was accepted at once was with that attempt.
    fn stands_without_report(&self, place: usize, attempts: &[AttemptRecord], own: &[(&AttemptRecord, Reported<'a>)]) -> Option<Status> {
        let rows = || attempts.iter().zip(&self.table);
        let marked = |attempt: &AttemptRecord| attempt.settled_by == Some(SettledBy::MarkedDelivered) && attempt.recipients.contains(place);
        // An operator's word counts beside what was reported before the delivery.
        let is_not_bounced = |row: &[Option<Reported<'_>>]| row[place].is_none_or(|standing| standing.status != Status::Bounced);
        if rows().any(|(attempt, row)| attempt.outcome == AttemptOutcome::Accepted && marked(attempt) && is_not_bounced(row)) {
            return Some(Status::Delivered);
        }
        let at_once = |attempt: &AttemptRecord| {
            let by_call = attempt.settled_by != Some(SettledBy::Feedback);
            attempt.outcome == AttemptOutcome::Accepted && by_call && !attempt.recipients.is_recorded()
        };
        if self.record.recipients.len() > 1 && own.iter().any(|(attempt, _)| at_once(attempt)) {
            return None;
        }
        let silent = |(attempt, row): (&AttemptRecord, &Vec<Option<Reported<'_>>>)| {
            attempt.outcome == AttemptOutcome::Accepted && attempt.recipients.contains(place) && row[place].is_none()
        };
        rows().any(silent).then_some(Status::Sent)
    }
}

/// Whether only reports say that the provider took the message for that recipient.
fn was_lifted_for(attempt: &AttemptRecord, place: usize) -> bool {
    attempt.outcome == AttemptOutcome::Accepted && attempt.settled_by == Some(SettledBy::Feedback) && attempt.recipients.contains(place)
}

/// The provider's own code, or its word.
fn reason(event: &EventRecord) -> String {
    event.event.code.clone().unwrap_or_else(|| event.event.word.clone())
}

/// What an event says, for people.
fn tell(event: &EventRecord) -> String {
    let event = &event.event;
    let code = event.code.as_ref().filter(|code| **code != event.word);
    let code = code.map(|code| format!(", {code}")).unwrap_or_default();
    let detail = event
        .detail
        .as_ref()
        .map(|detail| format!(": {}", redact(detail)))
        .unwrap_or_default();
    format!("{} reported: {} ({}){code}{detail}", event.provider, event.kind, event.word)
}
