//! Amazon SES v2 and SNS as moto implements them; what arrived is read from moto's own API.

use serde_json::Value;

use crate::bed;
use crate::program::{Place, Run};

fn place() -> Place {
    let mut place = Place::new();
    place
        .set("AWS_REGION", "us-east-1")
        .set("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE00")
        .set("AWS_SECRET_ACCESS_KEY", "secret")
        .set("AWS_ENDPOINT_URL", bed("UMS_BED_MOTO_URL"))
        .set("AWS_SES_FROM_EMAIL", "shop@example.com");
    place
}

fn verified_place() -> Place {
    let place = place();
    place.run(&["ses", "verify-sender", "shop@example.com"]);
    place
}

fn arrived(service: &str, kind: &str) -> Vec<Value> {
    let url = bed("UMS_BED_MOTO_URL");
    let all = crate::http::get(url.trim_start_matches("http://"), "/moto-api/data.json").json();
    all[service][kind].as_array().cloned().unwrap_or_default()
}

fn provider(run: &Run) -> Value {
    run.json()["metadata"]["provider"].clone()
}

#[test]
fn an_email_arrives_at_ses_with_subject_recipients_and_html() {
    let place = verified_place();
    let run = place
        .run(&[
            "send",
            "email",
            "--to",
            "Zoë <moto-to@example.com>",
            "--cc",
            "moto-cc@example.com",
            "--bcc",
            "moto-bcc@example.com",
            "--subject",
            "Grüße 🎉",
            "--html",
            "<p>Grüße aus <b>Zürich</b></p>",
            "--json",
        ])
        .expect(0);
    assert_eq!(provider(&run), "aws_ses");
    let id = run.json()["metadata"]["provider_message_id"].clone();
    let messages = arrived("ses", "Message");
    let message = messages
        .iter()
        .find(|message| message["id"] == id)
        .unwrap_or_else(|| panic!("{id} is not in {messages:?}"));
    assert_eq!(message["subject"], "Grüße 🎉");
    assert_eq!(message["body"], "<p>Grüße aus <b>Zürich</b></p>");
    let destinations = message["destinations"].to_string();
    for address in ["moto-to@example.com", "moto-cc@example.com", "moto-bcc@example.com"] {
        assert!(destinations.contains(address), "{destinations}");
    }
}

#[test]
fn a_sender_that_is_not_verified_is_a_matter_of_settings() {
    let mut place = place();
    place.set("AWS_SES_FROM_EMAIL", "stranger@unverified.example");
    let words = [
        "send",
        "email",
        "--to",
        "moto@example.com",
        "--subject",
        "x",
        "--text",
        "x",
        "--on-exhausted",
        "fail",
        "--json",
    ];
    let result = place.run(&words).expect(1).json();
    assert_eq!(result["attempts"][0]["class"], "misconfigured");
    assert_eq!(result["attempts"][0]["code"], "MessageRejected");
}

#[test]
fn verification_of_a_sender_is_told_step_by_step() {
    let place = place();
    let first = place.run(&["ses", "verify-sender", "new-sender@example.net", "--json"]);
    assert!(matches!(first.code, 0 | 1), "{}{}", first.out, first.err);
    let first = first.json();
    assert_eq!(first["identity"], "new-sender@example.net");
    assert!(first["what_to_do"].is_string());
    let again = place.run(&["ses", "verify-sender", "new-sender@example.net", "--json"]);
    assert_eq!(again.json()["status"], first["status"], "asking again changes nothing");
}

#[test]
fn a_text_message_arrives_at_sns_with_number_and_text() {
    let run = place()
        .run(&[
            "send",
            "sms",
            "--to",
            "+14165550123",
            "--body",
            "Ihr Code: 123456 – gültig 10 Minuten",
            "--json",
        ])
        .expect(0);
    assert_eq!(provider(&run), "aws_sns");
    let id = run.json()["metadata"]["provider_message_id"].clone();
    let messages = arrived("sns", "SMS");
    let message = messages
        .iter()
        .find(|message| message["message_id"] == id)
        .unwrap_or_else(|| panic!("{id} is not in {messages:?}"));
    assert_eq!(message["phone_number"], "+14165550123");
    assert_eq!(message["message"], "Ihr Code: 123456 – gültig 10 Minuten");
}
