//! Secrets of endpoints and signatures of notices, as the Standard Webhooks specification (v1) writes them.
//!
//! A secret is derived and never stored: the HMAC-SHA256 of the id of the endpoint and the number of the secret, under a key of the
//! service.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ums_core::{Endpoint, EndpointId, Notice, Secret, SecretGeneration, Timestamp, WebhookCall};

/// Separate the uses of a key: what is derived for one use must never equal what is derived for another.
const FOR_SECRETS: &[u8] = b"ums webhook secret";
const FOR_NAMES: &[u8] = b"ums webhook key name";
/// Bytes of the name of a key. Few, so that the name does not help to guess the key.
const NAME_BYTES: usize = 6;

/// The name of a key of the service.
pub(super) fn fingerprint(key: &Secret) -> String {
    let tag = mac(key.expose().as_bytes(), &[FOR_NAMES]);
    URL_SAFE_NO_PAD.encode(&tag.as_ref()[..NAME_BYTES])
}

/// The secrets of an endpoint that sign now, newest first. None when the key of the newest one is not among these keys.
pub(super) fn secrets(keys: &[Secret], endpoint: &Endpoint, now: Timestamp) -> Option<Vec<Secret>> {
    let named: Vec<(String, &Secret)> = keys.iter().map(|key| (fingerprint(key), key)).collect();
    let derive = |generation: &SecretGeneration| {
        let (_, key) = named.iter().find(|(name, _)| *name == generation.key)?;
        let secret = derived(key, endpoint.id, generation.number);
        Some(Secret::new(format!("whsec_{}", STANDARD.encode(secret))))
    };
    let (newest, older) = endpoint.secrets.split_first()?;
    let overlapping = older.iter().filter(|generation| generation.until.is_some_and(|until| until > now));
    Some(std::iter::once(derive(newest)?).chain(overlapping.filter_map(derive)).collect())
}

/// The request that posts a notice, signed with each of these secrets.
pub(super) fn signed(endpoint: &Endpoint, notice: &Notice, secrets: &[Secret], now: Timestamp) -> WebhookCall {
    let id = notice.id.to_string();
    let seconds = now.as_micros().div_euclid(1_000_000).to_string();
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", seconds.as_bytes(), b".", notice.body.as_bytes()];
    let signatures: Vec<String> = secrets
        .iter()
        .filter_map(|secret| STANDARD.decode(secret.expose().strip_prefix("whsec_")?).ok())
        .map(|secret| format!("v1,{}", STANDARD.encode(mac(&secret, &parts))))
        .collect();
    WebhookCall {
        url: endpoint.url.clone(),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id),
            ("webhook-timestamp", seconds),
            ("webhook-signature", signatures.join(" ")),
        ],
        body: notice.body.clone(),
    }
}

fn derived(key: &Secret, endpoint: EndpointId, number: u32) -> hmac::Tag {
    mac(
        key.expose().as_bytes(),
        &[FOR_SECRETS, endpoint.as_uuid().as_bytes(), &number.to_be_bytes()],
    )
}

fn mac(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ums_core::{NoticeId, NoticeKind, NoticeState, TenantId};

    fn endpoint(secrets: Vec<SecretGeneration>) -> Endpoint {
        Endpoint {
            id: "01939a3c-0000-7000-8000-000000000001".parse().unwrap(),
            tenant: TenantId::default(),
            url: "https://hooks.example.com/".to_owned(),
            description: String::new(),
            kinds: Vec::new(),
            secrets,
            created_at: Timestamp::from_micros(0),
            disabled: None,
            failing_since: None,
            last_success_at: None,
            last_error: None,
        }
    }

    fn generation(number: u32, key: &Secret, until: Option<i64>) -> SecretGeneration {
        SecretGeneration {
            number,
            key: fingerprint(key),
            until: until.map(Timestamp::from_micros),
        }
    }

    /// The example of the specification's reference libraries: their test of `sign` uses these values.
    #[test]
    fn the_reference_example_is_signed_as_the_reference_does() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = "{\"test\": 2432232314}";
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let parts: [&[u8]; 5] = [b"msg_p5jXN8AQM9LWM0D4loKWxJek", b".", b"1614265330", b".", body.as_bytes()];
        assert_eq!(STANDARD.encode(mac(&key, &parts)), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let notice = Notice {
            id: NoticeId::from_uuid(endpoint(Vec::new()).id.as_uuid()),
            tenant: TenantId::default(),
            endpoint: endpoint(Vec::new()).id,
            kind: NoticeKind::Sent,
            message_id: None,
            at: Timestamp::from_micros(0),
            body: body.to_owned(),
            state: NoticeState::Pending,
            tries: 1,
            due_at: Timestamp::from_micros(0),
            last_result: None,
        };
        let call = signed(
            &endpoint(Vec::new()),
            &notice,
            &[secret.clone(), secret],
            Timestamp::from_micros(1_614_265_330_999_999),
        );
        assert_eq!(call.headers[2].1, "1614265330", "whole seconds");
        let (one, two) = call.headers[3].1.split_once(' ').unwrap();
        assert!(one == two && one.starts_with("v1,"), "one signature for each secret");
    }

    #[test]
    fn a_secret_is_its_keys_its_endpoints_and_its_numbers() {
        let keys = [Secret::new("newer"), Secret::new("older")];
        let now = Timestamp::from_micros(100);
        let all = endpoint(vec![generation(2, &keys[0], None), generation(1, &keys[1], Some(101))]);
        let known = secrets(&keys, &all, now).unwrap();
        assert_eq!(known.len(), 2, "both sign while they overlap");
        assert!(known[0] != known[1] && known[0].expose().len() == "whsec_".len() + 44);
        assert_eq!(secrets(&keys, &all, now).unwrap(), known, "derived anew, the same");
        assert_eq!(
            secrets(&keys, &all, Timestamp::from_micros(101)).unwrap().len(),
            1,
            "the overlap is over"
        );
        assert_eq!(
            secrets(&keys[..1], &all, now).unwrap(),
            known[..1],
            "an older key that is gone signs no more"
        );
        assert_eq!(secrets(&keys[1..], &all, now), None, "without its key there is no secret");
        let other = Endpoint {
            id: "01939a3c-0000-7000-8000-000000000002".parse().unwrap(),
            ..all
        };
        assert_ne!(secrets(&keys, &other, now).unwrap()[0], known[0]);
    }
}
