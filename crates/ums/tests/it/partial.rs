//! Messages that a provider takes for some of their recipients: the real binary, from the first answer to the last.

use std::time::Duration;

use serde_json::{Value, json};
use ums_core::{Clock as _, SystemClock};

use crate::http::request;
use crate::program::{Place, Running};

const PATIENCE: Duration = Duration::from_secs(30);
const A: &str = "a@example.com";
const B: &str = "b@example.com";
const C: &str = "c@example.com";
const ALL: [&str; 3] = [A, B, C];

/// SMTP alone at a simulator of its own, and short waits.
fn place() -> (Place, Running) {
    let mut place = Place::new();
    let simulator = place.simulator();
    let (host, port) = simulator.address("smtp").rsplit_once(':').unwrap();
    let (host, port) = (host.to_owned(), port.to_owned());
    place
        .set("SMTP_HOST", host)
        .set("SMTP_PORT", port)
        .set("SMTP_TLS", "none")
        .set("SMTP_FROM_EMAIL", "shop@example.com")
        .set("UMS_API_KEY", "serve-key")
        .set("UMS_CONFIG", "ums.toml");
    std::fs::write(
        place.path().join("ums.toml"),
        "[retry]\nschedule = [\"1s\"]\nfeedback_wait_transactional = \"0s\"\n",
    )
    .unwrap();
    place.run(&["migrate"]).expect(0);
    (place, simulator)
}

/// A service at the place, and where it listens.
fn serve(place: &Place) -> (Running, String) {
    let service = place.start(&["serve", "--listen", "127.0.0.1:0"], "\"serving\"");
    let line: Value = serde_json::from_str(&service.ready_line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    (service, address)
}

fn message(address: &str, id: &str) -> Value {
    let target = format!("/v1/messages/{id}");
    request(address, "GET", &target, &["Authorization: Bearer serve-key"], b"").json()
}

/// The message, once no recipient is open.
#[track_caller]
fn message_at_its_end(address: &str, id: &str) -> Value {
    let clock = SystemClock::new();
    let give_up = clock.monotonic() + PATIENCE;
    loop {
        let message = message(address, id);
        if message["open_recipients"] == 0 {
            return message;
        }
        assert!(clock.monotonic() < give_up, "{message}");
        std::thread::yield_now();
    }
}

/// Whom the simulator took messages for, in order.
fn taken(simulator: &Running) -> Vec<Value> {
    simulator.received().iter().map(|message| message["to"].clone()).collect()
}

#[test]
fn a_greylisted_recipient_is_told_with_200_and_sent_to_later() {
    let (place, simulator) = place();
    simulator.fault("smtp", r#"{"mode": "defer", "recipients": ["b@example.com"]}"#);
    let (_service, address) = serve(&place);
    let email = json!({"to": ALL, "subject": "Receipt", "text_content": "Thank you."}).to_string();
    let answer = request(
        &address,
        "POST",
        "/v1/emails",
        &["Authorization: Bearer serve-key"],
        email.as_bytes(),
    );
    let first = answer.json();
    assert_eq!(
        (answer.status, &first["status"], &first["open_recipients"]),
        (200, &json!("sent"), &json!(1)),
        "{first}"
    );
    assert_eq!(
        first["error_message"],
        "not sent yet to b@example.com (451 4.7.1); tried again later"
    );

    let id = first["message_id"].as_str().unwrap();
    simulator.heal("smtp");
    let last = message_at_its_end(&address, id);
    assert_eq!((&last["status"], &last["error_message"]), (&json!("sent"), &Value::Null), "{last}");
    let taken = taken(&simulator);
    assert_eq!(taken, [json!([A, C]), json!([B])]);
    let told = place.run(&["messages", "explain", id]).expect(0).out;
    for part in [
        "b@example.com was refused for now (451 4.7.1: Greylisted, try again later), so it was tried again.",
        "smtp took it for 1 of 3 recipients",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("Next:"), "{told}");
}

/// Only a build for tests has these points.
#[cfg(debug_assertions)]
#[test]
fn a_process_killed_between_two_transactions_sends_to_nobody_twice() {
    let (place, simulator) = place();
    simulator.fault("smtp", r#"{"mode": "too_many", "limit": 1}"#);
    let mut words = vec!["send", "email", "--subject", "Receipt", "--text", "Thank you."];
    words.extend(ALL.iter().flat_map(|address| ["--to", address]));
    let killed = place.command(&words).env("UMS_FAILPOINT", "outcome.committed:1").output().unwrap();
    assert_eq!(killed.status.code(), None, "ended by a signal");
    assert_eq!(taken(&simulator), [json!([A])], "the first transaction, and not the second");

    let listing = place.run(&["messages", "list", "--json"]).expect(0).json();
    let id = listing["data"][0]["message_id"].as_str().unwrap().to_owned();
    let (_service, address) = serve(&place);
    let last = message_at_its_end(&address, &id);
    assert_eq!(taken(&simulator), [json!([A]), json!([B]), json!([C])]);
    assert_eq!(last["status"], "sent", "{last}");
    let ends = last["recipients"].as_array().unwrap().iter();
    assert!(
        ends.clone().count() == 3 && ends.clone().all(|recipient| recipient["status"] == "sent"),
        "{last}"
    );
    let outcomes: Vec<_> = last["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["outcome"].clone())
        .collect();
    assert_eq!(
        outcomes,
        ["accepted", "unknown", "accepted", "accepted"],
        "nobody knows of a call whose intent was committed"
    );
}
