//! A provider took a message, and reports that it kept it back: the recipient is on the provider's own unsubscribe list.
//!
//! The provider surely sent nothing, so another provider may try: that is no double.

use ums_core::{
    AttemptOutcome, AttemptRecord, EventRecord, Failure, FailureClass, MessageRecord, Purpose, RecipientSet, RefusedRecipient, SettledBy,
    Status, Timestamp, Work,
};

use super::{End, Reported, Reports, is_of, reason, tell};
use crate::fate::{recipients, says, turn};

/// A provider took the message for a recipient and kept it back: another provider may try at once.
pub(super) fn go_back_to_work(after: &mut MessageRecord, end: End<'_>, now: Timestamp) {
    after.work = Work::Due(after.work.due_at().map_or(now, |at| at.min(now)));
    after.status = after.word(Status::Queued);
    if !after.attempts.iter().any(|attempt| attempt.outcome == AttemptOutcome::Accepted) {
        after.sent_at = None;
    }
    if !after.status.is_final() {
        after.error = end.by.map(tell);
    }
}

/// The record with its attempts as they were called: whom an earlier report took out of an attempt is back in it, since all reports together
/// decide anew.
pub(super) fn as_called(record: &MessageRecord) -> MessageRecord {
    let mut called = record.clone();
    let recipients = record.recipients.len();
    for attempt in &mut called.attempts {
        let id = attempt.id;
        let by_report = |place: usize| {
            let of_it =
                |event: &&EventRecord| event.attempt_id == Some(id) && event.event.class == Some(FailureClass::ProviderUnsubscribed);
            let names = |event: &EventRecord| event.event.recipient.as_ref().is_none_or(|address| is_of(record, address, place));
            record.events.iter().filter(of_it).any(names)
        };
        let is_taken_out =
            |refused: &RefusedRecipient| refused.failure.class == FailureClass::ProviderUnsubscribed && by_report(refused.place);
        let back: RecipientSet = attempt
            .refused
            .iter()
            .filter(|refused| is_taken_out(refused))
            .map(|refused| refused.place)
            .collect();
        if back.is_empty() {
            continue;
        }
        attempt.refused.retain(|refused| !is_taken_out(refused));
        attempt.recipients = attempt.recipients.or(back);
        if attempt.outcome == AttemptOutcome::Accepted {
            attempt.bill(recipients);
        }
    }
    called
}

/// Until when a provider that took a code may still report that it kept the code back: until then the next provider may need the body.
pub(crate) fn body_is_needed_until(record: &MessageRecord) -> Option<Timestamp> {
    let mut accepted = record.attempts.iter().filter(|attempt| attempt.outcome == AttemptOutcome::Accepted);
    let may_come_back = record.status == Status::Sent && accepted.any(|attempt| says::may_keep_back(attempt.provider));
    (may_come_back && record.has_body()).then_some(record.message.expires_at)
}

/// Whether a message ended as unsubscribed because its provider kept it back. What else is reported of it counts all the same, in any order.
pub(super) fn is_unsubscribed_by_report(record: &MessageRecord) -> bool {
    let was_kept_back = || record.attempts.iter().any(|attempt| turn::kept_back(attempt).contains(0));
    record.message.handling.purpose == Purpose::Bulk && record.status == Status::Unsubscribed && was_kept_back()
}

/// The event by which a provider kept the message back because of its own unsubscribe list.
pub(super) fn kept_back_by(standing: Option<Reported<'_>>) -> Option<&EventRecord> {
    let by = standing.filter(|standing| standing.status == Status::Failed)?.by;
    is_kept_back(by).then_some(by)
}

/// Whether an event says that its provider kept a message back because of its own unsubscribe list.
fn is_kept_back(event: &EventRecord) -> bool {
    event.event.kind.status() == Some(Status::Failed) && event.event.class == Some(FailureClass::ProviderUnsubscribed)
}

impl<'a> Reports<'a> {
    /// Writes into an attempt from whom its provider kept the message back. Whether that was everybody whom the attempt was for.
    pub(super) fn keep_back(&self, attempt: &mut AttemptRecord, row: &[Option<Reported<'a>>], at: Timestamp) -> bool {
        let recipients = self.record.recipients.len();
        let everybody: RecipientSet = attempt.recipients.and((0..recipients).collect());
        let mut last = None;
        let mut kept_back = RecipientSet::NOBODY;
        for (place, by) in row
            .iter()
            .enumerate()
            .filter_map(|(place, standing)| Some((place, kept_back_by(*standing)?)))
        {
            if everybody.contains(place) {
                kept_back = kept_back.with(place);
                last = Some(by);
            }
        }
        let Some(by) = last else { return false };
        let detail = by.event.detail.clone();
        if everybody.without(kept_back).is_empty() {
            attempt.settle(AttemptOutcome::Failed, SettledBy::Feedback, at, recipients);
            // Nothing was sent.
            attempt.cost_micros = None;
            (attempt.class, attempt.code, attempt.detail) = (by.event.class, Some(reason(by)), detail);
            return true;
        }
        // Where it is not recorded whom an attempt was for, nobody can be taken out of it.
        if attempt.recipients.is_recorded() {
            attempt.recipients = attempt.recipients.without(kept_back);
            if attempt.outcome == AttemptOutcome::Accepted {
                attempt.bill(recipients);
            }
            let named = recipients::places(self.record, kept_back).map(|place| RefusedRecipient {
                place,
                failure: Failure::provider(
                    FailureClass::ProviderUnsubscribed,
                    reason(by),
                    detail.as_deref().unwrap_or_default(),
                ),
            });
            attempt.refused.extend(named);
        }
        false
    }

    /// Where a recipient stands whom a provider took the message for and then kept it back from: another provider may try, or the recipient of
    /// mail to many is unsubscribed. None where the failure is a failure as any other.
    pub(super) fn after_kept_back(&self, place: usize, next_may_try: bool, unsettled: bool) -> Option<Status> {
        let message = &self.record.message;
        let is_in_time = message.expires_at > self.now && self.record.has_body();
        let opted_out = self.purpose == Purpose::Bulk && !unsettled;
        match self.record.recipients.get(place)?.status {
            Status::Sent if next_may_try && is_in_time => Some(Status::Queued),
            Status::Pending | Status::Scheduled | Status::Queued | Status::Sending | Status::Sent | Status::Unsubscribed => {
                opted_out.then_some(Status::Unsubscribed)
            }
            Status::Delivered
            | Status::Bounced
            | Status::Failed
            | Status::Expired
            | Status::Cancelled
            | Status::Suppressed
            | Status::Unknown => None,
        }
    }
}
