//! Amazon: SNS envelopes, SES events, delivery logs of text messages.
//!
//! ```text
//! body → envelope (form) → topic allowed? → certificate's URL → fresh? → certificate → signature → ses | sms | subscription
//! asked for: sms_logs → sms
//! ```
//!
//! - **Signed**: version 1 (SHA-1, still what a new topic has) and version 2 (SHA-256), each only when the envelope says so.
//! - **Not signed**: topics with raw message delivery. They are refused.
//! - Anybody with an AWS account can have SNS sign a message to us: so only topics that are named in the configuration are believed.
//! - SNS does not repeat what was answered with 4xx; what cannot be checked at the moment is [`HookFault::Unavailable`].
//! - **Source**: Amazon SNS developer guide, "Verifying the signatures of Amazon SNS messages"; AWS SDK for Java 2, `sns-message-manager`;
//!   read 2026-11-22.

mod certificate;
mod envelope;
mod reading;
mod ses;
mod sms;
mod sms_logs;
mod subscription;
mod topic;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use ums_core::{AccountId, Event, Hook, HookFault, HookRequest, ProviderKind, Timestamp};

use self::envelope::{Envelope, EnvelopeKind};
use self::topic::Topic;
use crate::Error;
use crate::http::Transport;

pub use self::certificate::{CertificateSource, HttpCertificates};
pub use self::sms_logs::{SmsLogs, SmsLogsSettings};

/// SNS goes on trying for an hour at most.
const REPLAY_WINDOW: Duration = Duration::from_hours(1);

/// Settings of Amazon's hook.
#[derive(Clone, Debug)]
pub struct AwsHookSettings {
    /// The account at Amazon that the events are told of.
    pub account: AccountId,
    /// ARNs of the topics that are believed; without any, nothing is.
    pub topics: Vec<String>,
    /// Whether these topics may subscribe this service.
    pub confirm_subscriptions: bool,
    /// How old a message may be; default 1 h. Clocks may differ by 5 minutes more.
    pub replay_window: Duration,
}

impl Default for AwsHookSettings {
    fn default() -> Self {
        Self {
            account: AccountId::default(),
            topics: Vec::new(),
            confirm_subscriptions: false,
            replay_window: REPLAY_WINDOW,
        }
    }
}

/// Reads what SNS posts.
pub struct AwsHook {
    account: AccountId,
    topics: Vec<Topic>,
    confirm_subscriptions: bool,
    replay_window: Duration,
    certificates: Arc<dyn CertificateSource>,
    transport: Arc<Transport>,
}

impl AwsHook {
    /// Sets it up; the transport is used to confirm subscriptions only.
    ///
    /// # Errors
    /// [`Error`] when a topic's ARN is none.
    pub fn new(settings: AwsHookSettings, certificates: Arc<dyn CertificateSource>, transport: Arc<Transport>) -> Result<Self, Error> {
        let topics: Option<Vec<Topic>> = settings.topics.iter().map(|arn| Topic::parse(arn)).collect();
        let topics = topics.ok_or(Error::setting(
            ProviderKind::AwsSns,
            "a topic of feedback",
            "must be the ARN of an SNS topic: arn:aws:sns:<region>:<account>:<name>",
        ))?;
        Ok(Self {
            account: settings.account,
            topics,
            confirm_subscriptions: settings.confirm_subscriptions,
            replay_window: settings.replay_window,
            certificates,
            transport,
        })
    }
}

#[async_trait]
impl Hook for AwsHook {
    async fn read(&self, request: &HookRequest) -> Result<Vec<Event>, HookFault> {
        if request.headers.iter().any(|(name, _)| name == "x-amz-sns-rawdelivery") {
            return Err(HookFault::Refused("raw_delivery"));
        }
        let envelope = Envelope::read(&request.body)?;
        if !self.topics.contains(&envelope.topic) {
            return Err(HookFault::Refused("topic"));
        }
        check_unsigned(&envelope, request.received_at, self.replay_window)?;
        let certificate = self.certificates.certificate(&envelope.certificate_url).await?;
        let der = certificate::der(&certificate).ok_or(HookFault::Refused("certificate"))?;
        check_signature(&envelope, &der, request.received_at)?;
        match envelope.kind {
            EnvelopeKind::Notification => Ok(notification(&envelope.message, &self.account)),
            EnvelopeKind::SubscriptionConfirmation => {
                subscription::confirm(&envelope, self.confirm_subscriptions, &self.transport).await?;
                Ok(Vec::new())
            }
            EnvelopeKind::UnsubscribeConfirmation => {
                subscription::ended(&envelope);
                Ok(Vec::new())
            }
        }
    }
}

impl fmt::Debug for AwsHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsHook({} topics)", self.topics.len())
    }
}

/// What can be asked before a certificate is fetched: its URL, and whether the envelope is of now (it is signed, so a lie shows later).
fn check_unsigned(envelope: &Envelope, now: Timestamp, window: Duration) -> Result<(), HookFault> {
    if !envelope.topic.allows_certificate(&envelope.certificate_url) {
        return Err(HookFault::Refused("certificate_url"));
    }
    if !envelope.is_fresh(now, window) {
        return Err(HookFault::Refused("timestamp"));
    }
    Ok(())
}

fn check_signature(envelope: &Envelope, certificate: &[u8], now: Timestamp) -> Result<(), HookFault> {
    let names = envelope.topic.certificate_names();
    let signed = (envelope.signed_text(), &envelope.signature[..]);
    certificate::verify(certificate, &names, now, envelope.hash, signed)
}

/// The events in the message of a notification that was found genuine.
fn notification(message: &str, account: &AccountId) -> Vec<Event> {
    if let Some(events) = read_message(message, account) {
        return events;
    }
    // SES tells so when a topic is set up: nothing happened.
    if !message.starts_with("Successfully validated SNS topic") {
        tracing::warn!(
            event = "feedback.aws.not_feedback",
            bytes = message.len(),
            "an allowed topic posted something that is no feedback of SES or SNS"
        );
    }
    Vec::new()
}

/// Events of SES, an event of the delivery log, or what a log subscription sends; nothing when it is none of them.
fn read_message(message: &str, account: &AccountId) -> Option<Vec<Event>> {
    let parsed: Option<Value> = serde_json::from_str(message).ok();
    parsed
        .and_then(|value| ses::read(&value, account).or_else(|| sms::read(&value, account)))
        .or_else(|| sms::read_subscription(message, account))
}

/// Reads a payload with a certificate and a clock given by hand; nothing is fetched, and the topic may be any.
///
/// First whether the hook would believe the envelope from an allowed topic at that time: form, certificate's URL, age, certificate, signature.
/// Nothing when there is nothing to check: the body is no envelope (a bare event of SES, of the delivery log or of a log subscription), or no
/// certificate was given. Then the events, whatever is said of the envelope. The certificate may be PEM, with other text around it, or DER.
pub fn check(body: &[u8], certificate: Option<&[u8]>, at: Timestamp) -> (Option<Result<(), HookFault>>, Vec<Event>) {
    let account = AccountId::default();
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let looks_like_envelope = |value: &&Value| value.get("Type").is_some() || value.get("Signature").is_some();
    let Some(fields) = parsed.as_ref().filter(looks_like_envelope) else {
        return (None, read_message(&String::from_utf8_lossy(body), &account).unwrap_or_default());
    };
    let message = fields.get("Message").and_then(Value::as_str).unwrap_or_default();
    let events = read_message(message, &account).unwrap_or_default();
    let verdict = certificate.map(|certificate| {
        let envelope = Envelope::read(body)?;
        check_unsigned(&envelope, at, REPLAY_WINDOW)?;
        let der = CertificateDer::from_pem_slice(certificate).map_or_else(|_| certificate.to_vec(), |der| der.to_vec());
        check_signature(&envelope, &der, at)
    });
    (verdict, events)
}
