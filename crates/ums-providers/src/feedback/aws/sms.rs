//! SNS's delivery log of a text message in our words. SNS has no webhook for it: it is polled, or handed in by a log subscription.
//!
//! - `SUCCESS` means that the phone's carrier took it; whether the phone did is not known. It is the most that SNS tells.
//! - **Sources**: Amazon SNS developer guide, "SMS delivery monitoring" and "SMS delivery failure reasons"; Amazon CloudWatch Logs user guide,
//!   "Subscription filters"; read 2026-11-22.

use std::io::Read as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use serde_json::Value;
use ums_core::{AccountId, Event, EventKind, EventSubject, FailureClass, ProviderKind, SuppressionReason, redact};

use super::reading::{clip, event_id, list, text, time};

/// Failures: words of `providerResponse` in lower case, what became of the message, why. The first row whose words stand in the response holds,
/// so that a response about the account is not taken for one about the phone. Older logs say `blacklisted`.
///
/// What the guide does not list is the account's where it names the account, its review, its sandbox, its registration or its origination
/// identity (seen in logs: "Account requires additional review"); after that answer every message of the account fails.
const FAILURES: &[(&str, EventKind, FailureClass)] = &[
    (OPTED_OUT, EventKind::Rejected, FailureClass::RecipientBlocked),
    ("no quota left", EventKind::Failed, FailureClass::QuotaExhausted),
    ("spend limit", EventKind::Failed, FailureClass::QuotaExhausted),
    ("spending limit", EventKind::Failed, FailureClass::QuotaExhausted),
    ("quota", EventKind::Failed, FailureClass::QuotaExhausted),
    ("rate exceeded", EventKind::Failed, FailureClass::Throttled),
    ("throttl", EventKind::Failed, FailureClass::Throttled),
    // Only destinations that cost more than the account allows are concerned, so the account is not out of order.
    ("would exceed max price", EventKind::Failed, FailureClass::Unsupported),
    ("account", EventKind::Failed, FailureClass::Misconfigured),
    ("additional review", EventKind::Failed, FailureClass::Misconfigured),
    ("sandbox", EventKind::Failed, FailureClass::Misconfigured),
    ("not verified", EventKind::Failed, FailureClass::Misconfigured),
    ("not registered", EventKind::Failed, FailureClass::Misconfigured),
    ("registration", EventKind::Failed, FailureClass::Misconfigured),
    ("origination", EventKind::Failed, FailureClass::Misconfigured),
    ("sender id", EventKind::Failed, FailureClass::Misconfigured),
    ("blocked as spam", EventKind::Rejected, FailureClass::InvalidMessage),
    ("phone carrier has blocked", EventKind::Rejected, FailureClass::InvalidMessage),
    ("destination is blacklisted", EventKind::Rejected, FailureClass::RecipientBlocked),
    (
        "destination is on a blocked list",
        EventKind::Rejected,
        FailureClass::RecipientBlocked,
    ),
    ("phone has blocked sms", EventKind::Rejected, FailureClass::RecipientBlocked),
    ("phone is blacklisted", EventKind::Rejected, FailureClass::RecipientBlocked),
    ("phone is on a blocked list", EventKind::Rejected, FailureClass::RecipientBlocked),
    ("invalid phone number", EventKind::Failed, FailureClass::InvalidRecipient),
    ("message body is invalid", EventKind::Failed, FailureClass::InvalidMessage),
    ("unreachable", EventKind::Failed, FailureClass::Unavailable),
    ("unavailable", EventKind::Failed, FailureClass::Unavailable),
    ("unknown carrier", EventKind::Failed, FailureClass::Unavailable),
    ("unknown error", EventKind::Failed, FailureClass::Unavailable),
    ("internal error", EventKind::Failed, FailureClass::Unavailable),
    ("timed out", EventKind::Failed, FailureClass::Unavailable),
];
const OPTED_OUT: &str = "phone number is opted out";
/// Longest payload of a log subscription once it is unpacked; CloudWatch sends at most 1 MiB of log.
const MAX_UNPACKED: u64 = 4 * 1024 * 1024;

/// Reads one event of the delivery log; nothing when it is not one.
pub(super) fn read(log: &Value, account: &AccountId) -> Option<Vec<Event>> {
    let (notification, delivery) = (&log["notification"], &log["delivery"]);
    let message_id = text(notification, "messageId")?;
    let status = text(log, "status")?;
    if !delivery.is_object() {
        return None;
    }
    let response = text(delivery, "providerResponse").unwrap_or_default();
    let said = response.to_ascii_lowercase();
    let row = FAILURES.iter().find(|(words, ..)| said.contains(words));
    let (kind, class, is_known) = match (status, row) {
        ("SUCCESS", _) => (EventKind::Delivered, None, true),
        ("FAILURE", Some((_, kind, class))) => (*kind, Some(*class), true),
        ("FAILURE", None) => (EventKind::Failed, None, false),
        (_, _) => (EventKind::Unknown, None, false),
    };
    let price = delivery["priceInUSD"]
        .as_f64()
        .map(|price| format!(" (USD {price})"))
        .unwrap_or_default();
    let event = Event {
        account: account.clone(),
        recipient: text(delivery, "destination").map(number),
        at: text(notification, "timestamp").and_then(time),
        about: EventSubject {
            provider_message_id: Some(clip(message_id, 255)),
            ..EventSubject::default()
        },
        detail: Some(format!("{}{price}", redact(&clip(response, 400)))),
        class,
        raw: (!is_known).then(|| clip(&log.to_string(), 4096)),
        ..Event::new(ProviderKind::AwsSns, event_id(&[message_id, status]), kind, word(status, response))
    };
    if status == "FAILURE" && said.contains(OPTED_OUT) {
        // Two reports: its owner said STOP some time ago, and so this message did not go out.
        let opted_out = Event {
            id: event_id(&[message_id, status, EventKind::Unsubscribed.as_str()]),
            kind: EventKind::Unsubscribed,
            class: None,
            suppress: Some(SuppressionReason::Stop),
            ..event.clone()
        };
        return Some(vec![opted_out, event]);
    }
    Some(vec![event])
}

fn word(status: &str, response: &str) -> String {
    match (status, response) {
        ("FAILURE", words) if !words.is_empty() => format!("FAILURE/{}", redact(&clip(words, 100))),
        _ => clip(status, 64),
    }
}

/// The log has numbers with their `+`, and in some places without.
fn number(destination: &str) -> String {
    let is_bare = !destination.is_empty() && destination.bytes().all(|byte| byte.is_ascii_digit());
    if is_bare {
        format!("+{destination}")
    } else {
        clip(destination, 64)
    }
}

/// Reads what a log subscription sends, in any of the forms that a function may pass on: `{"awslogs": {"data": …}}` as it came, the packed
/// data alone, or what is in it. Nothing when it is none of them.
pub(super) fn read_subscription(payload: &str, account: &AccountId) -> Option<Vec<Event>> {
    let parsed: Option<Value> = serde_json::from_str(payload).ok();
    let data = match &parsed {
        Some(value) => value.get("awslogs").and_then(|logs| text(logs, "data")),
        None => Some(payload.trim()),
    };
    let unpacked = match (data, parsed.as_ref()) {
        (Some(data), _) => unpack(data)?,
        (None, Some(value)) => value.clone(),
        (None, None) => return None,
    };
    match text(&unpacked, "messageType")? {
        "DATA_MESSAGE" => {
            let messages = list(&unpacked, "logEvents").filter_map(|event| text(event, "message"));
            Some(messages.filter_map(|message| read_line(message, account)).flatten().collect())
        }
        "CONTROL_MESSAGE" => Some(Vec::new()),
        _ => None,
    }
}

/// Reads one line of the log.
pub(super) fn read_line(line: &str, account: &AccountId) -> Option<Vec<Event>> {
    read(&serde_json::from_str(line).ok()?, account)
}

fn unpack(data: &str) -> Option<Value> {
    let packed = BASE64_STANDARD.decode(data).ok()?;
    let mut unpacked = Vec::new();
    GzDecoder::new(&packed[..]).take(MAX_UNPACKED).read_to_end(&mut unpacked).ok()?;
    serde_json::from_slice(&unpacked).ok()
}
