//! Shows what a payload's signature and events read as: for support and for judges. Nothing is fetched.
//!
//! Key, certificate, address and clock come from the caller. Events are shown even when the signature is wrong, which nothing else does.

use std::fmt;

use serde::Serialize;
use ums_core::{
    AccountId, AttemptId, BounceKind, Event, EventKind, FailureClass, HookFault, HookRequest, MessageId, ProviderKind, Secret,
    SuppressionReason, Timestamp,
};

use super::sendgrid::{self, SendGridHook, SendGridHookSettings};
use super::{aws, smtp, twilio};

/// A payload, and what it is checked with.
#[derive(Clone)]
pub struct CheckRequest {
    /// Whose payload it is.
    pub provider: ProviderKind,
    /// `SendGrid`'s public key or Twilio's auth token.
    pub key: Option<Secret>,
    /// Amazon's signing certificate, PEM or DER.
    pub certificate: Option<Vec<u8>>,
    /// The address that Twilio posted to, as it was given to Twilio.
    pub url: Option<String>,
    /// What the clock says.
    pub at: Timestamp,
    /// Names in any case, and values.
    pub headers: Vec<(String, String)>,
    /// The body as it came, or a bounce message.
    pub body: Vec<u8>,
}

impl fmt::Debug for CheckRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckRequest({} {} bytes)", self.provider, self.body.len())
    }
}

/// What a signature is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureVerdict {
    /// It was made by the key over exactly this payload, lately.
    Valid,
    /// It was not, or too long ago.
    Invalid,
    /// There is none, or nothing to check it with.
    None,
}

/// What was read.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// What the signature is worth.
    pub signature: SignatureVerdict,
    /// What the payload says.
    pub events: Vec<CheckedEvent>,
    /// Why the signature is not valid or nothing was read: a short stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// One event, as it is shown.
#[derive(Clone, Serialize)]
pub struct CheckedEvent {
    /// What is reported.
    pub kind: EventKind,
    /// About whom.
    pub recipient: Option<String>,
    /// The provider's id of the message.
    pub provider_message_id: Option<String>,
    /// When it happened.
    pub at: Option<Timestamp>,
    /// Id of the event, by which it is told from others.
    pub id: String,
    /// What a bounce says of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounce: Option<BounceKind>,
    /// The provider's own words.
    pub word: String,
    /// The provider's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What a failure means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<FailureClass>,
    /// Why the recipient must not be contacted again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppress: Option<SuppressionReason>,
    /// Our id of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<MessageId>,
    /// Our id of the attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_id: Option<AttemptId>,
    /// Whether a machine did it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub by_machine: bool,
}

impl fmt::Debug for CheckedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckedEvent({} {:?})", self.kind, self.word)
    }
}

impl From<Event> for CheckedEvent {
    fn from(event: Event) -> Self {
        Self {
            kind: event.kind,
            recipient: event.recipient,
            provider_message_id: event.about.provider_message_id,
            at: event.at,
            id: event.id,
            bounce: event.bounce,
            word: event.word,
            code: event.code,
            detail: event.detail,
            class: event.class,
            suppress: event.suppress,
            message_id: event.about.message_id,
            attempt_id: event.about.attempt_id,
            by_machine: event.by_machine,
        }
    }
}

/// Reads a payload as a hook would, and says what its signature is worth.
pub fn check(request: CheckRequest) -> Checked {
    let (signature, reason, events) = match request.provider {
        ProviderKind::AwsSes | ProviderKind::AwsSns => amazon(&request),
        ProviderKind::SendGrid => sendgrid(request),
        ProviderKind::Twilio => twilio(request),
        ProviderKind::Smtp => bounce(&request),
        // It reports nothing.
        ProviderKind::Console => (SignatureVerdict::None, Some("no_feedback"), Vec::new()),
    };
    Checked {
        signature,
        reason,
        events: events.into_iter().map(CheckedEvent::from).collect(),
    }
}

type Findings = (SignatureVerdict, Option<&'static str>, Vec<Event>);

fn amazon(request: &CheckRequest) -> Findings {
    let (verified, events) = aws::check(&request.body, request.certificate.as_deref(), request.at);
    let (verdict, reason) = verified.as_ref().map_or((SignatureVerdict::None, None), verdict);
    (verdict, reason, events)
}

fn sendgrid(request: CheckRequest) -> Findings {
    let key = request.key.clone();
    let posted = posted(request);
    let (verdict, mut reason) = match key {
        _ if posted.header(sendgrid::SIGNATURE).is_none() => (SignatureVerdict::None, Some("signature_missing")),
        None => (SignatureVerdict::None, Some("key_missing")),
        Some(key) => {
            let settings = SendGridHookSettings {
                public_keys: vec![key.expose().to_owned()],
                ..SendGridHookSettings::default()
            };
            match SendGridHook::new(settings) {
                Ok(hook) => verdict(&hook.verify(&posted)),
                Err(_) => (SignatureVerdict::Invalid, Some("key_unreadable")),
            }
        }
    };
    let events = sendgrid::read_events(&posted.body).unwrap_or_else(|| {
        reason = reason.or(Some("body_unreadable"));
        Vec::new()
    });
    (verdict, reason, events)
}

fn verdict(verified: &Result<(), HookFault>) -> (SignatureVerdict, Option<&'static str>) {
    match verified {
        Ok(()) => (SignatureVerdict::Valid, None),
        Err(HookFault::Refused(reason) | HookFault::Unavailable(reason)) => (SignatureVerdict::Invalid, Some(reason)),
    }
}

/// The payload as a request.
fn posted(request: CheckRequest) -> HookRequest {
    let headers = request.headers.into_iter();
    HookRequest {
        account: AccountId::default(),
        path_and_query: String::new(),
        headers: headers
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: request.body,
        received_at: request.at,
    }
}

fn twilio(request: CheckRequest) -> Findings {
    let (key, url) = (request.key.clone(), request.url.clone());
    let posted = posted(request);
    let (verdict, mut reason) = match (key, &url) {
        _ if posted.header(twilio::SIGNATURE).is_none() => (SignatureVerdict::None, Some("signature_missing")),
        (None, _) => (SignatureVerdict::None, Some("key_missing")),
        // The address is signed; without it nothing can be said.
        (Some(_), None) => (SignatureVerdict::None, Some("url_missing")),
        (Some(token), Some(url)) => verdict(&twilio::verify(&posted, url, &[token]).map(drop)),
    };
    let events = twilio::read_unverified(&posted, url.as_deref().unwrap_or_default()).unwrap_or_else(|| {
        reason = reason.or(Some("no_message"));
        Vec::new()
    });
    (verdict, reason, events)
}

fn bounce(request: &CheckRequest) -> Findings {
    // Mail is not signed.
    match smtp::read(&request.body, request.at) {
        Ok(events) => (SignatureVerdict::None, None, events),
        Err(not_a_bounce) => (SignatureVerdict::None, Some(not_a_bounce.as_str()), Vec::new()),
    }
}

#[cfg(test)]
mod tests;
