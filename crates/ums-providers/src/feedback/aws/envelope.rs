//! The envelope that SNS posts: its fields, what of them is signed, and where its URLs may point.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use ums_core::{HookFault, Timestamp};

use super::certificate::SignatureHash;
use super::topic::Topic;

/// Longest body that is read. A message of 256 KiB is the most that SNS takes; escaped in JSON it may double.
pub(super) const MAX_BODY: usize = 1024 * 1024;
/// How far the clocks of SNS and of this machine may be apart.
const SKEW: Duration = Duration::from_mins(5);
/// Longest field other than `Message`.
const MAX_FIELD: usize = 4096;

/// What an envelope is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EnvelopeKind {
    Notification,
    SubscriptionConfirmation,
    UnsubscribeConfirmation,
}

/// An envelope whose form is right; nothing in it is believed yet.
pub(super) struct Envelope {
    pub(super) kind: EnvelopeKind,
    pub(super) topic: Topic,
    pub(super) message: String,
    pub(super) timestamp: Timestamp,
    pub(super) certificate_url: String,
    pub(super) hash: SignatureHash,
    pub(super) signature: Vec<u8>,
    /// Only in confirmations.
    pub(super) token: String,
    /// Only in confirmations.
    pub(super) subscribe_url: String,
    signed: String,
}

impl Envelope {
    /// Reads one.
    ///
    /// # Errors
    /// [`HookFault::Refused`] with what is wrong with its form.
    pub(super) fn read(body: &[u8]) -> Result<Self, HookFault> {
        if body.len() > MAX_BODY {
            return Err(HookFault::Refused("too_large"));
        }
        let fields: Fields = serde_json::from_slice(body).map_err(|_| HookFault::Refused("envelope"))?;
        let kind = match fields.line("Type")? {
            "Notification" => EnvelopeKind::Notification,
            "SubscriptionConfirmation" => EnvelopeKind::SubscriptionConfirmation,
            "UnsubscribeConfirmation" => EnvelopeKind::UnsubscribeConfirmation,
            _ => return Err(HookFault::Refused("envelope")),
        };
        let is_confirmation = kind != EnvelopeKind::Notification;
        let topic = Topic::parse(fields.line("TopicArn")?).ok_or(HookFault::Refused("topic"))?;
        let hash = match fields.line("SignatureVersion").map_err(|_| HookFault::Refused("version"))? {
            "1" => SignatureHash::Sha1,
            "2" => SignatureHash::Sha256,
            _ => return Err(HookFault::Refused("version")),
        };
        let timestamp = Timestamp::parse_rfc3339(fields.line("Timestamp")?).ok_or(HookFault::Refused("timestamp"))?;
        let signature = fields.line("Signature").map_err(|_| HookFault::Refused("signature"))?;
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| HookFault::Refused("signature"))?;
        let certificate_url = fields.url("SigningCertURL", "SigningCertUrl", "certificate_url")?.to_owned();
        let (token, subscribe_url) = if is_confirmation {
            let url = fields.url("SubscribeURL", "SubscribeUrl", "subscribe_url")?;
            (fields.line("Token")?.to_owned(), url.to_owned())
        } else {
            Default::default()
        };
        let message = fields.text("Message").ok_or(HookFault::Refused("envelope"))?.to_owned();
        let signed = fields.signed_text(&message, &subscribe_url, kind)?;
        Ok(Self {
            kind,
            topic,
            message,
            timestamp,
            certificate_url,
            hash,
            signature,
            token,
            subscribe_url,
            signed,
        })
    }

    /// The text that was signed.
    pub(super) fn signed_text(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    /// Whether it was made within the window before now.
    pub(super) fn is_fresh(&self, now: Timestamp, window: Duration) -> bool {
        now.since(self.timestamp) <= window + SKEW && self.timestamp.since(now) <= SKEW
    }
}

/// The members of the outermost object, each there once.
///
/// Readers of JSON differ in which of two members with the same name they take; with one of each, what is signed is what is read.
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A field of one line. The signed text is lines of names and values: with a line break in any value but the message, one signed text
    /// could be read as two different envelopes.
    fn line(&self, name: &str) -> Result<&str, HookFault> {
        self.text(name)
            .filter(|text| !text.is_empty() && text.len() <= MAX_FIELD && !text.chars().any(char::is_control))
            .ok_or(HookFault::Refused("envelope"))
    }

    /// A URL under either of the spellings that SNS uses, but not under both.
    fn url(&self, name: &str, other: &str, fault: &'static str) -> Result<&str, HookFault> {
        let name = match (self.0.contains_key(name), self.0.contains_key(other)) {
            (true, false) => name,
            (false, true) => other,
            (true, true) | (false, false) => return Err(HookFault::Refused(fault)),
        };
        self.line(name).map_err(|_| HookFault::Refused(fault))
    }

    fn subject(&self) -> Result<Option<&str>, HookFault> {
        match self.0.get("Subject") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_FIELD && !text.chars().any(char::is_control) => Ok(Some(text)),
            Some(Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(HookFault::Refused("envelope"))
            }
        }
    }

    /// Name and value of each signed field, a line each, in the order that SNS prescribes.
    fn signed_text(&self, message: &str, subscribe_url: &str, kind: EnvelopeKind) -> Result<String, HookFault> {
        let mut signed = String::with_capacity(message.len() + 1024);
        let mut field = |name: &str, value: &str| {
            for line in [name, value] {
                signed.push_str(line);
                signed.push('\n');
            }
        };
        field("Message", message);
        field("MessageId", self.line("MessageId")?);
        match kind {
            EnvelopeKind::Notification => {
                if let Some(subject) = self.subject()? {
                    field("Subject", subject);
                }
                field("Timestamp", self.line("Timestamp")?);
            }
            EnvelopeKind::SubscriptionConfirmation | EnvelopeKind::UnsubscribeConfirmation => {
                field("SubscribeURL", subscribe_url);
                field("Timestamp", self.line("Timestamp")?);
                field("Token", self.line("Token")?);
            }
        }
        field("TopicArn", self.line("TopicArn")?);
        field("Type", self.line("Type")?);
        Ok(signed)
    }
}

impl<'de> de::Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
                let mut fields = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.insert(name, value).is_some() {
                        return Err(de::Error::custom("a member is there twice"));
                    }
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
