//! A message as Twilio's API shows it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::VERSION;
use crate::{Mode, SimMessage, segments};

/// Unknown destination handset: how a hard bounce is called here.
const UNKNOWN_HANDSET: u32 = 30005;

/// Shows a message that was just taken.
pub(super) fn created(message: &SimMessage) -> Value {
    let is_from_number = message.params.get("From").is_some_and(|it| !it.is_empty());
    let status = if is_from_number { "queued" } else { "accepted" };
    show(message, status, None)
}

/// Shows a message as it stands later.
pub(super) fn present(message: &SimMessage) -> Value {
    match message.fault {
        Some(Mode::Bounce) => show(message, "undelivered", Some(UNKNOWN_HANDSET)),
        Some(Mode::NeverDeliver) => show(message, "sent", None),
        _ => show(message, "delivered", None),
    }
}

fn show(message: &SimMessage, status: &str, error_code: Option<u32>) -> Value {
    let param = |name: &str| message.params.get(name).filter(|value| !value.is_empty());
    let account = param("AccountSid").map_or("", String::as_str);
    let uri = format!("/{VERSION}/Accounts/{account}/Messages/{}", message.id);
    let body = message.body.as_deref().unwrap_or_default();
    let segments = match (status, param("From")) {
        // A service has not picked its number yet.
        ("accepted", None) => 0,
        _ => segments::count(body),
    };
    let date = rfc2822(message.received_at);
    let is_underway = matches!(status, "queued" | "accepted");
    let media = param("MediaUrl").map_or(0, |urls| urls.split(' ').count());
    json!({
        "account_sid": account,
        "api_version": VERSION,
        "body": body,
        "date_created": date,
        "date_sent": (!is_underway).then_some(&date),
        "date_updated": date,
        "direction": "outbound-api",
        "error_code": error_code,
        "error_message": error_code.map(|_| "Unknown destination handset"),
        "from": param("From"),
        "messaging_service_sid": param("MessagingServiceSid"),
        "num_media": media.to_string(),
        "num_segments": segments.to_string(),
        "price": null,
        "price_unit": "USD",
        "sid": message.id,
        "status": status,
        "subresource_uris": {"media": format!("{uri}/Media.json")},
        "to": message.to.first(),
        "uri": format!("{uri}.json"),
    })
}

/// Tells whether the message was sent by that account.
pub(super) fn is_of(message: &SimMessage, account: &str) -> bool {
    message.params.get("AccountSid").is_some_and(|it| it == account)
}

/// Writes a date as Twilio does: `Sun, 22 Nov 2026 10:00:00 +0000`.
pub(super) fn rfc2822(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}
