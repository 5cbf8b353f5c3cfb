//! The door of the real service: what it is told of connections, peers and proxies holds on its sockets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use ums_core::{Clock as _, SystemClock};

use crate::program::{Place, Running};

const KEY: &str = "door-key";

/// A service that sends by a simulator, with these limits.
fn service(limits: &str, settings: &[(&str, &str)], simulator: &Running) -> (Place, Running, String) {
    let mut place = Place::new();
    std::fs::write(place.path().join("ums.toml"), format!("[limits]\n{limits}\n")).unwrap();
    let file = place.path().join("ums.toml").display().to_string();
    place.with_providers(simulator).set("UMS_API_KEY", KEY).set("UMS_CONFIG", file);
    for (name, value) in settings {
        place.set(name, *value);
    }
    let running = place.start(&["serve", "--listen", "127.0.0.1:0"], "\"serving\"");
    let line: Value = serde_json::from_str(&running.ready_line).unwrap();
    let address = line["address"].as_str().unwrap().to_owned();
    (place, running, address)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// The status of the next answer, none where the connection is closed instead; and its head.
fn answer(stream: &mut TcpStream) -> Option<(u16, String)> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.extend(byte);
    }
    let head = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |digits| digits.parse().unwrap())];
    stream.read_exact(&mut body).ok()?;
    Some((head.split(' ').nth(1).unwrap().parse().unwrap(), head))
}

fn ask(stream: &mut TcpStream, path: &str, key: &str) -> Option<u16> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: ums.example.com\r\nauthorization: Bearer {key}\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    answer(stream).map(|(status, _)| status)
}

#[test]
fn a_head_that_two_programs_may_read_differently_is_refused() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let (_place, _running, address) = service("", &[], &simulator);
    for (head, status) in [
        ("GET /livez HTTP/1.1\r\nhost: a\r\n\r\n", 200),
        ("GET /livez HTTP/1.0\r\n\r\n", 200),
        ("GET /livez HTTP/1.1\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost:\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET /livez HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET http://a/livez HTTP/1.1\r\n\r\n", 400),
        ("GET http://a/livez HTTP/1.1\r\nhost: a\r\n\r\n", 200),
        ("POST /v1/sms HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 400),
        (
            "POST /v1/sms HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /v1/sms HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /v1/sms HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
    ] {
        let mut stream = connect(&address);
        stream.write_all(head.as_bytes()).unwrap();
        assert_eq!(answer(&mut stream).unwrap().0, status, "{head}");
    }
}

#[test]
fn a_connection_serves_so_many_requests_and_so_long() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let (_place, _running, address) = service("connection_requests = 2\nconnection_life = '1s'", &[], &simulator);
    let mut stream = connect(&address);
    assert_eq!(ask(&mut stream, "/livez", KEY), Some(200));
    assert_eq!(ask(&mut stream, "/livez", KEY), Some(200));
    assert_eq!(ask(&mut stream, "/livez", KEY), None);
    let mut stream = connect(&address);
    assert_eq!(ask(&mut stream, "/livez", KEY), Some(200));
    assert_eq!(
        stream.read(&mut [0]).unwrap(),
        0,
        "its life ends although it is idle for less than a minute"
    );
}

#[test]
fn probes_have_slots_of_their_own_and_callers_in_hand_keep_theirs() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let probes = free.local_addr().unwrap().to_string();
    drop(free);
    let (_place, _running, address) = service("max_connections = 3", &[("UMS_PROBE_LISTEN", &probes)], &simulator);
    simulator.fault("ses", r#"{"mode": "hang"}"#);
    let body = r#"{"to": "a@example.com", "subject": "x", "text_content": "x"}"#;
    let head = format!(
        "POST /v1/emails HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut callers: Vec<TcpStream> = (0..3).map(|_| connect(&address)).collect();
    for caller in &mut callers {
        caller.write_all(head.as_bytes()).unwrap();
    }
    let clock = SystemClock::new();
    let give_up = clock.monotonic() + Duration::from_secs(20);
    while simulator.in_flight("ses") < 3 {
        assert!(clock.monotonic() < give_up, "the calls do not begin");
    }
    // Strangers come in numbers; nobody may go.
    let strangers: Vec<TcpStream> = (0..20).map(|_| connect(&address)).collect();
    for path in ["/livez", "/readyz"] {
        let start = clock.monotonic();
        assert_eq!(ask(&mut connect(&probes), path, "none"), Some(200));
        assert!(clock.monotonic().since(start) < Duration::from_secs(1));
    }
    simulator.heal("ses");
    for caller in &mut callers {
        assert_eq!(answer(caller).expect("never cut").0, 200);
    }
    drop(strangers);
    assert_eq!(ask(&mut connect(&address), "/v1/messages", KEY), Some(200));
}

#[test]
fn a_peer_has_its_share_unless_it_is_a_named_proxy() {
    let beside = Place::new();
    let simulator = beside.simulator();
    for (proxies, expected) in [("192.0.2.0/24, 2001:db8::/32", 3), ("127.0.0.0/8", 8)] {
        let (_place, _running, address) = service("connections_per_peer = 3", &[("UMS_TRUSTED_PROXIES", proxies)], &simulator);
        let mut streams: Vec<TcpStream> = (0..8).map(|_| connect(&address)).collect();
        let open = streams.iter_mut().filter_map(|stream| ask(stream, "/livez", "none")).count();
        assert_eq!(open, expected, "{proxies}");
    }
}

#[test]
fn wrong_keys_are_slowed_whatever_address_they_claim_and_the_right_key_is_not() {
    let beside = Place::new();
    let simulator = beside.simulator();
    let (_place, _running, address) = service("", &[], &simulator);
    let guess = |address: String| {
        std::thread::spawn(move || {
            let mut stream = connect(&address);
            for number in 0..8 {
                let spoofed = format!("x-forwarded-for: 198.51.100.{number}\r\nforwarded: for=198.51.100.{number}");
                let head = format!("GET /v1/messages HTTP/1.1\r\nhost: a\r\nauthorization: Bearer wrong\r\n{spoofed}\r\n\r\n");
                stream.write_all(head.as_bytes()).unwrap();
                assert_eq!(answer(&mut stream).unwrap().0, 401);
            }
        })
    };
    let clock = SystemClock::new();
    let start = clock.monotonic();
    let guessers: Vec<_> = (0..4).map(|_| guess(address.clone())).collect();
    let mut stream = connect(&address);
    while guessers.iter().any(|guesser| !guesser.is_finished()) {
        let asked = clock.monotonic();
        assert_eq!(ask(&mut stream, "/v1/messages", KEY), Some(200));
        assert!(clock.monotonic().since(asked) < Duration::from_secs(1));
    }
    // 32 refusals, of which 10 are free; each of the others waits for 1 to 2 s, four of them side by side.
    assert!(clock.monotonic().since(start) > Duration::from_secs(4));
    for guesser in guessers {
        guesser.join().unwrap();
    }
}
