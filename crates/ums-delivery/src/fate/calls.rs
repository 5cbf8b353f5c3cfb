//! What becomes of a message by a call to a provider: the intent before it, the answer after it.

use ums_core::{
    Accepted, AttemptOutcome, AttemptRecord, Failure, FailureClass, FailureSource, MessageRecord, NotCalled, RecipientSet,
    RefusedRecipient, Status, Suppression, SuppressionOrigin, Timestamp, Work, millis, redact, suppression_address,
};

use super::recipients::{self, Moment};
use super::{Answer, Fate, Intent, Next, turn};
use crate::drain::Progress;
use crate::rules::Rules;

/// Adds the intent to call a provider. It is never earlier than the act that had the message sent again, nor than the settlement of an
/// attempt before it.
pub(super) fn begin(record: &mut MessageRecord, intent: Intent, now: Timestamp) -> Fate {
    let settled = record.attempts.iter().filter_map(|attempt| attempt.unknown_until);
    let called_at = settled.chain(turn::resent_at(record)).fold(now, Timestamp::max);
    let Intent {
        id,
        provider,
        account,
        recipients,
        price_micros,
    } = intent;
    record.attempts.push(AttemptRecord {
        price_micros,
        ..AttemptRecord::intent(id, provider, account, called_at, recipients)
    });
    record.status = record.word(Status::Sending);
    record.work = Work::InHand;
    Fate::new(Next::Call)
}

/// The provider was called: each recipient of the attempt has an answer.
pub(super) fn ended(record: &mut MessageRecord, answer: &Answer, rules: &Rules, now: Timestamp) -> Fate {
    let Some(mut attempt) = record.attempts.pop() else {
        return Fate::of(record);
    };
    let asked = attempt.recipients.and(record.open_recipients());
    let by_name = refused_by_name(record, asked, answer);
    let suppress = suppressions(record, &attempt, asked, &by_name, answer);
    let next_transaction = next_transaction(record, asked, answer);

    attempt.duration_ms = Some(millis(answer.took));
    attempt.recipients = asked;
    let named: RecipientSet = by_name.iter().map(|refused| refused.place).collect();
    match &answer.result {
        Ok(accepted) => accept(record, &mut attempt, accepted, asked.without(named), answer),
        Err(failure) => refuse(&mut attempt, failure, asked.without(named)),
    }
    attempt.refused = by_name;
    settle(record, &attempt, asked, answer);
    let error = first_failure(&attempt, answer);
    record.attempts.push(attempt);

    let mut next = recipients::go_on(record, rules, Moment::AfterCall(asked), now, error);
    if let Next::Provider(callable) = next {
        let next_transaction = next_transaction.and(callable);
        if !next_transaction.is_empty() {
            next = Next::SameProvider(next_transaction);
        }
    }
    let progress = if next == Next::End { Progress::Through } else { Progress::Neutral };
    Fate { next, suppress, progress }
}

/// The provider of the intent in hand was surely not called: the attempt ends so, and the message waits for a process that may send it.
pub(super) fn not_called(record: &mut MessageRecord, why: NotCalled, now: Timestamp) -> Fate {
    if let Some(attempt) = record
        .attempts
        .last_mut()
        .filter(|attempt| attempt.outcome == AttemptOutcome::Calling)
    {
        attempt.outcome = AttemptOutcome::NotCalled(why);
        attempt.class = Some(FailureClass::Unavailable);
        attempt.code = Some(why.to_string());
        attempt.detail = Some("the provider was not called".to_owned());
    }
    recipients::hold(record, now, Some(format!("put back: {why}")));
    Fate::new(Next::Wait)
}

/// The recipients whom the provider refused by name.
fn refused_by_name(record: &MessageRecord, asked: RecipientSet, answer: &Answer) -> Vec<RefusedRecipient> {
    let refusals = match &answer.result {
        Ok(accepted) => &accepted.refused[..],
        Err(failure) => &failure.refusals,
    };
    let refused = refusals.iter().filter_map(|refusal| {
        let place = place_of(record, asked, refusal.address.expose())?;
        Some(RefusedRecipient {
            place,
            failure: refusal.failure.clone(),
        })
    });
    refused.collect()
}

/// The recipients whom the provider takes in its next transaction.
fn next_transaction(record: &MessageRecord, asked: RecipientSet, answer: &Answer) -> RecipientSet {
    let Ok(accepted) = &answer.result else {
        return RecipientSet::NOBODY;
    };
    let next = accepted.refused.iter().filter(|refusal| refusal.next_transaction);
    next.filter_map(|refusal| place_of(record, asked, refusal.address.expose()))
        .collect()
}

fn place_of(record: &MessageRecord, asked: RecipientSet, address: &str) -> Option<usize> {
    let mut places = record.recipients.iter().enumerate();
    places.find_map(|(place, recipient)| (asked.contains(place) && recipient.address == address).then_some(place))
}

/// The provider took the message for these recipients.
fn accept(record: &mut MessageRecord, attempt: &mut AttemptRecord, accepted: &Accepted, taken: RecipientSet, answer: &Answer) {
    attempt.outcome = AttemptOutcome::Accepted;
    attempt.recipients = taken;
    attempt.provider_message_id = Some(accepted.provider_message_id.clone());
    attempt.simulated = accepted.simulated;
    attempt.from_substituted = accepted.from_substituted;
    attempt.bill(record.recipients.len());
    if record.sent_at.is_none() || taken.contains(0) {
        record.sent_at = Some(answer.at);
    }
}

/// The provider did not take the message for these recipients, or nobody knows whether it did. Those whom it refused by name were not
/// with this attempt, whatever is reported later.
fn refuse(attempt: &mut AttemptRecord, failure: &Failure, not_named: RecipientSet) {
    let may_be_taken = failure.class.may_have_been_accepted() && !not_named.is_empty();
    attempt.outcome = if may_be_taken {
        AttemptOutcome::Unknown
    } else {
        AttemptOutcome::Failed
    };
    attempt.recipients = not_named;
    attempt.class = Some(failure.class);
    attempt.code = Some(failure.code.clone());
    attempt.detail = (!failure.detail.is_empty()).then(|| failure.detail.clone());
}

/// Gives each recipient who was asked for the end that the table says.
fn settle(record: &mut MessageRecord, attempt: &AttemptRecord, asked: RecipientSet, answer: &Answer) {
    let (channel, purpose) = (record.message.content.channel(), record.message.handling.purpose);
    for place in recipients::places(record, asked) {
        let by_name = attempt.refused.iter().find(|refused| refused.place == place);
        let failure = by_name.map(|refused| &refused.failure).or(answer.result.as_ref().err());
        let end = failure.map_or(Some(Status::Sent), |failure| {
            failure.class.consequence().recipient.status(channel, purpose)
        });
        if let Some(recipient) = record.recipients.get_mut(place) {
            recipient.reason = by_name.map(|refused| refused.failure.code.clone());
            if end.is_none() && by_name.is_some() {
                recipient.status = Status::Queued;
            }
        }
        if let Some(status) = end {
            recipients::end(record, place, status);
        }
    }
}

/// What is said of a message that ends with this call: how its first recipient was refused, else the whole.
fn first_failure(attempt: &AttemptRecord, answer: &Answer) -> Option<String> {
    let first = attempt.refused.iter().find(|refused| refused.place == 0);
    let failure = first.map(|refused| &refused.failure).or(answer.result.as_ref().err());
    failure.map(ToString::to_string)
}

/// A provider that refuses a recipient for good says something for the messages to come, too. A refusal of a message to several is
/// about no recipient in particular.
fn suppressions(
    record: &MessageRecord,
    attempt: &AttemptRecord,
    asked: RecipientSet,
    by_name: &[RefusedRecipient],
    answer: &Answer,
) -> Vec<Suppression> {
    let named = by_name.iter().map(|refused| (refused.place, &refused.failure));
    let mut places = recipients::places(record, asked);
    let only = match (&answer.result, places.next(), places.next()) {
        (Err(failure), Some(only), None) if by_name.is_empty() => Some((only, failure)),
        _ => None,
    };
    let entries = named
        .chain(only)
        .filter_map(|(place, failure)| entry(record, attempt, place, failure, answer.at));
    entries.collect()
}

fn entry(record: &MessageRecord, attempt: &AttemptRecord, place: usize, failure: &Failure, at: Timestamp) -> Option<Suppression> {
    let message = &record.message;
    let channel = message.content.channel();
    if failure.source != FailureSource::Provider {
        return None;
    }
    let address = suppression_address(channel, &record.recipients.get(place)?.address);
    let reason = failure.class.consequence().suppress.reason(channel)?;
    reason.is_of_subscriber(channel, &address).then(|| Suppression {
        tenant: message.tenant.clone(),
        channel,
        address,
        reason,
        list: None,
        origin: SuppressionOrigin::Refusal,
        provider: Some(attempt.provider),
        account: Some(attempt.account.clone()),
        message_id: Some(message.id),
        detail: Some(redact(&failure.to_string())),
        since: at,
        expires_at: None,
        lifted_at: None,
    })
}
