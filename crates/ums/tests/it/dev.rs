//! `ums dev`, end to end.

use serde_json::json;

use crate::http::{get, post};
use crate::program::{Place, Running};

fn start(place: &Place, more: &[&str]) -> Running {
    place.start(&[&["dev", "--listen", "127.0.0.1:0"], more].concat(), "Stop with Ctrl-C")
}

fn email() -> serde_json::Value {
    json!({"to": "customer@example.com", "subject": "Your receipt", "text_content": "Thank you."})
}

#[test]
fn ses_down_sends_by_sendgrid_and_returns_to_ses() {
    let place = Place::new();
    let dev = start(&place, &[]);
    let send = || post(dev.address("service"), "/v1/emails", &email());

    let first = send();
    assert_eq!(first.status, 200, "{}", first.body);
    let first = first.json();
    assert_eq!(
        (first["status"].as_str(), first["metadata"]["provider"].as_str()),
        (Some("sent"), Some("aws_ses"))
    );
    assert_eq!(first["simulated"], true);

    dev.fault("ses", r#"{"mode": "error", "status": 503}"#);
    let second = send().json();
    assert_eq!(second["metadata"]["provider"], "sendgrid");
    assert_eq!(second["attempts"][0]["provider"], "aws_ses");
    assert_eq!(second["attempts"][0]["class"], "unavailable");

    dev.heal("ses");
    assert_eq!(send().json()["metadata"]["provider"], "aws_ses");

    let providers: Vec<_> = dev
        .received()
        .iter()
        .map(|message| message["provider"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(providers, ["ses", "sendgrid", "ses"]);
}

#[test]
fn a_text_message_goes_out_and_health_tells_of_it() {
    let place = Place::new();
    let dev = start(&place, &[]);
    let sent = post(
        dev.address("service"),
        "/v1/sms",
        &json!({"to": "+14165550123", "message_body": "Your table is ready"}),
    )
    .json();
    assert_eq!(
        (sent["status"].as_str(), sent["metadata"]["provider"].as_str()),
        (Some("sent"), Some("aws_sns"))
    );
    assert_eq!(dev.received()[0]["body"], "Your table is ready");
    let health = get(dev.address("service"), "/v1/providers/health").json();
    assert_eq!(health["sms_providers"][0]["status"], "healthy");
    assert_eq!(health["sms_providers"][1]["status"], "unknown");
}

#[test]
fn it_prints_commands_that_name_its_own_addresses() {
    let place = Place::new();
    let dev = start(&place, &[]);
    let printed = dev.printed();
    for address in [dev.address("service"), dev.address("http")] {
        assert!(printed.contains(&format!("http://{address}")), "{printed}");
    }
    assert_eq!(printed.matches("   curl ").count(), 3, "{printed}");
    assert_eq!(get(dev.address("service"), "/docs").status, 200);
    assert_eq!(get(dev.address("service"), "/livez").status, 200);
    assert_eq!(get(dev.address("service"), "/readyz").status, 200);

    let scratch = || {
        std::fs::read_dir(place.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_dir())
            .count()
    };
    assert_eq!(scratch(), 1, "messages lie in a folder of their own");
    assert_eq!(dev.terminate().0, 0);
    assert_eq!(scratch(), 0, "which is removed at the end");
}

#[test]
fn provider_settings_of_the_environment_are_ignored() {
    let mut place = Place::new();
    place
        .set("SENDGRID_API_KEY", "half a configuration")
        .set("UMS_EMAIL_CHAIN", "nonsense")
        .set("AWS_PROFILE", "nobody");
    std::fs::write(place.path().join(".env"), "UMS_API_KEY=needed\nTWILIO_ACCOUNT_SID=x\n").unwrap();
    let dev = start(&place, &[]);
    assert_eq!(post(dev.address("service"), "/v1/emails", &email()).json()["status"], "sent");
}

#[test]
fn data_is_kept_on_request_and_found_again() {
    let place = Place::new();
    let data = place.path().join("kept");
    let words = ["--data", data.to_str().unwrap()];
    let dev = start(&place, &words);
    let sent = post(dev.address("service"), "/v1/emails", &email()).json();
    assert_eq!(dev.terminate().0, 0);
    let dev = start(&place, &words);
    let id = sent["message_id"].as_str().unwrap();
    let found = get(dev.address("service"), &format!("/v1/messages/{id}"));
    assert_eq!(found.json()["status"], "sent");
}

#[test]
fn it_listens_on_loopback_only() {
    let run = Place::new().run(&["dev", "--listen", "0.0.0.0:0"]).expect(2);
    assert!(run.err.contains("loopback"), "{}", run.err);
}
