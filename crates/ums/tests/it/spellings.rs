//! One subscriber is one, whatever the spelling: from a signed STOP to the lift by an operator.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use crate::http::{Answer, request};
use crate::program::{Place, Running};

const KEY: &str = "Authorization: Bearer spelling-key";
const TOKEN: &str = "canarytwiliotoken000000000000000";
const HOOK: &str = "https://ums.example.com/hooks/twilio";

/// A service with a simulator for every provider.
struct Service {
    place: Place,
    running: Running,
    simulator: Running,
    address: String,
}

impl Service {
    fn new(beside: &Place) -> Self {
        let simulator = beside.simulator();
        let mut place = Place::new();
        place
            .with_providers(&simulator)
            .set("UMS_API_KEY", "spelling-key")
            .set("UMS_EMAIL_CHAIN", "smtp")
            .set("UMS_PUBLIC_URL", "https://ums.example.com");
        let running = place.start(&["serve", "--listen", "127.0.0.1:0"], "\"serving\"");
        let line: Value = serde_json::from_str(&running.ready_line).unwrap();
        let address = line["address"].as_str().unwrap().to_owned();
        Self {
            place,
            running,
            simulator,
            address,
        }
    }

    fn call(&self, method: &str, target: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        request(&self.address, method, target, &[KEY], body.as_bytes())
    }

    fn text(&self, to: &str) -> Value {
        let answer = self.call("POST", "/v1/sms", &json!({"to": to, "message_body": "Your table is ready."}));
        assert_eq!(answer.status, 200, "{to}: {}", answer.body);
        answer.json()
    }

    fn mail(&self, to: &str) -> Value {
        let mail = json!({"to": to, "subject": "Your table", "text_content": "It is ready."});
        let answer = self.call("POST", "/v1/emails", &mail);
        assert_eq!(answer.status, 200, "{to}: {}", answer.body);
        answer.json()
    }

    /// Twilio reports a message that somebody wrote, with its signature.
    fn reply(&self, from: &str, body: &str, number: u32) {
        let fields = [
            ("AccountSid", format!("AC{}", "a".repeat(32))),
            ("Body", body.to_owned()),
            ("From", from.to_owned()),
            ("MessageSid", format!("SM{number:032}")),
            ("SmsStatus", "received".to_owned()),
            ("To", "+14155550100".to_owned()),
        ];
        let signed: String = fields.iter().fold(HOOK.to_owned(), |text, (name, value)| text + name + value);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, TOKEN.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
        let form = fields.map(|(name, value)| format!("{name}={}", escaped(&value))).join("&");
        let headers = [
            "Content-Type: application/x-www-form-urlencoded".to_owned(),
            format!("X-Twilio-Signature: {signature}"),
        ];
        let headers = [headers[0].as_str(), headers[1].as_str()];
        let answer = request(&self.address, "POST", "/hooks/twilio", &headers, form.as_bytes());
        assert!(answer.status < 300, "{}: {}", answer.status, answer.body);
    }

    fn ums(&self, words: &[&str]) -> Value {
        let run = self.place.run(&[&["suppressions"], words, &["--json"]].concat()).expect(0);
        run.json()
    }
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        write!(escaped, "%{byte:02X}").unwrap();
        escaped
    })
}

#[test]
fn a_stop_from_one_spelling_of_a_number_holds_for_the_other_until_it_is_lifted() {
    let beside = Place::new();
    let service = Service::new(&beside);
    for (number, (from, to)) in (1..).zip([
        ("+5215512345678", "+525512345678"),
        ("+541123456789", "+5491123456789"),
        ("+551187654321", "+5511987654321"),
    ]) {
        let before = service.simulator.received().len();
        service.reply(from, "“Stop”.\u{200b}", number);
        for spelling in [to, from] {
            let refused = service.text(spelling);
            assert_eq!(refused["status"], "unsubscribed", "{refused}");
            assert_eq!(refused["attempts"], json!([]), "nobody was called");
        }
        assert_eq!(service.simulator.received().len(), before);

        let shown = service.ums(&["show", to]);
        assert_eq!(shown["barred"], true, "{shown}");
        let entry = &shown["entries"][0];
        assert_eq!(
            (
                &entry["address"],
                &entry["reason"],
                &entry["origin"],
                &entry["provider"],
                &entry["detail"]
            ),
            (
                &json!(from),
                &json!("stop"),
                &json!("feedback"),
                &json!("twilio"),
                &json!("received/STOP")
            ),
        );
        assert_eq!(service.ums(&["remove", to]), json!({"removed": 1}));
        assert_eq!(service.ums(&["show", from])["barred"], false);
        let sent = service.text(to);
        assert_eq!(sent["status"], "sent", "{sent}");
        let received = service.simulator.received();
        assert_eq!(received.last().unwrap()["to"], json!([to]), "as the caller wrote it");
    }
    assert!(!service.running.logged().contains("5512345678"), "no number in the log");
}

#[test]
fn an_operator_sees_the_very_words_and_lifts_an_address_in_any_spelling() {
    let beside = Place::new();
    let service = Service::new(&beside);
    let fault = json!({"mode": "reject"}).to_string();
    service.simulator.fault("smtp", &fault);
    let refused = service.mail("Kunde@bücher.example");
    assert_eq!(refused["status"], "failed", "{refused}");
    service.simulator.heal("smtp");
    let barred = service.mail("kunde@xn--bcher-kva.example.");
    assert_eq!(
        (&barred["status"], &barred["attempts"]),
        (&json!("suppressed"), &json!([])),
        "{barred}"
    );

    let other = "KUNDE@BÜCHER。example";
    let shown = service.ums(&["show", other]);
    let entry = &shown["entries"][0];
    assert_eq!(
        (&shown["barred"], &entry["reason"]),
        (&json!(true), &json!("hard_bounce")),
        "{shown}"
    );
    assert_eq!(entry["message_id"], refused["message_id"]);
    let words = entry["detail"].as_str().unwrap();
    let text = service.place.run(&["suppressions", "show", other]).expect(0).out;
    for part in [
        words,
        "hard_bounce",
        "refused during a call by smtp",
        refused["message_id"].as_str().unwrap(),
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }

    // Over HTTP the same, in the spelling with the dot of the root.
    let query = "address=kunde%40b%C3%BCcher.example.";
    let page = service.call("GET", &format!("/v1/suppressions?{query}"), &Value::Null).json();
    assert_eq!(page["data"], json!([entry]), "{page}");
    let lifted = service.call("DELETE", &format!("/v1/suppressions?{query}"), &Value::Null).json();
    assert_eq!(lifted, json!({"lifted": 1}));
    assert_eq!(service.mail("kunde@bücher.example")["status"], "sent");
    let text = service.place.run(&["suppressions", "show", other]).expect(0).out;
    assert!(
        text.contains("not on the suppression list any more") && text.contains("lifted"),
        "{text}"
    );
    let text = service.place.run(&["suppressions", "show", "nobody@example.com"]).expect(0).out;
    assert_eq!(text.trim(), "nobody@example.com (email) is not on the suppression list.");
}
