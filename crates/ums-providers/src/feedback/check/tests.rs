use serde_json::{Value, json};
use ums_core::{ProviderKind, Secret, Timestamp};

use super::{CheckRequest, check};
use crate::feedback::sendgrid::vectors;

fn request(provider: ProviderKind, body: &[u8]) -> CheckRequest {
    CheckRequest {
        provider,
        key: None,
        certificate: None,
        url: None,
        at: Timestamp::parse_rfc3339("2020-09-14T19:41:42Z").unwrap(),
        headers: Vec::new(),
        body: body.to_vec(),
    }
}

fn sendgrid() -> CheckRequest {
    let header = |name: &str, value: &str| (name.to_owned(), format!(" {value} "));
    CheckRequest {
        key: Some(Secret::new(vectors::ONE.key)),
        headers: vec![
            header("X-Twilio-Email-Event-Webhook-Signature", vectors::ONE.signature),
            header("X-Twilio-Email-Event-Webhook-Timestamp", vectors::ONE.timestamp),
        ],
        ..request(ProviderKind::SendGrid, vectors::ONE.body.as_bytes())
    }
}

fn twilio() -> CheckRequest {
    let body = b"MessageSid=SM1&MessageStatus=delivered&To=%2B15555550123&AccountSid=AC1";
    let url = "https://messages.example.com/hooks/twilio?ums_attempt_id=01930000-0000-7000-8000-000000000002";
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345");
    let signed = format!("{url}AccountSidAC1MessageSidSM1MessageStatusdeliveredTo+15555550123");
    let signature = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        ring::hmac::sign(&key, signed.as_bytes()),
    );
    CheckRequest {
        key: Some(Secret::new("12345")),
        url: Some(url.to_owned()),
        headers: vec![("x-twilio-signature".to_owned(), signature)],
        ..request(ProviderKind::Twilio, body)
    }
}

fn shown(request: CheckRequest) -> Value {
    serde_json::to_value(check(request)).unwrap()
}

/// The signature's word, the reason, and how many events are shown.
fn verdict(request: CheckRequest) -> (String, Option<String>, usize) {
    let shown = shown(request);
    (
        shown["signature"].as_str().unwrap().to_owned(),
        shown.get("reason").map(|reason| reason.as_str().unwrap().to_owned()),
        shown["events"].as_array().unwrap().len(),
    )
}

fn expect(signature: &str, reason: Option<&str>, events: usize) -> (String, Option<String>, usize) {
    (signature.to_owned(), reason.map(str::to_owned), events)
}

#[test]
fn the_json_has_its_fields_by_name_and_none_that_say_nothing() {
    assert_eq!(
        shown(sendgrid()),
        json!({
            "signature": "valid",
            "events": [{
                "kind": "rejected",
                "recipient": "hello@world.com",
                "provider_message_id": "LRzXl_NHStOGhQ4kofSm_A",
                "at": "2020-09-14T19:41:32Z",
                "id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
                "word": "dropped/bounced address",
                "detail": "Bounced Address",
                "class": "recipient_blocked",
            }],
        })
    );
    let empty = shown(request(ProviderKind::SendGrid, b"[{}]"));
    let event = &empty["events"][0];
    for name in ["recipient", "provider_message_id", "at"] {
        assert_eq!(event.get(name), Some(&Value::Null), "{name} is always there");
    }
    assert_eq!(shown(twilio())["events"][0]["attempt_id"], "01930000-0000-7000-8000-000000000002");
}

#[test]
fn signatures_are_valid_invalid_or_none_and_events_are_shown_all_the_same() {
    let change = |mut request: CheckRequest, change: fn(&mut CheckRequest)| {
        change(&mut request);
        verdict(request)
    };
    assert_eq!(verdict(sendgrid()), expect("valid", None, 1));
    let late = |it: &mut CheckRequest| it.at = Timestamp::parse_rfc3339("2020-09-14T19:46:43Z").unwrap();
    assert_eq!(change(sendgrid(), late), expect("invalid", Some("stale"), 1));
    assert_eq!(change(sendgrid(), |it| it.key = None), expect("none", Some("key_missing"), 1));
    assert_eq!(
        change(sendgrid(), |it| it.headers.clear()),
        expect("none", Some("signature_missing"), 1)
    );
    assert_eq!(
        change(sendgrid(), |it| it.key = Some(Secret::new("no key"))),
        expect("invalid", Some("key_unreadable"), 1)
    );
    assert_eq!(
        change(sendgrid(), |it| it.body.push(b' ')),
        expect("invalid", Some("signature_wrong"), 1)
    );
    assert_eq!(
        change(sendgrid(), |it| it.body.clear()),
        expect("invalid", Some("signature_wrong"), 0)
    );

    assert_eq!(verdict(twilio()), expect("valid", None, 1));
    assert_eq!(change(twilio(), |it| it.key = None), expect("none", Some("key_missing"), 1));
    assert_eq!(change(twilio(), |it| it.url = None), expect("none", Some("url_missing"), 1));
    assert_eq!(
        change(twilio(), |it| it.headers.clear()),
        expect("none", Some("signature_missing"), 1)
    );
    assert_eq!(
        change(twilio(), |it| it.key = Some(Secret::new("x"))),
        expect("invalid", Some("signature_wrong"), 1)
    );
    let elsewhere = |it: &mut CheckRequest| it.url = Some("https://messages.example.com/hooks/twilio".to_owned());
    assert_eq!(change(twilio(), elsewhere), expect("invalid", Some("signature_wrong"), 1));

    let bounce = include_bytes!("../../../tests/fixtures/bounces/postfix_success.eml");
    assert_eq!(verdict(request(ProviderKind::Smtp, bounce)), expect("none", None, 3));
    assert_eq!(
        verdict(request(ProviderKind::Smtp, b"Subject: hello\n\nhello")),
        expect("none", Some("unparsed"), 0)
    );
    assert_eq!(verdict(request(ProviderKind::Console, b"")), expect("none", Some("no_feedback"), 0));
}

#[test]
fn nothing_of_a_payload_is_in_debug() {
    let request = twilio();
    let shown = format!("{request:?} {:?}", check(request.clone()));
    for canary in ["12345", "5555550123", "ums_attempt_id"] {
        assert!(!shown.contains(canary), "{canary} in {shown}");
    }
}

#[test]
fn twilios_documented_example_is_valid_and_about_no_message() {
    let example = CheckRequest {
        key: Some(Secret::new("12345")),
        url: Some("https://mycompany.com/myapp.php?foo=1&bar=2".to_owned()),
        headers: vec![("X-Twilio-Signature".to_owned(), "0/KCTR6DLpKmkAf8muzZqo1nDgQ=".to_owned())],
        ..request(
            ProviderKind::Twilio,
            b"CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212",
        )
    };
    assert_eq!(verdict(example), expect("valid", Some("no_message"), 0));
}
