//! Wrong input: a clear error, exit code 2, nothing sent, nothing lost.

use std::io::Write as _;
use std::process::Stdio;

use crate::http::{post, request};
use crate::program::Place;

#[test]
fn a_store_that_cannot_be_used_is_a_fault_of_the_configuration() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let send = ["send", "sms", "--to", "+14165550123", "--body", "x"];
    for (url, command, words) in [
        ("postgres://user:canary@localhost/ums?sslmode=any", &send[..], "sslmode"),
        ("postgres://user:canary@localhost/ums?sslmode=any", &["messages", "list"], "sslmode"),
        ("sqlite:///not/there/ums.db", &send, "cannot be opened"),
    ] {
        let mut place = Place::new();
        place.with_providers(&simulator).set("UMS_DATABASE_URL", url);
        let run = place.run(command).expect(2);
        assert!(run.err.contains("UMS_DATABASE_URL") && run.err.contains(words), "{}", run.err);
        assert!(!run.err.contains("canary"), "{}", run.err);
    }
    assert!(simulator.received().is_empty());
}

#[test]
fn a_database_that_does_not_answer_is_named_without_its_password() {
    let mut place = Place::new();
    place.set("UMS_DATABASE_URL", "postgres://user:canary@127.0.0.1:1/ums");
    let run = place.run(&["messages", "list"]).expect(1);
    assert!(run.err.contains("not available") && run.err.contains("refused"), "{}", run.err);
    assert!(!run.err.contains("canary"), "{}", run.err);
}

#[test]
fn faults_of_a_message_are_named_by_field_all_at_once() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    place.with_providers(&simulator);
    let run = place
        .run(&[
            "send",
            "email",
            "--to",
            "nobody",
            "--cc",
            "a@b@c",
            "--subject",
            "a\nBcc: x@example.com",
            "--text",
            "x",
        ])
        .expect(2);
    for field in ["to ", "cc ", "subject "] {
        assert!(run.err.contains(field), "no {field} in {}", run.err);
    }
    let long = "x".repeat(100_000);
    let email = ["send", "email", "--to", "a@example.com", "--subject"];
    for (more, name) in [
        (&["x"][..], "html_content"),
        (&[long.as_str(), "--text", "x"], "subject"),
        (&["x", "--text", "x", "--header", "Bcc: a@example.com"], "headers"),
        (&["x", "--text", "x", "--header", "X-A: 1", "--header", "X-A: 2"], "--header"),
        (&["x", "--text", "x", "--attach", "not-there.pdf"], "not-there.pdf"),
        (&["x", "--html-file", "-", "--text-file", "-"], "standard input"),
        (&["x", "--text", "x", "--expires-in", "0"], "--expires-in"),
        (&["x", "--text", "x", "--metadata", "novalue"], "name=value"),
        (&["x", "--text", "x", "--via", "twilio"], "--via"),
    ] {
        let run = place.run(&[&email[..], more].concat()).expect(2);
        assert!(run.err.contains(name), "no {name} in {}", run.err);
    }
    for words in [
        &["send", "sms", "--to", "+14165550123"][..],
        &["send", "sms", "--to", "+1900", "--body", "x"],
        &["send", "sms", "--to", "+14165550123", "--body", ""],
        &["send", "sms", "--to", "+14165550123", "--body", "x", "--body-file", "y"],
        &["send", "fax"],
        &["sent"],
    ] {
        place.run(words).expect(2);
    }
    assert!(simulator.received().is_empty());
    let listing = place.run(&["messages", "list", "--json"]).expect(0).json();
    assert_eq!(listing["data"].as_array().unwrap().len(), 0, "nothing was accepted");
}

#[test]
fn two_settings_at_odds_are_refused() {
    let mut place = Place::new();
    place
        .set("UMS_EMAIL_CHAIN", "smtp,smtp")
        .set("SMTP_HOST", "mail.example.com")
        .set("SMTP_PORT", "465")
        .set("SMTP_TLS", "sometimes");
    let run = place.run(&["serve"]).expect(2);
    assert!(run.err.contains("UMS_EMAIL_CHAIN") && run.err.contains("SMTP_TLS"), "{}", run.err);
    let run = place
        .run(&[
            "send",
            "email",
            "--to",
            "a@example.com",
            "--subject",
            "x",
            "--html",
            "x",
            "--html-file",
            "y",
        ])
        .expect(2);
    assert!(run.err.contains("--html"), "{}", run.err);
}

#[test]
fn wrong_bytes_on_standard_input_are_refused() {
    let place = Place::new();
    let words = ["send", "email", "--to", "a@example.com", "--subject", "x", "--text-file", "-"];
    let run = place.run_with(&words, b"\xff\xfe\x00").expect(2);
    assert!(run.err.contains("UTF-8"), "{}", run.err);
    let run = place.run_with(&words, &vec![b'x'; 19 * 1024 * 1024]).expect(2);
    assert!(run.err.contains("larger than"), "{}", run.err);
}

#[test]
fn http_refuses_what_is_malformed_huge_or_deep() {
    let place = Place::new();
    let dev = place.start(&["dev", "--listen", "127.0.0.1:0"], "Stop with Ctrl-C");
    let service = dev.address("service");
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let huge = format!(
        r#"{{"to": "a@example.com", "subject": "{}", "text_content": "x"}}"#,
        "x".repeat(10 * 1024 * 1024)
    );
    for body in [
        r#"{"to": "#,
        "[]",
        "null",
        "{}",
        r#"{"to": "a@example.com", "subject": "\ud800", "text_content": "x"}"#,
        r#"{"to": "a@example.com", "subject": "x", "text_content": "x", "subjct": "y"}"#,
        deep.as_str(),
        huge.as_str(),
    ] {
        let answer = request(service, "POST", "/v1/emails", &[], body.as_bytes());
        let start: String = body.chars().take(40).collect();
        assert!((400..500).contains(&answer.status), "{start}: {} {}", answer.status, answer.body);
        assert!(
            answer.json()["code"].as_str().is_some_and(|code| code.starts_with("UMS")),
            "{start}: {}",
            answer.body
        );
    }
    assert!(dev.received().is_empty());
    let fine = serde_json::json!({"to": "a@example.com", "subject": "x", "text_content": "x"});
    assert_eq!(post(service, "/v1/emails", &fine).json()["status"], "sent");
}

#[test]
fn an_import_of_an_endless_line_or_quotation_mark_ends_with_words_and_in_bounded_memory() {
    let place = Place::new();
    place.run(&["migrate"]).expect(0);
    for (heading, block, why) in [
        ("address\n", "x", "is longer than 64 KiB"),
        ("address\n\"", "a@example.com\n", "never closed"),
    ] {
        let mut command = place.command(&["suppressions", "import", "-"]);
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut import = command.spawn().unwrap();
        let mut pipe = import.stdin.take().unwrap();
        pipe.write_all(heading.as_bytes()).unwrap();
        // It goes on until nobody reads any more.
        let block = block.repeat(4096);
        while pipe.write_all(block.as_bytes()).is_ok() {}
        let output = import.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(
            told.contains("line 2: ") && told.contains(why) && told.contains("nothing was imported"),
            "{told}"
        );
        assert!(!told.contains("a@example"), "{told}");
    }
}
