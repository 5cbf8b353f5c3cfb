//! `SendGrid`'s signed event webhook.
//!
//! - **Request**: POST, a JSON array of events; CRLF between them and at the end, so the body is never trimmed or written anew.
//! - **Signature**: `X-Twilio-Email-Event-Webhook-Signature`, base64 of an ECDSA P-256 signature (ASN.1 DER) over SHA-256 of
//!   `-Timestamp` and the body. The key is base64 of a DER `SubjectPublicKeyInfo`, as the settings page shows it.
//! - **Replay**: the signed time must be within the window; within it, events are told from known ones by `sg_event_id`. Whether a repeated post
//!   (for up to 24 h after our failure) bears a new time is not documented, so the window can be widened: ids still catch what is replayed.
//! - **Ours**: `custom_args` come back at the top level of an event.
//! - **Sources**: twilio.com/docs/sendgrid event reference; sendgrid-nodejs `packages/eventwebhook`; read 2026-11-22.

mod events;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) mod vectors;

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use ums_core::{AccountId, Event, Hook, HookFault, HookRequest, ProviderKind, Timestamp};

use crate::Error;

pub(crate) use self::events::read as read_events;

const KIND: ProviderKind = ProviderKind::SendGrid;
pub(super) const SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
pub(super) const TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";
/// Longest body that is read, in bytes; `SendGrid` posts less than 1 MB.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// How far the signed time may lie from ours unless set otherwise.
const WINDOW: Duration = Duration::from_mins(5);
/// A P-256 `SubjectPublicKeyInfo` is this, then an uncompressed point of 65 bytes (RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
    0x07, 0x03, 0x42, 0x00,
];
const POINT_BYTES: usize = 65;

/// Settings of the webhook.
#[derive(Clone, Debug)]
pub struct SendGridHookSettings {
    /// Account at `SendGrid`.
    pub account: AccountId,
    /// Verification keys as the settings page shows them, with or without PEM's frame; several while one takes the place of another.
    pub public_keys: Vec<String>,
    /// How far the signed time may lie from ours; default 5 minutes.
    pub window: Duration,
}

impl Default for SendGridHookSettings {
    fn default() -> Self {
        Self {
            account: AccountId::default(),
            public_keys: Vec::new(),
            window: WINDOW,
        }
    }
}

/// Reads what `SendGrid` posts.
#[derive(Debug)]
pub struct SendGridHook {
    account: AccountId,
    keys: Vec<Vec<u8>>,
    window: Duration,
}

impl SendGridHook {
    /// Sets it up.
    ///
    /// # Errors
    /// [`Error`] when there is no key, or one is not a P-256 key.
    pub fn new(settings: SendGridHookSettings) -> Result<Self, Error> {
        let SendGridHookSettings {
            account,
            public_keys,
            window,
        } = settings;
        let bad = |fault| Error::setting(KIND, "the webhook's public key", fault);
        if public_keys.is_empty() {
            return Err(bad("is missing"));
        }
        let keys = public_keys
            .iter()
            .map(|key| point(key).ok_or_else(|| bad("is not a P-256 key in base64")));
        Ok(Self {
            account,
            keys: keys.collect::<Result<_, _>>()?,
            window,
        })
    }

    /// Whether one of the keys signed exactly this, lately.
    pub(super) fn verify(&self, request: &HookRequest) -> Result<(), HookFault> {
        let refused = HookFault::Refused;
        if request.body.len() > MAX_BODY_BYTES {
            return Err(refused("too_large"));
        }
        let signature = request.header(SIGNATURE).ok_or(refused("signature_missing"))?;
        let timestamp = request.header(TIMESTAMP).ok_or(refused("timestamp_missing"))?;
        let signed_at = unix_seconds(timestamp).ok_or(refused("timestamp_unreadable"))?;
        let signature = STANDARD.decode(signature).map_err(|_| refused("signature_unreadable"))?;
        let signed = [timestamp.as_bytes(), &request.body].concat();
        let by = |key: &Vec<u8>| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
                .verify(&signed, &signature)
                .is_ok()
        };
        if !self.keys.iter().any(by) {
            return Err(refused("signature_wrong"));
        }
        let now = request.received_at;
        let apart = now.since(signed_at).max(signed_at.since(now));
        if apart > self.window { Err(refused("stale")) } else { Ok(()) }
    }
}

#[async_trait]
impl Hook for SendGridHook {
    async fn read(&self, request: &HookRequest) -> Result<Vec<Event>, HookFault> {
        self.verify(request)?;
        let mut events = read_events(&request.body).ok_or(HookFault::Refused("body_unreadable"))?;
        for event in &mut events {
            event.account = self.account.clone();
        }
        Ok(events)
    }
}

/// The point of a P-256 key.
fn point(key: &str) -> Option<Vec<u8>> {
    let text: String = key.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(text).ok()?;
    let point = der.strip_prefix(&SPKI_PREFIX)?;
    (point.len() == POINT_BYTES && point.first() == Some(&0x04)).then(|| point.to_vec())
}

/// Unix seconds in digits only.
fn unix_seconds(text: &str) -> Option<Timestamp> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    seconds(text.parse().ok()?)
}

/// Unix seconds.
fn seconds(unix: i64) -> Option<Timestamp> {
    unix.checked_mul(1_000_000).map(Timestamp::from_micros)
}
