//! Fingerprints of the settings that a provider account is called with: whether a stored state was learned with the same settings.
//!
//! A fingerprint is `<scheme and key>:<hash>`. Two fingerprints can be compared only if they were made with the same key; otherwise
//! nothing is known, and the state is taken as it is. The hash is keyed by the service's secret (HMAC-SHA-256, RFC 2104). A service
//! without a secret has nothing to key it with. Its hash is 16 bits of a slow one (PBKDF2, RFC 8018): enough to tell two settings apart
//! in all but one of 65,536 changes, and too little to confirm a guessed password by.

use std::fmt::{self, Write as _};
use std::num::NonZeroU32;

use ring::{hmac, pbkdf2};
use ums_core::Secret;

/// What the key of the hash is derived for.
const PURPOSE: &[u8] = b"ums provider settings v1";
/// What the name of that key is derived for.
const KEY_NAME: &[u8] = b"ums provider settings v1 key name";
/// Bytes of a key's name.
const KEY_NAME_BYTES: usize = 4;
/// Bytes of a keyed hash that are stored.
const KEYED_BYTES: usize = 16;
/// Bytes of a hash without a key: they bound what is told of a password, however fast it is guessed.
const UNKEYED_BYTES: usize = 2;
/// Rounds of the slow hash.
const ROUNDS: NonZeroU32 = NonZeroU32::new(20_000).unwrap();

/// The fingerprints of one provider account's settings: one for each secret of the service, newest first. Empty if the settings are not
/// known, as those of a provider that the user's program brings.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<String>);

/// What a stored state says of the settings that it was learned with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LearnedWith {
    /// The same settings, or it is not known.
    These,
    /// Surely other settings.
    Others,
}

impl Fingerprint {
    /// Takes the fingerprint of settings: names and values, in a fixed order.
    pub fn of(secrets: &[Secret], settings: &[(&str, &str)]) -> Self {
        let mut material = Vec::new();
        for text in settings.iter().flat_map(|(name, value)| [*name, *value]) {
            // With its length before it, so that no value can pass for two.
            material.extend((text.len() as u64).to_be_bytes());
            material.extend(text.as_bytes());
        }
        if secrets.is_empty() {
            return Self(vec![unkeyed(&material)]);
        }
        Self(secrets.iter().map(|secret| keyed(secret, &material)).collect())
    }

    /// The fingerprint to store with a state.
    pub(crate) fn to_store(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// Compares the fingerprint that was stored with a state. The release before stored none.
    pub(crate) fn compare(&self, stored: Option<&str>) -> LearnedWith {
        let Some((stored_key, _)) = stored.and_then(|stored| stored.split_once(':')) else {
            return LearnedWith::These;
        };
        let same_key = |own: &&String| own.split_once(':').is_some_and(|(key, _)| key == stored_key);
        match self.0.iter().find(same_key) {
            Some(own) if Some(own.as_str()) != stored => LearnedWith::Others,
            Some(_) | None => LearnedWith::These,
        }
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(***)")
    }
}

fn keyed(secret: &Secret, material: &[u8]) -> String {
    let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let secret = secret.expose().as_bytes();
    let hash = sign(sign(secret, PURPOSE).as_ref(), material);
    let name = sign(secret, KEY_NAME);
    format!("k{}:{}", hex(name.as_ref(), KEY_NAME_BYTES), hex(hash.as_ref(), KEYED_BYTES))
}

fn unkeyed(material: &[u8]) -> String {
    let mut hash = [0; UNKEYED_BYTES];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, PURPOSE, material, &mut hash);
    format!("s:{}", hex(&hash, UNKEYED_BYTES))
}

fn hex(bytes: &[u8], most: usize) -> String {
    bytes.iter().take(most).fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secrets(keys: &[&str]) -> Vec<Secret> {
        keys.iter().map(|key| Secret::new(*key)).collect()
    }

    #[test]
    fn other_settings_are_told_from_the_same_and_from_the_unknown() {
        use LearnedWith::{Others, These};
        let check = |here: (&[&str], &str), stored: Option<(&[&str], &str)>, expected: LearnedWith| {
            let print = |(keys, value): (&[&str], &str)| Fingerprint::of(&secrets(keys), &[("api_key", value)]);
            let stored = stored.map(print);
            let stored = stored.as_ref().and_then(Fingerprint::to_store);
            assert_eq!(print(here).compare(stored), expected, "{here:?} {stored:?}");
        };
        check((&["a"], "one"), Some((&["a"], "one")), These);
        check((&["a"], "one"), Some((&["a"], "two")), Others);
        // A new secret of the service makes no other settings; the list keeps the old one.
        check((&["b", "a"], "one"), Some((&["a"], "one")), These);
        check((&["b", "a"], "one"), Some((&["a"], "two")), Others);
        // Not comparable: taken as it is.
        check((&["b"], "one"), Some((&["a"], "two")), These);
        check((&["a"], "one"), Some((&[], "two")), These);
        check((&["a"], "one"), None, These);
        check((&[], "one"), Some((&[], "one")), These);
        check((&[], "one"), Some((&[], "two")), Others);
        assert_eq!(Fingerprint::default().compare(Some("k00:00")), These);
        assert_eq!(Fingerprint::of(&[], &[]).compare(Some("not a fingerprint")), These);
    }

    #[test]
    fn it_tells_nothing_of_what_it_was_made_of() {
        for keys in [secrets(&["canary-secret"]), Vec::new()] {
            let print = Fingerprint::of(&keys, &[("password", "canary")]);
            assert!(!format!("{print:?}{:?}", print.to_store()).contains("canary"));
        }
        let unkeyed = Fingerprint::of(&[], &[("password", "canary")]);
        assert_eq!(
            unkeyed.to_store().map(str::len),
            Some("s:".len() + 2 * UNKEYED_BYTES),
            "16 bits and no more"
        );
    }

    proptest! {
        #[test]
        fn two_lists_of_settings_have_two_fingerprints(
            one in prop::collection::vec(("[ab:=]{0,3}", "[ab:=]{0,3}"), 0..4),
            other in prop::collection::vec(("[ab:=]{0,3}", "[ab:=]{0,3}"), 0..4),
        ) {
            fn pairs(list: &[(String, String)]) -> Vec<(&str, &str)> {
                list.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
            }
            let secrets = secrets(&["key"]);
            let same = Fingerprint::of(&secrets, &pairs(&one)) == Fingerprint::of(&secrets, &pairs(&other));
            prop_assert_eq!(same, one == other);
        }
    }
}
