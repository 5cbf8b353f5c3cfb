mod meanings;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use ums_core::{
    AccountId, BounceKind, Event, EventKind, EventKind as K, FailureClass, Hook as _, HookFault, HookRequest, SuppressionReason,
    SuppressionReason as S, Timestamp,
};

use super::vectors::{BATCH, ONE};
use super::{SIGNATURE, SPKI_PREFIX, SendGridHook, SendGridHookSettings, TIMESTAMP, read_events, seconds};

fn request(signature: &str, timestamp: &str, body: &[u8], received_at: Timestamp) -> HookRequest {
    HookRequest {
        account: AccountId::default(),
        path_and_query: "/hooks/sendgrid".to_owned(),
        headers: vec![
            (SIGNATURE.to_owned(), signature.to_owned()),
            (TIMESTAMP.to_owned(), timestamp.to_owned()),
        ],
        body: body.to_vec(),
        received_at,
    }
}

fn hook(keys: &[&str]) -> SendGridHook {
    SendGridHook::new(SendGridHookSettings {
        account: AccountId::new("shop"),
        public_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..SendGridHookSettings::default()
    })
    .unwrap()
}

/// A key made for the test, and its public half as `SendGrid` shows it.
struct Signer {
    pair: EcdsaKeyPair,
    public: String,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
        let public = STANDARD.encode([&SPKI_PREFIX, pair.public_key().as_ref()].concat());
        Self { pair, public }
    }

    fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        let signed = [timestamp.as_bytes(), body].concat();
        STANDARD.encode(self.pair.sign(&SystemRandom::new(), &signed).unwrap())
    }
}

const NOW: &str = "1795341600";
const BODY: &[u8] = b"[{\"email\":\"ann@example.com\",\"event\":\"delivered\",\"sg_event_id\":\"e1\",\"timestamp\":1795341599},\r\n{\"email\":\"bob@example.com\",\"event\":\"open\",\"sg_event_id\":\"e2\"}]\r\n";

fn now() -> Timestamp {
    seconds(NOW.parse().unwrap()).unwrap()
}

fn one(json: &str) -> Event {
    let mut events = read_events(json.as_bytes()).unwrap();
    assert_eq!(events.len(), 1, "{json}");
    events.remove(0)
}

#[tokio::test]
async fn published_vectors_are_accepted_and_read() {
    for vector in [ONE, BATCH] {
        let at = seconds(vector.timestamp.parse().unwrap()).unwrap();
        let genuine = request(vector.signature, vector.timestamp, vector.body.as_bytes(), at);
        assert!(hook(&[vector.key]).read(&genuine).await.is_ok());
        for (at, _) in vector.body.bytes().enumerate() {
            let mut changed = genuine.clone();
            changed.body[at] ^= 1;
            assert_eq!(
                hook(&[vector.key]).read(&changed).await,
                Err(HookFault::Refused("signature_wrong")),
                "byte {at}"
            );
        }
    }
    let dropped = one(ONE.body);
    assert_eq!(
        (dropped.kind, dropped.word.as_str()),
        (EventKind::Rejected, "dropped/bounced address")
    );
    assert_eq!(dropped.class, Some(FailureClass::RecipientBlocked));
    assert_eq!(dropped.recipient.as_deref(), Some("hello@world.com"));
    assert_eq!(dropped.about.provider_message_id.as_deref(), Some("LRzXl_NHStOGhQ4kofSm_A"));
    assert_eq!(dropped.at, seconds(1_600_112_492));
    assert_eq!(dropped.id, "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA");
    let batch = read_events(BATCH.body.as_bytes()).unwrap();
    assert_eq!(
        (batch[0].kind, batch[1].kind, batch[1].bounce),
        (EventKind::Sent, EventKind::Bounced, Some(BounceKind::Soft))
    );
    assert_eq!((batch[1].code.as_deref(), batch[1].suppress), (Some("5.2.2"), None));
}

#[tokio::test]
async fn a_key_that_takes_the_place_of_another_is_accepted_beside_it() {
    let (old, new) = (Signer::new(), Signer::new());
    let framed = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n{}\n-----END PUBLIC KEY-----\n",
        &new.public[..64],
        &new.public[64..]
    );
    let hook = hook(&[&old.public, &framed]);
    for signer in [&old, &new] {
        let events = hook.read(&request(&signer.sign(NOW, BODY), NOW, BODY, now())).await.unwrap();
        assert_eq!(events.len(), 2);
        assert!(events.iter().all(|event| event.account.as_str() == "shop"));
    }
}

#[tokio::test]
async fn forged_and_replayed_requests_are_refused() {
    let (ours, other) = (Signer::new(), Signer::new());
    let hook = hook(&[&ours.public]);
    let good = request(&ours.sign(NOW, BODY), NOW, BODY, now());
    assert!(hook.read(&good).await.is_ok());
    let with = |signature: &str, timestamp: &str, body: &[u8]| request(signature, timestamp, body, now());
    let raw = STANDARD.decode(ours.sign(NOW, BODY)).unwrap();
    let compact: serde_json::Value = serde_json::from_slice(BODY).unwrap();
    let reversed = r#"[{"event":"delivered","email":"ann@example.com"}]"#;
    let headers = |headers: &[(&str, &str)]| HookRequest {
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..good.clone()
    };
    let signature = ours.sign(NOW, BODY);
    let forged = [
        ("other key", with(&other.sign(NOW, BODY), NOW, BODY)),
        ("no headers", headers(&[])),
        ("no signature", headers(&[(TIMESTAMP, NOW)])),
        ("no time", headers(&[(SIGNATURE, &signature)])),
        (
            "two signatures",
            headers(&[(SIGNATURE, &signature), (SIGNATURE, &signature), (TIMESTAMP, NOW)]),
        ),
        ("two times", headers(&[(SIGNATURE, &signature), (TIMESTAMP, NOW), (TIMESTAMP, NOW)])),
        ("empty signature", with("", NOW, BODY)),
        ("no base64", with("***", NOW, BODY)),
        ("cut signature", with(&STANDARD.encode(&raw[..raw.len() - 1]), NOW, BODY)),
        ("longer signature", with(&STANDARD.encode([&raw[..], b"x"].concat()), NOW, BODY)),
        (
            "zeros",
            with(&STANDARD.encode([0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00]), NOW, BODY),
        ),
        ("not DER", with(&STANDARD.encode([7_u8; 64]), NOW, BODY)),
        ("other time", with(&signature, "1795341601", BODY)),
        ("time with a space", with(&signature, " 1795341600", BODY)),
        ("time with a sign", with(&ours.sign("+1795341600", BODY), "+1795341600", BODY)),
        ("time and a bit of body", with(&ours.sign(NOW, BODY), "1795341600[", &BODY[1..])),
        ("no time at all", with(&ours.sign("", BODY), "", BODY)),
        (
            "time beyond all",
            with(&ours.sign("99999999999999999999", BODY), "99999999999999999999", BODY),
        ),
        ("milliseconds", with(&ours.sign("1795341600000", BODY), "1795341600000", BODY)),
        ("old", with(&ours.sign("1795341299", BODY), "1795341299", BODY)),
        ("from the future", with(&ours.sign("1795341901", BODY), "1795341901", BODY)),
        ("trimmed", with(&signature, NOW, BODY.trim_ascii_end())),
        (
            "LF only",
            with(&signature, NOW, String::from_utf8_lossy(BODY).replace("\r\n", "\n").as_bytes()),
        ),
        ("written anew", with(&signature, NOW, compact.to_string().as_bytes())),
        (
            "other order",
            with(
                &ours.sign(NOW, br#"[{"email":"ann@example.com","event":"delivered"}]"#),
                NOW,
                reversed.as_bytes(),
            ),
        ),
        (
            "another event",
            with(&signature, NOW, &BODY.replace_first(b"delivered", b"dropped")),
        ),
        ("empty body", with(&signature, NOW, b"")),
        ("not UTF-8", with(&ours.sign(NOW, b"[\"\xff\"]"), NOW, b"[\"\xff\"]")),
        ("not JSON", with(&ours.sign(NOW, b"delivered"), NOW, b"delivered")),
        ("too deep", with(&ours.sign(NOW, &[b'['; 5_000]), NOW, &[b'['; 5_000])),
        ("huge", with(&ours.sign(NOW, &vec![b' '; 5 << 20]), NOW, &vec![b' '; 5 << 20])),
    ];
    for (name, request) in forged {
        assert!(matches!(hook.read(&request).await, Err(HookFault::Refused(_))), "{name}");
    }
}

trait ReplaceFirst {
    fn replace_first(&self, from: &[u8], to: &[u8]) -> Vec<u8>;
}

impl ReplaceFirst for [u8] {
    fn replace_first(&self, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = self.windows(from.len()).position(|window| window == from).unwrap();
        [&self[..at], to, &self[at + from.len()..]].concat()
    }
}

#[tokio::test]
async fn the_window_can_be_widened_and_has_exact_ends() {
    let signer = Signer::new();
    let wide = SendGridHook::new(SendGridHookSettings {
        public_keys: vec![signer.public.clone()],
        window: Duration::from_hours(24),
        ..SendGridHookSettings::default()
    });
    let day_old = request(&signer.sign(NOW, BODY), NOW, BODY, now() + Duration::from_hours(24));
    assert!(wide.unwrap().read(&day_old).await.is_ok());
    let narrow = hook(&[&signer.public]);
    for (received_at, is_good) in [
        (now() + Duration::from_mins(5), true),
        (now() - Duration::from_mins(5), true),
        (now() + Duration::from_micros(300_000_001), false),
        (now() - Duration::from_micros(300_000_001), false),
    ] {
        let request = request(&signer.sign(NOW, BODY), NOW, BODY, received_at);
        assert_eq!(narrow.read(&request).await.is_ok(), is_good, "{received_at}");
    }
}

#[test]
fn settings_without_a_usable_key_are_refused() {
    let other_curve = STANDARD.encode([0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70]);
    let short = STANDARD.encode([&SPKI_PREFIX[..], &[4; 64]].concat());
    let compressed = STANDARD.encode([&SPKI_PREFIX[..], &[2; 65]].concat());
    for keys in [
        &[][..],
        &[""],
        &["***"],
        &[other_curve.as_str()],
        &[short.as_str()],
        &[compressed.as_str()],
        &[ONE.key, ""],
    ] {
        let settings = SendGridHookSettings {
            public_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            ..SendGridHookSettings::default()
        };
        assert!(SendGridHook::new(settings).is_err(), "{keys:?}");
    }
}

#[test]
fn one_bad_entry_does_not_cost_the_rest() {
    let events = read_events(br#"[7, null, {"event":"delivered"}, [], {}]"#).unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Delivered).count(), 1);
    assert_eq!(kinds.len(), 5);
    let raw = one(&format!(r#"{{"event":"new","x":"{}"}}"#, "ä".repeat(9_000))).raw.unwrap();
    assert!(raw.len() <= 4_096, "{}", raw.len());
}

proptest! {
    #[test]
    fn no_payload_panics(body in prop::collection::vec(any::<u8>(), 0..200), text in r#"\[\{"(event|email|type|reason|timestamp|smtp-id)":("[a-z@<. ]{0,20}"|[0-9]{1,20}|null|\[\])\}\]"#) {
        let _events = read_events(&body);
        for event in read_events(text.as_bytes()).unwrap_or_default() {
            prop_assert!(!event.id.is_empty() && event.id.len() <= 255);
        }
    }

    #[test]
    fn no_header_is_believed_that_was_not_signed(signature in ".{0,100}", timestamp in "[0-9 +-]{0,12}", body in prop::collection::vec(any::<u8>(), 0..50)) {
        let hook = hook(&[ONE.key]);
        prop_assert!(hook.verify(&request(&signature, &timestamp, &body, now())).is_err());
    }
}
