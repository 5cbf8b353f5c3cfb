use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ums_core::{
    AccountId, BounceKind, Event, EventKind, FailureClass, Hook as _, HookFault, HookRequest, Secret, SuppressionReason, Timestamp,
};

use super::{SIGNATURE, TwilioHook, TwilioHookSettings, read_unverified, verify};
use crate::feedback::reading::hex;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "12345";
const PUBLIC_URL: &str = "https://messages.example.com";
const FORM: &str = "application/x-www-form-urlencoded; charset=UTF-8";
const IDS: &str = "ums_message_id=01930000-0000-7000-8000-000000000001&ums_attempt_id=01930000-0000-7000-8000-000000000002";

/// The hook's own path, with our ids in its query.
fn path() -> String {
    format!("/hooks/twilio?{IDS}")
}

/// Signs as Twilio documents it, from decoded fields in the order in which they are given here.
fn sign(token: &str, url: &str, fields: &[(&str, &str)]) -> String {
    let signed = fields.iter().fold(url.to_owned(), |text, (name, value)| text + name + value);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes());
    STANDARD.encode(hmac::sign(&key, signed.as_bytes()))
}

fn encode(fields: &[(&str, &str)]) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
        .into_bytes()
}

fn request(path_and_query: &str, kind: &str, signature: &str, body: &[u8]) -> HookRequest {
    HookRequest {
        account: AccountId::default(),
        path_and_query: path_and_query.to_owned(),
        headers: vec![
            ("content-type".to_owned(), kind.to_owned()),
            ("host".to_owned(), "internal:8080".to_owned()),
            (SIGNATURE.to_owned(), signature.to_owned()),
        ],
        body: body.to_vec(),
        received_at: Timestamp::default(),
    }
}

fn hook(tokens: &[&str]) -> TwilioHook {
    TwilioHook::new(TwilioHookSettings {
        account: AccountId::new("shop"),
        account_sid: ACCOUNT.to_owned(),
        auth_tokens: tokens.iter().map(|token| Secret::new(*token)).collect(),
        public_url: format!("{PUBLIC_URL}/"),
    })
    .unwrap()
}

/// Fields in the order in which they are signed.
fn status<'a>(status: &'a str, code: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![("AccountSid", ACCOUNT)];
    fields.extend(code.map(|code| ("ErrorCode", code)));
    fields.extend([
        ("From", "+15550100"),
        ("MessageSid", "SM1"),
        ("MessageStatus", status),
        ("To", "+15555550123"),
    ]);
    fields
}

fn read(fields: &[(&str, &str)]) -> Vec<Event> {
    read_unverified(&request(&path(), FORM, "", &encode(fields)), &path()).unwrap()
}

fn one(fields: &[(&str, &str)]) -> Event {
    let mut events = read(fields);
    assert_eq!(events.len(), 1, "{fields:?}");
    events.remove(0)
}

#[test]
fn published_vectors_are_accepted() {
    // The worked example of twilio.com/docs/usage/security.
    let documented = "CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212";
    // twilio-python, tests/unit/test_request_validator.py, read 2026-11-22.
    let python = "To=%2B18005551212&CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&Caller=%2B14158675309";
    let twice = "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234";
    let json = r#"{"property": "value", "boolean": true}"#;
    let plain = "https://mycompany.com/myapp.php?foo=1&bar=2";
    let hashed = format!("{plain}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620");
    let port = "https://mycompany.com:1234/myapp.php?foo=1&bar=2";
    for (url, kind, body, signature) in [
        (plain, FORM, documented, "0/KCTR6DLpKmkAf8muzZqo1nDgQ="),
        (plain, FORM, python, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (plain, FORM, twice, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
        // Signed without the port, with its own port, and with the scheme's own.
        (port, FORM, python, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (&port.replace("https", "http"), FORM, python, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        (plain, FORM, python, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        (&plain.replace("https", "http"), FORM, python, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        (&hashed, "application/json", json, "a9nBmqA0ju/hNViExpshrM61xv4="),
        (&hashed, "", json, "a9nBmqA0ju/hNViExpshrM61xv4="),
    ] {
        let tokens = [Secret::new("other"), Secret::new(TOKEN)];
        let good = request("", kind, signature, body.as_bytes());
        assert!(verify(&good, url, &tokens).is_ok(), "{url} {body}");
        assert!(verify(&good, &format!("{url}#rc=3"), &tokens).is_ok(), "the fragment is not signed");
        for at in 0..body.len() {
            let mut changed = good.clone();
            changed.body[at] ^= 1;
            // `%2B` and `%2b` are one character; what they are in is read the same.
            let is_same = form_urlencoded::parse(&changed.body).eq(form_urlencoded::parse(&good.body));
            assert_eq!(
                verify(&changed, url, &tokens).is_ok(),
                is_same && kind == FORM,
                "byte {at} of {body}"
            );
        }
    }
}

#[tokio::test]
async fn a_callback_is_read_with_our_ids_by_either_token() {
    let (path, fields) = (path(), status("delivered", None));
    for token in ["old", "new"] {
        let signature = sign(token, &format!("{PUBLIC_URL}{path}"), &fields);
        let events = hook(&["new", "old"])
            .read(&request(&path, FORM, &signature, &encode(&fields)))
            .await
            .unwrap();
        let [event] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(
            (event.kind, event.id.as_str(), event.account.as_str()),
            (EventKind::Delivered, "SM1:delivered", "shop")
        );
        assert_eq!(event.recipient.as_deref(), Some("+15555550123"));
        assert_eq!(event.about.provider_message_id.as_deref(), Some("SM1"));
        assert_eq!(event.about.message_id.unwrap().to_string(), "01930000-0000-7000-8000-000000000001");
        assert_eq!(event.about.attempt_id.unwrap().to_string(), "01930000-0000-7000-8000-000000000002");
        assert_eq!(event.at, None, "Twilio gives no time with a zone");
    }
}

#[tokio::test]
async fn json_is_read_when_the_address_binds_it() {
    let body =
        format!(r#"{{"AccountSid":"{ACCOUNT}","MessageSid":"SM1","MessageStatus":"undelivered","ErrorCode":30003,"To":"+15555550123"}}"#);
    let path = format!("{}&bodySHA256={}", path(), hex(digest(&SHA256, body.as_bytes()).as_ref()));
    let signature = sign(TOKEN, &format!("{PUBLIC_URL}{path}"), &[]);
    let good = request(&path, "application/json", &signature, body.as_bytes());
    let events = hook(&[TOKEN]).read(&good).await.unwrap();
    assert_eq!((events[0].kind, events[0].code.as_deref()), (EventKind::Failed, Some("30003")));
    // The same signature over a form that says something else: its fields are not signed.
    let form = request(&path, FORM, &signature, &encode(&status("delivered", None)));
    assert_eq!(hook(&[TOKEN]).read(&form).await, Err(HookFault::Refused("signature_wrong")));
}

async fn refused(forged: impl IntoIterator<Item = (&'static str, HookRequest)>) {
    for (name, request) in forged {
        assert!(matches!(hook(&[TOKEN]).read(&request).await, Err(HookFault::Refused(_))), "{name}");
    }
}

/// A genuine request, its address and its signature.
fn genuine() -> (HookRequest, String, String) {
    let (path, fields) = (path(), status("delivered", None));
    let url = format!("{PUBLIC_URL}{path}");
    let signature = sign(TOKEN, &url, &fields);
    (request(&path, FORM, &signature, &encode(&fields)), url, signature)
}

#[tokio::test]
async fn forged_signatures_are_refused() {
    let (good, url, signature) = genuine();
    assert!(hook(&[TOKEN]).read(&good).await.is_ok());
    let headers = |headers: &[(&str, &str)]| HookRequest {
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..good.clone()
    };
    let signed = |signature: &str| headers(&[("content-type", FORM), (SIGNATURE, signature)]);
    let fields = status("delivered", None);
    let raw = STANDARD.decode(&signature).unwrap();
    let evil = url.replace("messages.example.com", "evil.example");
    let by_host = sign("attacker", &evil, &fields);
    refused([
        ("no headers", headers(&[])),
        ("no signature", headers(&[("content-type", FORM)])),
        (
            "two signatures",
            headers(&[("content-type", FORM), (SIGNATURE, &signature), (SIGNATURE, &signature)]),
        ),
        ("empty signature", signed("")),
        ("no base64", signed("***")),
        ("cut signature", signed(&STANDARD.encode(&raw[..19]))),
        ("longer signature", signed(&STANDARD.encode([&raw[..], b"x"].concat()))),
        ("other token", signed(&sign("54321", &url, &fields))),
        ("empty token", signed(&sign("", &url, &fields))),
        (
            "other host",
            headers(&[
                ("host", "evil.example"),
                ("x-forwarded-host", "evil.example"),
                (SIGNATURE, &by_host),
            ]),
        ),
        ("other host, right token", signed(&sign(TOKEN, &evil, &fields))),
        ("other scheme", signed(&sign(TOKEN, &url.replace("https", "http"), &fields))),
        ("as JSON", headers(&[("content-type", "application/json"), (SIGNATURE, &signature)])),
    ])
    .await;
}

#[tokio::test]
async fn requests_that_say_something_else_are_refused() {
    let (good, url, signature) = genuine();
    let (path, fields, body) = (path(), status("delivered", None), good.body.clone());
    let signed = |fields: &[(&str, &str)]| request(&path, FORM, &sign(TOKEN, &url, fields), &encode(fields));
    let changed = |body: &[u8]| request(&path, FORM, &signature, body);
    let more = |field: (&'static str, &'static str)| changed(&encode(&[&fields[..], &[field]].concat()));
    let other_account = [&[("AccountSid", "AC00000000000000000000000000000002")], &fields[1..]].concat();
    let two_accounts = [&[("AccountSid", ACCOUNT), ("AccountSid", "AC2")], &fields[1..]].concat();
    refused([
        ("other path", request("/hooks/aws", FORM, &signature, &body)),
        ("other message", request(&path.replace("0001&", "0009&"), FORM, &signature, &body)),
        ("longer query", request(&format!("{path}&x=1"), FORM, &signature, &body)),
        ("other account", signed(&other_account)),
        ("no account", signed(&fields[1..])),
        ("two accounts", signed(&two_accounts)),
        ("another status", changed(&encode(&status("undelivered", None)))),
        ("another field", more(("ErrorCode", "21610"))),
        ("an empty field", more(("Zip", ""))),
        ("a field less", changed(&encode(&fields[..3]))),
        ("empty body", changed(b"")),
        ("empty body, signed", signed(&[])),
        ("not UTF-8", changed(&[&body[..], b"\xff"].concat())),
        ("huge", changed(&vec![b'a'; 300_000])),
        ("no message", signed(&[("AccountSid", ACCOUNT), ("CallSid", "CA1")])),
        (
            "two messages",
            signed(&[
                ("AccountSid", ACCOUNT),
                ("MessageSid", "SM1"),
                ("MessageSid", "SM2"),
                ("MessageStatus", "sent"),
            ]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn json_that_the_address_does_not_bind_is_refused() {
    let json = format!(r#"{{"AccountSid":"{ACCOUNT}","MessageSid":"SM1","MessageStatus":"delivered"}}"#);
    let hash = hex(digest(&SHA256, json.as_bytes()).as_ref());
    let at = |query: &str| {
        let path = format!("{}{query}", path());
        request(
            &path,
            "application/json",
            &sign(TOKEN, &format!("{PUBLIC_URL}{path}"), &[]),
            json.as_bytes(),
        )
    };
    let good = at(&format!("&bodySHA256={hash}"));
    assert!(hook(&[TOKEN]).read(&good).await.is_ok());
    let mut changed = good.clone();
    changed.body.push(b' ');
    refused([
        ("no hash", at("")),
        ("two hashes", at(&format!("&bodySHA256={hash}&bodySHA256={hash}"))),
        ("another hash", at(&format!("&bodySHA256={}", "0".repeat(64)))),
        ("an empty hash", at("&bodySHA256=")),
        ("changed", changed),
    ])
    .await;
}

#[test]
fn settings_that_would_believe_anybody_are_refused() {
    let good = TwilioHookSettings {
        account_sid: ACCOUNT.to_owned(),
        auth_tokens: vec![Secret::new(TOKEN)],
        public_url: PUBLIC_URL.to_owned(),
        ..TwilioHookSettings::default()
    };
    let with = |change: fn(&mut TwilioHookSettings)| {
        let mut settings = good.clone();
        change(&mut settings);
        TwilioHook::new(settings).is_ok()
    };
    assert!(with(|_| ()));
    assert!(!with(|settings| settings.auth_tokens.clear()));
    assert!(!with(|settings| settings.auth_tokens.push(Secret::new(""))));
    assert!(!with(|settings| settings.account_sid.clear()));
    assert!(!with(|settings| settings.public_url.clear()));
    assert!(!with(|settings| settings.public_url = "messages.example.com".to_owned()));
    assert!(!with(|settings| settings.public_url.push_str("?a=1")));
}

#[test]
fn every_status_and_code_has_its_meaning() {
    use EventKind as K;
    use FailureClass as C;
    let hard = (Some(BounceKind::Hard), Some(SuppressionReason::HardBounce));
    let soft = (Some(BounceKind::Soft), None);
    let none = (None, None);
    for (word, code, kind, (bounce, suppress), class) in [
        ("accepted", None, K::Queued, none, None),
        ("scheduled", None, K::Queued, none, None),
        ("queued", None, K::Queued, none, None),
        ("sending", None, K::Sent, none, None),
        ("sent", None, K::Sent, none, None),
        ("delivered", None, K::Delivered, none, None),
        ("partially_delivered", None, K::Delivered, none, None),
        ("canceled", None, K::Failed, none, None),
        ("undelivered", None, K::Failed, none, Some(C::Unavailable)),
        ("undelivered", Some("30003"), K::Failed, none, Some(C::Unavailable)),
        ("undelivered", Some("30005"), K::Bounced, hard, Some(C::InvalidRecipient)),
        ("undelivered", Some("30004"), K::Rejected, none, Some(C::Unsupported)),
        ("undelivered", Some("30006"), K::Failed, none, Some(C::Unsupported)),
        ("failed", Some("21211"), K::Bounced, hard, Some(C::InvalidRecipient)),
        ("failed", Some("21614"), K::Bounced, hard, Some(C::InvalidRecipient)),
        ("undelivered", Some("30014"), K::Bounced, soft, Some(C::InvalidRecipient)),
        ("undelivered", Some("30007"), K::Rejected, none, Some(C::InvalidMessage)),
        ("undelivered", Some("30008"), K::Failed, none, Some(C::Unavailable)),
        ("failed", Some("30001"), K::Failed, none, Some(C::Throttled)),
        ("failed", Some("30002"), K::Failed, none, Some(C::Misconfigured)),
        ("undelivered", Some("30034"), K::Failed, none, Some(C::Misconfigured)),
        ("undelivered", Some("30459"), K::Failed, none, Some(C::Misconfigured)),
        ("undelivered", Some("30023"), K::Failed, none, Some(C::QuotaExhausted)),
        ("undelivered", Some("30410"), K::Failed, none, Some(C::Unknown)),
        ("failed", Some("21612"), K::Failed, none, Some(C::Unsupported)),
        ("undelivered", Some("99999"), K::Failed, none, Some(C::Unavailable)),
        ("teleported", None, K::Unknown, none, None),
    ] {
        let event = one(&status(word, code));
        assert_eq!(
            (event.kind, event.bounce, event.suppress),
            (kind, bounce, suppress),
            "{word} {code:?}"
        );
        assert_eq!((event.class, event.code.as_deref()), (class, code), "{word} {code:?}");
        assert_eq!(event.raw.is_some(), kind == K::Unknown, "{word}");
        assert_eq!(event.id, format!("SM1:{word}"));
    }
}

#[test]
fn a_stop_that_is_told_by_a_code_is_an_opt_out_and_a_refusal() {
    for code in ["21610", "30630"] {
        let events = read(&status("failed", Some(code)));
        let told: Vec<_> = events
            .iter()
            .map(|event| (event.kind, event.suppress, event.class, event.id.as_str()))
            .collect();
        let blocked = Some(FailureClass::RecipientBlocked);
        assert_eq!(
            told,
            [
                (
                    EventKind::Unsubscribed,
                    Some(SuppressionReason::Stop),
                    blocked,
                    "SM1:failed:opt-out"
                ),
                (EventKind::Rejected, None, blocked, "SM1:failed"),
            ],
            "{code}"
        );
        assert!(events.iter().all(|event| event.recipient.as_deref() == Some("+15555550123")));
    }
}

#[test]
fn who_read_a_message_has_it() {
    let events = read(&status("read", None));
    let told: Vec<_> = events.iter().map(|event| (event.kind, event.id.as_str())).collect();
    assert_eq!(told, [(EventKind::Delivered, "SM1:delivered"), (EventKind::Opened, "SM1:read")]);
}

#[test]
fn what_people_answer_is_a_wish_of_the_sender_or_just_a_message() {
    use EventKind as K;
    for (body, opt_out_type, kind, word) in [
        ("STOP", None, K::Unsubscribed, "received/STOP"),
        (" arret ", None, K::Unsubscribed, "received/ARRET"),
        ("Start", None, K::Subscribed, "received/START"),
        ("help", None, K::Inbound, "received/HELP"),
        ("STOP it please", None, K::Inbound, "received"),
        ("", None, K::Inbound, "received"),
        ("detener", Some("STOP"), K::Unsubscribed, "received/STOP"),
        ("STOP", Some("START"), K::Subscribed, "received/START"),
        ("STOP", Some("HELP"), K::Inbound, "received/HELP"),
    ] {
        let mut fields = vec![
            ("AccountSid", ACCOUNT),
            ("Body", body),
            ("From", "+15555550123"),
            ("MessageSid", "SM2"),
        ];
        fields.extend(opt_out_type.map(|it| ("OptOutType", it)));
        fields.extend([("SmsStatus", "received"), ("To", "+15550100")]);
        let event = one(&fields);
        assert_eq!((event.kind, event.word.as_str()), (kind, word), "{body}");
        assert_eq!(
            event.suppress,
            (kind == K::Unsubscribed).then_some(SuppressionReason::Stop),
            "{body}"
        );
        assert_eq!(event.recipient.as_deref(), Some("+15555550123"), "the sender is meant");
        assert_eq!((event.id.as_str(), event.raw, event.detail), ("SM2:received", None, None));
    }
    let secret = serde_json::to_string(&one(&[
        ("Body", "my code is 4711"),
        ("From", "+15555550123"),
        ("MessageSid", "SM2"),
    ]))
    .unwrap();
    assert!(!secret.contains("4711"), "what was written is not kept");
}

#[test]
fn addresses_of_other_channels_are_no_numbers() {
    for (to, expected) in [
        ("+15555550123", Some("+15555550123")),
        ("rcs:+15555550123", Some("+15555550123")),
        ("whatsapp:+15555550123", None),
        ("12345", Some("12345")),
        ("Shop", None),
        ("", None),
    ] {
        let event = one(&[("MessageSid", "SM1"), ("MessageStatus", "sent"), ("To", to)]);
        assert_eq!(event.recipient.as_deref(), expected, "{to}");
    }
}

proptest! {
    #[test]
    fn no_payload_panics_or_is_believed(path in "[ -~]{0,60}", kind in "(application/json|application/x-www-form-urlencoded|)", signature in "[A-Za-z0-9+/=]{0,30}", body in prop::collection::vec(any::<u8>(), 0..200)) {
        let request = request(&path, &kind, &signature, &body);
        let _events = read_unverified(&request, &path);
        let url = format!("{PUBLIC_URL}{path}");
        prop_assert!(verify(&request, &url, &[Secret::new(TOKEN)]).is_err());
    }

    #[test]
    fn every_field_may_be_anything(status in "[a-z_]{0,12}", code in ".{0,300}", to in ".{0,400}", sid in ".{1,300}") {
        let fields = [("MessageSid", sid.as_str()), ("MessageStatus", &status), ("ErrorCode", &code), ("To", &to)];
        let request = request("", FORM, "", &encode(&fields));
        for event in read_unverified(&request, "").unwrap_or_default() {
            prop_assert!(event.id.len() <= 255);
            prop_assert!(event.code.is_none_or(|code| code.len() <= 100));
        }
    }
}
