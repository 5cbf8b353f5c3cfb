//! The caller's idempotency key, and the fingerprint by which a repeated request is known.
//!
//! The fingerprint is a keyed hash: the plain hash of a six-digit code *is* the code.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
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
/// Between the caller's key and the place of an item in its batch: no key of a caller holds it.
const ITEM: char = '\u{1f}';
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
        Ok(IdempotencyKey {
            key,
            fingerprint: self.fingerprint(route, std::slice::from_ref(parsed))?,
            expires_at: now + self.keep,
        })
    }

    /// The keys of a batch's messages: the first has the caller's own, so that two requests with one key meet there;
    /// each has the fingerprint of the whole.
    pub(crate) fn keys(&self, key: &str, route: &str, batch: &[Parsed], now: Timestamp) -> Result<Vec<IdempotencyKey>, serde_json::Error> {
        let fingerprint = self.fingerprint(route, batch)?;
        let of = |index: usize| IdempotencyKey {
            key: if index == 0 {
                key.to_owned()
            } else {
                format!("{key}{ITEM}{index}")
            },
            fingerprint,
            expires_at: now + self.keep,
        };
        Ok((0..batch.len()).map(of).collect())
    }

    fn fingerprint(&self, route: &str, messages: &[Parsed]) -> Result<[u8; 32], serde_json::Error> {
        let mut hash = HashWriter(hmac::Context::with_key(&self.key));
        hash.0.update(route.as_bytes());
        for parsed in messages {
            let metadata: BTreeMap<_, _> = parsed.metadata.iter().collect();
            serde_json::to_writer(&mut hash, &(&parsed.content, &parsed.handling, metadata))?;
        }
        let mut fingerprint = [0; 32];
        fingerprint
            .iter_mut()
            .zip(hash.0.sign().as_ref())
            .for_each(|(to, from)| *to = *from);
        Ok(fingerprint)
    }
}

/// The keys whose first request is being accepted in this process right now. Over several processes the store's
/// unique index lets the second wait for the first.
#[derive(Clone, Default)]
pub(crate) struct KeysInHand(Arc<Mutex<HashSet<String>>>);

impl fmt::Debug for KeysInHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeysInHand(***)")
    }
}

impl KeysInHand {
    /// Takes a key until the guard is dropped.
    pub(crate) fn take(&self, key: &str) -> Result<KeyInHand, Problem> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.insert(key.to_owned()) {
            return Ok(KeyInHand {
                keys: self.clone(),
                key: key.to_owned(),
            });
        }
        Err(Problem::new(
            ErrorCode::KeyInHand,
            "idempotency_in_progress: the first request with this key is not stored yet; try again in a moment",
        ))
    }
}

/// A key that is in hand.
pub(crate) struct KeyInHand {
    keys: KeysInHand,
    key: String,
}

impl Drop for KeyInHand {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
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

    #[test]
    fn a_key_is_in_hand_until_its_guard_is_dropped() {
        let keys = KeysInHand::default();
        let guard = keys.take("k").unwrap();
        assert!(keys.take("other").is_ok());
        assert_eq!(keys.take("k").err().unwrap().code(), ErrorCode::KeyInHand);
        drop(guard);
        assert!(keys.take("k").is_ok());
    }

    #[test]
    fn the_messages_of_a_batch_have_keys_of_their_own_and_one_fingerprint() {
        let parsed = |to: &str| SendEmail::new(to, "s").text("t").parse().unwrap();
        let fingerprints = Fingerprints::new(&ServerSettings::default());
        let keys = |batch: &[Parsed]| fingerprints.keys("k", "POST /v1/batches", batch, Timestamp::default()).unwrap();
        let both = keys(&[parsed("a@example.com"), parsed("b@example.com")]);
        assert_eq!((both[0].key.as_str(), both[1].key.as_str()), ("k", "k\u{1f}1"));
        assert_eq!(both[0].fingerprint, both[1].fingerprint);
        assert_ne!(both[0].fingerprint, keys(&[parsed("a@example.com")])[0].fingerprint);
    }
}
