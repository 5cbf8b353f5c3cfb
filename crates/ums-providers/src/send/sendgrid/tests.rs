use serde_json::Value;
use ums_core::{Email, FailureClass, Probe};

use super::*;
use crate::fixtures::check_answers;
use crate::samples;

fn built(email: &Email) -> Result<Value, Failure> {
    let rule = SenderRule::new(samples::mailbox("Zoë's Shop <hello@shop.example>"), &[]);
    let body = body::build(email, &rule.choose(email), &samples::call())?;
    Ok(serde_json::from_slice(&body).unwrap())
}

#[test]
fn requests_equal_the_golden_files() {
    let golden = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let plain = built(&samples::email_from(None, &[])).unwrap();
    assert_eq!(
        plain,
        golden(include_str!("../../../tests/fixtures/sendgrid/send/plain.json")),
        "{plain:#}"
    );
    let full = built(&samples::full_email()).unwrap();
    assert_eq!(
        full,
        golden(include_str!("../../../tests/fixtures/sendgrid/send/full.json")),
        "{full:#}"
    );
}

#[test]
fn an_address_is_named_once() {
    let request = built(&samples::full_email()).unwrap();
    let bcc = request["personalizations"][0]["bcc"].as_array().unwrap();
    assert_eq!(bcc.len(), 1, "Customer@ is in To already: {bcc:?}");
}

#[test]
fn what_it_cannot_carry_is_unsupported() {
    let mut wide = samples::email_from(None, &[]);
    wide.to = vec![samples::mailbox("jürgen@example.com")];
    let mut huge = samples::email_from(None, &[]);
    huge.text = Some("x".repeat(30_000_000));
    let mut blind = samples::email_from(None, &[]);
    blind.bcc = std::mem::take(&mut blind.to);
    for email in [wide, huge, blind] {
        let failure = built(&email).unwrap_err();
        assert_eq!(failure.class, FailureClass::Unsupported);
        assert!(!failure.detail.contains("***"), "our own words: {}", failure.detail);
    }
}

#[test]
fn answers_mean_what_the_fixtures_say() {
    check_answers(
        include_str!("../../../tests/fixtures/sendgrid/answers.txt"),
        FAILURES,
        |answer, known| {
            let sent = Sent {
                callers_sender: known.contains(&"callers_sender"),
                one_recipient: !known.contains(&"many_recipients"),
            };
            outcome(answer, sent)
        },
    );
}

#[test]
fn scopes_say_whether_the_key_may_send() {
    assert_eq!(read_scopes(200, br#"{"scopes":["mail.send","alerts.read"]}"#), Probe::Healthy);
    for (status, body) in [(200, &br#"{"scopes":["alerts.read"]}"#[..]), (401, b"{}")] {
        assert!(matches!(read_scopes(status, body), Probe::Failed(failure) if failure.class == FailureClass::Misconfigured));
    }
    for (status, body) in [(200, &b"garbage"[..]), (403, b"{}"), (500, b"")] {
        assert_eq!(read_scopes(status, body), Probe::NoAnswer);
    }
}
