//! SendGrid's Event Webhook, signed.
//!
//! Fields and signature: twilio.com/docs/sendgrid, "Event Webhook reference" and "Security features",
//! read November 2026. As the real one it ends its events in CR LF: who verifies must take the bytes as they are.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::keys::digest_hex;
use super::{End, Keys, Report, Request, hook};
use crate::{Error, SimMessage, clock};

/// Composes what is reported of a message.
pub(super) fn compose(message: &SimMessage) -> Vec<Report> {
    let mut reports = Vec::new();
    let recipients = [&message.to, &message.cc, &message.bcc].into_iter().flatten();
    for (place, recipient) in recipients.enumerate() {
        let mut report = |kind: &str, detail: Value| {
            reports.push(Report::SendGrid(vec![Arc::new(event(message, (place, recipient), kind, detail))]));
        };
        let end = End::of(message.fault);
        if end == End::Dropped {
            report("dropped", json!({"reason": "Unsubscribed Address"}));
            continue;
        }
        report("processed", json!({}));
        match end {
            End::Silent | End::Dropped => {}
            End::Delivered => report(
                "delivered",
                json!({"response": "250 2.0.0 OK simulated", "ip": "127.0.0.1", "tls": 0}),
            ),
            End::Bounced => report(
                "bounce",
                json!({
                    "type": "bounce",
                    "reason": "550 5.1.1 user unknown",
                    "status": "5.1.1",
                    "bounce_classification": "Invalid Address",
                    "ip": "127.0.0.1",
                    "tls": 0,
                }),
            ),
        }
    }
    reports
}

pub(super) fn event(message: &SimMessage, (place, recipient): (usize, &str), kind: &str, detail: Value) -> Value {
    let id = digest_hex(&format!("{} {place} {recipient} {kind}", message.id));
    // Our own arguments stand beside SendGrid's fields, which win over those of the same name.
    let mut event: Map<String, Value> = message
        .custom_args
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into()))
        .collect();
    let own = json!({
        "email": recipient,
        "timestamp": clock::now().as_second(),
        "event": kind,
        "smtp-id": format!("<{}@ums-simulator.invalid>", message.id),
        "sg_event_id": &id[..22],
        "sg_message_id": format!("{}.recvd-simulator-{place}", message.id),
    });
    for part in [own, detail] {
        if let Value::Object(fields) = part {
            event.extend(fields);
        }
    }
    if !message.tags.is_empty() {
        event.insert("category".to_owned(), message.tags.keys().cloned().collect());
    }
    Value::Object(event)
}

/// Signs the events as one request: over the time in its header, then the body.
pub(super) fn request(to: &str, events: &[Arc<Value>], keys: &Keys) -> Result<Request, Error> {
    let events: Vec<String> = events.iter().map(ToString::to_string).collect();
    let body = format!("[{}]\r\n", events.join(",\r\n"));
    let at = clock::now().as_second().to_string();
    let signature = keys.ecdsa(format!("{at}{body}").as_bytes())?;
    Ok(Request {
        uri: hook(to, "sendgrid")?,
        headers: vec![
            ("content-type", "application/json; charset=utf-8".to_owned()),
            ("user-agent", "SendGrid Event API".to_owned()),
            ("x-twilio-email-event-webhook-signature", signature),
            ("x-twilio-email-event-webhook-timestamp", at),
        ],
        body: body.into(),
    })
}
