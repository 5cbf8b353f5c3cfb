//! What the simulator signs its feedback with.
//!
//! The RSA key is published in this repository, the P-256 key is made at every start. Nothing
//! trusts either but `ums dev`, in its own process, and the tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{digest, hmac};

use crate::Error;

/// The topic that Amazon's feedback comes from.
pub(crate) const TOPIC_ARN: &str = "arn:aws:sns:us-east-1:000000000000:ums-simulator";

/// Where Amazon would serve the certificate: of the form that is legal there, and served by nobody.
pub(crate) const CERTIFICATE_URL: &str =
    "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-00000000000000000000000000000000.pem";

/// The certificate of [`CERTIFICATE_URL`].
pub(crate) const CERTIFICATE: &str = include_str!("../../keys/simulator-only.certificate.pem");

const RSA_KEY: &str = include_str!("../../keys/simulator-only.key.pem");

/// `SubjectPublicKeyInfo` of a point on P-256, up to the point itself (RFC 5480).
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01,
    0x07, 0x03, 0x42, 0x00,
];

/// The keys of a running simulator.
#[derive(Debug)]
pub(crate) struct Keys {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    random: SystemRandom,
}

impl Keys {
    /// Reads the one key and makes the other.
    pub(crate) fn make() -> Result<Self, Error> {
        let random = SystemRandom::new();
        let der = pem_body(RSA_KEY).ok_or(Error::Keys)?;
        let rsa = RsaKeyPair::from_pkcs8(&der).map_err(|_| Error::Keys)?;
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| Error::Keys)?;
        let p256 = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).map_err(|_| Error::Keys)?;
        Ok(Self { rsa, p256, random })
    }

    /// Signs as Amazon SNS does under `SignatureVersion` 2: RSA PKCS#1 v1.5 over SHA-256, in base64.
    pub(crate) fn rsa(&self, text: &[u8]) -> Result<String, Error> {
        let mut signature = vec![0; self.rsa.public().modulus_len()];
        let signed = self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, text, &mut signature);
        signed.map_err(|_| Error::Keys)?;
        Ok(STANDARD.encode(signature))
    }

    /// Signs as SendGrid's event webhook does: ECDSA on P-256 over SHA-256, ASN.1, in base64.
    pub(crate) fn ecdsa(&self, text: &[u8]) -> Result<String, Error> {
        let signature = self.p256.sign(&self.random, text).map_err(|_| Error::Keys)?;
        Ok(STANDARD.encode(signature))
    }

    /// The key that SendGrid's settings page would show: `SubjectPublicKeyInfo`, DER, in base64.
    pub(crate) fn sendgrid_public_key(&self) -> String {
        let mut spki = P256_PREFIX.to_vec();
        spki.extend_from_slice(self.p256.public_key().as_ref());
        STANDARD.encode(spki)
    }
}

/// Signs as Twilio does: HMAC-SHA1 under the account's token, in base64.
pub(crate) fn twilio_signature(token: &str, text: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    STANDARD.encode(hmac::sign(&key, text))
}

/// A number that follows from a text, for ids that must be the same in every copy of an event.
pub(crate) fn digest_hex(text: &str) -> String {
    use std::fmt::Write as _;
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(20).fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        write!(hex, "{byte:02x}").ok();
        hex
    })
}

fn pem_body(pem: &str) -> Option<Vec<u8>> {
    let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(lines).ok()
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    #[test]
    fn both_keys_sign_what_their_public_halves_accept() {
        let keys = Keys::make().expect("keys");
        let check = |name: &str, accepted: bool, expected: bool| assert_eq!(accepted, expected, "{name}");

        let signature = STANDARD.decode(keys.rsa(b"text").expect("signed")).expect("base64");
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, keys.rsa.public().as_ref());
        check("rsa", public.verify(b"text", &signature).is_ok(), true);
        check("rsa, changed", public.verify(b"texT", &signature).is_ok(), false);

        let signature = STANDARD.decode(keys.ecdsa(b"text").expect("signed")).expect("base64");
        let spki = STANDARD.decode(keys.sendgrid_public_key()).expect("base64");
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &spki[P256_PREFIX.len()..]);
        check("ecdsa", public.verify(b"text", &signature).is_ok(), true);
        check("ecdsa, changed", public.verify(b"texT", &signature).is_ok(), false);
    }

    /// The example on twilio.com/docs/usage/security, read November 2026.
    #[test]
    fn twilio_signs_as_its_documents_show() {
        let text =
            "https://example.com/myapp.php?foo=1&bar=2CallSidCA1234567890ABCDECaller+14158675310Digits1234From+14158675310To+18005551212";
        assert_eq!(twilio_signature("12345", text.as_bytes()), "L/OH5YylLD5NRKLltdqwSvS0BnU=");
    }
}
