//! Twilio Messages: `POST /2010-04-01/Accounts/{sid}/Messages.json`, form in, JSON out, Basic authentication.
//!
//! - **Endpoint**: `https://api.twilio.com`. User is the account's SID or an API key's.
//! - **Accepted**: 201 with a `sid` (queued or accepted); the rest comes by the status callback.
//! - **Idempotency**: none; the callback's URL carries the ids.
//! - **Limits**: 1,600 characters; 1 part a second from a long code; validity 1 to 36,000 s.
//! - **Cannot carry**: nothing that is known before Twilio says so.
//! - **Sources**: twilio/twilio-oai (2026-04-14); Twilio error dictionary (2025-02-20); twilio.com/docs/errors; read 2026-11-22.

mod codes;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri, header};
use serde::Deserialize;
use ums_core::{Accepted, Call, Failure, FailureClass, PhoneNumber, Probe, Provider, ProviderKind, Secret, Sms};

use crate::Error;
use crate::classify::{Sent, refusal, refusal_by_status, success_without_id};
use crate::form::{self, Form};
use crate::http::{Answer, Origin, Outgoing, Transport};

pub(crate) use self::codes::{FAILURES, class_of};

const KIND: ProviderKind = ProviderKind::Twilio;
pub(crate) const PUBLIC_URL: &str = "https://api.twilio.com";
/// Longest validity of a queued message, in seconds.
const MAX_VALIDITY_SECONDS: u64 = 36_000;
/// Longest wait for a question that sends nothing.
const ASK_TIME: Duration = Duration::from_secs(8);

/// Who messages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TwilioSender {
    /// A number of the account.
    Number(PhoneNumber),
    /// A short code of the account.
    ShortCode(String),
    /// An alphanumeric sender id.
    Alphanumeric(String),
    /// A messaging service (`MG…`), which chooses the sender.
    MessagingService(String),
}

/// Settings of Twilio.
#[derive(Clone, Debug)]
pub struct TwilioSettings {
    /// The account (`AC…`).
    pub account_sid: String,
    /// Its token.
    pub auth_token: Secret,
    /// Who messages come from.
    pub sender: TwilioSender,
    /// Where Twilio reports what became of a message; our ids are added to its query.
    pub status_callback: Option<String>,
    /// Another endpoint than the global one.
    pub base_url: Option<String>,
}

/// Twilio.
#[derive(Debug)]
pub struct Twilio {
    transport: Arc<Transport>,
    origin: Arc<Origin>,
    send_path: Uri,
    account_path: Uri,
    headers: [(HeaderName, HeaderValue); 2],
    /// Whether the account itself logs in, and not an API key (`SK…`), which may send and not read the account.
    logs_in_as_account: bool,
    sender: TwilioSender,
    status_callback: Option<String>,
}

impl Twilio {
    /// Sets it up; nothing is opened before the first call.
    ///
    /// # Errors
    /// [`Error`] when the endpoint is not one, or the account's SID is not a word.
    pub fn new(settings: TwilioSettings, transport: &Arc<Transport>) -> Result<Self, Error> {
        let TwilioSettings {
            account_sid,
            auth_token,
            sender,
            status_callback,
            base_url,
        } = settings;
        if account_sid.is_empty() || !account_sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::setting(KIND, "the account SID", "must be letters and digits"));
        }
        let origin = transport
            .origin(base_url.as_deref().unwrap_or(PUBLIC_URL))
            .map_err(|bad| Error::endpoint(KIND, bad))?;
        let path = |end: &str| {
            let path = format!("/2010-04-01/Accounts/{account_sid}{end}");
            origin.target(&path).map_err(|bad| Error::endpoint(KIND, bad))
        };
        let (send_path, account_path) = (path("/Messages.json")?, path(".json")?);
        let basic = format!("Basic {}", STANDARD.encode(format!("{account_sid}:{}", auth_token.expose())));
        let mut authorization = HeaderValue::from_str(&basic).map_err(|_| Error::setting(KIND, "the auth token", "cannot be sent"))?;
        authorization.set_sensitive(true);
        let headers = [
            (header::AUTHORIZATION, authorization),
            (header::CONTENT_TYPE, HeaderValue::from_static(form::CONTENT_TYPE)),
        ];
        Ok(Self {
            transport: Arc::clone(transport),
            send_path,
            account_path,
            headers,
            logs_in_as_account: account_sid.starts_with("AC"),
            sender,
            status_callback,
            origin,
        })
    }
}

#[async_trait]
impl Provider<Sms> for Twilio {
    fn kind(&self) -> ProviderKind {
        KIND
    }

    fn is_local(&self) -> bool {
        self.origin.is_loopback()
    }

    async fn send(&self, sms: &Sms, call: &Call) -> Result<Accepted, Failure> {
        let body = body(sms, &self.sender, self.status_callback.as_deref(), call);
        let request = Outgoing {
            method: Method::POST,
            target: &self.send_path,
            headers: &self.headers,
            body,
        };
        let reply = self.transport.exchange(&self.origin, &request, call.time_left).await?;
        let sent = Sent {
            callers_sender: sms.from.is_some(),
            one_recipient: true,
        };
        let id = outcome(&reply.answer(self.transport.clock().now()), sent)?;
        Ok(Accepted {
            simulated: reply.is_simulated(),
            ..Accepted::new(id)
        })
    }

    fn can_be_asked(&self) -> bool {
        true
    }

    /// Reads the account. A standard API key may not: then nothing is said. An account whose own token is refused can send nothing.
    async fn probe(&self) -> Probe {
        let request = Outgoing {
            method: Method::GET,
            target: &self.account_path,
            headers: &self.headers,
            body: Bytes::new(),
        };
        match self.transport.exchange(&self.origin, &request, ASK_TIME).await {
            Ok(reply) => read_account(&reply.answer(self.transport.clock().now()), self.logs_in_as_account),
            Err(no_reply) => Probe::Failed(no_reply.into()),
        }
    }
}

/// Builds the request's body.
fn body(sms: &Sms, own: &TwilioSender, status_callback: Option<&str>, call: &Call) -> Bytes {
    let mut form = Form::with_capacity(256 + sms.body.len() * 3);
    form.field("To", sms.to.expose());
    match (&sms.from, own) {
        (Some(chosen), _) => form.field("From", chosen.expose()),
        (None, TwilioSender::Number(number)) => form.field("From", number.expose()),
        (None, TwilioSender::ShortCode(sender) | TwilioSender::Alphanumeric(sender)) => form.field("From", sender),
        (None, TwilioSender::MessagingService(service)) => form.field("MessagingServiceSid", service),
    };
    let validity = call.time_left.as_secs().clamp(1, MAX_VALIDITY_SECONDS);
    form.field("Body", &sms.body).field("ValidityPeriod", &validity.to_string());
    if let Some(url) = status_callback {
        let joint = if url.contains('?') { '&' } else { '?' };
        let ids = format!("{url}{joint}ums_message_id={}&ums_attempt_id={}", call.message_id, call.attempt_id);
        form.field("StatusCallback", &ids);
    }
    form.into_bytes()
}

/// What an answer to a send means: the message's id, or a failure.
pub(crate) fn outcome(answer: &Answer<'_>, sent: Sent) -> Result<String, Failure> {
    if answer.is_success() {
        let message: Option<MessageReply> = serde_json::from_slice(answer.body).ok();
        return message
            .map(|reply| reply.sid)
            .filter(|sid| !sid.is_empty())
            .ok_or_else(|| success_without_id(answer));
    }
    let Some(error) = serde_json::from_slice::<ErrorReply>(answer.body).ok() else {
        return Err(refusal_by_status(KIND, "Twilio answered without a readable error", answer));
    };
    let Some(number) = error.code else {
        return Err(refusal(KIND, &[], ("", sent), &error.message, answer));
    };
    let code = number.to_string();
    let callers_fault = sent.callers_sender && codes::ABOUT_SENDER.contains(&code.as_str());
    let row = if callers_fault {
        codes::CALLERS_SENDER.to_owned()
    } else {
        codes::code_of(number)
    };
    let mut failure = refusal(KIND, &[FAILURES], (&row, sent), &error.message, answer);
    failure.code = code;
    Err(failure)
}

#[derive(Deserialize)]
struct MessageReply {
    sid: String,
}

#[derive(Deserialize)]
struct ErrorReply {
    #[serde(default)]
    code: Option<u32>,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Account {
    status: String,
}

/// What the account's own record says about sending.
fn read_account(answer: &Answer<'_>, logs_in_as_account: bool) -> Probe {
    if answer.status != 200 {
        let is_about_token = logs_in_as_account && answer.status == 401;
        let refused = is_about_token.then(|| outcome(answer, Sent::UNKNOWN).err()).flatten();
        return refused.map_or(Probe::NoAnswer, Probe::Failed);
    }
    match serde_json::from_slice::<Account>(answer.body)
        .map(|account| account.status)
        .as_deref()
    {
        Ok("active") => Probe::Healthy,
        Ok("suspended" | "closed") => Probe::Failed(Failure::provider(
            FailureClass::Misconfigured,
            "account",
            "the Twilio account is suspended or closed",
        )),
        Ok(_) | Err(_) => Probe::NoAnswer,
    }
}
