//! Why nobody took a message, for people.

use ums_core::{AttemptOutcome, AttemptRecord, FailureClass, MessageRecord, Skip};

use super::turn;

/// Whether a provider was passed over for another reason than the last time, or was called since. A message that is held through a
/// long outage is looked at again and again: the same words each time would fill the store.
pub(crate) fn is_news(record: &MessageRecord, skip: &Skip) -> bool {
    let same_provider = |earlier: &&Skip| (earlier.provider, &earlier.account) == (skip.provider, &skip.account);
    record.skips.iter().rev().find(same_provider).is_none_or(|earlier| {
        (earlier.reason, &earlier.detail) != (skip.reason, &skip.detail)
            || record
                .attempts
                .iter()
                .any(|attempt| attempt.provider == skip.provider && attempt.called_at >= earlier.at)
    })
}

/// Class and code of what a provider did not take: the whole message, or the first recipient whom it refused by name.
fn refusal(attempt: &AttemptRecord) -> Option<(&str, &str)> {
    if attempt.outcome == AttemptOutcome::Accepted {
        let refused = attempt.refused.first()?;
        return Some((refused.failure.class.as_str(), &refused.failure.code));
    }
    Some((
        attempt.class.map_or("?", FailureClass::as_str),
        attempt.code.as_deref().unwrap_or("?"),
    ))
}

/// What of the content a provider cannot carry. The caller can mend it, and reads no other place.
fn what_it_cannot_carry(attempt: &AttemptRecord) -> Option<&str> {
    let is_unsupported = attempt.outcome == AttemptOutcome::Failed && attempt.class == Some(FailureClass::Unsupported);
    attempt.detail.as_deref().filter(|detail| is_unsupported && !detail.is_empty())
}

/// Each provider and why it did not take the message the last time, in one line.
fn causes(record: &MessageRecord) -> Option<String> {
    let (attempts, skips) = (&record.attempts, &record.skips);
    let tried = attempts
        .iter()
        .enumerate()
        .filter(|(index, attempt)| {
            refusal(attempt).is_some()
                && !attempts.iter().skip(index + 1).any(|later| later.provider == attempt.provider)
                && !skips
                    .iter()
                    .any(|skip| skip.provider == attempt.provider && skip.at > attempt.called_at)
        })
        .filter_map(|(_, attempt)| {
            let (class, code) = refusal(attempt)?;
            let why = what_it_cannot_carry(attempt).map(|why| format!(", {why}")).unwrap_or_default();
            Some(format!("{}: {class} ({code}){why}", attempt.provider))
        });
    let skipped = skips
        .iter()
        .enumerate()
        .filter(|(index, skip)| {
            !skips.iter().skip(index + 1).any(|later| later.provider == skip.provider)
                && !attempts
                    .iter()
                    .any(|attempt| attempt.provider == skip.provider && attempt.called_at >= skip.at)
        })
        .map(|(_, skip)| format!("{}: not tried, {} ({})", skip.provider, skip.reason, skip.detail));
    let lines: Vec<String> = tried.chain(skipped).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// Why no provider took the message so far, or why none took it for the recipients who are left.
pub(super) fn why_not_taken(record: &MessageRecord) -> String {
    let was_taken = record.attempts.iter().any(|attempt| attempt.outcome == AttemptOutcome::Accepted);
    let known = match (record.has_unknown_attempt(), was_taken) {
        (true, _) => "no provider is known to have taken it",
        (false, true) => "no provider took it for the rest",
        (false, false) => "no provider took it",
    };
    causes(record).map_or_else(|| "no provider was free".to_owned(), |causes| format!("{known}: {causes}"))
}

/// How a provider refused the first recipient by name, if the recipient has its end by that.
pub(super) fn why_first_was_refused(record: &MessageRecord) -> Option<String> {
    let channel = record.message.content.channel();
    let first = record.recipients.first()?.status;
    let mut refusals = turn::attempts(record).rev().flat_map(|attempt| &attempt.refused);
    let refused = refusals.find(|refused| refused.place == 0)?;
    let end = refused
        .failure
        .class
        .consequence()
        .recipient
        .status(channel, record.message.handling.purpose);
    (end == Some(first)).then(|| refused.failure.to_string())
}

/// Why a message ends as unknown.
pub(super) fn why_unknown(record: &MessageRecord) -> String {
    let error = "a provider may have taken it; nothing more will be tried";
    causes(record).map_or_else(|| error.to_owned(), |causes| format!("{error} ({causes})"))
}
