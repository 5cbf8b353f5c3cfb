//! What operators do: cancel, resend, mark, replay, migrate; here and through a running service.

use serde_json::{Value, json};

use crate::http;
use crate::program::{Place, Running};

fn id_of(result: &Value) -> String {
    result["message_id"].as_str().unwrap().to_owned()
}

/// A place with providers that can fail, beside it the simulator.
fn place() -> (Place, Running) {
    let mut place = Place::new();
    let simulator = place.simulator();
    place.with_providers(&simulator);
    (place, simulator)
}

/// Two messages that failed because every provider was down.
fn with_failures(place: &Place, simulator: &Running) {
    for provider in ["ses", "sendgrid", "smtp"] {
        simulator.fault(provider, r#"{"mode": "error", "status": 503}"#);
    }
    for to in ["a@example.com", "b@example.com"] {
        assert_eq!(place.send_email(to, &["--on-exhausted", "fail"])["status"], "failed");
    }
    for provider in ["ses", "sendgrid", "smtp"] {
        simulator.heal(provider);
    }
}

const SINCE: &str = "2000-01-01T00:00:00Z";

#[test]
fn a_scheduled_message_is_cancelled_and_stays_so() {
    let (place, simulator) = place();
    let id = id_of(&place.send_email("a@example.com", &["--send-at", "2099-01-01T00:00:00Z"]));
    let told = place.run(&["messages", "cancel", &id]).expect(0).out;
    assert!(told.contains("cancelled") && told.contains("It will not be sent"), "{told}");
    let again = place.run(&["messages", "cancel", &id]).expect(1);
    assert!(again.err.contains("cannot be cancelled"), "{}", again.err);
    let story = place.run(&["messages", "explain", &id]).expect(0).out;
    assert!(story.contains("It was cancelled"), "{story}");
    assert!(simulator.received().is_empty());
    place.run(&["messages", "cancel", "0199f3a0-0000-7000-8000-000000000000"]).expect(1);
    place.run(&["messages", "mark", &id, "lost"]).expect(2);
}

#[test]
fn acting_makes_no_store() {
    let place = Place::new();
    place.run(&["messages", "resend", "0199f3a0-0000-7000-8000-000000000000"]).expect(1);
    let run = place
        .run(&["messages", "replay", "--failed", "--since", SINCE, "--dry-run"])
        .expect(0);
    assert!(run.out.contains("No failed messages"), "{}", run.out);
    assert!(!place.path().join("ums.db").exists());
}

#[test]
fn a_replay_is_previewed_and_then_sent_by_the_live_owner() {
    let (mut place, simulator) = place();
    with_failures(&place, &simulator);
    let replay = ["messages", "replay", "--failed", "--since", SINCE];
    let asked = place.run(&replay).expect(2);
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    let preview = place.run(&[&replay[..], &["--dry-run", "--json"]].concat()).expect(0).json();
    assert_eq!(
        (preview["preview"]["replayed"].as_u64(), &preview["sent_again"]),
        (Some(2), &json!(null))
    );
    assert_eq!(preview["preview"]["cost"], "0.000320", "{preview}");
    assert!(simulator.received().is_empty(), "a preview sends nothing");
    // Without a process that sends they are queued, and no more than that.
    let table = place.run(&[&replay[..], &["--yes", "--rate", "500/s"]].concat()).expect(0).out;
    assert!(table.contains("are sent again") && table.contains("0.000320 USD"), "{table}");
    assert!(simulator.received().is_empty(), "an act sends nothing itself");
    let listing = place.run(&["messages", "list", "--status", "queued", "--json"]).expect(0).json();
    assert_eq!(listing["data"].as_array().unwrap().len(), 2);
    // A service takes them up.
    place.set("UMS_ENV", "development").set("UMS_ALLOW_RECIPIENTS", "@example.com");
    let _service = place.start(&["serve", "--listen", "127.0.0.1:0"], "serving");
    while simulator.received().len() < 2 {
        std::thread::yield_now();
    }
    let none = place.run(&[&replay[..], &["--dry-run"]].concat()).expect(0).out;
    assert!(none.contains("No failed messages"), "{none}");
}

#[test]
fn a_running_service_is_told_what_to_do() {
    let place = Place::new();
    let dev = place.start(&["dev", "--listen", "127.0.0.1:0"], "Stop with Ctrl-C");
    let server = format!("http://{}", dev.address("service"));
    let run = |words: &[&str]| Place::new().run(&[words, &["--server", &server]].concat());
    let words = [
        "send",
        "sms",
        "--to",
        "+14165550123",
        "--body",
        "Hello",
        "--send-at",
        "2099-01-01T00:00:00Z",
        "--json",
    ];
    let id = id_of(&run(&words).expect(0).json());
    assert_eq!(run(&["messages", "cancel", &id, "--json"]).expect(0).json()["status"], "cancelled");
    let refused = run(&["messages", "resend", &id]).expect(1);
    assert!(refused.err.contains("UMS1016"), "{}", refused.err);
    run(&["messages", "mark", "0199f3a0-0000-7000-8000-000000000000", "sent"]).expect(1);

    dev.fault("sns", r#"{"mode": "error", "status": 503}"#);
    let failed = run(&[
        "send",
        "sms",
        "--to",
        "+14165550123",
        "--body",
        "Hello",
        "--via",
        "aws_sns",
        "--json",
    ])
    .json();
    assert_eq!(failed["status"], "failed");
    dev.heal("sns");
    let report = run(&["messages", "replay", "--failed", "--since", SINCE, "--yes", "--json"])
        .expect(0)
        .json();
    assert_eq!(
        (report["sent_again"]["replayed"].as_u64(), report["interrupted"].as_bool()),
        (Some(1), Some(false))
    );
}

#[test]
fn a_batch_over_http_is_sent() {
    let place = Place::new();
    let dev = place.start(&["dev", "--listen", "127.0.0.1:0"], "Stop with Ctrl-C");
    let sms = |index: usize| json!({"channel": "sms", "to": format!("+1416555{:04}", 100 + index), "message_body": "Hello"});
    let body = json!({"messages": (0..50).map(sms).collect::<Vec<_>>()});
    let answer = http::post(dev.address("service"), "/v1/batches", &body);
    assert_eq!(
        (answer.status, answer.json()["data"].as_array().unwrap().len()),
        (202, 50),
        "{}",
        answer.body
    );
    while dev.received().len() < 50 {
        std::thread::yield_now();
    }
}

#[test]
fn migrate_says_what_it_applied_and_then_has_nothing_to_do() {
    let place = Place::new();
    let sql = place.run(&["migrate", "--print"]).expect(0).out;
    assert!(sql.contains("CREATE TABLE") && !place.path().join("ums.db").exists(), "{sql:.200}");
    let applied = place.run(&["migrate", "--json"]).expect(0).json();
    assert_eq!(applied["applied"][0]["version"], 1, "{applied}");
    let again = place.run(&["migrate"]).expect(0).out;
    assert!(again.contains("nothing was changed"), "{again}");
    let wrong = place
        .run(&["migrate", "--database", "postgres://ums:hunter2@db.example.com"])
        .expect(2);
    assert!(
        wrong.err.contains("names no database") && !wrong.err.contains("hunter2"),
        "{}",
        wrong.err
    );
}

#[test]
fn the_password_of_a_database_is_never_shown() {
    let mut place = Place::new();
    place.set("UMS_DATABASE_URL", "postgres://ums:hunter2@127.0.0.1:1/ums");
    let shown = place.run(&["config", "show", "--all"]).expect(0);
    assert!(
        shown.out.contains("postgres://127.0.0.1:1/ums") && !shown.out.contains("hunter2"),
        "{}",
        shown.out
    );
    let away = place.run(&["messages", "list"]);
    assert_ne!(away.code, 0);
    assert!(!format!("{}{}", away.out, away.err).contains("hunter2"), "{}", away.err);
    place.set("UMS_DATABASE_URL", "postgres://ums:hunter2@db.example.com:port/ums");
    let wrong = place.run(&["config", "check"]).expect(2);
    assert!(
        wrong.out.contains("UMS_DATABASE_URL") && wrong.out.contains("valid port") && !wrong.out.contains("hunter2"),
        "{}",
        wrong.out
    );
}

/// Only a build for tests has these points.
#[cfg(debug_assertions)]
#[test]
fn a_failpoint_ends_the_process_and_is_no_unknown_setting() {
    let (mut place, simulator) = place();
    place.set("UMS_FAILPOINT", "intent.committed:1");
    let check = place.run(&["config", "check"]).expect(0).out;
    assert!(!check.contains("UMS_FAILPOINT"), "{check}");
    let run = place.run(&["send", "email", "--to", "a@example.com", "--subject", "s", "--text", "t"]);
    assert_eq!(run.code, -1, "ended by a signal: {}{}", run.out, run.err);
    assert!(simulator.received().is_empty(), "the intent was stored, the provider not called");
}
