//! `ums send`: from the settings of the environment to the provider's wire, in this process.

use std::process::Stdio;

use serde_json::Value;

use crate::program::Place;

const EMAIL: [&str; 8] = [
    "send",
    "email",
    "--to",
    "customer@example.com",
    "--subject",
    "Your receipt",
    "--text",
    "Thank you.",
];
const SMS: [&str; 6] = ["send", "sms", "--to", "+14165550123", "--body", "Your table is ready"];

fn with<'a>(words: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [words, more].concat()
}

#[test]
fn an_email_goes_out_by_ses_with_all_that_was_given() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator);
    std::fs::write(place.path().join("invoice.pdf"), [0_u8, 13, 10, 255]).unwrap();
    let more = [
        "--cc",
        "Zoë <zoe@example.com>",
        "--bcc",
        "archive@example.com",
        "--reply-to",
        "help@example.com",
        "--attach",
        "invoice.pdf",
        "--header",
        "X-Order: 17",
        "--metadata",
        "order=17",
        "--json",
    ];
    let result = place.run(&with(&EMAIL, &more)).expect(0).json();
    assert_eq!(result["status"], "sent");
    assert_eq!(result["metadata"]["provider"], "aws_ses");
    assert_eq!(result["metadata"]["order"], "17");
    assert_eq!(result["recipients"].as_array().unwrap().len(), 3);
    let received = simulator.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0]["subject"], "Your receipt");
    assert_eq!(
        (received[0]["to"][0].as_str(), received[0]["cc"][0].as_str()),
        (Some("customer@example.com"), Some("zoe@example.com"))
    );
    assert_eq!(received[0]["bcc"][0], "archive@example.com");
    assert_eq!(received[0]["headers"]["X-Order"], "17");
    assert_eq!(received[0]["attachments"][0]["size"], 4);
}

#[test]
fn a_chain_goes_on_when_the_first_two_refuse() {
    let beside = Place::new();
    let simulator = beside.simulator();
    simulator.fault("ses", r#"{"mode": "unauthorized"}"#);
    simulator.fault("sendgrid", r#"{"mode": "refuse"}"#);
    let mut place = Place::new();
    place.with_providers(&simulator);
    let result = place.run(&with(&EMAIL, &["--json"])).expect(0).json();
    assert_eq!(result["metadata"]["provider"], "smtp");
    let classes: Vec<_> = result["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["class"].clone())
        .collect();
    assert_eq!(classes, [Value::from("misconfigured"), Value::from("unavailable"), Value::Null]);
}

#[test]
fn via_asks_one_provider_only() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator);
    for via in ["aws_ses", "sendgrid", "smtp"] {
        let result = place.run(&with(&EMAIL, &["--via", via, "--json"])).expect(0).json();
        assert_eq!(result["metadata"]["provider"], via);
    }
    for via in ["aws_sns", "twilio"] {
        let result = place.run(&with(&SMS, &["--via", via, "--json"])).expect(0).json();
        assert_eq!(result["metadata"]["provider"], via);
    }
    simulator.fault("sendgrid", r#"{"mode": "error", "status": 503}"#);
    let failed = place.run(&with(&EMAIL, &["--via", "sendgrid", "--json"])).expect(1).json();
    assert_eq!(failed["status"], "failed", "a test of one provider is not held");
    assert_eq!(failed["attempts"].as_array().unwrap().len(), 1);
}

#[test]
fn exit_codes_tell_sent_failed_wrong_and_held_apart() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator);
    place.run(&EMAIL).expect(0);
    for provider in ["ses", "sendgrid", "smtp"] {
        simulator.fault(provider, r#"{"mode": "reject"}"#);
    }
    let failed = place.run(&with(&EMAIL, &["--json"])).expect(1).json();
    assert_eq!(failed["status"], "failed");
    assert!(failed["error_message"].is_string());
    for provider in ["ses", "sendgrid", "smtp"] {
        simulator.fault(provider, r#"{"mode": "error", "status": 503}"#);
    }
    let failed = place.run(&with(&EMAIL, &["--json", "--on-exhausted", "fail"])).expect(1).json();
    assert_eq!(failed["status"], "failed");
    let held = place.run(&with(&EMAIL, &["--json"])).expect(3).json();
    assert_eq!(held["status"], "queued");
    place.run(&["send", "email", "--to", "nobody"]).expect(2);
}

#[test]
fn bodies_come_from_files_and_standard_input() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator);
    std::fs::write(place.path().join("body.html"), "<p>Grüße aus Zürich</p>").unwrap();
    let words = [
        "send",
        "email",
        "--to",
        "a@example.com",
        "--subject",
        "Test",
        "--html-file",
        "body.html",
        "--text-file",
        "-",
    ];
    place.run_with(&words, "Grüße\n".as_bytes()).expect(0);
    place
        .run_with(&["send", "sms", "--to", "4165550123", "--body", "-"], b"Code 1")
        .expect(0);
    let received = simulator.received();
    assert_eq!(received[0]["text"].as_str().map(str::trim_end), Some("Grüße"));
    assert_eq!(received[0]["html"].as_str().map(str::trim_end), Some("<p>Grüße aus Zürich</p>"));
    assert_eq!(received[1]["to"][0], "+14165550123", "ten digits become +1 in the default region");
}

#[test]
fn a_result_for_people_says_who_took_it_and_what_to_ask_next() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator);
    let run = place.run(&SMS).expect(0);
    assert!(run.out.starts_with("sent by aws_sns (simulated"), "{}", run.out);
    assert!(run.out.contains("ums messages explain"), "{}", run.out);
    assert_eq!(run.err, "", "nothing but the result unless something is wrong");
}

#[test]
fn without_any_provider_it_says_which_settings_are_missing() {
    let run = Place::new().run(&EMAIL).expect(2);
    for name in ["AWS_SES_FROM_EMAIL", "SENDGRID_API_KEY", "SMTP_HOST"] {
        assert!(run.err.contains(name), "{}", run.err);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let mut child = place.command(&["completions", "bash"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
