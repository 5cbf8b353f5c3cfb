//! The smallest clients that do: HTTP and SMTP on a plain socket.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::PATIENCE;

/// A request, written out by hand.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(existing, _)| *existing != name);
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(existing, _)| *existing != name);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// Puts the provider's path below the common port's prefix.
    pub(crate) fn below(mut self, prefix: &str) -> Self {
        self.path = format!("/{prefix}{}", self.path);
        self
    }

    fn wire(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").expect("a string");
        }
        let length = self.body.len();
        write!(text, "Content-Length: {length}\r\n\r\n{}", self.body).expect("a string");
        text
    }

    /// Sends it on a connection of its own.
    pub(crate) async fn send(&self, to: SocketAddr) -> io::Result<Reply> {
        let mut connection = Http::connect(to).await?;
        connection.send(self).await
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// One HTTP connection, kept alive.
#[derive(Debug)]
pub(crate) struct Http(BufReader<TcpStream>);

impl Http {
    pub(crate) async fn connect(to: SocketAddr) -> io::Result<Self> {
        Ok(Self(BufReader::new(TcpStream::connect(to).await?)))
    }

    pub(crate) async fn send(&mut self, request: &Request) -> io::Result<Reply> {
        self.write(request).await?;
        tokio::time::timeout(PATIENCE, self.reply()).await.expect("an answer or an end")
    }

    pub(crate) async fn write(&mut self, request: &Request) -> io::Result<()> {
        self.0.write_all(request.wire().as_bytes()).await
    }

    pub(crate) async fn reply(&mut self) -> io::Result<Reply> {
        let (status, headers) = self.head().await?;
        let mut body = Vec::new();
        if headers.get("transfer-encoding").is_some_and(|it| it == "chunked") {
            self.chunks(&mut body).await?;
        } else {
            let length = headers.get("content-length").map_or(0, |it| it.parse().expect("a number"));
            let mut limited = (&mut self.0).take(length);
            limited.read_to_end(&mut body).await?;
        }
        Ok(Reply { status, headers, body })
    }

    pub(crate) async fn head(&mut self) -> io::Result<(u16, HashMap<String, String>)> {
        let first = self.line().await?;
        let status = first.split(' ').nth(1).expect("a status").parse().expect("a number");
        let mut headers = HashMap::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(": ") else {
                return Ok((status, headers));
            };
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let size = usize::from_str_radix(&self.line().await?, 16).expect("a size");
            let mut chunk = vec![0; size + 2];
            self.0.read_exact(&mut chunk).await?;
            if size == 0 {
                return Ok(());
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    /// Reads so many bytes of a body and throws them away.
    pub(crate) async fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        tokio::io::copy(&mut (&mut self.0).take(bytes), &mut tokio::io::sink()).await
    }
}

/// One SMTP connection.
#[derive(Debug)]
pub(crate) struct Smtp(BufReader<TcpStream>);

impl Smtp {
    /// Connects and reads the banner.
    pub(crate) async fn connect(to: SocketAddr) -> io::Result<Self> {
        let mut smtp = Self(BufReader::new(TcpStream::connect(to).await?));
        let banner = smtp.reply().await?;
        assert!(banner.starts_with("220 ") && banner.contains("UMS-Simulator"), "{banner}");
        Ok(smtp)
    }

    /// Connects and says hello.
    pub(crate) async fn greet(to: SocketAddr) -> io::Result<Self> {
        let mut smtp = Self::connect(to).await?;
        smtp.expect("EHLO test", "250").await?;
        Ok(smtp)
    }

    pub(crate) async fn write(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(text.as_bytes()).await
    }

    /// Reads a reply of one or more lines, joined by line breaks.
    pub(crate) async fn reply(&mut self) -> io::Result<String> {
        let read = async {
            let mut reply = String::new();
            loop {
                let mut line = String::new();
                if self.0.read_line(&mut line).await? == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reply));
                }
                let is_last = line.as_bytes().get(3) != Some(&b'-');
                reply.push_str(&line);
                if is_last {
                    return Ok(reply.trim_end().replace("\r\n", "\n"));
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("a reply or an end")
    }

    pub(crate) async fn command(&mut self, line: &str) -> io::Result<String> {
        self.write(&format!("{line}\r\n")).await?;
        self.reply().await
    }

    /// Sends a command whose reply begins so.
    pub(crate) async fn expect(&mut self, line: &str, begins: &str) -> io::Result<String> {
        let reply = self.command(line).await?;
        assert!(reply.starts_with(begins), "{line}: {reply}");
        Ok(reply)
    }

    /// Sends a mail; returns the reply to its final dot.
    pub(crate) async fn mail(&mut self, subject: &str) -> io::Result<String> {
        self.expect("MAIL FROM:<shop@example.com>", "250").await?;
        self.expect("RCPT TO:<zoe@example.com>", "250").await?;
        self.expect("DATA", "354").await?;
        self.command(&format!("Subject: {subject}\r\n\r\nHello\r\n.")).await
    }

    /// Reads what is left until the end.
    pub(crate) async fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        let read = self.0.read_to_string(&mut rest);
        tokio::time::timeout(PATIENCE, read).await.expect("an end")?;
        Ok(rest)
    }

    pub(crate) async fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        tokio::io::copy(&mut (&mut self.0).take(bytes), &mut tokio::io::sink()).await
    }
}
