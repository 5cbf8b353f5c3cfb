//! No output shows a body, a code, a secret or a full recipient: everything at TRACE is searched.

use serde_json::json;

use crate::http::{get, post, request};
use crate::program::Place;

/// Parts of bodies, recipients, subjects and secrets that must stand nowhere but in results.
const CANARIES: [&str; 12] = [
    "canary-body",
    "canary-subject",
    "canary-customer",
    "canary-file",
    "canary-header",
    "canary-meta",
    "918273",
    "4165550123",
    "canary-aws-secret",
    "canarysendgridkey",
    "canarytwiliotoken",
    "canary-api-key",
];

#[track_caller]
fn check(what: &str, text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} stands in {what}:\n{text}");
    }
}

fn faults() -> Vec<(&'static str, &'static str)> {
    let mut faults = Vec::new();
    for mode in ["error", "unauthorized", "throttle", "garbage", "reject", "suspended", "quota"] {
        faults.extend(["ses", "sendgrid", "smtp", "sns", "twilio"].map(|provider| (provider, mode)));
    }
    faults
}

#[test]
fn nothing_leaks_from_a_service_at_trace() {
    let beside = Place::new();
    let simulator = beside.simulator();
    for format in ["json", "pretty"] {
        let mut place = Place::new();
        place
            .with_providers(&simulator)
            .set("UMS_LOG", "trace")
            .set("UMS_LOG_FORMAT", format)
            .set("UMS_API_KEY", "canary-api-key");
        let ready = if format == "json" { "\"serving\"" } else { "serving" };
        let running = place.start(&["serve", "--listen", "127.0.0.1:0"], ready);
        let line = running.ready_line.clone();
        let port: String = line
            .split("127.0.0.1:")
            .nth(1)
            .unwrap()
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let address = format!("127.0.0.1:{port}");
        let key = "Authorization: Bearer canary-api-key";
        let email = json!({"to": "canary-customer@example.com", "subject": "canary-subject", "text_content": "canary-body 918273",
            "headers": {"X-A": "canary-header"}, "metadata": {"a": "canary-meta"}, "on_exhausted": "fail",
            "attachments": [{"filename": "canary-file.txt", "content_base64": "Y2FuYXJ5LWJvZHk="}]});
        let sms = json!({"to": "+14165550123", "message_body": "canary-body 918273", "purpose": "otp", "on_exhausted": "fail"});
        for (provider, mode) in [("ses", "")].into_iter().chain(faults()) {
            if !mode.is_empty() {
                let put = request(
                    simulator.address("http"),
                    "PUT",
                    &format!("/_sim/{provider}/fault"),
                    &[],
                    format!(r#"{{"mode": "{mode}"}}"#).as_bytes(),
                );
                if put.status >= 300 {
                    continue;
                }
            }
            assert_eq!(
                request(&address, "POST", "/v1/emails", &[key], email.to_string().as_bytes()).status,
                200
            );
            assert_eq!(request(&address, "POST", "/v1/sms", &[key], sms.to_string().as_bytes()).status, 200);
            simulator.heal(provider);
        }
        let broken = post(
            &address,
            "/v1/emails",
            &json!({"to": "canary-customer@", "subject": "canary-subject", "canary": 1}),
        );
        check("a problem", &broken.body);
        let broken = request(
            &address,
            "POST",
            "/v1/emails",
            &[key],
            br#"{"to": "canary-customer@", "subject": "canary-subject"}"#,
        );
        check("a problem", &broken.body);
        check("the metrics", &get(&address, "/metrics").body);
        let health = request(&address, "GET", "/v1/providers/health", &[key], b"");
        check("the health report", &health.body);
        assert!(
            running.logged().contains("TRACE") || running.logged().contains("DEBUG"),
            "it logs in detail: {}",
            running.logged()
        );
        check("the log", &running.logged());
        check("standard output", &running.printed());
    }
}

#[test]
fn nothing_leaks_from_the_command_line_at_trace() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator).set("UMS_LOG", "trace");
    let email = [
        "send",
        "email",
        "--to",
        "canary-customer@example.com",
        "--subject",
        "canary-subject",
        "--text",
        "canary-body 918273",
    ];
    let sms = ["send", "sms", "--to", "+14165550123", "--body", "canary-body 918273"];
    for (provider, mode) in [("ses", "error"), ("ses", "garbage"), ("sns", "error"), ("sns", "garbage")] {
        simulator.fault(provider, &format!(r#"{{"mode": "{mode}"}}"#));
        check("the log of send email", &place.run(&email).err);
        check("the log of send sms", &place.run(&sms).err);
        simulator.heal(provider);
    }
    for words in [&["health"][..], &["config", "show", "--all"], &["config", "check"]] {
        let run = place.run(words);
        check("an output", &run.out);
        check("a log", &run.err);
    }
    check("the log of messages list", &place.run(&["messages", "list"]).err);
    let id = place.run(&["messages", "list", "--limit", "1", "--json"]).expect(0).json()["data"][0]["message_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let explained = place.run(&["messages", "explain", &id]).expect(0);
    check("an explanation", &explained.out);
    check("the log of explain", &explained.err);
    let wrong = place
        .run(&[
            "send",
            "email",
            "--to",
            "canary-customer@",
            "--subject",
            "canary-subject\n",
            "--text",
            "canary-body",
        ])
        .expect(2);
    check("the errors of send", &wrong.err);
}
