//! Nobody reads what the program writes: it serves, it ends when told to, and it says what was lost.

use std::io::{PipeReader, PipeWriter, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::json;
use ums_core::{Clock as _, SystemClock};

use crate::http::{get, request};
use crate::program::Place;

/// A pipe that is full, and that nobody reads.
fn stuck() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while (&writer).write(&[b'\n'; 4_096]).is_ok() {}
    while (&writer).write(b"\n").is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

fn free_address() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().to_string()
}

/// A program whose both outputs are one stuck pipe, as by `2>&1 | sleep`.
struct Stuck {
    child: Child,
    _reader: PipeReader,
}

impl Stuck {
    fn start(place: &Place, words: &[&str]) -> Self {
        let (reader, writer) = stuck();
        let mut command = place.command(words);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        Self {
            child: command.spawn().unwrap(),
            _reader: reader,
        }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// The exit code, and how long it took from here.
    fn ends(&mut self) -> (Option<i32>, Duration) {
        let clock = SystemClock::new();
        let start = clock.monotonic();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), clock.monotonic().since(start));
            }
            assert!(clock.monotonic().since(start) < Duration::from_secs(40), "it does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn answers(address: &str) {
    let clock = SystemClock::new();
    let give_up = clock.monotonic() + Duration::from_secs(40);
    while std::net::TcpStream::connect(address).is_err() {
        assert!(clock.monotonic() < give_up, "nobody listens at {address}");
    }
    assert_eq!(get(address, "/livez").status, 200);
}

#[test]
fn a_service_whose_outputs_nobody_reads_serves_and_ends_when_told() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let mut place = Place::new();
    let address = free_address();
    place
        .with_providers(&simulator)
        .set("UMS_API_KEY", "stuck-key")
        .set("UMS_LOG", "trace")
        .set("UMS_LISTEN", &address)
        .set("UMS_SMS_CHAIN", "console");
    let mut service = Stuck::start(&place, &["serve"]);
    answers(&address);
    let post = |path: &str, body: serde_json::Value| {
        let answer = request(
            &address,
            "POST",
            path,
            &["Authorization: Bearer stuck-key", "Prefer: wait=2"],
            body.to_string().as_bytes(),
        );
        answer.json()["status"].as_str().unwrap_or_default().to_owned()
    };
    for _ in 0..4 {
        // More than the program has threads: each of them would hold one.
        let status = post("/v1/sms", json!({"to": "+14165550123", "message_body": "Hello"}));
        assert_ne!(status, "sent", "nobody has read it");
    }
    let status = post("/v1/emails", json!({"to": "a@example.com", "subject": "x", "text_content": "x"}));
    assert_eq!(status, "sent");
    service.signal("-HUP");
    assert_eq!(get(&address, "/livez").status, 200);
    service.signal("-TERM");
    let (code, time) = service.ends();
    assert_eq!(code, Some(0));
    assert!(time < Duration::from_secs(15), "{time:?}");
}

#[test]
fn what_a_running_command_prints_is_nobodys_wait() {
    let place = Place::new();
    let ports = [
        "--http-port",
        "--ses-port",
        "--sns-port",
        "--sendgrid-port",
        "--twilio-port",
        "--smtp-port",
    ];
    let ports: Vec<&str> = ports.iter().flat_map(|port| [*port, "0"]).collect();
    for words in [vec!["dev", "--listen"], vec!["simulator", "--http-port"]] {
        let address = free_address();
        let mut words = words.clone();
        if words.contains(&"dev") {
            words.extend([address.as_str()]);
            words.extend(&ports);
        } else {
            words.push(address.rsplit(':').next().unwrap());
            words.extend(&ports[2..]);
        }
        let mut program = Stuck::start(&place, &words);
        let clock = SystemClock::new();
        let give_up = clock.monotonic() + Duration::from_secs(40);
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(clock.monotonic() < give_up, "{words:?} does not listen");
        }
        program.signal("-TERM");
        let (code, time) = program.ends();
        assert_eq!(code, Some(0), "{words:?}");
        assert!(time < Duration::from_secs(15), "{words:?}: {time:?}");
    }
}

#[test]
fn an_error_at_the_end_is_nobodys_wait() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut place = Place::new();
    place
        .set("UMS_API_KEY", "stuck-key")
        .set("UMS_LISTEN", taken.local_addr().unwrap().to_string())
        .set("SENDGRID_API_KEY", "SG.x")
        .set("SENDGRID_FROM_EMAIL", "shop@example.com");
    let (code, time) = Stuck::start(&place, &["serve"]).ends();
    assert_eq!(code, Some(2));
    assert!(time < Duration::from_secs(15), "{time:?}");
}
