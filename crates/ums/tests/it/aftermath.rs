//! What comes after a message is sent: feedback, the suppression list, webhooks; here and through a running service.
//! Long because each test is a story of its own, told to its end through the binary.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use ums_core::{Clock as _, SystemClock};

use crate::http::{get, post};
use crate::program::{Place, Running};

/// Longest wait for what the simulator reports, or the service posts.
const PATIENCE: Duration = Duration::from_secs(20);

fn migrated() -> Place {
    let place = Place::new();
    place.run(&["migrate"]).expect(0);
    place
}

fn dev(place: &Place, more: &[&str]) -> Running {
    place.start(&[&["dev", "--listen", "127.0.0.1:0"], more].concat(), "Stop with Ctrl-C")
}

fn email(to: &str) -> Value {
    json!({"to": to, "subject": "Your receipt", "text_content": "Thank you."})
}

/// Looks again and again until something is so.
#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock::new();
    let give_up = clock.monotonic() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(clock.monotonic() < give_up, "not seen: {what}");
        std::thread::yield_now();
    }
}

fn status_of(dev: &Running, id: &str) -> Value {
    get(dev.address("service"), &format!("/v1/messages/{id}")).json()
}

#[test]
fn words_of_others_command_no_terminal() {
    let place = migrated();
    let add = ["suppressions", "add", "a@example.com", "--detail", "gone\u{202e}fdp.exe"];
    place.run(&add).expect(0);
    let show = ["suppressions", "show", "a@example.com"];
    let shown = place.run(&show).expect(0).out;
    assert!(shown.contains("gone\\u{202e}fdp.exe"), "{shown:?}");
    let json = place.run(&[&show[..], &["--json"]].concat()).expect(0);
    assert!(
        !json.out.contains('\u{202e}') && json.json().to_string().contains('\u{202e}'),
        "{:?}",
        json.out
    );
}

#[test]
fn the_list_goes_out_as_a_sheet_and_comes_back() {
    let place = migrated();
    place
        .run(&["suppressions", "add", "Customer@Example.com", "--detail", "=cmd()"])
        .expect(0);
    let told = place.run(&["suppressions", "add", "+14165550123", "--reason", "stop"]).expect(0);
    assert!(told.out.contains("on the list now (sms, stop: bars every message)"), "{}", told.out);
    let shown = place.run(&["suppressions", "show", "+1 416 555 0123"]).expect(0).out;
    assert!(shown.contains("bars     every message"), "{shown}");
    let again = place
        .run(&["suppressions", "add", "customer@example.com", "--detail", "=cmd()", "--json"])
        .expect(0);
    assert_eq!(again.json(), json!({"added": 0}));

    let table = place.run(&["suppressions", "list"]).expect(0).out;
    assert!(table.contains("customer@example.com") && table.contains("+14165550123"), "{table}");
    let one = place
        .run(&["suppressions", "list", "--address", "CUSTOMER@example.com", "--json"])
        .expect(0)
        .json();
    assert_eq!(
        (one["data"].as_array().unwrap().len(), one["data"][0]["reason"].as_str()),
        (1, Some("manual"))
    );

    place.run(&["suppressions", "export", "--output", "list.csv"]).expect(0);
    let sheet = std::fs::read_to_string(place.path().join("list.csv")).unwrap();
    assert!(sheet.contains(",'+14165550123,") && sheet.contains(",'=cmd()"), "{sheet}");

    let other = migrated();
    let imported = other
        .run_with(&["suppressions", "import", "-", "--json"], sheet.as_bytes())
        .expect(0)
        .json();
    assert_eq!((imported["added"].as_u64(), imported["known"].as_u64()), (Some(2), Some(0)));
    let twice = other.run_with(&["suppressions", "import", "-"], sheet.as_bytes()).expect(0).out;
    assert!(twice.contains("0 new on the list, 2 were on it already"), "{twice}");

    let off = other.run(&["suppressions", "remove", "+14165550123"]).expect(0);
    assert!(off.out.contains("off the list"), "{}", off.out);
    other.run(&["suppressions", "remove", "+14165550123"]).expect(1);
    let all = other.run(&["suppressions", "list", "--all", "--json"]).expect(0).json();
    assert_eq!(all["data"].as_array().unwrap().len(), 2, "{all}");
}

#[test]
fn a_wrong_line_imports_nothing_unless_told() {
    let place = migrated();
    let sheet = b"address,reason\na@example.com,complaint\nnobody-at-all,stop\n";
    let refused = place.run_with(&["suppressions", "import", "-"], sheet).expect(2);
    assert!(
        refused.err.contains("line 3") && refused.err.contains("--skip-invalid"),
        "{}",
        refused.err
    );
    assert!(!refused.err.contains("nobody-at-all"), "{}", refused.err);
    let listed = place.run(&["suppressions", "list", "--json"]).expect(0).json();
    assert_eq!(listed["data"], json!([]));
    place.run_with(&["suppressions", "import", "-", "--dry-run"], sheet).expect(1);
    let told = place
        .run_with(&["suppressions", "import", "-", "--skip-invalid"], sheet)
        .expect(0)
        .out;
    assert!(told.contains("1 new on the list") && told.contains("1 lines left out"), "{told}");
    let late = place
        .run(&["suppressions", "add", "late@example.com", "--expires", "2020-01-01T00:00:00Z"])
        .expect(2);
    assert!(late.err.contains("--expires must be later than now"), "{}", late.err);
    let nowhere = Place::new().run(&["suppressions", "add", "a@example.com"]).expect(2);
    assert!(nowhere.err.contains("ums migrate"), "{}", nowhere.err);
}

#[test]
fn what_the_simulator_reports_is_believed_and_ends_in_the_story() {
    let place = Place::new();
    let dev = dev(
        &place,
        &["--feedback-delay", "0,50", "--feedback-copies", "1,3", "--feedback-shuffle"],
    );
    let send = |to: &str, purpose: &str| {
        let mut request = email(to);
        request["purpose"] = purpose.into();
        post(dev.address("service"), "/v1/emails", &request).json()
    };
    let id = send("customer@example.com", "transactional")["message_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let delivered = until("delivered by SES", || {
        let message = status_of(&dev, &id);
        (message["status"] == "delivered").then_some(message)
    });
    assert!(delivered["delivered_at"].is_string(), "{delivered}");
    let server = format!("http://{}", dev.address("service"));
    let told = Place::new().run(&["messages", "show", &id, "--server", &server]).expect(0).out;
    assert!(told.contains("delivered"), "{told}");

    for (provider, broken) in [("ses", "bounce"), ("sendgrid", "bounce")] {
        dev.fault(provider, &format!(r#"{{"mode": "{broken}"}}"#));
    }
    let bounced = send("gone@example.com", "transactional")["message_id"].as_str().unwrap().to_owned();
    until("bounced", || (status_of(&dev, &bounced)["status"] == "bounced").then_some(()));
    let refused = send("gone@example.com", "otp");
    assert_eq!(refused["status"], "suppressed", "{refused}");
    assert_eq!(refused["attempts"], json!([]));
    let listed = Place::new()
        .run(&["suppressions", "list", "--json", "--server", &server])
        .expect(0)
        .json();
    let entries = listed["data"].as_array().unwrap();
    assert_eq!(entries.len(), 1, "{listed}");
    assert_eq!(
        (
            entries[0]["address"].as_str(),
            entries[0]["reason"].as_str(),
            entries[0]["origin"].as_str()
        ),
        (Some("gone@example.com"), Some("hard_bounce"), Some("feedback"))
    );
    for words in [["--channel", "sms"], ["--reason", "stop"]] {
        let none = Place::new()
            .run(&[&["suppressions", "list", "--json", "--server", &server], &words[..]].concat())
            .expect(0)
            .json();
        assert_eq!(none["data"], json!([]));
    }
    Place::new()
        .run(&["suppressions", "remove", "gone@example.com", "--server", &server])
        .expect(0);
    for provider in ["ses", "sendgrid"] {
        dev.heal(provider);
    }
    assert_eq!(send("gone@example.com", "transactional")["status"], "sent");
}

#[test]
fn text_messages_are_reported_by_both_providers() {
    let place = Place::new();
    let dev = dev(&place, &["--feedback-delay", "0,50"]);
    let send = || {
        let sent = post(
            dev.address("service"),
            "/v1/sms",
            &json!({"to": "+14165550123", "message_body": "Hello"}),
        )
        .json();
        (
            sent["message_id"].as_str().unwrap().to_owned(),
            sent["metadata"]["provider"].as_str().unwrap().to_owned(),
        )
    };
    let (by_sns, provider) = send();
    assert_eq!(provider, "aws_sns");
    dev.fault("sns", r#"{"mode": "error", "status": 503}"#);
    let (by_twilio, provider) = send();
    assert_eq!(provider, "twilio");
    until("Twilio's callback", || {
        (status_of(&dev, &by_twilio)["status"] == "delivered").then_some(())
    });
    dev.heal("sns");
    until("SNS's log", || (status_of(&dev, &by_sns)["status"] == "delivered").then_some(()));
}

#[test]
fn a_bounce_message_finds_its_attempt() {
    let mut place = Place::new();
    let simulator = place.simulator();
    place.with_providers(&simulator);
    simulator.fault("smtp", r#"{"mode": "bounce"}"#);
    let words = [
        "send",
        "email",
        "--to",
        "gone@example.com",
        "--subject",
        "Receipt",
        "--text",
        "Thank you.",
        "--via",
        "smtp",
        "--json",
    ];
    let sent = place.run(&words).expect(0).json();
    let id = sent["message_id"].as_str().unwrap();
    let bounces = get(simulator.address("http"), "/_sim/bounces").json();
    let bounce = bounces["bounces"][0]["dsn"].as_str().unwrap();

    let read = place
        .run_with(&["feedback", "dsn", "--dry-run"], bounce.as_bytes())
        .expect(0)
        .json();
    assert_eq!(read["events"][0]["kind"], "bounced", "{read}");
    assert_eq!(place.run(&["messages", "show", id, "--json"]).expect(0).json()["status"], "sent");
    let handed = place.run_with(&["feedback", "dsn", "--json"], bounce.as_bytes()).expect(0).json();
    assert_eq!(handed["applied"], 1, "{handed}");
    let twice = place.run_with(&["feedback", "dsn", "--json"], bounce.as_bytes()).expect(0).json();
    assert_eq!((&twice["applied"], &twice["known"]), (&json!(0), &json!(1)), "{twice}");
    assert_eq!(place.run(&["messages", "show", id, "--json"]).expect(0).json()["status"], "bounced");
    let story = place.run(&["messages", "explain", id]).expect(0).out;
    assert!(story.contains("bounced") && story.contains("smtp"), "{story}");

    let chat = place
        .run_with(&["feedback", "dsn"], b"From: a@example.com\r\nSubject: Hi\r\n\r\nHow are you?\r\n")
        .expect(0);
    assert!(chat.err.contains("left alone"), "{}", chat.err);
}

#[test]
fn a_mail_server_is_never_made_to_bounce_a_bounce() {
    let place = Place::new();
    let report = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nIt came back.\r\n--b\r\n\
                  Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\n\
                  Final-Recipient: rfc822; gone@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n\
                  --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n";
    let mail = format!("{report}{}", "x\r\n".repeat(7 << 20));
    let read = place.run_with(&["feedback", "dsn", "--dry-run"], mail.as_bytes()).expect(0).json();
    assert_eq!(read["events"][0]["kind"], "bounced", "{read}");

    let late = format!("Subject: x\r\n{}\r\n{report}", "X-Filler: x\r\n".repeat(1 << 20));
    let left = place.run_with(&["feedback", "dsn"], late.as_bytes()).expect(0);
    assert!(
        left.err.contains("left alone") && left.err.contains("in its first MiB"),
        "{}",
        left.err
    );

    let endless = std::fs::File::open("/dev/zero").unwrap();
    let left = place.command(&["feedback", "dsn"]).stdin(endless).output().unwrap();
    assert_eq!(left.status.code(), Some(0), "{left:?}");

    let mut wrong = Place::new();
    wrong.set("UMS_DATABASE_URL", "nonsense");
    let kept = wrong.run_with(&["feedback", "dsn"], report.as_bytes()).expect(75);
    assert!(kept.err.contains("UMS_DATABASE_URL"), "{}", kept.err);
}

#[test]
fn a_payload_is_checked_by_hand() {
    let place = Place::new();
    let unsigned = br#"[{"email":"gone@example.com","event":"bounce","type":"bounce","status":"5.1.1","timestamp":1795341600,
        "sg_event_id":"e1","sg_message_id":"m1.filter"}]"#;
    let read = place
        .run_with(&["feedback", "check", "--provider", "sendgrid"], unsigned)
        .expect(0)
        .json();
    assert_eq!(read["signature"], "none");
    let event = &read["events"][0];
    assert_eq!(
        [&event["kind"], &event["recipient"], &event["provider_message_id"], &event["bounce"]],
        [&json!("bounced"), &json!("gone@example.com"), &json!("m1"), &json!("hard")]
    );
    assert_eq!(event["at"], "2026-11-22T10:00:00Z");
    let forged = place
        .run_with(
            &[
                "feedback",
                "check",
                "--provider",
                "twilio",
                "--key",
                "token",
                "--url",
                "https://example.com/hooks/twilio",
                "--header",
                "X-Twilio-Signature: AAAA",
            ],
            b"MessageSid=SM1&MessageStatus=delivered&To=%2B14165550123",
        )
        .expect(1)
        .json();
    assert_eq!(
        (&forged["signature"], &forged["events"][0]["kind"]),
        (&json!("invalid"), &json!("delivered"))
    );
}

/// The server's own words decide whether an address is dead, whoever reports them.
#[test]
fn a_report_condemns_only_by_a_positive_sign() {
    const ATTEMPT: &str = "01930000-0000-7000-8000-000000000002";
    let place = Place::new();
    let read = |provider: &str, body: &str| {
        let words = ["feedback", "check", "--provider", provider];
        place.run_with(&words, body.as_bytes()).expect(0).json()["events"][0].clone()
    };
    let dsn = |status: &str, diagnostic: &str| {
        format!(
            "From: MAILER-DAEMON@example.net\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
             Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\nOriginal-Envelope-Id: {ATTEMPT}\r\n\r\n\
             Final-Recipient: rfc822; ann@example.com\r\nAction: failed\r\nStatus: {status}\r\nDiagnostic-Code: {diagnostic}\r\n\r\n--b--\r\n"
        )
    };
    for (status, diagnostic, bounce) in [
        ("5.1.1", "smtp; 550 5.1.1 User unknown", "hard"),
        ("5.1.1", "smtp; 550 5.7.1 IP address blacklisted by recipient", "soft"),
        ("5.0.0", "smtp; 550 DMARC check failed", "soft"),
    ] {
        let event = read("smtp", &dsn(status, diagnostic));
        assert_eq!(event["bounce"], bounce, "{status} {diagnostic}");
        assert_eq!(event["suppress"].is_null(), bounce == "soft", "{status} {diagnostic}");
        let ses = json!({
            "eventType": "Bounce",
            "mail": {"messageId": "m1", "destination": ["ann@example.com"], "timestamp": "2026-11-22T10:00:00Z"},
            "bounce": {"bounceType": "Permanent", "bounceSubType": "General", "feedbackId": "f1", "timestamp": "2026-11-22T10:00:00Z",
                "bouncedRecipients": [{"emailAddress": "ann@example.com", "action": "failed", "status": status, "diagnosticCode": diagnostic}]},
        });
        assert_eq!(read("aws_ses", &ses.to_string())["bounce"], bounce, "SES: {status} {diagnostic}");
        let reason = diagnostic.trim_start_matches("smtp; ");
        let sendgrid = json!([{"event": "bounce", "type": "bounce", "email": "ann@example.com", "status": status, "reason": reason}]);
        assert_eq!(
            read("sendgrid", &sendgrid.to_string())["bounce"],
            bounce,
            "SendGrid: {status} {diagnostic}"
        );
    }
    let plain = include_str!("../../../ums-providers/tests/fixtures/bounces/exim_plain.eml");
    assert_eq!(read("smtp", plain)["bounce"], "hard");
    let complaint = include_str!("../../../ums-providers/tests/fixtures/bounces/jmrp_plain.eml");
    assert_eq!(read("smtp", complaint)["suppress"], "complaint");
    let blocked = read(
        "twilio",
        "MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30004&To=%2B15555550123",
    );
    assert_eq!((&blocked["kind"], &blocked["suppress"]), (&json!("rejected"), &Value::Null));
    let landline = read(
        "twilio",
        "MessageSid=SM1&MessageStatus=undelivered&ErrorCode=30006&To=%2B15555550123",
    );
    assert_eq!((&landline["kind"], &landline["suppress"]), (&json!("failed"), &Value::Null));
}

/// An application that takes what it is told, and tells the test: the head and the body of each post.
fn application() -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4_096];
            let (head, body) = loop {
                let read = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
                if body.len() >= length.unwrap().parse::<usize>().unwrap() {
                    break (head.to_owned(), body.to_owned());
                }
            };
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
            if tell.send((head, serde_json::from_str(&body).unwrap())).is_err() {
                return;
            }
        }
    });
    (url, told)
}

#[test]
fn an_application_is_told_once_of_each_transition() {
    let place = Place::new();
    let dev = dev(&place, &["--feedback-delay", "100,200", "--feedback-copies", "2,4"]);
    let server = format!("http://{}", dev.address("service"));
    let run = |words: &[&str]| Place::new().run(&[words, &["--server", &server]].concat());
    let (url, told) = application();
    let made = run(&[
        "webhooks",
        "add",
        &url,
        "--event",
        "message.sent",
        "--event",
        "message.delivered",
        "--json",
    ])
    .expect(0)
    .json();
    let id = made["id"].as_str().unwrap();
    assert!(made["secrets"][0].as_str().unwrap().starts_with("whsec_"), "{made}");
    assert!(!run(&["webhooks", "list"]).expect(0).out.contains("whsec_"));
    run(&["webhooks", "test", id]).expect(0);
    let (head, body) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(body["type"], "test.ping");
    for header in ["webhook-id: ", "webhook-timestamp: ", "webhook-signature: v1,"] {
        assert!(head.to_ascii_lowercase().contains(header), "{head}");
    }

    let message = post(dev.address("service"), "/v1/emails", &email("customer@example.com")).json();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (_, body) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(body["data"]["message_id"], message["message_id"]);
        assert!(!body.to_string().contains("Thank you"), "{body}");
        kinds.push(body["type"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    assert_eq!(kinds, ["message.delivered", "message.sent"]);
    let deliveries = until("all are taken", || {
        let page = run(&["webhooks", "deliveries", "--json"]).expect(0).json();
        let all = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(|delivery| delivery["state"] == "delivered");
        all.then_some(page)
    });
    assert_eq!(deliveries["data"].as_array().unwrap().len(), 2, "{deliveries}");
    run(&["webhooks", "replay", "--delivered"]).expect(2);
    run(&["webhooks", "replay", "--json"]).expect(0);

    run(&["webhooks", "change", id, "--disable"]).expect(0);
    run(&["webhooks", "rotate", id, "--overlap-hours", "1"]).expect(0);
    let shown = run(&["webhooks", "show", id, "--json"]).expect(0).json();
    assert_eq!(
        (shown["enabled"].as_bool(), shown["secrets"].as_array().unwrap().len()),
        (Some(false), 2),
        "{shown}"
    );
    run(&["webhooks", "remove", id]).expect(0);
    run(&["webhooks", "show", id]).expect(1);
}

#[test]
fn an_endpoint_in_a_closed_network_is_refused_unless_allowed() {
    let mut place = migrated();
    let keyless = place.run(&["webhooks", "add", "https://app.example.com/hooks"]).expect(2);
    assert!(keyless.err.contains("UMS_SECRET_KEY"), "{}", keyless.err);
    place.set("UMS_SECRET_KEY", "0123456789abcdef0123456789abcdef");
    for url in [
        "http://app.example.com/",
        "https://user@app.example.com/",
        "ftp://app.example.com/",
        "https://127.0.0.1/",
    ] {
        let refused = place.run(&["webhooks", "add", url]).expect(2);
        assert!(!refused.err.is_empty());
    }
    place.run(&["webhooks", "add", "https://app.example.com/hooks"]).expect(0);
    let listed = place.run(&["webhooks", "list"]).expect(0).out;
    assert!(
        listed.contains("https://app.example.com/hooks") && listed.contains("everything"),
        "{listed}"
    );
}
