use http::HeaderMap;
use serde_json::Value;
use ums_core::{Email, FailureClass, Probe, Timestamp};

use super::*;
use crate::fixtures::{answer, check_answers};
use crate::samples;

fn rule() -> SenderRule {
    SenderRule::new(samples::mailbox("Zoë's Shop <hello@shop.example>"), &[])
}

fn built(email: &Email, configuration_set: Option<&str>) -> Result<Value, Failure> {
    let rule = rule();
    let body = body::build(
        email,
        &rule.choose(email),
        configuration_set,
        &samples::call(),
        Timestamp::default(),
    )?;
    Ok(serde_json::from_slice(&body).unwrap())
}

#[test]
fn requests_equal_the_golden_files() {
    let golden = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let plain = built(&samples::email_from(None, &[]), None).unwrap();
    assert_eq!(
        plain,
        golden(include_str!("../../../tests/fixtures/ses/send/plain.json")),
        "{plain:#}"
    );
    let full = built(&samples::full_email(), Some("events")).unwrap();
    assert_eq!(full, golden(include_str!("../../../tests/fixtures/ses/send/full.json")), "{full:#}");
}

#[test]
fn what_simple_content_cannot_say_goes_as_mime() {
    let mut email = samples::full_email();
    email.headers = (0..16).map(|number| samples::header(&format!("X-H{number}"), "v")).collect();
    let request = built(&email, None).unwrap();
    assert_eq!(request["Content"].as_object().unwrap().keys().collect::<Vec<_>>(), ["Raw"]);
    let raw = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        request["Content"]["Raw"]["Data"].as_str().unwrap(),
    )
    .unwrap();
    let message = mail_parser::MessageParser::default().parse(&raw).unwrap();
    assert_eq!(message.attachment_count(), 2);
    assert_eq!(message.header_raw("X-H15").map(str::trim), Some("v"));
    assert!(message.bcc().is_none(), "a blind copy must stay blind");
    assert_eq!(request["Destination"]["BccAddresses"].as_array().unwrap().len(), 2);
    email.headers.truncate(15);
    assert!(built(&email, None).unwrap()["Content"]["Simple"].is_object());
}

#[test]
fn what_ses_cannot_carry_is_unsupported() {
    let mut wide = samples::email_from(None, &[]);
    wide.to = vec![samples::mailbox("jürgen@example.com")];
    let mut many = samples::email_from(None, &[]);
    many.cc = (0..50).map(|number| samples::mailbox(&format!("c{number}@example.com"))).collect();
    let mut huge = samples::email_from(None, &[]);
    huge.text = Some("x".repeat(40_000_000));
    for email in [wide, many, huge] {
        let failure = built(&email, None).unwrap_err();
        assert_eq!(failure.class, FailureClass::Unsupported);
        assert!(!failure.detail.contains("***"), "our own words: {}", failure.detail);
    }
}

#[test]
fn answers_mean_what_the_fixtures_say() {
    let rule = rule();
    let (own, callers) = (
        samples::email_from(None, &[]),
        samples::email_from(Some("orders@shop.example"), &[]),
    );
    check_answers(
        include_str!("../../../tests/fixtures/ses/answers.txt"),
        FAILURES,
        |answer, known| {
            let email = if known.contains(&"callers_sender") { &callers } else { &own };
            outcome(answer, Some(&rule.choose(email)))
        },
    );
}

#[test]
fn the_account_says_whether_it_would_send() {
    let check = |status: u16, body: &str, class: Option<FailureClass>, healthy: bool| {
        let headers = HeaderMap::new();
        let probe = read_account(&answer(status, &headers, body.as_bytes()));
        let expected = match (class, healthy) {
            (Some(class), _) => matches!(probe, Probe::Failed(failure) if failure.class == class),
            (None, true) => probe == Probe::Healthy,
            (None, false) => probe == Probe::NoAnswer,
        };
        assert!(expected, "{status} {body}");
    };
    let account = |sending: bool, status: &str, production: bool, sent: u32| {
        format!(
            r#"{{"SendingEnabled":{sending},"EnforcementStatus":"{status}","ProductionAccessEnabled":{production},"SendQuota":{{"Max24HourSend":200.0,"MaxSendRate":1.0,"SentLast24Hours":{sent}.0}}}}"#
        )
    };
    check(200, &account(true, "HEALTHY", true, 3), None, true);
    check(200, &account(true, "PROBATION", true, 3), None, true);
    check(200, &account(true, "HEALTHY", false, 3), None, false);
    check(200, &account(false, "HEALTHY", true, 3), Some(FailureClass::Misconfigured), false);
    check(200, &account(true, "SHUTDOWN", true, 3), Some(FailureClass::Misconfigured), false);
    check(200, &account(true, "HEALTHY", true, 200), Some(FailureClass::QuotaExhausted), false);
    check(
        200,
        r#"{"SendingEnabled":true,"SendQuota":{"Max24HourSend":-1.0,"MaxSendRate":1.0,"SentLast24Hours":9.0}}"#,
        None,
        true,
    );
    check(403, r#"{"message":"not authorized to perform ses:GetAccount"}"#, None, false);
    check(200, "garbage", None, false);
}

#[test]
fn a_wrong_key_is_a_no_and_a_missing_permission_says_nothing() {
    let probe = |status: u16, code: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", http::HeaderValue::from_static(code));
        read_account(&answer(status, &headers, br#"{"message":"no"}"#))
    };
    for code in [
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "InvalidSignatureException:http://internal.example/",
        "ExpiredTokenException",
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
        "RequestExpired",
    ] {
        let Probe::Failed(failure) = probe(403, code) else {
            panic!("{code} is a no");
        };
        assert_eq!(failure.class, FailureClass::Misconfigured, "{code}");
    }
    for code in [
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationErrorException",
        "NotAuthorized",
        "UnauthorizedOperation",
        "TooManyRequestsException",
        "NotFoundException",
        "SomethingNew",
    ] {
        assert_eq!(probe(403, code), Probe::NoAnswer, "{code}");
    }
}
