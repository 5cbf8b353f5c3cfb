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
use ums_core::{Accepted, Call, Email, Failure, FailureClass, Mailbox, NextProvider, Probe, Provider, ProviderKind, Secret};

use crate::Error;
use crate::classify::{Sent, refusal, row_of, success_without_id};
use crate::failure_table::{Row, Table};
use crate::http::{Answer, Origin, Outgoing, Transport};
use crate::sender::SenderRule;

const KIND: ProviderKind = ProviderKind::SendGrid;
const PUBLIC_URL: &str = "https://api.sendgrid.com";
/// Longest wait for a question that sends nothing.
const ASK_TIME: Duration = Duration::from_secs(8);

const ERRORS: &str = "twilio.com/docs/sendgrid/api-reference/mail-send/errors (2026-07-02)";
const RATES: &str = "twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits";

/// `SendGrid` has no codes: the status, `/` with the field that the error names, or what the adapter knows of the message.
pub(crate) const FAILURES: Table = &[
    Row::of_code(
        "400/asm",
        FailureClass::Misconfigured,
        "the account has no such unsubscribe group",
        ERRORS,
    ),
    Row::of_code(
        "400/attachments",
        FailureClass::Unsupported,
        "SendGrid's own rules for attachments",
        ERRORS,
    ),
    Row::of_code("400/batch_id", FailureClass::Misconfigured, "the account has no such batch", ERRORS),
    Row::of_code(
        "400/callers_sender",
        FailureClass::Unsupported,
        "SendGrid does not take the sender that the caller chose",
        ERRORS,
    ),
    Row::of_code(
        "400/categories",
        FailureClass::Unsupported,
        "SendGrid's own rules for categories",
        ERRORS,
    ),
    Row::of_code(
        "400/content",
        FailureClass::InvalidMessage,
        "the content is missing or empty",
        ERRORS,
    ),
    Row::of_code(
        "400/content",
        FailureClass::Unsupported,
        "SendGrid's own rules for content types",
        ERRORS,
    )
    .saying("cannot contain"),
    Row::of_code("400/custom_args", FailureClass::Unsupported, "SendGrid takes 10,000 bytes", ERRORS),
    Row::of_code(
        "400/from",
        FailureClass::Misconfigured,
        "SendGrid does not take the configured sender",
        ERRORS,
    ),
    Row::of_code("400/headers", FailureClass::Unsupported, "SendGrid's own rules for headers", ERRORS),
    Row::of_code(
        "400/ip_pool_name",
        FailureClass::Misconfigured,
        "the account has no such pool",
        ERRORS,
    ),
    Row::of_code(
        "400/mail_settings",
        FailureClass::Misconfigured,
        "the account may not use the setting",
        ERRORS,
    ),
    Row::of_code(
        "400/personalizations",
        FailureClass::Unsupported,
        "SendGrid's own rules for recipients, or one address of several",
        ERRORS,
    ),
    Row::of_code(
        "400/recipient",
        FailureClass::InvalidRecipient,
        "SendGrid says that the one address is none",
        ERRORS,
    ),
    Row::of_code(
        "400/reply_to",
        FailureClass::Unsupported,
        "SendGrid does not take the address for replies",
        ERRORS,
    ),
    Row::of_code(
        "400/reply_to_list",
        FailureClass::Unsupported,
        "SendGrid does not take the addresses for replies",
        ERRORS,
    ),
    Row::of_code(
        "400/sections",
        FailureClass::Unsupported,
        "SendGrid's own rules for substitutions",
        ERRORS,
    ),
    Row::of_code("400/send_at", FailureClass::Unsupported, "SendGrid's own rules for times", ERRORS),
    Row::of_code(
        "400/subject",
        FailureClass::InvalidMessage,
        "the subject is missing or empty",
        ERRORS,
    ),
    Row::of_code(
        "400/template_id",
        FailureClass::Misconfigured,
        "the account has no such template",
        ERRORS,
    ),
    Row::of_code(
        "400/tracking_settings",
        FailureClass::Misconfigured,
        "the account may not use the setting",
        ERRORS,
    ),
    Row::of_code(
        "401",
        FailureClass::Misconfigured,
        "SendGrid does not know the key, or the account may not send",
        ERRORS,
    ),
    Row::of_code(
        "403",
        FailureClass::Misconfigured,
        "the key, the sender identity or the account may not send",
        ERRORS,
    ),
    Row::of_code(
        "403/callers_sender",
        FailureClass::Unsupported,
        "the sender that the caller chose is not verified at SendGrid",
        ERRORS,
    ),
    Row::of_code("404", FailureClass::Misconfigured, "the endpoint is not SendGrid's", ERRORS),
    Row::of_code("405", FailureClass::Misconfigured, "the endpoint is not SendGrid's", ERRORS),
    Row::of_code("406", FailureClass::Misconfigured, "the endpoint is not SendGrid's", ERRORS),
    Row::of_code("413", FailureClass::Unsupported, "SendGrid takes 30 MB", ERRORS),
    Row::of_code("429", FailureClass::Throttled, "too many calls a second", RATES),
    Row::of_code(
        "451",
        FailureClass::Misconfigured,
        "the account lives in another region: SENDGRID_API_URL",
        ERRORS,
    ),
    Row::of_code("500", FailureClass::Unknown, "SendGrid failed after it had the request", ERRORS),
    Row::of_code("502", FailureClass::Unknown, "a gateway failed after it had the request", ERRORS),
    Row::of_code("503", FailureClass::Unavailable, "SendGrid took no request", ERRORS),
    Row::of_code("504", FailureClass::Unknown, "a gateway did not wait for the answer", ERRORS),
];

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
    let errors = serde_json::from_slice::<ErrorReply>(answer.body)
        .map(|reply| reply.errors)
        .unwrap_or_default();
    let failures: Vec<Failure> = errors.iter().map(|error| failure_of(error, sent, answer)).collect();
    // Of several errors the one decides that leaves the message to others.
    let decides = failures
        .iter()
        .position(|failure| failure.class.consequence().next_provider == NextProvider::Yes);
    let failure = failures.into_iter().nth(decides.unwrap_or_default());
    Err(failure.unwrap_or_else(|| failure_of(&OneError::default(), sent, answer)))
}

/// What one error of an answer means.
fn failure_of(error: &OneError, sent: Sent, answer: &Answer<'_>) -> Failure {
    let code = code_of(answer.status, error, sent);
    refusal(KIND, &[FAILURES], (&code, sent), &error.message, answer)
}

#[derive(Deserialize)]
struct ErrorReply {
    errors: Vec<OneError>,
}

#[derive(Default, Deserialize)]
#[serde(from = "Written")]
struct OneError {
    message: String,
    field: Option<String>,
}

/// An error as SendGrid writes it: with the field that it is about, or as a bare string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Bare(String),
    Full {
        #[serde(default)]
        message: String,
        field: Option<String>,
    },
}

impl From<Written> for OneError {
    fn from(written: Written) -> Self {
        match written {
            Written::Bare(message) => Self { message, field: None },
            Written::Full { message, field } => Self { message, field },
        }
    }
}

/// The code of the table: the status, and the field that the error names if it has a row.
fn code_of(status: u16, error: &OneError, sent: Sent) -> String {
    let field = error.field.as_deref().unwrap_or_default();
    let part = field.split(['.', '[']).next().unwrap_or_default();
    // `attachment` and `attachments`, `from` and `from_email`, `header` and `headers` are written side by side.
    let part = match part {
        "attachment" => "attachments",
        "header" => "headers",
        "personalization" => "personalizations",
        _ if part.starts_with("from_") => "from",
        _ => part,
    };
    let message = error.message.to_lowercase();
    match (status, part) {
        (400, "from") if sent.callers_sender => "400/callers_sender".to_owned(),
        (400, "personalizations") if sent.one_recipient && message.contains("valid address") => "400/recipient".to_owned(),
        (400, "") if message.contains("attachment") => "400/attachments".to_owned(),
        (403, _) if sent.callers_sender && message.contains("sender identity") => "403/callers_sender".to_owned(),
        (400, part) if row_of(&[FAILURES], &format!("400/{part}"), "").is_some() => format!("400/{part}"),
        _ => status.to_string(),
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
