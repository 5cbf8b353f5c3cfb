//! A raw HTTP client: one request, one connection, nothing between the test and the wire.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.head, self.body))
    }
}

pub(crate) fn get(address: &str, target: &str) -> Answer {
    request(address, "GET", target, &[], b"")
}

pub(crate) fn post(address: &str, target: &str, body: &Value) -> Answer {
    request(address, "POST", target, &[], body.to_string().as_bytes())
}

pub(crate) fn request(address: &str, method: &str, target: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if !body.is_empty() {
        if !headers.iter().any(|header| header.starts_with("Content-Type:")) {
            head.push_str("Content-Type: application/json\r\n");
        }
        write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
    }
    for header in headers {
        write!(head, "{header}\r\n").unwrap();
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // A service that refuses a large body may close before all of it is written.
    drop(stream.write_all(body));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer to {method} {target}: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap();
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Answer {
        status,
        head: head.to_owned(),
        body: if is_chunked { unchunked(body) } else { body.to_owned() },
    }
}

fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}
