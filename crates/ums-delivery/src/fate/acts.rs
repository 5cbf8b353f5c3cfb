//! What callers and operators do to a message that nobody works on: cancel it, have it sent again, say what became of it.

use std::sync::Arc;

use ums_core::{ActKind, ActRecord, AttemptOutcome, MessageRecord, RecipientSet, SettledBy, Status, Timestamp, Work};

use super::{recipients, turn};
use crate::rules::Rules;

/// What an operator says became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A provider took it.
    Sent,
    /// The recipient has it.
    Delivered,
    /// Nobody took it.
    Failed,
}

/// What is done to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Its sender stops it.
    Cancel,
    /// An operator has it sent again, with the time of its purpose anew.
    Resend,
    /// An operator has it sent again with others after an outage, in its old time.
    Replay,
    /// An operator says what became of it.
    Mark(Mark),
}

/// Why an act is not possible. The record is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotPossible {
    /// What was to be done, as a participle.
    pub(crate) act: &'static str,
    /// Why not, and what to do instead.
    pub(crate) why: &'static str,
}

/// Does an act to a message, if that is possible. The answer is the act as it is kept.
pub(crate) fn act(record: &mut MessageRecord, act: Act, rules: &Rules, now: Timestamp) -> Result<ActRecord, NotPossible> {
    match act {
        Act::Cancel => cancel(record, now),
        Act::Resend => resend(record, rules, now),
        Act::Replay => replay(record, now),
        Act::Mark(mark) => settle(record, mark, now),
    }
}

fn cancel(record: &mut MessageRecord, now: Timestamp) -> Result<ActRecord, NotPossible> {
    let not_possible = |why| NotPossible { act: "cancelled", why };
    if record.has_ended() {
        return Err(not_possible("it has ended"));
    }
    if record.is_under_way() {
        return Err(not_possible("it is being sent; look again when it has an outcome or is held"));
    }
    let act = kept(record, ActKind::Cancelled, format!("was {}", record.status), now);
    for place in recipients::places(record, record.open_recipients()) {
        recipients::end(record, place, Status::Cancelled);
    }
    let may_be_sent = record.has_unknown_attempt();
    let error = if may_be_sent {
        "cancelled, but a provider may have taken it before"
    } else {
        "cancelled before it was sent"
    };
    recipients::close(record, Some(error.to_owned()));
    Ok(act)
}

fn resend(record: &mut MessageRecord, rules: &Rules, now: Timestamp) -> Result<ActRecord, NotPossible> {
    let not_possible = |why| Err(NotPossible { act: "sent again", why });
    if !record.has_ended() {
        return not_possible("it has not ended yet");
    }
    match record.status {
        Status::Failed | Status::Expired | Status::Unknown => {}
        Status::Pending | Status::Scheduled | Status::Queued | Status::Sending => return not_possible("it has not ended yet"),
        Status::Sent | Status::Delivered => return not_possible("a provider took it; send a new message"),
        Status::Cancelled => return not_possible("its sender stopped it; send a new message"),
        Status::Bounced | Status::Suppressed | Status::Unsubscribed => return not_possible("its recipient is not to be contacted"),
    }
    if !record.has_body() {
        return not_possible("its body is no longer kept; send a new message");
    }
    if !first_may_be_written_to_again(record) {
        return not_possible("its recipient is not to be contacted");
    }
    let act = send_again(record, ActKind::Resent, now, now);
    let expiry = rules.expiry.of(record.message.handling.purpose);
    Arc::make_mut(&mut record.message).expires_at = now + expiry;
    Ok(act)
}

fn replay(record: &mut MessageRecord, now: Timestamp) -> Result<ActRecord, NotPossible> {
    let not_possible = |why| Err(NotPossible { act: "replayed", why });
    if !record.has_ended() {
        return not_possible("it has not ended yet");
    }
    if record.status != Status::Failed {
        return not_possible("it has not failed");
    }
    if !first_may_be_written_to_again(record) {
        return not_possible("its recipient is not to be contacted");
    }
    let due_at = record.message.accepted_at.min(now);
    Ok(send_again(record, ActKind::Replayed, due_at, now))
}

/// Whether a recipient who stands so is written to when the message is sent again. Whoever has it, bounced or opted out is not.
const fn may_be_written_to_again(status: Status) -> bool {
    matches!(status, Status::Failed | Status::Expired | Status::Unknown)
}

/// A message that is not for its first recipient is for nobody.
fn first_may_be_written_to_again(record: &MessageRecord) -> bool {
    record.recipients.first().is_some_and(|first| may_be_written_to_again(first.status))
}

/// Queues an ended message once more, without those recipients who have it or must not get it.
fn send_again(record: &mut MessageRecord, kind: ActKind, due_at: Timestamp, now: Timestamp) -> ActRecord {
    let detail = format!("was {} after {} attempts", record.status, record.attempts.len());
    let act = kept(record, kind, detail, now);
    recipients::reopen(record, may_be_written_to_again);
    recipients::hold(record, due_at, Some(format!("{kind} by an operator")));
    act
}

fn settle(record: &mut MessageRecord, mark: Mark, now: Timestamp) -> Result<ActRecord, NotPossible> {
    let (status, outcome, by) = match mark {
        Mark::Sent => (Status::Sent, AttemptOutcome::Accepted, SettledBy::MarkedSent),
        Mark::Delivered => (Status::Delivered, AttemptOutcome::Accepted, SettledBy::MarkedDelivered),
        Mark::Failed => (Status::Failed, AttemptOutcome::Failed, SettledBy::MarkedFailed),
    };
    let not_possible = |why| Err(NotPossible { act: by.describe(), why });
    if record.is_under_way() {
        return not_possible("it is being sent");
    }
    let waits_for_feedback = !record.has_ended() && record.has_unknown_attempt();
    if record.status != Status::Unknown && !waits_for_feedback {
        return not_possible("no attempt of it has an unknown outcome");
    }
    let act = kept(record, ActKind::Marked, format!("was {}, {}", record.status, by.describe()), now);
    let sent_at = record.unknown_attempts().map(|attempt| attempt.called_at).max();
    let recipients = record.recipients.len();
    // A restored message may have been sent by an attempt that the backup does not have: to everybody.
    let mut carried = if record.has_unknown_attempt() {
        RecipientSet::NOBODY
    } else {
        RecipientSet::NOT_RECORDED
    };
    for attempt in record
        .attempts
        .iter_mut()
        .filter(|attempt| attempt.outcome == AttemptOutcome::Unknown)
    {
        attempt.settle(outcome, by, act.at, recipients);
        attempt.detail = Some(by.describe().to_owned());
        carried = carried.or(attempt.recipients);
    }
    if mark != Mark::Failed {
        record.sent_at = record.sent_at.or(sent_at);
    }
    if mark == Mark::Delivered {
        record.delivered_at = record.delivered_at.or(Some(act.at));
    }
    // Those whom a provider refused by name stay refused; those who opted out after the call may have the message all the same.
    let is_unknown = record.status == Status::Unknown;
    for (place, recipient) in record.recipients.iter_mut().enumerate() {
        let was_carried = carried.is_recorded() || (place == 0 && is_unknown);
        let is_meant = match recipient.status {
            Status::Unknown | Status::Pending | Status::Scheduled | Status::Queued | Status::Sending => true,
            Status::Cancelled | Status::Suppressed | Status::Unsubscribed => was_carried && mark != Mark::Failed,
            Status::Sent | Status::Delivered | Status::Bounced | Status::Failed | Status::Expired => false,
        };
        if carried.contains(place) && is_meant {
            (recipient.status, recipient.reason) = (status, None);
        }
    }
    let error = (mark == Mark::Failed).then(|| by.describe().to_owned());
    match record.work {
        Work::Due(at) if !record.open_recipients().is_empty() => recipients::hold(record, at, error),
        Work::Due(_) | Work::InHand | Work::Ended => recipients::close(record, error),
    }
    Ok(act)
}

/// An act is later than every attempt before it.
fn kept(record: &MessageRecord, kind: ActKind, detail: String, now: Timestamp) -> ActRecord {
    ActRecord {
        at: turn::after_every_attempt(record, now),
        kind,
        detail,
    }
}
