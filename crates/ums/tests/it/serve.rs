//! `ums serve`: refuses to start wrongly, keeps what it accepted, ends in order.

use serde_json::json;

use crate::http::{get, request};
use crate::program::Place;

#[test]
fn without_a_key_it_does_not_start_in_production() {
    let mut place = Place::new();
    place.set("SENDGRID_API_KEY", "SG.x").set("SENDGRID_FROM_EMAIL", "shop@example.com");
    let run = place.run(&["serve"]).expect(2);
    assert!(run.err.contains("UMS_API_KEY"), "{}", run.err);
}

#[test]
fn a_database_that_does_not_answer_yet_is_waited_for_until_told_to_stop() {
    let mut place = Place::new();
    place
        .set("UMS_API_KEY", "serve-key")
        .set("UMS_DATABASE_URL", "postgres://user:canary@127.0.0.1:1/ums");
    let running = place.start(&["serve", "--listen", "127.0.0.1:0"], "does not answer");
    assert!(running.ready_line.contains("refused"), "the cause: {}", running.ready_line);
    let (code, log) = running.terminate();
    assert!(code == 0 && !log.contains("canary"), "{code}: {log}");
}

#[test]
fn a_host_name_to_listen_on_is_refused_with_what_to_give() {
    let place = Place::new();
    for listen in ["example.com:8080", "10.1.2.3", "127.0.0.1"] {
        let run = place.run(&["serve", "--listen", listen]).expect(2);
        assert!(
            run.err.contains("must be an IP address and a port, such as 127.0.0.1:8080"),
            "{listen}: {}",
            run.err
        );
    }
}

#[test]
fn it_serves_with_a_key_and_ends_in_order_on_sigterm() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator).set("UMS_API_KEY", "serve-key");
    let running = place.start(&["serve", "--listen", "127.0.0.1:0"], "\"serving\"");
    let line: serde_json::Value = serde_json::from_str(&running.ready_line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();

    let body = json!({"to": "a@example.com", "subject": "x", "text_content": "x"}).to_string();
    assert_eq!(request(&address, "POST", "/v1/emails", &[], body.as_bytes()).status, 401);
    let answer = request(
        &address,
        "POST",
        "/v1/emails",
        &["Authorization: Bearer serve-key"],
        body.as_bytes(),
    );
    assert_eq!(answer.json()["status"], "sent", "{}", answer.body);
    assert_eq!(get(&address, "/livez").status, 200);

    // Beside the running service, the command line reads the same store.
    let listing = place.run(&["messages", "list", "--json"]).expect(0).json();
    assert_eq!(listing["data"][0]["status"], "sent", "{listing}");
    let (code, log) = running.terminate();
    assert_eq!(code, 0);
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let settled = lines.iter().find(|line| line["message"] == "settled").unwrap();
    assert_eq!(
        settled["message_id"],
        answer.json()["message_id"],
        "a line of the log names its message"
    );
}

#[test]
fn a_second_process_hands_its_message_to_the_one_that_sends() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator).set("UMS_API_KEY", "serve-key");
    let _running = place.start(&["serve", "--listen", "127.0.0.1:0"], "\"serving\"");
    let sent = place
        .run(&["send", "sms", "--to", "+14165550123", "--body", "Hello", "--json"])
        .expect(0)
        .json();
    assert_eq!(sent["status"], "sent");
    assert_eq!(simulator.received().len(), 1);
}

#[test]
fn an_address_in_use_is_told() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place
        .set("UMS_API_KEY", "serve-key")
        .set("SENDGRID_API_KEY", "SG.x")
        .set("SENDGRID_FROM_EMAIL", "shop@example.com");
    let run = place.run(&["serve", "--listen", simulator.address("http")]).expect(2);
    assert!(run.err.contains("cannot listen"), "{}", run.err);
}

#[test]
fn a_simulator_does_not_start_where_production_is_said() {
    let mut place = Place::new();
    place.set("UMS_ENV", "production");
    let run = place.run(&["simulator", "--http-port", "0"]).expect(2);
    assert!(run.err.contains("UMS_ENV"), "{}", run.err);
}
