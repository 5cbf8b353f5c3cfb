//! SES's events as Amazon SNS delivers them to a web address.
//!
//! Envelope and signature: SNS developer guide, "Verifying the signatures of Amazon SNS messages";
//! events: SES developer guide, "Contents of event data that Amazon SES publishes to Amazon SNS"; both
//! read November 2026. The real SES reports only on messages that name a configuration set; here all are.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::keys::digest_hex;
use super::{CERTIFICATE_URL, End, Keys, Report, Request, TOPIC_ARN, hook};
use crate::{Error, SimMessage, clock};

/// The account that the simulated messages belong to.
const ACCOUNT: &str = "000000000000";

const SUBJECT: &str = "Amazon SES Email Event Notification";

/// A notification; all copies of it share id, time and signature.
#[derive(Debug)]
pub(crate) struct Notification {
    id: String,
    at: String,
    message: String,
    body: OnceLock<Bytes>,
}

/// Composes what is reported of a message.
pub(super) fn compose(message: &SimMessage) -> Vec<Report> {
    let mut events = vec![event(message, "Send", "send", json!({}))];
    let now = time(clock::now());
    let recipients = [&message.to, &message.cc, &message.bcc].into_iter().flatten();
    for recipient in recipients {
        match End::of(message.fault) {
            End::Silent | End::Dropped => {}
            End::Delivered => events.push(event(
                message,
                "Delivery",
                "delivery",
                json!({
                    "timestamp": now,
                    "processingTimeMillis": 100,
                    "recipients": [recipient],
                    "smtpResponse": "250 2.0.0 Ok: simulated",
                    "remoteMtaIp": "127.0.0.1",
                    "reportingMTA": "ums-simulator.invalid",
                }),
            )),
            End::Bounced => events.push(event(
                message,
                "Bounce",
                "bounce",
                json!({
                    "feedbackId": digest_hex(&format!("{} {recipient}", message.id)),
                    "bounceType": "Permanent",
                    "bounceSubType": "General",
                    "bouncedRecipients": [{
                        "emailAddress": recipient,
                        "action": "failed",
                        "status": "5.1.1",
                        "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                    }],
                    "timestamp": now,
                    "reportingMTA": "dsn; ums-simulator.invalid",
                }),
            )),
        }
    }
    let number = |(number, event): (usize, Value)| report(message, &number.to_string(), &event);
    events.into_iter().enumerate().map(number).collect()
}

/// Wraps an event; reports of the same name are copies of one.
pub(super) fn report(message: &SimMessage, name: &str, event: &Value) -> Report {
    Report::Amazon(Arc::new(Notification::new(&message.id, name, event)))
}

pub(super) fn event(message: &SimMessage, kind: &str, key: &str, detail: Value) -> Value {
    let mut event = json!({"eventType": kind, "mail": mail(message)});
    event[key] = detail;
    event
}

fn mail(message: &SimMessage) -> Value {
    let from = message.from.as_deref().unwrap_or_default();
    let destination: Vec<_> = [&message.to, &message.cc, &message.bcc].into_iter().flatten().collect();
    let headers: Vec<_> = message
        .headers
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut tags = json!({
        "ses:source-ip": ["127.0.0.1"],
        "ses:from-domain": [from.rsplit_once('@').map_or("", |(_, domain)| domain)],
        "ses:caller-identity": ["simulator"],
        "ses:outgoing-ip": ["127.0.0.1"],
    });
    if let Some(set) = message.params.get("ConfigurationSetName") {
        tags["ses:configuration-set"] = json!([set]);
    }
    for (name, value) in &message.tags {
        tags[name] = json!([value]);
    }
    json!({
        "timestamp": time(message.received_at),
        "source": from,
        "sourceArn": format!("arn:aws:ses:us-east-1:{ACCOUNT}:identity/{from}"),
        "sendingAccountId": ACCOUNT,
        "messageId": message.id,
        "destination": destination,
        "headersTruncated": false,
        "headers": headers,
        "commonHeaders": {
            "from": [from],
            "to": message.to,
            "messageId": message.id,
            "subject": message.subject,
        },
        "tags": tags,
    })
}

/// Writes a time as Amazon does: `2026-11-22T10:00:00.000Z`.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

impl Notification {
    fn new(message: &str, name: &str, event: &Value) -> Self {
        let hex = digest_hex(&format!("{message} {name}"));
        Self {
            id: format!("{}-{}-5{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32]),
            at: time(clock::now()),
            message: event.to_string(),
            body: OnceLock::new(),
        }
    }

    pub(super) fn request(&self, to: &str, keys: &Keys) -> Result<Request, Error> {
        let body = if let Some(body) = self.body.get() {
            body.clone()
        } else {
            let signed = self.signed(keys)?;
            self.body.get_or_init(|| signed).clone()
        };
        Ok(Request {
            uri: hook(to, "aws")?,
            headers: vec![
                ("content-type", "text/plain; charset=UTF-8".to_owned()),
                ("user-agent", "Amazon Simple Notification Service Agent".to_owned()),
                ("x-amz-sns-message-type", "Notification".to_owned()),
                ("x-amz-sns-message-id", self.id.clone()),
                ("x-amz-sns-topic-arn", TOPIC_ARN.to_owned()),
                ("x-amz-sns-subscription-arn", subscription()),
            ],
            body,
        })
    }

    fn signed(&self, keys: &Keys) -> Result<Bytes, Error> {
        let fields = [
            ("Message", self.message.as_str()),
            ("MessageId", &self.id),
            ("Subject", SUBJECT),
            ("Timestamp", &self.at),
            ("TopicArn", TOPIC_ARN),
            ("Type", "Notification"),
        ];
        let text: String = fields.iter().flat_map(|(name, value)| [name, "\n", value, "\n"]).collect();
        let envelope = json!({
            "Type": "Notification",
            "MessageId": self.id,
            "TopicArn": TOPIC_ARN,
            "Subject": SUBJECT,
            "Message": self.message,
            "Timestamp": self.at,
            "SignatureVersion": "2",
            "Signature": keys.rsa(text.as_bytes())?,
            "SigningCertURL": CERTIFICATE_URL,
            "UnsubscribeURL": format!(
                "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn={}",
                subscription()
            ),
        });
        Ok(envelope.to_string().into())
    }
}

fn subscription() -> String {
    format!("{TOPIC_ARN}:00000000-0000-4000-8000-000000000000")
}
