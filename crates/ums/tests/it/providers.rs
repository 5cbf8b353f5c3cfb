//! Providers as an operator meets them: a mended key, a provider taken out beside a running service, a repair without traffic.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::Duration;

use serde_json::{Value, json};
use ums_core::{Clock as _, SystemClock};

use crate::http::{Answer, get, request};
use crate::program::{Place, Running};

const KEY: &str = "Authorization: Bearer serve-key";
const RIGHT: &str = "SG.rightsendgridkey0000000.ccccccccccccccccccccccccccccccccccccccccccc";

/// SendGrid before SMTP, at a simulator.
fn place(simulator: &Running) -> Place {
    let mut place = Place::new();
    place
        .with_providers(simulator)
        .set("UMS_API_KEY", "serve-key")
        .set("UMS_EMAIL_CHAIN", "sendgrid,smtp");
    place
}

fn serve(place: &Place) -> (Running, String) {
    let running = place.start(&["serve", "--listen", "127.0.0.1:0"], "\"serving\"");
    let line: Value = serde_json::from_str(&running.ready_line).unwrap();
    (running, line["address"].as_str().unwrap().to_owned())
}

fn send(address: &str) -> Value {
    let body = json!({"to": "a@example.com", "subject": "x", "text_content": "x"}).to_string();
    request(address, "POST", "/v1/emails", &[KEY], body.as_bytes()).json()
}

fn by(sent: &Value) -> &str {
    sent["metadata"]["provider"].as_str().unwrap_or_default()
}

fn health(address: &str) -> Value {
    let answer: Answer = request(address, "GET", "/v1/providers/health", &[KEY], b"");
    answer.json()["email_providers"][0].clone()
}

/// Looks again and again until it holds; how long that took.
fn until(mut holds: impl FnMut() -> bool) -> Duration {
    let clock = SystemClock::new();
    let begun = clock.monotonic();
    let passed = || clock.monotonic().since(begun);
    while !holds() {
        assert!(passed() < Duration::from_secs(20), "it does not hold in time");
        std::thread::yield_now();
    }
    passed()
}

/// Takes one request of the command line, answers 404, and gives the body of the request.
fn body_of(place: &Place, words: &[&str]) -> Value {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        let head: Vec<String> = reader
            .by_ref()
            .lines()
            .map(Result::unwrap)
            .take_while(|line| !line.is_empty())
            .collect();
        let length = head
            .iter()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap()];
        reader.read_exact(&mut body).unwrap();
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        reader.get_mut().write_all(answer).unwrap();
        serde_json::from_slice(&body).unwrap()
    });
    place.run(&[words, &["--server", &server]].concat());
    asked.join().unwrap()
}

#[test]
fn a_length_of_time_begins_by_the_clock_of_the_service() {
    let mut place = Place::new();
    place.set("UMS_API_KEY", "serve-key");
    let asked = body_of(&place, &["providers", "disable", "sendgrid", "--reason", "a move", "--for", "1h"]);
    assert_eq!((&asked["for_seconds"], &asked["until"]), (&json!(3_600), &Value::Null), "{asked}");
}

#[test]
fn a_mended_key_is_used_by_the_very_next_message_after_a_restart() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = place(&simulator);
    place.set("SENDGRID_API_KEY", "wrong");
    let (running, address) = serve(&place);
    let sent = send(&address);
    assert_eq!((by(&sent), sent["attempts"][0]["class"].as_str()), ("smtp", Some("misconfigured")));
    assert_eq!(health(&address)["status"], "misconfigured");
    running.terminate();

    let (running, address) = serve(&place);
    let after = health(&address);
    assert_eq!(after["status"], "misconfigured", "the same key");
    assert_eq!(after["last_failure"]["class"], "misconfigured");
    running.terminate();

    place.set("SENDGRID_API_KEY", RIGHT);
    let (running, address) = serve(&place);
    assert_eq!(health(&address)["circuit_breaker"], "half_open");
    let sent = send(&address);
    assert_eq!((by(&sent), sent["attempts"].as_array().map(Vec::len)), ("sendgrid", Some(1)));
    assert_eq!(by(&send(&address)), "sendgrid");
    let last = health(&address)["last_success_at"].clone();
    assert!(last.is_string());
    let (_, log) = running.terminate();
    assert!(!log.contains("rightsendgridkey"), "no key in the log");

    let (_running, address) = serve(&place);
    let after = health(&address);
    assert_eq!(after["status"], "healthy");
    assert_eq!(&after["last_success_at"].as_str().unwrap()[..19], &last.as_str().unwrap()[..19]);
}

#[test]
fn without_any_key_of_the_service_a_mended_key_is_used_at_once_too() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place
        .with_providers(&simulator)
        .set("UMS_EMAIL_CHAIN", "sendgrid,smtp")
        .set("SENDGRID_API_KEY", "wrong");
    let send_here = |place: &Place| {
        place
            .run(&["send", "email", "--to", "a@example.com", "--subject", "x", "--text", "x", "--json"])
            .expect(0)
            .json()
    };
    assert_eq!(by(&send_here(&place)), "smtp");
    let sent = send_here(&place);
    assert_eq!(sent["attempts"].as_array().map(Vec::len), Some(1), "passed over: {sent}");
    place.set("SENDGRID_API_KEY", RIGHT);
    assert_eq!(by(&send_here(&place)), "sendgrid");
}

#[test]
fn a_provider_disabled_beside_a_running_service_is_passed_over_and_comes_back() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let place = place(&simulator);
    let (running, address) = serve(&place);
    assert_eq!(by(&send(&address)), "sendgrid");

    let done = place.run(&[
        "providers",
        "disable",
        "sendgrid",
        "--reason",
        "a move",
        "--for",
        "2h",
        "--by",
        "ann",
        "--json",
    ]);
    let off = done.expect(0).json()["disabled"].clone();
    assert_eq!((&off["by"], &off["reason"]), (&json!("ann"), &json!("a move")));
    let took = until(|| health(&address)["disabled"].is_object());
    assert!(took < Duration::from_secs(5), "{took:?}");
    let sent = send(&address);
    assert_eq!(by(&sent), "smtp");
    let id = sent["message_id"].as_str().unwrap();
    let story = place.run(&["messages", "explain", id]).expect(0).out;
    assert!(
        story.contains("an operator has taken it out of service (disabled by ann"),
        "{story}"
    );

    // The command line shows it, without a server and with one; a send by that provider alone says why it is not sent.
    let list = place.run(&["providers", "list"]).expect(0).out;
    assert!(list.contains("disabled by ann until"), "{list}");
    place.run(&["health"]).expect(1);
    let url = format!("http://{address}");
    let listed = place.run(&["providers", "list", "--server", &url, "--json"]).expect(0).json();
    assert_eq!(listed["email_providers"][0]["disabled"]["by"], "ann");
    let words = [
        "send",
        "email",
        "--to",
        "a@example.com",
        "--subject",
        "x",
        "--text",
        "x",
        "--via",
        "sendgrid",
        "--json",
    ];
    let failed = place.run(&words).expect(1).json();
    assert!(
        failed["error_message"]
            .as_str()
            .unwrap()
            .contains("sendgrid: not tried, disabled (disabled by ann"),
        "{failed}"
    );

    // Both: the message is held, and its error names them.
    place
        .run(&["providers", "disable", "smtp", "--reason", "a move", "--server", &url])
        .expect(0);
    let held = send(&address);
    assert_eq!(held["status"], "queued");
    let error = held["error_message"].as_str().unwrap();
    assert!(
        error.contains("sendgrid: not tried, disabled") && error.contains("smtp: not tried, disabled"),
        "{error}"
    );

    // It outlives a restart.
    let (_, log) = running.terminate();
    assert!(
        log.contains("an operator has disabled the provider") && !log.contains("a move"),
        "{log}"
    );
    let (_running, address) = serve(&place);
    assert!(health(&address)["disabled"].is_object());
    place.run(&["providers", "enable", "sendgrid"]).expect(0);
    until(|| health(&address)["disabled"].is_null());
    assert_eq!(by(&send(&address)), "sendgrid");
}

#[test]
fn a_wrong_use_is_told() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let place = place(&simulator);
    let (_running, address) = serve(&place);
    let url = format!("http://{address}");
    for server in [&["--server", url.as_str()][..], &[]] {
        for (words, told) in [
            (&["providers", "disable", "aws_ses", "--reason", "x"][..], "aws_ses"),
            (&["providers", "enable", "sendgrid", "--account", "eu"], "sendgrid"),
            (&["providers", "probe", "twilio", "--account", "eu"], "twilio"),
            (&["providers", "disable", "sendgrid", "--reason", " "], "reason"),
            (
                &[
                    "providers",
                    "disable",
                    "sendgrid",
                    "--reason",
                    "x",
                    "--until",
                    "2000-01-01T00:00:00Z",
                ],
                "until",
            ),
            (&["providers", "disable", "sendgrid", "--reason", "x", "--for", "2"], "2h"),
            (&["providers", "disable", "sendgrid"], "--reason"),
            (&["providers", "probe", "mailgun"], "mailgun"),
        ] {
            let run = place.run(&[words, server].concat()).expect(2);
            assert!(run.err.contains(told), "{words:?}: {}", run.err);
        }
    }
    assert_eq!(by(&send(&address)), "sendgrid");
    assert_eq!(get(&address, "/livez").status, 200);
}

/// A service whose breaker opens after one failure; misconfigured it waits long, failing it waits that long.
fn impatient(place: &mut Place, open: &str) {
    let file = place.path().join("ums.toml");
    std::fs::write(&file, format!("[breaker]\nfailures = 1\nopen = \"{open}\"\n")).unwrap();
    place.set("UMS_CONFIG", file.to_str().unwrap());
}

#[test]
fn a_provider_that_was_repaired_without_traffic_gets_the_next_message() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = place(&simulator);
    impatient(&mut place, "1s");
    let (running, address) = serve(&place);
    simulator.fault("sendgrid", r#"{"mode": "error", "status": 503}"#);
    assert_eq!(by(&send(&address)), "smtp");
    assert_eq!(health(&address)["circuit_breaker"], "open");
    simulator.heal("sendgrid");
    // Nothing is sent meanwhile: the service asks by itself.
    until(|| running.logged().contains("it was asked and did not say no"));
    assert_eq!(simulator.received().len(), 1);
    let sent = send(&address);
    assert_eq!(
        (by(&sent), sent["attempts"].as_array().map(Vec::len)),
        ("sendgrid", Some(1)),
        "{sent}"
    );
}

#[test]
fn an_operator_has_a_provider_tried_by_the_command_line() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = place(&simulator);
    impatient(&mut place, "250s");
    let (_running, address) = serve(&place);
    simulator.fault("sendgrid", r#"{"mode": "unauthorized"}"#);
    assert_eq!(by(&send(&address)), "smtp");
    let url = format!("http://{address}");
    for server in [&["--server", url.as_str()][..], &[]] {
        let probe = [&["providers", "probe", "sendgrid", "--json"], server].concat();
        simulator.fault("sendgrid", r#"{"mode": "unauthorized"}"#);
        // Opened anew for the second way of asking.
        until(|| {
            send(&address);
            health(&address)["circuit_breaker"] == "open"
        });
        let tried = place.run(&probe).expect(1).json();
        assert_eq!((&tried["answer"], &tried["class"]), (&json!("failed"), &json!("misconfigured")));
        assert_eq!(health(&address)["circuit_breaker"], "open");
        simulator.heal("sendgrid");
        assert_eq!(place.run(&probe).expect(0).json()["answer"], "healthy");
        until(|| health(&address)["circuit_breaker"] == "half_open");
        assert_eq!(by(&send(&address)), "sendgrid");
        assert_eq!(by(&send(&address)), "sendgrid");
    }
}
