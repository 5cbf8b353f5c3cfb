use http::HeaderMap;
use ums_core::{FailureClass, PhoneNumber, Probe, SmsSender, Timestamp};

use super::*;
use crate::fixtures::{answer, check_answers, form_lines};
use crate::samples;

#[test]
fn requests_equal_the_golden_files() {
    let number = TwilioSender::Number(PhoneNumber::parse_e164("+14165550100").unwrap());
    let sms = samples::sms("+14165550123", None, "Your code: 123456 & more é");
    let by_number = form_lines(&body(&sms, &number, None, &samples::call()));
    assert_eq!(by_number, include_str!("../../../tests/fixtures/twilio/send/number.txt"));
    let service = TwilioSender::MessagingService("MG00000000000000000000000000000000".to_owned());
    let by_service = form_lines(&body(&sms, &service, Some("https://ums.example/hooks/twilio"), &samples::call()));
    assert_eq!(by_service, include_str!("../../../tests/fixtures/twilio/send/service.txt"));
}

#[test]
fn the_callers_sender_has_precedence_and_validity_has_bounds() {
    let service = TwilioSender::MessagingService("MG0".to_owned());
    let sms = samples::sms("+447700900123", Some(SmsSender::Alphanumeric("Shop".to_owned())), "Hello");
    for (left, validity) in [(0, 1), (600, 600), (100_000, 36_000)] {
        let call = Call {
            time_left: Duration::from_secs(left),
            ..samples::call()
        };
        let form = form_lines(&body(&sms, &service, None, &call));
        assert!(form.contains("From=Shop\n") && !form.contains("MessagingServiceSid"), "{form}");
        assert!(form.contains(&format!("ValidityPeriod={validity}\n")), "{form}");
    }
}

#[test]
fn answers_mean_what_the_fixtures_say() {
    check_answers(include_str!("../../../tests/fixtures/twilio/answers.txt"), &[], |answer, known| {
        outcome(
            answer,
            Sent {
                callers_sender: known.contains(&"callers_sender"),
                one_recipient: true,
            },
        )
    });
}

#[test]
fn a_number_that_is_not_verified_is_the_accounts_matter() {
    let class = |code: u32| {
        let body = format!(r#"{{"code":{code},"message":"m"}}"#);
        let answer = Answer {
            status: 400,
            headers: &http::HeaderMap::new(),
            body: body.as_bytes(),
            now: Timestamp::default(),
        };
        outcome(&answer, Sent::UNKNOWN).unwrap_err().class
    };
    for code in [30_440, 30_451, 30_459, 30_480, 30_859, 30_860, 30_873] {
        assert_eq!(class(code), FailureClass::Misconfigured, "{code}");
    }
    for code in [21_717, 21_729, 21_737] {
        assert_eq!(class(code), FailureClass::Misconfigured, "{code}");
    }
    for code in [30_450, 30_453, 30_485] {
        assert_eq!(class(code), FailureClass::Unsupported, "{code}");
    }
}

#[test]
fn a_refused_sender_of_the_caller_is_no_fault_of_the_account() {
    for code in codes::ABOUT_SENDER {
        let body = format!(r#"{{"code":{code},"message":"m"}}"#);
        let headers = http::HeaderMap::new();
        let answer = Answer {
            status: 400,
            headers: &headers,
            body: body.as_bytes(),
            now: Timestamp::default(),
        };
        let sent = |callers_sender| Sent {
            callers_sender,
            one_recipient: true,
        };
        assert_eq!(outcome(&answer, sent(true)).unwrap_err().class, FailureClass::Unsupported, "{code}");
        assert_eq!(
            outcome(&answer, sent(false)).unwrap_err().class,
            FailureClass::Misconfigured,
            "{code}"
        );
    }
}

#[test]
fn the_account_says_whether_it_would_send() {
    let read = |status: u16, body: &[u8], logs_in_as_account: bool| {
        let headers = HeaderMap::new();
        read_account(&answer(status, &headers, body), logs_in_as_account)
    };
    let is_misconfigured = |probe: Probe| matches!(probe, Probe::Failed(failure) if failure.class == FailureClass::Misconfigured);
    assert_eq!(read(200, br#"{"status":"active","type":"Full"}"#, true), Probe::Healthy);
    assert!(is_misconfigured(read(200, br#"{"status":"suspended"}"#, true)));
    let refused = br#"{"code":20003,"message":"Authenticate","status":401}"#;
    assert!(is_misconfigured(read(401, refused, true)), "the account's own token");
    assert!(is_misconfigured(read(401, b"", true)), "the account's own token, without words");
    assert_eq!(read(401, refused, false), Probe::NoAnswer, "an API key may not read the account");
    for (status, body) in [
        (200, &b"garbage"[..]),
        (200, br#"{"status":"new"}"#),
        (403, br#"{"code":20008}"#),
        (429, br#"{"code":20429}"#),
        (503, b""),
    ] {
        assert_eq!(read(status, body, true), Probe::NoAnswer);
    }
}
