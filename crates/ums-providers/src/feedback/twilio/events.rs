//! Twilio's words in ours.

use ums_core::{BounceKind, Event, EventKind, EventSubject, FailureClass, SuppressionReason, redact};

use super::KIND;
use super::keywords::{Wish, wish};
use super::signature::{Fields, query};
use crate::feedback::reading;
use crate::send::twilio::class_of;

/// Statuses whose meaning does not hang on a code. `sent` may be the last word: not every carrier sends receipts.
const STATUSES: &[(&str, EventKind)] = &[
    ("accepted", EventKind::Queued),
    ("canceled", EventKind::Failed),
    ("delivered", EventKind::Delivered),
    ("partially_delivered", EventKind::Delivered),
    ("queued", EventKind::Queued),
    ("scheduled", EventKind::Queued),
    ("sending", EventKind::Sent),
    ("sent", EventKind::Sent),
];

/// Codes by which a number is known to be unable to take text messages, now and later. Others that name the recipient may pass.
const DEAD_NUMBERS: [&str; 9] = ["14101", "20023", "21211", "21214", "21217", "21401", "21614", "21635", "30005"];

/// Codes that mean STOP: Twilio's own list, and the carrier's for toll-free numbers.
const STOPPED: [&str; 3] = ["21610", "30630", "63033"];

/// Codes that blame the recipient, and whose pages name causes beside the recipient: code, what became of the message. Another provider, or
/// another sender, may get through (twilio.com/docs/api/errors/30004, /30006, read 2026-11-29).
const DOUBTFUL: [(&str, EventKind); 2] = [
    // The number's owner or carrier blocks it, and as well a phone without signal, a landline, or filtering.
    ("30004", EventKind::Rejected),
    // A landline, and as well a carrier that a short code cannot reach.
    ("30006", EventKind::Failed),
];

/// Ends the id of the opt-out that a refusal tells of.
const OPT_OUT: &str = ":opt-out";

/// A message of ours as a callback or the list tells of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Told<'a> {
    pub(super) sid: &'a str,
    pub(super) status: &'a str,
    pub(super) to: &'a str,
    pub(super) code: Option<&'a str>,
    pub(super) detail: Option<&'a str>,
    pub(super) about: EventSubject,
}

/// The events of one request; none when it is not about a message.
pub(super) fn read(fields: &Fields, url: &str) -> Option<Vec<Event>> {
    let sid = fields
        .one("MessageSid")
        .or_else(|| fields.one("SmsSid"))
        .and_then(reading::message_id)?;
    let status = fields.one("MessageStatus").or_else(|| fields.one("SmsStatus"));
    let is_inbound = match status {
        Some(status) => matches!(status, "receiving" | "received"),
        None => fields.has("Body"),
    };
    if is_inbound {
        let body = fields.one("Body").unwrap_or_default();
        return Some(vec![inbound(
            &sid,
            fields.one("From").unwrap_or_default(),
            fields.one("OptOutType"),
            body,
        )]);
    }
    let about = reading::subject(
        query(url, "ums_message_id").as_deref(),
        query(url, "ums_attempt_id").as_deref(),
        Some(sid.clone()),
    );
    let mut events = outbound(Told {
        sid: &sid,
        status: status?,
        to: fields.one("To").unwrap_or_default(),
        code: fields.one("ErrorCode").filter(|code| *code != "0"),
        detail: fields.one("ErrorMessage"),
        about,
    });
    for event in events.iter_mut().filter(|event| event.kind == EventKind::Unknown) {
        event.raw = Some(reading::raw(&fields.to_text()));
    }
    Some(events)
}

/// What a status says: mostly one event. `RawDlrDoneDate` has no time zone, so that a callback says nothing of when.
pub(super) fn outbound(told: Told<'_>) -> Vec<Event> {
    let status = told.status;
    let mut event = event(told.sid, status, EventKind::Unknown);
    event.word = reading::word(status).unwrap_or_default();
    event.recipient = number(told.to);
    event.code = told.code.and_then(reading::word);
    event.detail = told.detail.map(redact).filter(|detail| !detail.is_empty());
    event.about = told.about;
    if let Some((_, kind)) = STATUSES.iter().find(|(word, _)| *word == status) {
        event.kind = *kind;
        return vec![event];
    }
    match status {
        // Whoever read it has it.
        "read" => {
            event.kind = EventKind::Opened;
            let delivered = Event {
                id: id(told.sid, "delivered"),
                kind: EventKind::Delivered,
                ..event.clone()
            };
            vec![delivered, event]
        }
        "undelivered" | "failed" => not_delivered(event),
        _ => vec![event],
    }
}

/// What a code says of a message that did not arrive.
fn not_delivered(mut event: Event) -> Vec<Event> {
    let code = event.code.as_deref().unwrap_or_default();
    if STOPPED.contains(&code) {
        event.kind = EventKind::Rejected;
        event.class = Some(FailureClass::RecipientBlocked);
        let opt_out = Event {
            id: format!("{}{OPT_OUT}", event.id),
            kind: EventKind::Unsubscribed,
            suppress: Some(SuppressionReason::Stop),
            ..event.clone()
        };
        return vec![opt_out, event];
    }
    if let Some((_, kind)) = DOUBTFUL.iter().find(|(doubtful, _)| *doubtful == code) {
        event.kind = *kind;
        event.class = Some(FailureClass::Unsupported);
        return vec![event];
    }
    // A receipt without a code, or with a new one, blames nobody.
    let class = class_of(code).unwrap_or(FailureClass::Unavailable);
    event.class = Some(class);
    match class {
        FailureClass::InvalidRecipient => {
            let is_dead = DEAD_NUMBERS.contains(&code);
            event.kind = EventKind::Bounced;
            event.bounce = Some(if is_dead { BounceKind::Hard } else { BounceKind::Soft });
            event.suppress = is_dead.then_some(SuppressionReason::HardBounce);
        }
        FailureClass::InvalidMessage | FailureClass::RecipientBlocked => event.kind = EventKind::Rejected,
        FailureClass::ProviderUnsubscribed
        | FailureClass::Unsupported
        | FailureClass::Misconfigured
        | FailureClass::QuotaExhausted
        | FailureClass::Throttled
        | FailureClass::Unavailable
        | FailureClass::Unknown
        | FailureClass::LocalShortage => event.kind = EventKind::Failed,
    }
    vec![event]
}

/// A message that somebody wrote to us: a wish to opt out or in, or just that. What was written is not kept.
///
/// Twilio answers STOP, START and HELP itself, and says by `OptOutType` what it took the message for, in any language.
pub(super) fn inbound(sid: &str, from: &str, opt_out_type: Option<&str>, body: &str) -> Event {
    let wish = opt_out_type.and_then(wish).or_else(|| wish(body));
    let kind = match wish {
        Some((Wish::Stop, _)) => EventKind::Unsubscribed,
        Some((Wish::Start, _)) => EventKind::Subscribed,
        Some((Wish::Help, _)) | None => EventKind::Inbound,
    };
    let mut event = event(sid, "received", kind);
    event.word = wish.map_or_else(|| "received".to_owned(), |(_, word)| format!("received/{word}"));
    event.suppress = (kind == EventKind::Unsubscribed).then_some(SuppressionReason::Stop);
    event.recipient = number(from);
    // The id is of the message that came, not of one that we sent.
    event.about = EventSubject::default();
    event
}

fn event(sid: &str, status: &str, kind: EventKind) -> Event {
    Event::new(KIND, id(sid, status), kind, status)
}

/// A message has each status once.
fn id(sid: &str, status: &str) -> String {
    let whole = format!("{sid}:{status}");
    if whole.len() + OPT_OUT.len() > reading::MAX_ID_BYTES {
        return reading::derived_id(&[sid, status]);
    }
    whole
}

/// A number, or a short code; an RCS address is one with a prefix. Addresses of other channels (`whatsapp:`) are no numbers.
fn number(address: &str) -> Option<String> {
    let number = address.strip_prefix("rcs:").unwrap_or(address);
    reading::recipient(number).filter(|number| number.trim_start_matches('+').bytes().all(|byte| byte.is_ascii_digit()))
}
