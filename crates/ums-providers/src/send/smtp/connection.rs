//! From nothing to a session that may say MAIL FROM: connect, greet, secure, log in.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Auth, Ehlo, Noop, Starttls};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};
use ums_core::{Failure, FailureClass};

use super::reply::{Stage, classify_reply, reply_code};
use super::stream::{Ending, Line, Wire};
use super::tls::{Tls, is_lasting};
use super::{Inner, SmtpTls};

/// What the banner of our own simulator says of itself.
const SIMULATOR_MARK: &str = "UMS-Simulator";

/// What the server offers (RFC 5321 §4.1.1.1).
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one keyword that the server says or does not say"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) smtp_utf8: bool,
    pub(super) dsn: bool,
    pub(super) starttls: bool,
    /// Offered, with the most bytes that it takes, 0 for "no limit said".
    pub(super) size: Option<u64>,
    pub(super) auth_plain: bool,
    pub(super) auth_login: bool,
}

impl Offers {
    /// Reads the lines of an EHLO reply, without their codes.
    pub(super) fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut offers = Self::default();
        for line in lines {
            let mut words = line.split([' ', '=']).map(str::trim).filter(|word| !word.is_empty());
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "PIPELINING" => offers.pipelining = true,
                "8BITMIME" => offers.eight_bit = true,
                "SMTPUTF8" => offers.smtp_utf8 = true,
                "DSN" => offers.dsn = true,
                "STARTTLS" => offers.starttls = true,
                "SIZE" => offers.size = Some(words.next().and_then(|word| word.parse().ok()).unwrap_or(0)),
                "AUTH" => {
                    for mechanism in words {
                        offers.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        offers.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        offers
    }
}

/// What went wrong in a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server said so: `550 5.1.1 …`.
    Reply(Stage, String),
    /// No reply that could be read.
    Lost(Stage, Ending),
}

impl Fault {
    /// Whether the server is gone after it.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Reply(_, reply) => reply_code(reply) == Some(421),
            Self::Lost(..) => true,
        }
    }

    /// The failure, when the final dot was not handed over, or was answered.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Reply(stage, reply) => {
                classify_reply(stage, &reply).unwrap_or_else(|| lost(stage, Ending::Unreadable, FailureClass::Unavailable))
            }
            Self::Lost(stage, ending) => lost(stage, ending, FailureClass::Unavailable),
        }
    }

    /// The failure after the final dot was handed over: without an answer nobody knows.
    pub(super) fn into_failure_after_dot(self) -> Failure {
        match self {
            Self::Lost(stage, ending) => lost(stage, ending, FailureClass::Unknown),
            Self::Reply(..) => self.into_failure(),
        }
    }
}

/// The failure for a dialogue that ended without a reply.
fn lost(stage: Stage, ending: Ending, class: FailureClass) -> Failure {
    let (code, what) = match ending {
        Ending::Closed => ("connection_lost", "the connection was lost"),
        Ending::Timeout => ("timeout", "no reply in time"),
        Ending::Unreadable => ("unreadable_reply", "the reply is not SMTP"),
    };
    Failure::transport(class, code, &format!("{what} at {stage}"))
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Within a message, or at an end: not to be used for another one.
    Busy,
    /// Between two messages.
    Ready,
    /// Between two messages, but RSET must come first.
    OpenTransaction,
}

/// A connection that may say MAIL FROM.
pub(super) struct Session {
    smtp: AsyncSmtpConnection,
    pub(super) line: Arc<Line>,
    pub(super) offers: Offers,
    /// Whether the server is our own simulator.
    pub(super) simulated: bool,
    /// Whether it was used before.
    pub(super) reused: bool,
    pub(super) standing: Standing,
    /// Replies read since the last command was written.
    replies: usize,
}

impl Session {
    /// Connects, greets, secures and logs in.
    pub(super) async fn open(inner: &Inner, until: Instant) -> Result<Self, Failure> {
        let line = Line::new(dial(inner, until).await?);
        if let (SmtpTls::Implicit, Some(tls)) = (inner.settings.tls, &inner.tls) {
            secure(inner, &line, tls, until).await?;
        }
        let mut session = Self::greet(inner, line, until).await.map_err(Fault::into_failure)?;
        if let (SmtpTls::Starttls, Some(tls)) = (inner.settings.tls, &inner.tls) {
            session.upgrade(inner, tls, until).await?;
        }
        session.log_in(inner, until).await?;
        session.standing = Standing::Ready;
        Ok(session)
    }

    /// Reads the banner and says EHLO.
    async fn greet(inner: &Inner, line: Arc<Line>, until: Instant) -> Result<Self, Fault> {
        line.begin();
        let opening = AsyncSmtpConnection::connect_with_transport(Box::new(Wire(Arc::clone(&line))), &inner.hello);
        let opened = within(inner, &line, until, opening).await;
        let stage = if line.handed() == 0 { Stage::Connect } else { Stage::Ehlo };
        let smtp = match opened {
            Ok(Ok(smtp)) => smtp,
            Ok(Err(error)) => return Err(fault(stage, &line, &error)),
            Err(ending) => return Err(Fault::Lost(stage, ending)),
        };
        let heard = line.heard();
        let offers = Offers::read(
            heard
                .lines()
                .filter(|line| line.starts_with("250"))
                .filter_map(|line| line.get(4..)),
        );
        let simulated = heard.lines().any(|line| line.starts_with("220") && line.contains(SIMULATOR_MARK));
        Ok(Self {
            smtp,
            line,
            offers,
            simulated,
            standing: Standing::Busy,
            reused: false,
            replies: 2,
        })
    }

    /// Says STARTTLS; never goes on in clear.
    async fn upgrade(&mut self, inner: &Inner, tls: &Tls, until: Instant) -> Result<(), Failure> {
        if !self.offers.starttls {
            let detail = "the server does not offer STARTTLS; use port 465 with SMTP_TLS=implicit, or another server";
            return Err(Failure::provider(FailureClass::Misconfigured, "starttls_not_offered", detail));
        }
        self.command(inner, Stage::Starttls, until, Starttls)
            .await
            .map_err(Fault::into_failure)?;
        // What came in clear behind the reply would be read as if it had come by TLS.
        if self.line.heard().lines().count() != 1 {
            return Err(Failure::transport(
                FailureClass::Unavailable,
                "starttls_injection",
                "data in clear behind the STARTTLS reply",
            ));
        }
        secure(inner, &self.line, tls, until).await?;
        let ehlo = Ehlo::new(inner.hello.clone());
        let reply = self.command(inner, Stage::Ehlo, until, ehlo).await.map_err(Fault::into_failure)?;
        self.offers = Offers::read(reply.message());
        Ok(())
    }

    /// Logs in, if there is a user.
    async fn log_in(&mut self, inner: &Inner, until: Instant) -> Result<(), Failure> {
        let Some(credentials) = &inner.credentials else { return Ok(()) };
        let mechanism = match (self.offers.auth_plain, self.offers.auth_login) {
            (true, _) => Mechanism::Plain,
            (false, true) => Mechanism::Login,
            (false, false) => {
                let detail = "the server offers no login by PLAIN or LOGIN here";
                return Err(Failure::provider(FailureClass::Misconfigured, "auth_not_offered", detail));
            }
        };
        let unreadable = |_| Fault::Lost(Stage::Auth, Ending::Unreadable).into_failure();
        let first = Auth::new(mechanism, credentials.clone(), None).map_err(unreadable)?;
        let mut reply = self.command(inner, Stage::Auth, until, first).await.map_err(Fault::into_failure)?;
        // LOGIN asks twice; PLAIN not at all.
        for _ in 0..2 {
            if !reply.has_code(334) {
                break;
            }
            let answer = Auth::new_from_response(mechanism, credentials.clone(), &reply).map_err(unreadable)?;
            reply = self.command(inner, Stage::Auth, until, answer).await.map_err(Fault::into_failure)?;
        }
        if reply.has_code(235) {
            Ok(())
        } else {
            Err(Fault::Lost(Stage::Auth, Ending::Unreadable).into_failure())
        }
    }

    /// Asks whether the server is there.
    pub(super) async fn noop(&mut self, inner: &Inner, until: Instant) -> Result<(), Fault> {
        self.command(inner, Stage::Mail, until, Noop).await.map(drop)
    }

    /// Whether it can be used again: open, and nothing was said that was not asked.
    pub(super) fn is_quiet(&self) -> bool {
        self.line.replies() == self.replies && self.line.is_quiet()
    }

    /// Writes (one command or a group) in one go and reads the first reply.
    pub(super) async fn command(
        &mut self,
        inner: &Inner,
        stage: Stage,
        until: Instant,
        command: impl fmt::Display,
    ) -> Result<Response, Fault> {
        // A reply too many would be read as the answer to what follows: to the final dot, at worst.
        if self.line.replies() != self.replies {
            return Err(Fault::Lost(stage, Ending::Unreadable));
        }
        self.line.begin();
        self.replies = 0;
        let done = within(inner, &self.line, until, self.smtp.command(command)).await;
        self.settle(stage, done)
    }

    /// Reads the next reply of a group.
    pub(super) async fn next_reply(&mut self, inner: &Inner, stage: Stage, until: Instant) -> Result<Response, Fault> {
        let done = within(inner, &self.line, until, self.smtp.read_response()).await;
        self.settle(stage, done)
    }

    fn settle(&mut self, stage: Stage, done: Result<Result<Response, SmtpError>, Ending>) -> Result<Response, Fault> {
        self.replies += 1;
        match done {
            Ok(Ok(reply)) if stage.goes_on(reply.code().into()) => Ok(reply),
            Ok(Ok(reply)) => Err(Fault::Reply(
                stage,
                format!("{} {}", reply.code(), reply.first_line().unwrap_or_default()),
            )),
            Ok(Err(error)) => Err(fault(stage, &self.line, &error)),
            Err(ending) => Err(Fault::Lost(stage, ending)),
        }
    }
}

/// Reads lettre's error: a negative reply, or what our stream saw.
fn fault(stage: Stage, line: &Line, error: &SmtpError) -> Fault {
    match error.status() {
        Some(code) => {
            let text = error.source().map(ToString::to_string).unwrap_or_default();
            Fault::Reply(stage, format!("{code} {text}"))
        }
        None => Fault::Lost(stage, line.ending().unwrap_or(Ending::Unreadable)),
    }
}

/// Runs an exchange until it is done, makes no progress, or the message's time is up.
async fn within<T>(inner: &Inner, line: &Line, until: Instant, exchange: impl Future<Output = T>) -> Result<T, Ending> {
    tokio::pin!(exchange);
    loop {
        let deadline = line.deadline(&inner.settings.timeouts).min(until);
        tokio::select! {
            biased;
            done = &mut exchange => return Ok(done),
            () = sleep_until(deadline) => {
                // A byte may have been written meanwhile.
                if Instant::now() >= line.deadline(&inner.settings.timeouts).min(until) {
                    return Err(Ending::Timeout);
                }
            }
        }
    }
}

/// Negotiates TLS within the time of one reply.
async fn secure(inner: &Inner, line: &Line, tls: &Tls, until: Instant) -> Result<(), Failure> {
    let until = until.min(Instant::now() + inner.settings.timeouts.reply);
    match timeout_at(until, line.secure(&tls.connector, tls.name.clone())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if is_lasting(&error) => {
            let detail = format!("TLS with the server failed; its certificate must be valid for SMTP_HOST: {error}");
            Err(Failure::transport(FailureClass::Misconfigured, "tls_refused", &detail))
        }
        Ok(Err(_)) => Err(Failure::transport(
            FailureClass::Unavailable,
            "tls_failed",
            "TLS could not be negotiated",
        )),
        Err(_) => Err(Failure::transport(
            FailureClass::Unavailable,
            "tls_timeout",
            "TLS was not negotiated in time",
        )),
    }
}

/// Opens a TCP connection: each address gets its share of the time, so that a dead one does not use it up.
async fn dial(inner: &Inner, until: Instant) -> Result<TcpStream, Failure> {
    let unavailable = |code: &str, detail: &str| Failure::transport(FailureClass::Unavailable, code, detail);
    let until = until.min(Instant::now() + inner.settings.timeouts.connect);
    let host = (inner.settings.host.as_str(), inner.settings.port);
    let addresses: Vec<SocketAddr> = match timeout_at(until, tokio::net::lookup_host(host)).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) => return Err(unavailable("dns_failed", "the server's name could not be resolved")),
        Err(_) => return Err(unavailable("dns_timeout", "the server's name was not resolved in time")),
    };
    let mut failure = unavailable("dns_failed", "the server's name has no address");
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let now = Instant::now();
        let share = until.saturating_duration_since(now) / left.max(1);
        left = left.saturating_sub(1);
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // Without it Nagle's algorithm holds the last segment back for the peer's delayed acknowledgement.
                if tcp.set_nodelay(true).is_ok() {
                    return Ok(tcp);
                }
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                failure = unavailable("connect_refused", "the server refused the connection");
            }
            Ok(Err(_)) => failure = unavailable("connect_failed", "the server could not be reached"),
            Err(_) => failure = unavailable("connect_timeout", "the server did not answer in time"),
        }
    }
    Err(failure)
}

/// The name that EHLO gives: the host's if it is one, else an address literal (RFC 5321 §4.1.4).
pub(super) fn hello_name(chosen: Option<&str>) -> ClientId {
    let is_name = |name: &str| {
        !name.is_empty() && name.len() <= 253 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    let name = chosen.map_or_else(|| ClientId::default().to_string(), str::to_owned);
    if is_name(&name) {
        ClientId::Domain(name)
    } else {
        ClientId::Ipv4(std::net::Ipv4Addr::LOCALHOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_read_in_any_case_and_the_old_way() {
        let reply = [
            "mx.example at your service",
            "SIZE 35882577",
            "8BITMIME",
            "starttls",
            "AUTH=LOGIN PLAIN",
            "PIPELINING",
            "X-Odd",
        ];
        let offers = Offers::read(reply.into_iter());
        assert!(offers.pipelining && offers.eight_bit && offers.starttls && offers.auth_plain && offers.auth_login);
        assert_eq!(offers.size, Some(35_882_577));
        assert!(!offers.smtp_utf8 && !offers.dsn);
        assert_eq!(Offers::read(["SIZE"].into_iter()).size, Some(0));
    }

    #[test]
    fn a_name_that_is_none_becomes_a_literal() {
        assert_eq!(hello_name(Some("mail.example.com")).to_string(), "mail.example.com");
        assert_eq!(hello_name(Some("bad\r\nRCPT")).to_string(), "[127.0.0.1]");
    }
}
