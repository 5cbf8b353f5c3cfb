//! The caller's idempotency key, and the fingerprint by which a repeated request is known.
//!
//! The fingerprint is a keyed hash: the plain hash of a six-digit code *is* the code.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

use hyper::HeaderMap;
use ring::hmac;
use ums_core::{IdempotencyKey, Parsed, Timestamp};

use crate::problem::{ErrorCode, Problem};
use crate::settings::ServerSettings;

/// The header that carries the key.
pub(crate) const HEADER: &str = "idempotency-key";
/// Longest key.
const MAX_BYTES: usize = 255;
/// What the fingerprint's key is derived for.
const PURPOSE: &[u8] = b"ums request fingerprint v1";

/// Makes fingerprints of requests.
#[derive(Clone)]
pub(crate) struct Fingerprints {
    key: hmac::Key,
    keep: Duration,
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprints(***)")
    }
}

impl Fingerprints {
    /// Derives the key from the secret key, else from the API key; a development service without
    /// either has a key that everybody knows.
    pub(crate) fn new(settings: &ServerSettings) -> Self {
        let secret = settings
            .secret_key
            .as_ref()
            .or(settings.api_key.as_ref())
            .map_or("development", |secret| secret.expose());
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), PURPOSE);
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
            keep: settings.limits.idempotency_time,
        }
    }

    /// The key of a request as the store keeps it. The fingerprint is taken of what the request
    /// means, so that spaces, the order of fields or `"a"` for `["a"]` make no difference.
    pub(crate) fn key(&self, key: String, route: &str, parsed: &Parsed, now: Timestamp) -> Result<IdempotencyKey, serde_json::Error> {
        let mut hash = HashWriter(hmac::Context::with_key(&self.key));
        hash.0.update(route.as_bytes());
        let metadata: BTreeMap<_, _> = parsed.metadata.iter().collect();
        serde_json::to_writer(&mut hash, &(&parsed.content, &parsed.handling, metadata))?;
        let mut fingerprint = [0; 32];
        fingerprint
            .iter_mut()
            .zip(hash.0.sign().as_ref())
            .for_each(|(to, from)| *to = *from);
        Ok(IdempotencyKey {
            key,
            fingerprint,
            expires_at: now + self.keep,
        })
    }
}

struct HashWriter(hmac::Context);

impl io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the key of a request.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let refused = |reason: &str| Err(Problem::fault(ErrorCode::InvalidHeader, "Idempotency-Key", reason));
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return refused("must be given once");
    }
    match value.to_str() {
        Ok(key) if (1..=MAX_BYTES).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(key.to_owned())),
        Ok(_) | Err(_) => refused("must be 1 to 255 visible ASCII characters without spaces"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ums_core::{Secret, SendEmail};

    fn fingerprint(secret: &str, route: &str, json: &str) -> [u8; 32] {
        let settings = ServerSettings {
            secret_key: Some(Secret::new(secret)),
            ..ServerSettings::default()
        };
        let parsed = serde_json::from_str::<SendEmail>(json).unwrap().parse().unwrap();
        Fingerprints::new(&settings)
            .key("k".into(), route, &parsed, Timestamp::default())
            .unwrap()
            .fingerprint
    }

    #[test]
    fn the_fingerprint_is_of_the_meaning() {
        let base = fingerprint(
            "s",
            "POST /v1/emails",
            r#"{"to": "a@example.com", "subject": "s", "text_content": "t", "metadata": {"a": 1, "b": 2}}"#,
        );
        let same = r#"{"metadata":{"b":2,"a":1},"text_content":"t","subject":"s","to":["a@example.com"]}"#;
        assert_eq!(base, fingerprint("s", "POST /v1/emails", same));
        assert_ne!(base, fingerprint("other", "POST /v1/emails", same));
        assert_ne!(base, fingerprint("s", "POST /v1/other", same));
        assert_ne!(base, fingerprint("s", "POST /v1/emails", &same.replace("\"t\"", "\"u\"")));
        assert_ne!(base, fingerprint("s", "POST /v1/emails", &same.replace(":2", ":3")));
    }
}
