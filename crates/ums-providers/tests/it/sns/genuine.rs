//! What is believed: both versions of the signature, SNS's own examples, every spelling; and the same events by hand.

use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ums_core::{EventKind, Hook as _, HookFault, SystemClock};
use ums_providers::feedback::aws::{AwsHook, AwsHookSettings, check};
use ums_providers::{Transport, TransportSettings};

use super::bed::{Counting, Draft, NOW, PEM, at, fixture, read, request};

const REAL: [(&str, &str); 5] = [
    (fixture!("notification-v1.json"), "2026-03-06T19:56:00Z"),
    (fixture!("notification-v1-subject.json"), "2026-03-06T19:54:00Z"),
    (fixture!("notification-v2.json"), "2026-03-06T20:01:00Z"),
    (fixture!("subscription-v1.json"), "2026-03-06T19:32:00Z"),
    (fixture!("unsubscribe-v2.json"), "2026-03-06T20:03:00Z"),
];

#[tokio::test]
async fn envelopes_that_amazon_signed_are_believed() {
    let transport = Transport::new(TransportSettings::default(), Arc::new(SystemClock::new()));
    let settings = AwsHookSettings {
        topics: vec!["arn:aws:sns:us-west-2:131990247566:dongie-standard-topic".to_owned()],
        ..AwsHookSettings::default()
    };
    let hook = AwsHook::new(settings, Counting::new(fixture!("amazon.pem")), transport).unwrap();
    for (body, time) in REAL {
        assert_eq!(hook.read(&request(body.into(), time)).await, Ok(vec![]), "{body}");
        assert_eq!(
            check(body.as_bytes(), Some(fixture!("amazon.pem").as_bytes()), at(time)).0,
            Some(Ok(()))
        );
        let changed = body
            .replace("dongie-standard-topic.", "dongie-standard-topik.")
            .replace("signature version", "signature Version");
        let changed = changed
            .replace("This notification", "That notification")
            .replace("Hello!", "Hallo!");
        let changed = changed.replace("dongie-standard-topic:b24e", "dongie-standard-topic:b25e");
        assert_eq!(
            hook.read(&request(changed.into(), time)).await,
            Err(HookFault::Refused("signature"))
        );
    }
}

#[tokio::test]
async fn both_versions_give_the_same_event() {
    let second = read(&request(Draft::delivery().body(), NOW), PEM).await.unwrap();
    let first = read(&request(fixture!("ours-v1.json").into(), NOW), PEM).await.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].id, second[0].id);
    assert_eq!(first[0].kind, EventKind::Delivered);
    assert_eq!(first[0].recipient.as_deref(), Some("customer@example.com"));
}

#[tokio::test]
async fn spellings_and_order_of_members_do_not_matter() {
    let url = super::bed::CERTIFICATE_URL;
    let lambda = Draft::delivery().without("SigningCertURL").set("SigningCertUrl", url);
    assert_eq!(read(&request(lambda.body(), NOW), PEM).await.unwrap().len(), 1);
    let null = Draft::delivery().set("Subject", serde_json::Value::Null).signed();
    assert_eq!(read(&request(null.body(), NOW), PEM).await.unwrap().len(), 1);
    let attributes = Draft::delivery().set("MessageAttributes", serde_json::json!({"a": {"Type": "String", "Value": "b"}}));
    assert_eq!(read(&request(attributes.body(), NOW), PEM).await.unwrap().len(), 1);
}

/// A topic's region, and the certificate that SNS has there.
#[tokio::test]
async fn every_partition_has_its_own_host_and_name() {
    for (arn, host, pem) in [
        (
            "arn:aws-cn:sns:cn-north-1:123456789012:a",
            "sns.cn-north-1.amazonaws.com.cn",
            fixture!("china.pem"),
        ),
        (
            "arn:aws-us-gov:sns:us-gov-east-1:123456789012:a",
            "sns.us-gov-east-1.amazonaws.com",
            fixture!("gov.pem"),
        ),
        (
            "arn:aws:sns:af-south-1:123456789012:a",
            "sns.af-south-1.amazonaws.com",
            fixture!("opt-in.pem"),
        ),
        ("arn:aws:sns:eu-west-1:123456789012:a.fifo", "sns.eu-west-1.amazonaws.com", PEM),
    ] {
        let draft = Draft::delivery()
            .set("TopicArn", arn)
            .set("SigningCertURL", format!("https://{host}/SimpleNotificationService-1.pem"))
            .signed();
        let transport = Transport::new(TransportSettings::default(), Arc::new(SystemClock::new()));
        let settings = AwsHookSettings {
            topics: vec![arn.to_owned()],
            ..AwsHookSettings::default()
        };
        let hook = AwsHook::new(settings, Counting::new(pem), transport).unwrap();
        assert_eq!(
            hook.read(&request(draft.body(), NOW)).await.map(|events| events.len()),
            Ok(1),
            "{arn}"
        );
    }
}

#[tokio::test]
async fn the_window_is_an_hour_and_the_clocks_may_differ_by_five_minutes() {
    let draft = Draft::delivery();
    for (time, word) in [
        ("2026-11-22T11:05:02Z", Ok(1)),
        ("2026-11-22T11:05:03Z", Err(HookFault::Refused("timestamp"))),
        ("2026-11-22T09:55:02Z", Ok(1)),
        ("2026-11-22T09:55:01Z", Err(HookFault::Refused("timestamp"))),
    ] {
        let outcome = read(&request(draft.body(), time), PEM).await.map(|events| events.len());
        assert_eq!(outcome, word, "{time}");
    }
}

#[test]
fn a_hand_check_needs_no_envelope_and_shows_events_of_a_false_one() {
    let envelope = Draft::delivery();
    let bare = envelope.text("Message").to_owned();
    let pem = Some(PEM.as_bytes());
    let false_one = envelope.clone().set("MessageId", "another");
    let refused = |word| Some(Err(HookFault::Refused(word)));
    for (body, pem, verdict) in [
        (envelope.body(), pem, Some(Ok(()))),
        (envelope.body(), None, None),
        (false_one.body(), pem, refused("signature")),
        (bare.into_bytes(), pem, None),
    ] {
        let (said, events) = check(&body, pem, at(NOW));
        assert_eq!(said, verdict);
        assert_eq!(events.len(), 1);
    }
    assert_eq!(
        check(&envelope.body(), pem, at("2026-11-23T10:00:00Z")).0,
        refused("timestamp"),
        "too old"
    );
    let by = |certificate: &[u8]| check(&envelope.body(), Some(certificate), at(NOW)).0;
    assert_eq!(by(fixture!("expired.pem").as_bytes()), refused("certificate"));
    assert_eq!(by(b"no certificate"), refused("certificate"));
    assert_eq!(by(format!("subject=CN = sns.amazonaws.com\n{PEM}").as_bytes()), Some(Ok(())));
    assert_eq!(by(&CertificateDer::from_pem_slice(PEM.as_bytes()).unwrap()), Some(Ok(())));
    assert_eq!(check(b"\xff", pem, at(NOW)), (None, vec![]));
}

#[test]
fn a_topic_that_is_none_is_refused_at_the_start() {
    let settings = AwsHookSettings {
        topics: vec!["ums-feedback".to_owned()],
        ..AwsHookSettings::default()
    };
    let transport = Transport::new(TransportSettings::default(), Arc::new(SystemClock::new()));
    let error = AwsHook::new(settings, Counting::new(PEM), transport).unwrap_err();
    assert!(error.to_string().contains("must be the ARN of an SNS topic"), "{error}");
}

fn blocking<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(blocking(read(&request(body.clone(), NOW), PEM)).is_err());
        _ = check(&body, Some(&body), at(NOW));
    }

    #[test]
    fn no_message_makes_it_panic(message in "\\PC{0,200}|\\{\"(eventType|mail|bounce|status|awslogs)\":(\"[A-Za-z]{0,9}\"|\\{\\}|\\[1\\]|[0-9]{1,20})\\}") {
        let draft = Draft::delivery().set("Message", message).signed();
        prop_assert!(blocking(read(&request(draft.body(), NOW), PEM)).is_ok());
    }

    /// In every place of the envelope that is signed, and in the signature.
    #[test]
    fn a_flipped_bit_is_refused(name in "Message|MessageId|Subject|Timestamp|TopicArn|Type|Signature|SignatureVersion", at_byte in any::<prop::sample::Index>(), bit in 0_u8..7) {
        let draft = Draft::delivery();
        let mut value = draft.text(&name).as_bytes().to_vec();
        let place = at_byte.index(value.len());
        value[place] ^= 1 << bit;
        let value = String::from_utf8(value).unwrap();
        let same_signature = name == "Signature" && value.trim_end_matches('=') == draft.text(&name).trim_end_matches('=');
        prop_assume!(!same_signature);
        let outcome = blocking(read(&request(draft.set(&name, value).body(), NOW), PEM));
        prop_assert!(matches!(outcome, Err(HookFault::Refused(_))), "{outcome:?}");
    }
}
