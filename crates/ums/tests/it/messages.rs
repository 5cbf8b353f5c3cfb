//! `ums messages` and `ums health`: what is told from the record, here and over HTTP.

use crate::program::{Place, Run, Running};

fn send(place: &Place, to: &str) -> String {
    place.send_email(to, &[])["message_id"].as_str().unwrap().to_owned()
}

fn place_with_a_story() -> (Place, Running, String) {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator);
    simulator.fault("ses", r#"{"mode": "unauthorized"}"#);
    let id = send(&place, "customer@example.com");
    (place, simulator, id)
}

#[test]
fn explain_tells_each_provider_why_and_what_followed() {
    let (place, _simulator, id) = place_with_a_story();
    let told = place.run(&["messages", "explain", &id]).expect(0).out;
    for part in [
        "aws_ses tried, failed",
        "misconfigured",
        "so the next provider was tried",
        "sendgrid tried, accepted",
        "Sent by sendgrid",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    // The breaker of SES is open now: the next message passes it over, and says why.
    let id = send(&place, "other@example.com");
    let story = place.run(&["messages", "explain", &id, "--json"]).expect(0).json();
    let skipped = story["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["step"] == "skipped")
        .unwrap_or_else(|| panic!("{story}"));
    assert_eq!(
        (skipped["provider"].as_str(), skipped["code"].as_str()),
        (Some("aws_ses"), Some("misconfigured"))
    );
}

#[test]
fn messages_are_listed_newest_first_and_filtered() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator);
    let none = place.run(&["messages", "list"]).expect(0);
    assert_eq!(none.out, "No messages.\n");
    assert!(!place.path().join("ums.db").exists(), "looking makes no store");

    let (first, second) = (send(&place, "a@example.com"), send(&place, "b@example.com"));
    let listing = place.run(&["messages", "list", "--json"]).expect(0).json();
    let ids: Vec<_> = listing["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["message_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, [second.clone(), first]);
    let page = place.run(&["messages", "list", "--limit", "1", "--json"]).expect(0).json();
    assert_eq!(page["next_cursor"].as_str(), Some(second.as_str()));
    let only = place
        .run(&[
            "messages",
            "list",
            "--to",
            "B@example.com",
            "--status",
            "sent",
            "--channel",
            "email",
            "--json",
        ])
        .expect(0)
        .json();
    assert_eq!(only["data"].as_array().unwrap().len(), 1, "{only}");
    let table = place.run(&["messages", "list"]).expect(0).out;
    assert!(table.contains("a@example.com") && table.contains("aws_ses"), "{table}");
    let shown = place.run(&["messages", "show", &second]).expect(0).out;
    assert!(shown.contains("b@example.com") && shown.contains("sent"), "{shown}");
}

#[test]
fn an_unknown_message_is_said_to_be_unknown() {
    let place = Place::new();
    let run = place.run(&["messages", "show", "0199f3a0-0000-7000-8000-000000000000"]).expect(1);
    assert!(run.err.contains("there is no message"), "{}", run.err);
    place.run(&["messages", "show", "17"]).expect(2);
}

#[test]
fn health_remembers_an_open_breaker_and_names_what_is_missing() {
    let (place, _simulator, _) = place_with_a_story();
    let report = place.run(&["health", "--json"]).expect(1).json();
    let ses = &report["email_providers"][0];
    assert_eq!(
        (ses["name"].as_str(), ses["priority"].as_str()),
        (Some("AWSSESProvider"), Some("PRIMARY"))
    );
    assert_eq!(
        (ses["status"].as_str(), ses["circuit_breaker"].as_str()),
        (Some("misconfigured"), Some("open"))
    );
    assert_eq!(ses["is_healthy"], false);
    let run = Place::new().run(&["health"]).expect(0);
    assert!(
        run.out.contains("not configured: sendgrid (missing SENDGRID_API_KEY"),
        "{}",
        run.out
    );
}

#[test]
fn a_running_service_is_asked_over_http() {
    let place = Place::new();
    let dev = place.start(&["dev", "--listen", "127.0.0.1:0"], "Stop with Ctrl-C");
    let server = format!("http://{}", dev.address("service"));
    let elsewhere = Place::new();
    let run = |words: &[&str]| elsewhere.run(&[words, &["--server", &server]].concat());
    let sent = run(&["send", "sms", "--to", "+14165550123", "--body", "Hello", "--json"])
        .expect(0)
        .json();
    assert_eq!(sent["status"], "sent");
    let id = sent["message_id"].as_str().unwrap();
    assert!(run(&["messages", "show", id]).expect(0).out.contains("aws_sns"));
    assert!(run(&["messages", "explain", id]).expect(0).out.contains("aws_sns tried, accepted"));
    let listing = run(&["messages", "list", "--to", "+14165550123", "--json"]).expect(0).json();
    assert_eq!(listing["data"].as_array().unwrap().len(), 1);
    assert_eq!(run(&["health", "--json"]).expect(0).json()["sms_providers"][0]["status"], "healthy");
    let wrong = run(&["send", "sms", "--to", "+1900", "--body", "Hello"]).expect(2);
    assert!(wrong.err.contains("UMS1002"), "{}", wrong.err);
    run(&["messages", "show", "0199f3a0-0000-7000-8000-000000000000"]).expect(1);
}

/// Sends an e-mail to two, of whom the only provider that works takes one; exit code 3 says that the other is held.
fn send_while_one_is_deferred(simulator: &Running, run: impl Fn(&[&str]) -> Run) {
    for provider in ["ses", "sendgrid"] {
        simulator.fault(provider, r#"{"mode": "error", "status": 503}"#);
    }
    simulator.fault("smtp", r#"{"mode": "defer", "recipients": ["b@example.com"]}"#);
    let email = [
        "send",
        "email",
        "--to",
        "a@example.com",
        "--cc",
        "b@example.com",
        "--subject",
        "s",
        "--text",
        "t",
        "--json",
    ];
    let result = run(&email).expect(3).json();
    assert_eq!(
        (&result["status"], &result["open_recipients"]),
        (&"sent".into(), &1.into()),
        "{result}"
    );
    let id = result["message_id"].as_str().unwrap();
    let shown = run(&["messages", "show", id]).expect(0).out;
    assert!(
        shown.lines().any(|line| line.contains("open recipients") && line.contains('1')),
        "{shown}"
    );
    let told = run(&["messages", "explain", id]).expect(0).out;
    for part in [
        "Sent by smtp after ",
        "; 1 recipient is still held: b@example.com (",
        "smtp took it for 1 of 2 recipients in ",
        "b@example.com was refused for now (451 4.7.1",
        "  Next: It is ",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn a_recipient_who_is_held_while_another_has_the_message_is_told() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator);
    send_while_one_is_deferred(&simulator, |words| place.run(words));
}

#[test]
fn a_service_tells_who_is_held_as_well() {
    let place = Place::new();
    let dev = place.start(&["dev", "--listen", "127.0.0.1:0"], "Stop with Ctrl-C");
    let server = format!("http://{}", dev.address("service"));
    send_while_one_is_deferred(&dev, |words| Place::new().run(&[words, &["--server", &server]].concat()));
}

#[test]
fn a_service_that_is_not_there_is_no_success() {
    let run = Place::new().run(&["health", "--server", "http://127.0.0.1:1"]).expect(1);
    assert!(run.err.contains("cannot be reached"), "{}", run.err);
    Place::new().run(&["health", "--server", "ftp://example.com"]).expect(2);
}

#[test]
fn a_sender_that_cannot_be_asked_for_is_told_why() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator);
    let run = place.run(&["ses", "verify-sender", "not an address"]).expect(2);
    assert!(run.err.contains("e-mail address or a domain"), "{}", run.err);
    let run = Place::new().run(&["ses", "verify-sender", "shop@example.com"]).expect(2);
    assert!(run.err.contains("AWS_SES_FROM_EMAIL"), "{}", run.err);
}
