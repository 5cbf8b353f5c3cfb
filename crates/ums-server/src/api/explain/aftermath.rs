//! What came after a message was handed over: reports of providers, and recipients who are not to be contacted.

use ums_core::{
    BounceKind, EventKind, EventRecord, MessageRecord, Status, Suppression, SuppressionOrigin, SuppressionReason, Timestamp,
    suppression_address,
};

use super::{StepKind, StoryStep, told};

/// A provider's report. It names no address: a story may be shown to more people than the message's own answer.
pub(super) fn reported(record: &EventRecord) -> StoryStep {
    let event = &record.event;
    let said = said(event.kind, event.bounce);
    let machine = if event.by_machine { ", by a machine" } else { "" };
    let code = event.code.as_ref().map(|code| format!(", code {code}")).unwrap_or_default();
    let class = event.class.map(|class| format!(", {class}")).unwrap_or_default();
    let detail = event.detail.as_deref().filter(|detail| !detail.is_empty());
    let detail = detail
        .map(|detail| format!(": {}", detail.trim_end_matches('.')))
        .unwrap_or_default();
    let then = if event.suppress.is_some() {
        " The recipient is not contacted again."
    } else {
        ""
    };
    let text = format!(
        "{} reports that {said}{machine} ({}{class}{code}){detail}.{then}",
        event.provider, event.word
    );
    StoryStep {
        code: event.code.clone(),
        class: event.class,
        event: Some(event.kind),
        word: Some(event.word.clone()),
        received_at: Some(record.received_at),
        ..told(
            event.at.unwrap_or(record.received_at),
            StepKind::Reported,
            Some(event.provider),
            text,
        )
    }
}

fn said(kind: EventKind, bounce: Option<BounceKind>) -> &'static str {
    match (kind, bounce) {
        (EventKind::Queued, _) => "it has the message and has not passed it on yet",
        (EventKind::Sent, _) => "it passed the message on",
        (EventKind::Delivered, _) => "the recipient's side has the message",
        (EventKind::Deferred, _) => "the recipient's side does not take it at the moment; it goes on trying",
        (EventKind::Bounced, Some(BounceKind::Hard)) => "it came back: the address does not exist",
        (EventKind::Bounced, Some(BounceKind::Soft)) => "it came back; the address may take the next one",
        (EventKind::Bounced, None) => "it came back",
        (EventKind::Rejected, _) => "it would not send the message after all",
        (EventKind::Failed, _) => "it could not send the message after all",
        (EventKind::Complained, _) => "the recipient called the message spam",
        (EventKind::Unsubscribed, _) => "the recipient does not want more",
        (EventKind::Subscribed, _) => "the recipient wants messages again",
        (EventKind::Opened, _) => "the message was opened",
        (EventKind::Clicked, _) => "a link in the message was followed",
        (EventKind::Autoresponded, _) => "a machine answered the message",
        (EventKind::Inbound, _) => "the recipient wrote something",
        (EventKind::Unknown, _) => "something happened for which we have no word",
    }
}

/// Recipients who came onto the suppression list by this message, or who were on it, so that nothing was sent to them.
pub(super) fn suppressed(record: &MessageRecord, entries: &[Suppression]) -> Vec<StoryStep> {
    let accepted_at = record.message.accepted_at;
    let tell = |entry: &Suppression| {
        let why = why(entry.reason);
        let who = who(entry);
        if entry.message_id == Some(record.message.id) {
            let text = format!("A recipient {why} ({who}) and is not contacted again.");
            return Some(step(entry, entry.since.max(accepted_at), text));
        }
        let text = format!("Nothing was sent to a recipient who {why} ({who}, since {}).", entry.since);
        was_left_out(record, entry).then(|| step(entry, accepted_at, text))
    };
    entries.iter().filter_map(tell).collect()
}

fn step(entry: &Suppression, at: Timestamp, text: String) -> StoryStep {
    StoryStep {
        code: Some(entry.reason.to_string()),
        ..told(at, StepKind::Suppressed, None, text)
    }
}

fn was_left_out(record: &MessageRecord, entry: &Suppression) -> bool {
    record.recipients.iter().any(|recipient| {
        matches!(recipient.status, Status::Suppressed | Status::Unsubscribed)
            && suppression_address(entry.channel, &recipient.address) == entry.address
    })
}

fn why(reason: SuppressionReason) -> &'static str {
    match reason {
        SuppressionReason::HardBounce => "cannot be reached: the address does not exist",
        SuppressionReason::Complaint => "called a message spam",
        SuppressionReason::Stop => "answered STOP",
        SuppressionReason::Unsubscribe => "unsubscribed",
        SuppressionReason::Manual => "was put on the suppression list",
    }
}

fn who(entry: &Suppression) -> String {
    let by = entry.provider.map(|provider| format!(" by {provider}")).unwrap_or_default();
    match entry.origin {
        SuppressionOrigin::Feedback => format!("reported{by}"),
        SuppressionOrigin::Refusal => format!("refused{by}"),
        SuppressionOrigin::Link => "by the link in a message".to_owned(),
        SuppressionOrigin::Operator => "by an operator or a caller".to_owned(),
        SuppressionOrigin::Import => "by an import".to_owned(),
    }
}
