//! `ums classify` and `ums estimate`: JSON out, nothing sent, no settings needed.

use serde_json::{Value, json};

use crate::program::Place;

fn check(words: &[&str], body: &str, wanted: &Value) {
    let run = Place::new().run_with(&[&["classify"], words].concat(), body.as_bytes()).expect(0);
    let got = run.json();
    assert_eq!(&json!([got["class"], got["code"], got["retry_after_seconds"]]), wanted, "{words:?}");
}

#[test]
fn answers_of_each_provider_get_the_class_of_the_table() {
    check(
        &[
            "--provider",
            "aws_ses",
            "--status",
            "400",
            "--header",
            "x-amzn-errortype: MessageRejected",
        ],
        r#"{"message": "Email address is not verified. The following identities failed the check in region US-EAST-1: a@example.com"}"#,
        &json!(["misconfigured", "MessageRejected", null]),
    );
    check(
        &["--provider", "sendgrid", "--status", "401"],
        r#"{"errors": [{"message": "The provided authorization grant is invalid, expired, or revoked", "field": null, "help": null}]}"#,
        &json!(["misconfigured", "401", null]),
    );
    check(
        &["--provider", "twilio", "--status", "400"],
        r#"{"code": 21610, "message": "blocked", "status": 400}"#,
        &json!(["recipient_blocked", "21610", null]),
    );
    check(
        &["--provider", "twilio", "--status", "429", "--header", "Retry-After: 7"],
        r#"{"code": 20429}"#,
        &json!(["throttled", "20429", 7.0]),
    );
    let run = Place::new()
        .run_with(
            &["classify", "--provider", "smtp", "--status", "550", "--stage", "rcpt"],
            b"550 5.1.1 no such user",
        )
        .expect(0);
    assert_eq!(run.json()["class"], "invalid_recipient");
    for (stage, reply, wanted) in [
        (
            "rcpt",
            "550 5.1.8 <noreply@example.com>: Sender address rejected: Domain not found",
            "misconfigured",
        ),
        ("rcpt", "550 No such user here", "invalid_recipient"),
        ("rcpt", "550 Requested action not taken: mailbox unavailable", "unsupported"),
        ("rcpt", "454 4.7.1 <a@example.com>: Relay access denied", "misconfigured"),
        ("dot", "554 Message rejected: Sending paused for this account.", "misconfigured"),
        (
            "dot",
            "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
            "quota_exhausted",
        ),
    ] {
        let words = ["classify", "--provider", "smtp", "--status", &reply[..3], "--stage", stage];
        let run = Place::new().run_with(&words, reply.as_bytes()).expect(0);
        assert_eq!(run.json()["class"], wanted, "{reply}");
    }
    let run = Place::new()
        .run_with(&["classify", "--provider", "aws_sns", "--status", "500"], b"<garbage")
        .expect(0);
    assert_eq!(run.json()["class"], "unknown");
}

#[test]
fn an_acceptance_has_no_class() {
    check(
        &["--provider", "aws_ses", "--status", "200"],
        r#"{"MessageId": "0100-1"}"#,
        &json!([null, null, null]),
    );
}

#[test]
fn a_stage_goes_with_smtp_only() {
    let run = Place::new()
        .run(&["classify", "--provider", "twilio", "--status", "400", "--stage", "rcpt"])
        .expect(2);
    assert!(run.err.contains("--stage"), "{}", run.err);
    Place::new().run(&["classify", "--provider", "fax", "--status", "400"]).expect(2);
    Place::new().run(&["classify", "--provider", "smtp", "--status", "70000"]).expect(2);
}

#[test]
fn an_estimate_names_what_forced_ucs2() {
    let run = Place::new()
        .run(&["estimate", "--to", "+14165550123", "--body", "Guten Tag", "--json"])
        .expect(0);
    let plain = run.json();
    assert_eq!(
        (plain["encoding"].as_str(), plain["segments"].as_u64(), plain["units"].as_u64()),
        (Some("gsm7"), Some(1), Some(9))
    );
    assert_eq!(plain["price"], Value::Null);
    let run = Place::new()
        .run(&["estimate", "--to", "4165550123", "--body", &"я".repeat(71), "--json"])
        .expect(0);
    let wide = run.json();
    assert_eq!((wide["encoding"].as_str(), wide["segments"].as_u64()), (Some("ucs2"), Some(2)));
    assert_eq!(wide["offending"], json!(["я"]));
    assert_eq!(wide["to"], "+14165550123");
    let table = Place::new().run(&["estimate", "--to", "+14165550123", "--body", "être"]).expect(0);
    assert!(table.out.contains("U+00EA") && table.out.contains("not yet"), "{}", table.out);
}

#[test]
fn an_estimate_of_nothing_is_wrong_usage() {
    Place::new().run(&["estimate", "--to", "+14165550123", "--body", " "]).expect(2);
    Place::new().run(&["estimate", "--to", "+1900", "--body", "x"]).expect(2);
    Place::new().run(&["estimate", "--to", "+14165550123"]).expect(2);
}
