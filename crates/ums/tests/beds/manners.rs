//! Servers that a client without manners does not get past: a Postfix that insists on a proper EHLO, one that ends idle sessions, one
//! that announces DSN and refuses it, and an aiosmtpd that does all of what the field does. Nobody's message is late, doubled or an
//! attempt that failed, and the breaker sees nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bed;
use crate::http::request;
use crate::program::{Place, Running};

const KEY: &str = "Authorization: Bearer bed-key";

/// A service whose only provider is the server at this address.
struct Service {
    running: Running,
    address: String,
    _place: Place,
}

impl Service {
    fn start(server: &str, more: &[(&str, &str)]) -> Self {
        let (host, port) = server.rsplit_once(':').unwrap();
        let mut place = Place::new();
        place
            .set("SMTP_HOST", host)
            .set("SMTP_PORT", port)
            .set("SMTP_TLS", "none")
            .set("SMTP_FROM_EMAIL", "shop@example.com")
            .set("UMS_API_KEY", "bed-key");
        for (name, value) in more {
            place.set(name, *value);
        }
        let running = place.start(&["serve", "--listen", "127.0.0.1:0"], "\"serving\"");
        let line: Value = serde_json::from_str(&running.ready_line).unwrap();
        let address = line["address"].as_str().unwrap().to_owned();
        Self {
            running,
            address,
            _place: place,
        }
    }

    /// Sends, and insists that the first call did it.
    #[track_caller]
    fn send(&self, to: &[&str]) {
        let body = json!({"to": to, "subject": "Hello", "text_content": "Hello", "on_exhausted": "fail"}).to_string();
        let answer = request(&self.address, "POST", "/v1/emails", &[KEY], body.as_bytes());
        let result = answer.json();
        assert_eq!(result["status"], "sent", "{result}\n{}", self.running.logged());
        assert_eq!(result["attempts"].as_array().unwrap().len(), 1, "{result}");
        for recipient in result["recipients"].as_array().unwrap() {
            assert_eq!(recipient["status"], "sent", "{result}");
        }
    }

    /// No failure was counted.
    #[track_caller]
    fn breaker_saw_nothing(&self) {
        let health = request(&self.address, "GET", "/v1/providers/health", &[KEY], b"").json();
        let smtp = &health["email_providers"][0];
        assert_eq!(smtp["provider"], "smtp", "{health}");
        assert_eq!(smtp["failure_count"], 0, "{health}");
        assert_eq!(
            (&smtp["circuit_breaker"], &smtp["last_failure"]),
            (&json!("closed"), &Value::Null),
            "{health}"
        );
    }
}

/// A client without manners.
struct Rude(BufReader<TcpStream>);

impl Rude {
    /// Connects and says EHLO with this name.
    fn new(server: &str, name: &str) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut rude = Self(BufReader::new(stream));
        rude.hear();
        rude.say(&format!("EHLO {name}"));
        rude
    }

    /// Says a line, and gives the last line of the reply.
    fn say(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.hear()
    }

    /// The last line of the next reply; empty when the server is gone.
    fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).unwrap();
            if read == 0 || line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }
}

#[test]
fn postfix_takes_the_name_that_ehlo_gives() {
    let server = bed("UMS_BED_POSTFIX_STRICT_ADDR");
    let mut rude = Rude::new(&server, "srv1");
    rude.say("MAIL FROM:<shop@example.com>");
    let refused = rude.say("RCPT TO:<a@example.com>");
    assert!(refused.starts_with("504 5.5.2") && refused.contains("fully-qualified"), "{refused}");

    for more in [
        &[][..],
        &[("SMTP_HELO_NAME", "mail.example.com")],
        &[("SMTP_HELO_NAME", "[IPv6:2001:db8::5]")],
    ] {
        let service = Service::start(&server, more);
        service.send(&["a@example.com"]);
        service.breaker_saw_nothing();
    }
}

#[test]
fn a_session_that_postfix_ended_costs_no_attempt() {
    let server = bed("UMS_BED_POSTFIX_IDLE_ADDR");
    let service = Service::start(&server, &[]);
    for _ in 0..2 {
        service.send(&["a@example.com"]);
        // It began to wait later than the service's session: when it is ended, that one was, too.
        let mut idle = Rude::new(&server, "[127.0.0.1]");
        let last = idle.hear();
        assert!(last.starts_with("421 4.4.2"), "{last:?}");
    }
    service.send(&["a@example.com"]);
    service.breaker_saw_nothing();
}

#[test]
fn postfix_that_refuses_dsn_gets_none() {
    let server = bed("UMS_BED_POSTFIX_NO_DSN_ADDR");
    let mut rude = Rude::new(&server, "[127.0.0.1]");
    rude.say("MAIL FROM:<shop@example.com>");
    let refused = rude.say("RCPT TO:<a@example.com> NOTIFY=FAILURE,DELAY");
    assert!(refused.starts_with("555 5.5.4"), "{refused}");

    let service = Service::start(&server, &[]);
    for _ in 0..2 {
        service.send(&["a@example.com", "b@example.com"]);
    }
    service.breaker_saw_nothing();
}

#[test]
fn aiosmtpd_without_manners_gets_every_message_once() {
    let service = Service::start(
        &bed("UMS_BED_SMTP_MANNERS_ADDR"),
        &[("SMTP_USER", "user@example.com"), ("SMTP_PASSWORD", "bed-password")],
    );
    for number in 0..3 {
        service.send(&[&format!("manners-{number}@example.com"), "manners-too@example.com"]);
    }
    service.breaker_saw_nothing();

    let control = bed("UMS_BED_SMTP_CONTROL");
    let all = crate::http::get(control.trim_start_matches("http://"), "/messages").json();
    let taken: Vec<_> = all["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|message| message["listener"] == "manners")
        .collect();
    assert_eq!(taken.len(), 3, "{all}");
    let mut connections: Vec<_> = taken.iter().map(|message| message["connection"].as_u64().unwrap()).collect();
    connections.dedup();
    assert_eq!(connections.len(), 3, "each session ends after one message: {connections:?}");
    for message in taken {
        assert_eq!(message["login"], "user@example.com");
        assert_eq!(message["rcpt_tos"].as_array().unwrap().len(), 2, "{message}");
        assert!(!message["mail_options"].to_string().contains("ENVID"), "{message}");
    }
}

#[test]
fn wrong_credentials_are_told_by_aiosmtpd_and_not_tried_twice() {
    let service = Service::start(
        &bed("UMS_BED_SMTP_MANNERS_ADDR"),
        &[("SMTP_USER", "user@example.com"), ("SMTP_PASSWORD", "wrong")],
    );
    let body = json!({"to": "a@example.com", "subject": "x", "text_content": "x", "on_exhausted": "fail"}).to_string();
    let result = request(&service.address, "POST", "/v1/emails", &[KEY], body.as_bytes()).json();
    let attempt = &result["attempts"][0];
    assert_eq!(
        (&attempt["class"], &attempt["code"]),
        (&json!("misconfigured"), &json!("535 5.7.8")),
        "{result}"
    );
}
