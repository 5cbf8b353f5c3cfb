//! `SendGrid`'s words in ours.

use serde_json::{Map, Value};
use ums_core::{BounceKind, Event, EventKind, EventSubject, FailureClass, ListName, SuppressionReason, Timestamp, redact};

use super::{KIND, seconds};
use crate::feedback::reading;
use crate::verdict::{self, Said};

/// Ends the id of the opt-out that a refusal tells of.
const OPT_OUT: &str = ":opt-out";

/// What a word means.
#[derive(Clone, Copy)]
struct Meaning {
    kind: EventKind,
    bounce: Option<BounceKind>,
    class: Option<FailureClass>,
    suppress: Option<SuppressionReason>,
}

impl Meaning {
    const fn of(kind: EventKind) -> Self {
        Self {
            kind,
            bounce: None,
            class: None,
            suppress: None,
        }
    }

    const fn rejected(class: FailureClass) -> Self {
        Self {
            class: Some(class),
            ..Self::of(EventKind::Rejected)
        }
    }

    const fn failed(class: FailureClass) -> Self {
        Self {
            class: Some(class),
            ..Self::of(EventKind::Failed)
        }
    }

    const fn opt_out(kind: EventKind, suppress: SuppressionReason) -> Self {
        Self {
            suppress: Some(suppress),
            ..Self::of(kind)
        }
    }

    /// The recipient is on an unsubscribe list of the account, which keeps nobody from receipts and codes by another provider.
    const fn unsubscribed() -> Self {
        Self {
            suppress: Some(SuppressionReason::Unsubscribe),
            ..Self::rejected(FailureClass::ProviderUnsubscribed)
        }
    }

    const fn hard() -> Self {
        Self {
            kind: EventKind::Bounced,
            bounce: Some(BounceKind::Hard),
            class: Some(FailureClass::InvalidRecipient),
            suppress: Some(SuppressionReason::HardBounce),
        }
    }

    const fn soft(class: FailureClass) -> Self {
        Self {
            kind: EventKind::Bounced,
            bounce: Some(BounceKind::Soft),
            class: Some(class),
            suppress: None,
        }
    }
}

/// Words that mean the same whatever else an event says.
const EVENTS: &[(&str, Meaning)] = &[
    ("click", Meaning::of(EventKind::Clicked)),
    ("deferred", Meaning::of(EventKind::Deferred)),
    ("delivered", Meaning::of(EventKind::Delivered)),
    ("group_resubscribe", Meaning::of(EventKind::Subscribed)),
    (
        "group_unsubscribe",
        Meaning::opt_out(EventKind::Unsubscribed, SuppressionReason::Unsubscribe),
    ),
    ("open", Meaning::of(EventKind::Opened)),
    ("processed", Meaning::of(EventKind::Sent)),
    ("spamreport", Meaning::opt_out(EventKind::Complained, SuppressionReason::Complaint)),
    (
        "unsubscribe",
        Meaning::opt_out(EventKind::Unsubscribed, SuppressionReason::Unsubscribe),
    ),
];

/// What a refused message says of its address, by `bounce_classification`, in lower case. These are somebody's fault, but not the address's.
const SOFT: &[(&str, FailureClass)] = &[
    ("content", FailureClass::InvalidMessage),
    ("frequency or volume too high", FailureClass::Throttled),
    ("mailbox unavailable", FailureClass::Unavailable),
    ("reputation", FailureClass::Unavailable),
    ("technical", FailureClass::Unavailable),
    ("technical failure", FailureClass::Unavailable),
];

/// Why a message was dropped, by how the reason begins, in lower case.
const DROPPED: &[(&str, Meaning)] = &[
    ("group unsubscribe", Meaning::unsubscribed()),
    // It is on SendGrid's list of bounces. What put it there, perhaps a rule or a full mailbox, was reported when it happened.
    ("bounced address", Meaning::rejected(FailureClass::RecipientBlocked)),
    ("account suspended", Meaning::failed(FailureClass::Misconfigured)),
    ("invalid smtpapi header", Meaning::rejected(FailureClass::InvalidMessage)),
    (
        "invalid",
        Meaning {
            suppress: Some(SuppressionReason::HardBounce),
            ..Meaning::rejected(FailureClass::InvalidRecipient)
        },
    ),
    ("recipient list over package quota", Meaning::failed(FailureClass::QuotaExhausted)),
    ("sender identity not verified", Meaning::failed(FailureClass::Misconfigured)),
    ("spam content", Meaning::rejected(FailureClass::InvalidMessage)),
    (
        "spam reporting address",
        Meaning {
            suppress: Some(SuppressionReason::Complaint),
            ..Meaning::rejected(FailureClass::RecipientBlocked)
        },
    ),
    ("unsubscribed address", Meaning::unsubscribed()),
    ("user unsubscribed", Meaning::unsubscribed()),
];

/// The events of a batch; none when it is not JSON. What cannot be understood is kept as it is, so that it does not cost the rest.
pub(crate) fn read(body: &[u8]) -> Option<Vec<Event>> {
    let entries = match serde_json::from_slice(body).ok()? {
        Value::Array(entries) => entries,
        one @ Value::Object(_) => vec![one],
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    Some(entries.iter().flat_map(entry).collect())
}

/// One entry: mostly one event; two when a message was not sent because its recipient had opted out.
fn entry(value: &Value) -> Vec<Event> {
    let none = Map::new();
    let fields = value.as_object().unwrap_or(&none);
    let name = text(fields, "event");
    let (meaning, word) = meaning(fields, name);
    let id = Some(text(fields, "sg_event_id")).filter(|id| !id.is_empty() && id.len() <= reading::MAX_ID_BYTES - OPT_OUT.len());
    let id = id.map_or_else(|| reading::derived_id(&[&value.to_string()]), str::to_owned);
    let mut event = Event::new(KIND, id, meaning.kind, word);
    event.bounce = meaning.bounce;
    event.class = meaning.class;
    event.suppress = meaning.suppress;
    event.list = if is_of_a_group(event.kind, name) { group(fields) } else { None };
    event.recipient = reading::recipient(text(fields, "email"));
    event.at = when(fields);
    event.about = about(fields);
    let said = Some(text(fields, "reason"))
        .filter(|reason| !reason.is_empty())
        .unwrap_or(text(fields, "response"));
    event.detail = Some(redact(said)).filter(|detail| !detail.is_empty());
    event.code = reading::word(text(fields, "status")).or_else(|| reply_code(said));
    event.by_machine = fields.get("sg_machine_open").and_then(Value::as_bool).unwrap_or(false);
    if event.kind == EventKind::Subscribed && event.list.is_none() {
        // A group that cannot be read takes nobody's wish back.
        event.kind = EventKind::Unknown;
    }
    if event.kind == EventKind::Unknown {
        event.raw = Some(reading::raw(&value.to_string()));
    }
    if event.kind == EventKind::Rejected && event.suppress == Some(SuppressionReason::Unsubscribe) {
        let opt_out = Event {
            id: format!("{}{OPT_OUT}", event.id),
            kind: EventKind::Unsubscribed,
            ..event.clone()
        };
        event.suppress = None;
        return vec![opt_out, event];
    }
    vec![event]
}

/// Whether an event tells of one unsubscribe group. An address is dropped for its group as well as for the whole account, and the event names
/// the message's group in both cases; the account's own list was reported when the address came onto it.
fn is_of_a_group(kind: EventKind, name: &str) -> bool {
    matches!(name, "group_unsubscribe" | "group_resubscribe") || (name == "dropped" && kind == EventKind::Rejected)
}

/// The mailing list that stands for an unsubscribe group: `sendgrid:` and the group's number.
fn group(fields: &Map<String, Value>) -> Option<ListName> {
    let id = fields.get("asm_group_id")?;
    let id = id.as_u64().or_else(|| id.as_str()?.trim().parse().ok())?;
    ListName::parse(&format!("{KIND}:{id}")).ok()
}

/// What an event means, and its words.
fn meaning(fields: &Map<String, Value>, name: &str) -> (Meaning, String) {
    match name {
        "bounce" => bounce(fields),
        "dropped" => dropped(text(fields, "reason")),
        // Something happened to the account: nobody's message, but somebody must know.
        "account_status_change" => {
            let meaning = Meaning {
                class: Some(FailureClass::Misconfigured),
                ..Meaning::of(EventKind::Unknown)
            };
            (meaning, joined(&[name, text(fields, "type")]))
        }
        _ => {
            let known = EVENTS.iter().find(|(word, _)| *word == name).map(|(_, meaning)| *meaning);
            (
                known.unwrap_or(Meaning::of(EventKind::Unknown)),
                reading::word(name).unwrap_or_default(),
            )
        }
    }
}

fn bounce(fields: &Map<String, Value>) -> (Meaning, String) {
    let (kind, classification) = (text(fields, "type"), text(fields, "bounce_classification"));
    let soft = SOFT
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(classification))
        .map(|(_, class)| *class);
    let said = Said::of_fields(text(fields, "status"), text(fields, "reason"));
    let meaning = match (kind, soft) {
        (_, Some(class)) => Meaning::soft(class),
        // SendGrid looked, and the server's words do not say otherwise.
        ("bounce" | "", None) if classification.eq_ignore_ascii_case("invalid address") && said.topic().is_none() => Meaning::hard(),
        ("bounce" | "", None) => match verdict::of_report(&said) {
            (BounceKind::Hard, _) => Meaning::hard(),
            (BounceKind::Soft, class) => Meaning::soft(class),
        },
        // `blocked`, and what may be added: an address is not condemned for a word that we do not know.
        (_, None) => Meaning::soft(FailureClass::Unavailable),
    };
    (meaning, joined(&["bounce", kind, classification]))
}

fn dropped(reason: &str) -> (Meaning, String) {
    let reason = reason.trim().to_ascii_lowercase();
    let row = DROPPED.iter().find(|(begin, _)| reason.starts_with(begin));
    match row {
        Some((begin, meaning)) => (*meaning, joined(&["dropped", begin])),
        None => (Meaning::rejected(FailureClass::Unsupported), "dropped".to_owned()),
    }
}

fn joined(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
    reading::word(&words.join("/")).unwrap_or_default()
}

/// The message: by our ids, by `sg_message_id` up to its first dot (the rest is the filter that took it), or by the Message-ID, which is made
/// of the same id. Late bounces lack the former; of what was dropped it may be the filter's name alone.
fn about(fields: &Map<String, Value>) -> EventSubject {
    let smtp_id = text(fields, "smtp-id").trim().trim_start_matches('<');
    let (smtp_id, _) = smtp_id.split_once('@').unwrap_or_default();
    let sg_message_id = text(fields, "sg_message_id").split('.').next().unwrap_or_default();
    let is_none = sg_message_id.is_empty() || sg_message_id.starts_with("filter");
    let id = if is_none { smtp_id } else { sg_message_id };
    let ours = |name| Some(text(fields, name)).filter(|id| !id.is_empty());
    // A message that went to SendGrid by SMTP has our own Message-ID, which is made of the attempt's id.
    reading::subject(
        ours("ums_message_id"),
        ours("ums_attempt_id").or(Some(smtp_id)),
        reading::message_id(id),
    )
}

fn when(fields: &Map<String, Value>) -> Option<Timestamp> {
    let value = fields.get("timestamp")?;
    seconds(value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())?)
}

/// The SMTP reply at the beginning of a text.
fn reply_code(text: &str) -> Option<String> {
    let code = text.trim_start().get(..3)?;
    code.bytes().all(|byte| byte.is_ascii_digit()).then(|| code.to_owned())
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}
