//! What becomes of each recipient, and of the message with its first one.

use ums_core::{
    AttemptOutcome, Channel, Duplicates, MessageRecord, OnExhausted, RecipientSet, Status, Suppression, Timestamp, Work, listed_key,
};

use super::{Fate, Next, causes, turn};
use crate::rules::Rules;

/// Most attempts for one recipient whose outcome is unknown, unless an operator has the message sent again.
pub(super) const MAX_UNKNOWN_ATTEMPTS: usize = 2;
/// The word kept with recipients who are left out because the first recipient is.
const FIRST_RECIPIENT: &str = "first_recipient";

/// What may be done for a recipient without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eligibility {
    /// A provider may be called.
    MayBeTried,
    /// Feedback has until then to say what became of an unknown attempt.
    WaitsForFeedback(Timestamp),
    /// Nothing more may be tried.
    UsedUp,
}

/// When a recipient is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Right after a call for these: the next provider is tried at once for them. Feedback gets its time for others.
    AfterCall(RecipientSet),
    /// When the message is taken up again: feedback gets its time first.
    TakenUp,
}

/// What may be done for the recipient at that place.
pub(super) fn eligibility(record: &MessageRecord, place: usize, rules: &Rules, moment: Moment, now: Timestamp) -> Eligibility {
    let handling = &record.message.handling;
    let mut unknown = turn::unknown_for(record, place);
    let Some(last) = unknown.next_back() else {
        return Eligibility::MayBeTried;
    };
    if unknown.count() + 1 >= MAX_UNKNOWN_ATTEMPTS {
        return Eligibility::UsedUp;
    }
    let until = match (handling.duplicates, moment) {
        (Duplicates::Never, _) => return Eligibility::WaitsForFeedback(record.message.expires_at),
        (Duplicates::Allow, Moment::AfterCall(asked)) if asked.contains(place) => return Eligibility::MayBeTried,
        (Duplicates::Allow, Moment::AfterCall(_) | Moment::TakenUp) => last.called_at + rules.feedback_wait.of(handling.purpose),
    };
    let until = until.min(record.message.expires_at);
    if until > now {
        Eligibility::WaitsForFeedback(until)
    } else {
        Eligibility::MayBeTried
    }
}

/// Goes on with the recipients who have no end: those who may be tried are tried now; without any the message waits, or ends with `error`.
pub(super) fn go_on(record: &mut MessageRecord, rules: &Rules, moment: Moment, now: Timestamp, error: Option<String>) -> Next {
    let mut callable = RecipientSet::NOBODY;
    let mut wait = None;
    let gives_up = duplicates_are_refused(record) && policy(record, rules) == OnExhausted::Fail;
    for place in places(record, record.open_recipients()) {
        match eligibility(record, place, rules, moment, now) {
            Eligibility::MayBeTried => callable = callable.with(place),
            Eligibility::WaitsForFeedback(until) if !gives_up => wait = Some(sooner(wait, until)),
            Eligibility::WaitsForFeedback(_) | Eligibility::UsedUp => end(record, place, Status::Unknown),
        }
    }
    if !callable.is_empty() {
        return Next::Provider(callable);
    }
    let Some(until) = wait else {
        close_untaken(record, error);
        return Next::End;
    };
    let error = if duplicates_are_refused(record) {
        "a provider may have taken it, and it must not arrive twice: waiting for feedback"
    } else {
        "a provider may have taken it: feedback has a moment to say so before it is sent again"
    };
    hold(record, until, Some(error.to_owned()));
    Next::Wait
}

/// The sooner of two times.
pub(super) fn sooner(one: Option<Timestamp>, other: Timestamp) -> Timestamp {
    one.map_or(other, |one| one.min(other))
}

fn duplicates_are_refused(record: &MessageRecord) -> bool {
    record.message.handling.duplicates == Duplicates::Never
}

/// What follows when no provider took the message: its sender's word, else that of its route, else that of the service.
pub(super) fn policy(record: &MessageRecord, rules: &Rules) -> OnExhausted {
    let handling = &record.message.handling;
    let by_route = if handling.via.is_some() {
        OnExhausted::Fail
    } else {
        rules.on_exhausted.unwrap_or(OnExhausted::Fail)
    };
    handling.on_exhausted.unwrap_or(by_route)
}

/// The places of those recipients; the record may be changed meanwhile.
pub(super) fn places(record: &MessageRecord, set: RecipientSet) -> impl Iterator<Item = usize> + use<> {
    (0..record.recipients.len()).filter(move |place| set.contains(*place))
}

/// Ends a recipient. While a provider may have the message for that recipient, nobody says that it was not sent.
pub(super) fn end(record: &mut MessageRecord, place: usize, status: Status) {
    let may_have_it = record.attempts.iter().any(|attempt| attempt.is_unknown_for(place));
    let status = if may_have_it && status.says_not_sent() {
        Status::Unknown
    } else {
        status
    };
    if let Some(recipient) = record.recipients.get_mut(place) {
        recipient.status = status;
    }
}

/// Ends all recipients without an end, whom no provider took the message for.
pub(super) fn end_all(record: &mut MessageRecord, status: Status, error: String) {
    for place in places(record, record.open_recipients()) {
        end(record, place, status);
    }
    close_untaken(record, Some(error));
}

/// The message has ended with its last recipient, and its word follows the first one. `error` is said unless that one has the message, or
/// was refused by name, perhaps long before the others had their ends.
pub(super) fn close(record: &mut MessageRecord, error: Option<String>) {
    record.work = Work::Ended;
    record.status = word_of_ended(record);
    let error = causes::why_first_was_refused(record).or(error);
    record.error = error.filter(|_| !record.status.is_success());
}

/// The word for a message without open recipients. A message that was unknown does not come to be suppressed, unsubscribed or cancelled: that
/// its first recipient opted out meanwhile stands with the recipient.
pub(super) fn word_of_ended(record: &MessageRecord) -> Status {
    let word = record.word(Status::Failed);
    if record.status != Status::Unknown || !is_closed(word) {
        word
    } else if record.has_unknown_attempt() {
        Status::Unknown
    } else {
        Status::Failed
    }
}

/// Whether a message or a recipient that stands so must not be written to.
pub(super) const fn is_closed(status: Status) -> bool {
    matches!(status, Status::Cancelled | Status::Suppressed | Status::Unsubscribed)
}

/// As [`close`], where providers were asked: a message that one of them may have says so.
pub(super) fn close_untaken(record: &mut MessageRecord, error: Option<String>) {
    close(record, error);
    if record.status == Status::Unknown {
        record.error = Some(causes::why_unknown(record));
    }
}

/// The message waits until then, with all recipients who have no end.
pub(super) fn hold(record: &mut MessageRecord, until: Timestamp, error: Option<String>) {
    stand(record, Status::Queued, Work::Due(until));
    record.error = error;
}

/// Sets where the recipients without an end stand, and the message with them.
pub(super) fn stand(record: &mut MessageRecord, status: Status, work: Work) {
    for recipient in record.recipients.iter_mut().filter(|recipient| !recipient.status.is_final()) {
        recipient.status = status;
    }
    record.status = record.word(status);
    record.work = work;
}

/// Opens recipients again.
pub(super) fn reopen(record: &mut MessageRecord, stands: impl Fn(Status) -> bool) {
    for recipient in record.recipients.iter_mut().filter(|recipient| stands(recipient.status)) {
        (recipient.status, recipient.reason) = (Status::Queued, None);
    }
}

/// Leaves out recipients who must not be contacted; all recipients, when the first one is among them. When nobody is left, the intent in hand
/// is withdrawn and the message ends.
pub(super) fn opted_out(record: &mut MessageRecord, entries: &[Suppression], rules: &Rules, now: Timestamp) -> Fate {
    let channel = record.message.content.channel();
    let entry_of = |address: &str| {
        let subscriber = listed_key(channel, address);
        let of_it = |entry: &&Suppression| entry.channel == channel && listed_key(channel, &entry.address) == subscriber;
        entries.iter().find(of_it)
    };
    let open = record.open_recipients();
    let mut why = None;
    let mut first = None;
    for (place, recipient) in record.recipients.iter_mut().enumerate() {
        let Some(entry) = entry_of(&recipient.address).filter(|_| open.contains(place)) else {
            continue;
        };
        recipient.status = entry.reason.status();
        recipient.reason = Some(entry.reason.as_str().to_owned());
        why.get_or_insert_with(|| describe(channel, entry));
        first = first.or((place == 0).then_some(recipient.status));
    }
    if let Some(status) = first {
        // They are left out, and are not barred themselves: whoever may have the message by an unknown attempt ends so.
        for place in places(record, record.open_recipients()) {
            end(record, place, status);
            if let Some(recipient) = record.recipients.get_mut(place) {
                recipient.reason = Some(FIRST_RECIPIENT.to_owned());
            }
        }
    }
    let left = record.open_recipients();
    if let Some(intent) = record
        .attempts
        .last_mut()
        .filter(|attempt| attempt.outcome == AttemptOutcome::Calling)
    {
        intent.recipients = intent.recipients.and(left);
        if !intent.recipients.is_empty() {
            return Fate::new(Next::Call);
        }
        record.attempts.pop();
    }
    if left.is_empty() {
        close(record, why);
        return Fate::new(Next::End);
    }
    Fate::new(go_on(record, rules, Moment::TakenUp, now, why))
}

/// What an entry of the suppression list says, without its address.
fn describe(channel: Channel, entry: &Suppression) -> String {
    let by = entry.provider.map(|provider| format!(" of {provider}")).unwrap_or_default();
    format!(
        "{}: the recipient is on the suppression list for {channel} since {} ({}{by})",
        entry.reason, entry.since, entry.origin
    )
}
