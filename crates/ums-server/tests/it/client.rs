//! A client that writes exactly the bytes that it is told and reads answers one by one.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The code of a problem, after a look at its form.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        let code = problem["code"].as_str().expect("a code").to_owned();
        assert_eq!(problem["type"], format!("/docs/errors/{code}"));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        code
    }

    /// The fields that a problem names.
    pub(crate) fn fields(&self) -> Vec<String> {
        let problem = self.json();
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors
            .iter()
            .map(|fault| fault["field"].as_str().expect("a field").to_owned())
            .collect()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the service accepts");
        Self { stream, read: Vec::new() }
    }

    /// From that address of this machine.
    pub(crate) async fn connect_from(from: [u8; 4], to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((from, 0))).expect("an address of this machine");
        let stream = socket.connect(to).await.expect("the service accepts");
        Self { stream, read: Vec::new() }
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the service reads");
    }

    /// Writes until the service closes or all is written.
    pub(crate) async fn try_write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Reads one answer; none when the service closed instead.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.read[..end].to_vec()).expect("a head of text");
        let mut answer = Answer {
            status: head.split(' ').nth(1).expect("a status").parse().expect("a number"),
            head,
            body: String::new(),
        };
        let length: usize = answer.header("content-length").unwrap_or("0").parse().expect("a length");
        while self.read.len() < end + 4 + length {
            assert!(self.more().await, "the answer breaks off: {answer:?}");
        }
        answer.body = String::from_utf8(self.read[end + 4..end + 4 + length].to_vec()).expect("text");
        self.read.drain(..end + 4 + length);
        Some(answer)
    }

    /// Whether the service closed the connection without a further byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }

    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.read).await, Ok(read) if read > 0)
    }
}
