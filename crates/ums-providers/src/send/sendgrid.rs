//! SendGrid v3: `POST /v3/mail/send`, JSON, `Authorization: Bearer`.
//!
//! - **Endpoint**: `https://api.sendgrid.com`, or `https://api.eu.sendgrid.com` for EU subusers.
//! - **Accepted**: 202 with an empty body; the id is the header `X-Message-Id`, and events' `sg_message_id` begins with it.
//!   Suppressed recipients are accepted too and dropped later, which an event tells.
//! - **Idempotency**: none; the ids travel as `custom_args` of the personalization.
//! - **Limits**: 30 MB a request, 1,000 recipients; an address once per message.
//! - **Cannot carry**: an address with other letters than ASCII before the `@`; an empty file; a file name with `;` or `,`, a content id with
//!   `;` or `\\`; a calendar whose method stands in its media type alone; a subject or a name that looks like an encoded word.
//! - **Adapts**: the type of a file loses its parameters (no `;` is taken; a calendar says its method itself); `message/*` and
//!   `multipart/*` go as `application/octet-stream`, because `SendGrid` encodes every file as base64 (RFC 2046 §5.2.1).
//! - **Sources**: twilio/sendgrid-oai (2026-01-22); twilio.com/docs/sendgrid mail-send errors (2026-07-02); read 2026-11-22.

mod body;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use serde::Deserialize;
use ums_core::{Accepted, Call, Email, Failure, FailureClass, Mailbox, Probe, Provider, ProviderKind, Secret};

use crate::Error;
use crate::classify::{FailureTable, Sent, refusal, refusal_by_status, success_without_id};
use crate::http::{Answer, Origin, Outgoing, Transport};
use crate::sender::SenderRule;

const KIND: ProviderKind = ProviderKind::SendGrid;
const PUBLIC_URL: &str = "https://api.sendgrid.com";
/// Longest wait for a question that sends nothing.
const ASK_TIME: Duration = Duration::from_secs(8);

/// `SendGrid` has no codes: the status, `/` with what field or message tell apart.
pub(crate) const FAILURES: FailureTable = &[
    ("400", FailureClass::InvalidMessage),
    ("400/account", FailureClass::Misconfigured),
    ("400/callers_sender", FailureClass::Unsupported),
    ("400/recipient", FailureClass::InvalidRecipient),
    ("401", FailureClass::Misconfigured),
    ("401/credits", FailureClass::QuotaExhausted),
    ("403", FailureClass::Misconfigured),
    ("403/callers_sender", FailureClass::Unsupported),
    ("404", FailureClass::Misconfigured),
    ("405", FailureClass::Misconfigured),
    ("406", FailureClass::Misconfigured),
    ("413", FailureClass::InvalidMessage),
    ("429", FailureClass::Throttled),
    ("451", FailureClass::Misconfigured),
    ("500", FailureClass::Unknown),
    ("502", FailureClass::Unknown),
    ("503", FailureClass::Unavailable),
    ("504", FailureClass::Unknown),
];

/// Fields of a 400 that are the account's, not the message's.
const ACCOUNT_FIELDS: [&str; 4] = ["asm", "batch_id", "ip_pool_name", "template_id"];

/// Settings of `SendGrid`.
#[derive(Clone, Debug)]
pub struct SendGridSettings {
    /// The key; it needs the scope `mail.send`.
    pub api_key: Secret,
    /// The sender: a verified sender identity.
    pub from: Mailbox,
    /// Addresses and domains that callers may send from; without any, the sender's domain.
    pub senders: Vec<String>,
    /// Another endpoint than the global one.
    pub base_url: Option<String>,
}

/// `SendGrid`.
#[derive(Debug)]
pub struct SendGrid {
    transport: Arc<Transport>,
    origin: Arc<Origin>,
    send_path: Uri,
    scopes_path: Uri,
    headers: [(HeaderName, HeaderValue); 2],
    sender: SenderRule,
}

impl SendGrid {
    /// Sets it up; nothing is opened before the first call.
    ///
    /// # Errors
    /// [`Error`] when the endpoint is not one, or the key holds what no key holds.
    pub fn new(settings: SendGridSettings, transport: &Arc<Transport>) -> Result<Self, Error> {
        let origin = transport
            .origin(settings.base_url.as_deref().unwrap_or(PUBLIC_URL))
            .map_err(|bad| Error::endpoint(KIND, bad))?;
        let path = |path| origin.target(path).map_err(|bad| Error::endpoint(KIND, bad));
        let (send_path, scopes_path) = (path("/v3/mail/send")?, path("/v3/scopes")?);
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", settings.api_key.expose()))
            .map_err(|_| Error::setting(KIND, "the API key", "holds characters that no key holds"))?;
        authorization.set_sensitive(true);
        let json = HeaderValue::from_static("application/json");
        let headers = [(header::AUTHORIZATION, authorization), (header::CONTENT_TYPE, json)];
        let sender = SenderRule::new(settings.from, &settings.senders);
        Ok(Self {
            transport: Arc::clone(transport),
            send_path,
            scopes_path,
            headers,
            sender,
            origin,
        })
    }
}

#[async_trait]
impl Provider<Email> for SendGrid {
    fn kind(&self) -> ProviderKind {
        KIND
    }

    fn is_local(&self) -> bool {
        self.origin.is_loopback()
    }

    async fn send(&self, email: &Email, call: &Call) -> Result<Accepted, Failure> {
        let sender = self.sender.choose(email);
        let body = body::build(email, &sender, call)?;
        let request = Outgoing {
            method: Method::POST,
            target: &self.send_path,
            headers: &self.headers,
            body,
        };
        let reply = self.transport.exchange(&self.origin, &request, call.time_left).await?;
        let sent = Sent {
            callers_sender: sender.callers,
            one_recipient: email.recipients().count() == 1,
        };
        let id = outcome(&reply.answer(self.transport.clock().now()), sent)?;
        Ok(Accepted {
            simulated: reply.is_simulated(),
            from_substituted: sender.substituted,
            ..Accepted::new(id)
        })
    }

    fn can_be_asked(&self) -> bool {
        true
    }

    /// Reads the key's own scopes, which every key may.
    async fn probe(&self) -> Probe {
        let request = Outgoing {
            method: Method::GET,
            target: &self.scopes_path,
            headers: &self.headers,
            body: Bytes::new(),
        };
        match self.transport.exchange(&self.origin, &request, ASK_TIME).await {
            Ok(reply) => read_scopes(reply.status, &reply.body),
            Err(no_reply) => Probe::Failed(no_reply.into()),
        }
    }
}

/// What an answer to a send means: the message's id, or a failure.
pub(crate) fn outcome(answer: &Answer<'_>, sent: Sent) -> Result<String, Failure> {
    if answer.is_success() {
        let id = answer.header("x-message-id").map(str::trim).filter(|id| !id.is_empty());
        return id.map(str::to_owned).ok_or_else(|| success_without_id(answer));
    }
    let errors: Option<ErrorReply> = serde_json::from_slice(answer.body).ok();
    let first = errors.and_then(|reply| reply.errors.into_iter().next()).unwrap_or_default();
    let status = answer.status.to_string();
    let field = first.field.as_deref().unwrap_or_default();
    match row_of(answer.status, field, &first.message.to_ascii_lowercase(), sent) {
        Some(row) => Err(refusal(KIND, &[FAILURES], row, &first.message, answer)),
        None if FAILURES.iter().any(|(code, _)| *code == status) => Err(refusal(KIND, &[FAILURES], &status, &first.message, answer)),
        None => Err(refusal_by_status(KIND, &first.message, answer)),
    }
}

#[derive(Deserialize)]
struct ErrorReply {
    errors: Vec<OneError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OneError {
    message: String,
    field: Option<String>,
}

/// The row that field and message choose among those of a status.
fn row_of(status: u16, field: &str, message: &str, sent: Sent) -> Option<&'static str> {
    let about_sender = field == "from" || field.starts_with("from.") || field.starts_with("from_");
    match status {
        400 if about_sender => Some(if sent.callers_sender { "400/callers_sender" } else { "400/account" }),
        400 if ACCOUNT_FIELDS.iter().any(|account| field.starts_with(account)) => Some("400/account"),
        400 if sent.one_recipient && field.starts_with("personalizations") && message.contains("valid address") => Some("400/recipient"),
        401 if message.contains("credits exceeded") => Some("401/credits"),
        403 if sent.callers_sender && message.contains("sender identity") => Some("403/callers_sender"),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Scopes {
    scopes: Vec<String>,
}

/// What the key's scopes say about sending.
fn read_scopes(status: u16, body: &[u8]) -> Probe {
    if status == 401 {
        return Probe::Failed(Failure::provider(
            FailureClass::Misconfigured,
            "401",
            "SendGrid does not know the API key",
        ));
    }
    match serde_json::from_slice::<Scopes>(body) {
        Ok(reply) if status == 200 && reply.scopes.iter().any(|scope| scope == "mail.send") => Probe::Healthy,
        Ok(_) if status == 200 => Probe::Failed(Failure::provider(
            FailureClass::Misconfigured,
            "scopes",
            "the SendGrid API key lacks the scope mail.send",
        )),
        Ok(_) | Err(_) => Probe::NoAnswer,
    }
}
