//! A provider account in trouble costs nobody a message, and puts nobody on the suppression list.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use ums_core::{Clock as _, SystemClock};

use crate::http::{get, post, request};
use crate::program::{Place, Running};

const PATIENCE: Duration = Duration::from_secs(30);
const KEY: &str = "Authorization: Bearer account-key";

/// SES, whose account is paused: the answer, and how often it was given.
fn paused_ses() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || refuse(stream, &counted));
        }
    });
    (address, calls)
}

fn refuse(mut stream: TcpStream, calls: &AtomicUsize) {
    const PAUSED: &str = r#"{"message":"Sending paused for this account. For more information, please check the inbox of the email address associated with your AWS account."}"#;
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    let whole = |request: &[u8]| {
        let text = String::from_utf8_lossy(request).to_ascii_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head
            .split("content-length: ")
            .nth(1)?
            .lines()
            .next()?
            .trim()
            .parse::<usize>()
            .ok()?;
        (body.len() >= length).then_some(())
    };
    while whole(&request).is_none() {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&piece[..read]),
        }
    }
    calls.fetch_add(1, Ordering::SeqCst);
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nx-amzn-errortype: MessageRejected\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        PAUSED.len()
    );
    drop(stream.write_all(format!("{head}{PAUSED}").as_bytes()));
}

fn ses_of(health: &Value) -> &Value {
    &health["email_providers"][0]
}

#[test]
fn a_paused_account_fails_nobody() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let (ses, calls) = paused_ses();
    let mut place = Place::new();
    place
        .with_providers(&simulator)
        .set("AWS_ENDPOINT_URL_SESV2", format!("http://{ses}"))
        .set("UMS_API_KEY", "account-key");
    let running = place.start(&["serve", "--listen", "127.0.0.1:0"], "\"serving\"");
    let line: Value = serde_json::from_str(&running.ready_line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    for number in 0..30 {
        let body = json!({"to": format!("customer{number}@example{number}.com"), "subject": "Receipt", "text_content": "Thank you."});
        let answer = request(&address, "POST", "/v1/emails", &[KEY], body.to_string().as_bytes()).json();
        assert_eq!(
            (&answer["status"], &answer["metadata"]["provider"]),
            (&json!("sent"), &json!("sendgrid")),
            "{answer}"
        );
        if number == 0 {
            assert_eq!(answer["attempts"][0]["class"], "misconfigured", "{answer}");
        }
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1, "an open breaker is not called");
    let health = request(&address, "GET", "/v1/providers/health", &[KEY], b"").json();
    assert_eq!(
        (&ses_of(&health)["circuit_breaker"], &ses_of(&health)["status"]),
        (&json!("open"), &json!("misconfigured")),
        "{health}"
    );
    let listed = place.run(&["suppressions", "list", "--json"]).expect(0).json();
    assert_eq!(listed["data"], json!([]));
    let (_, log) = running.terminate();
    let alarm = log.lines().find(|line| line.contains("provider needs an operator")).unwrap();
    assert!(alarm.contains("Sending paused for this account"), "{alarm}");
}

const SPREAD: [&str; 5] = [
    "a@one.example",
    "b@two.example",
    "c@three.example",
    "d@one.example",
    "e@two.example",
];

fn dev(place: &Place) -> Running {
    let data = place.path().join("data").display().to_string();
    place.start(
        &["dev", "--listen", "127.0.0.1:0", "--feedback-delay", "0", "--data", &data],
        "Stop with Ctrl-C",
    )
}

/// SES takes five messages, and reports that each bounced hard.
fn five_bounces(dev: &Running) {
    dev.fault("ses", r#"{"mode": "bounce"}"#);
    for to in SPREAD {
        let body = json!({"to": to, "subject": "Receipt", "text_content": "Thank you."});
        // The process may have been killed before the last answer.
        if let Ok(mut stream) = TcpStream::connect(dev.address("service")) {
            let body = body.to_string();
            let head = format!(
                "POST /v1/emails HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                dev.address("service"),
                body.len()
            );
            drop(stream.write_all(format!("{head}{body}").as_bytes()));
            drop(stream.read_to_end(&mut Vec::new()));
        }
    }
}

/// Waits until the account of SES is taken out and nobody is on the list.
fn until_undone(dev: &Running) {
    let clock = SystemClock::new();
    let give_up = clock.monotonic() + PATIENCE;
    loop {
        let health = get(dev.address("service"), "/v1/providers/health").json();
        let listed = get(dev.address("service"), "/v1/suppressions").json();
        if ses_of(&health)["status"] == "misconfigured" && listed["data"] == json!([]) {
            return;
        }
        assert!(clock.monotonic() < give_up, "{health}\n{listed}");
        std::thread::yield_now();
    }
}

fn goes_by_sendgrid(dev: &Running) {
    let body = json!({"to": SPREAD[0], "subject": "Receipt", "text_content": "Thank you."});
    let next = post(dev.address("service"), "/v1/emails", &body).json();
    assert_eq!(
        (&next["status"], &next["metadata"]["provider"]),
        (&json!("sent"), &json!("sendgrid")),
        "{next}"
    );
}

#[test]
fn five_reported_bounces_take_the_account_out_and_leave_nobody_on_the_list() {
    let place = Place::new();
    let dev = dev(&place);
    five_bounces(&dev);
    until_undone(&dev);
    goes_by_sendgrid(&dev);
    assert!(dev.logged().contains("provider needs an operator"), "{}", dev.logged());
}

/// Only a build for tests has these points.
#[cfg(debug_assertions)]
#[test]
fn a_decision_to_undo_outlives_the_process_that_made_it() {
    let mut place = Place::new();
    place.set("UMS_FAILPOINT", "undo.committed:1");
    let killed = dev(&place);
    five_bounces(&killed);
    assert_eq!(killed.wait(PATIENCE), None, "ended by a signal");
    place.set("UMS_FAILPOINT", "no.such.point:1");
    let next = dev(&place);
    until_undone(&next);
    goes_by_sendgrid(&next);
}

fn serve(place: &Place) -> (Running, String) {
    let running = place.start(&["serve", "--listen", "127.0.0.1:0"], "\"serving\"");
    let line: Value = serde_json::from_str(&running.ready_line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    (running, address)
}

fn listed(place: &Place) -> usize {
    let list = place.run(&["suppressions", "list", "--json"]).expect(0).json();
    list["data"].as_array().unwrap().len()
}

/// Refusals of one streak, before and after a kill, are undone together: the process dies when it knows the fifth and has not stored it.
#[cfg(debug_assertions)]
#[test]
fn refusals_from_before_a_kill_are_undone_with_those_after_it() {
    let beside = Place::new();
    let simulator = beside.simulator();
    simulator.fault("smtp", r#"{"mode": "reject"}"#);
    let mut place = Place::new();
    place
        .with_providers(&simulator)
        .set("UMS_EMAIL_CHAIN", "smtp,sendgrid")
        .set("UMS_API_KEY", "account-key")
        .set("UMS_FAILPOINT", "call.answered:5");
    let (killed, address) = serve(&place);
    let send = |address: &str, to: &str| {
        let body = json!({"to": to, "subject": "Receipt", "text_content": "Thank you."});
        request(address, "POST", "/v1/emails", &[KEY], body.to_string().as_bytes()).json()
    };
    for to in &SPREAD[..4] {
        assert_eq!(send(&address, to)["status"], "failed", "{to}");
    }
    let body = json!({"to": SPREAD[4], "subject": "Receipt", "text_content": "Thank you."}).to_string();
    let head = format!(
        "POST /v1/emails HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer account-key\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    assert_eq!(killed.wait(PATIENCE), None, "ended by a signal");

    place.set("UMS_FAILPOINT", "no.such.point:1");
    let (next, address) = serve(&place);
    assert_eq!(listed(&place), 4, "one process knows no streak yet");
    for number in 0..5 {
        send(&address, &format!("customer{number}@example{number}.com"));
    }
    let health = request(&address, "GET", "/v1/providers/health", &[KEY], b"").json();
    assert_eq!(ses_of(&health)["status"], "misconfigured", "{health}");
    let answer = send(&address, "customer9@example9.com");
    assert_eq!(answer["metadata"]["provider"], "sendgrid", "{answer}");
    assert_eq!(listed(&place), 0);
    drop(next);
}
