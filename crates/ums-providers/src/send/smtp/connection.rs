//! From nothing to a session that may say MAIL FROM: connect, greet, secure, log in.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;

use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Ehlo, Noop, Starttls};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep_until};
use ums_core::{Failure, FailureClass};

use super::dial::{dial, secure};
use super::fault::{Fault, read_error};
use super::offers::{self, Offers};
use super::reply::Stage;
use super::stream::{Ending, Line, Wire};
use super::tls::Tls;
use super::{Inner, SmtpTls};
use crate::mime::Message;

/// What the banner of our own simulator says of itself.
const SIMULATOR_MARK: &str = "UMS-Simulator";

/// The end of a message on the wire; every message ends in CRLF.
const FINAL_DOT: &[u8] = b".\r\n";
/// Bytes of a message from which on they are written without waiting for more.
const WRITE_BYTES: usize = 64 * 1024;

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
    /// The name that EHLO gives on this connection.
    helo: ClientId,
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
        let (tcp, own_address) = dial(inner, until).await?;
        let helo = offers::client_id(inner.helo_name.as_ref(), own_address);
        let line = Line::new(tcp);
        if let (SmtpTls::Implicit, Some(tls)) = (inner.settings.tls, &inner.tls) {
            secure(inner, &line, tls, until).await?;
        }
        let mut session = Self::greet(inner, line, helo, until).await.map_err(Fault::into_failure)?;
        if let (SmtpTls::Starttls, Some(tls)) = (inner.settings.tls, &inner.tls) {
            session.upgrade(inner, tls, until).await?;
        }
        session.log_in(inner, until).await?;
        session.standing = Standing::Ready;
        Ok(session)
    }

    /// Reads the banner and says EHLO.
    async fn greet(inner: &Inner, line: Arc<Line>, helo: ClientId, until: Instant) -> Result<Self, Fault> {
        line.begin();
        let opening = AsyncSmtpConnection::connect_with_transport(Box::new(Wire(Arc::clone(&line))), &helo);
        let opened = within(inner, &line, until, opening).await;
        let stage = if line.handed() == 0 { Stage::Connect } else { Stage::Ehlo };
        let smtp = match opened {
            Ok(Ok(smtp)) => smtp,
            Ok(Err(error)) => return Err(read_error(stage, &line, &error)),
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
            helo,
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
        let ehlo = Ehlo::new(self.helo.clone());
        let reply = self.command(inner, Stage::Ehlo, until, ehlo).await.map_err(Fault::into_failure)?;
        self.offers = Offers::read(reply.message());
        Ok(())
    }

    /// Asks whether the server is there.
    pub(super) async fn noop(&mut self, inner: &Inner, until: Instant) -> Result<(), Fault> {
        self.command(inner, Stage::Mail, until, Noop).await.map(drop)
    }

    /// Whether another message may begin on it.
    pub(super) fn is_usable(&self) -> bool {
        self.standing != Standing::Busy
    }

    /// Whether something may be said on it: open, and the server said nothing that was not asked.
    pub(super) fn is_quiet(&self) -> bool {
        self.line.replies() == self.replies && self.line.is_silent()
    }

    /// Writes (one command or a group) in one go and reads the first reply.
    pub(super) async fn command(
        &mut self,
        inner: &Inner,
        stage: Stage,
        until: Instant,
        command: impl fmt::Display,
    ) -> Result<Response, Fault> {
        // What came before would be read as the answer to what follows: to the final dot, at worst.
        if !self.is_quiet() {
            return Err(self.goodbye(inner, stage, until).await);
        }
        self.begin();
        let done = within(inner, &self.line, until, self.smtp.command(command)).await;
        self.settle(stage, done)
    }

    /// Writes a message and the final dot, and reads the reply to the dot. The connection's own stream takes the message block by block: the
    /// protocol's client would hold it whole once more.
    pub(super) async fn message(&mut self, inner: &Inner, until: Instant, message: &Message) -> Result<(), Fault> {
        if !self.is_quiet() {
            return Err(self.goodbye(inner, Stage::Dot, until).await);
        }
        self.begin();
        let mut wire = Wire(Arc::clone(&self.line));
        match within(inner, &self.line, until, write(&mut wire, message)).await {
            Ok(Ok(())) => self.next_reply(inner, Stage::Dot, until).await.map(drop),
            Ok(Err(_)) => Err(Fault::Lost(Stage::Dot, self.line.ending().unwrap_or(Ending::Closed))),
            Err(ending) => Err(Fault::Lost(Stage::Dot, ending)),
        }
    }

    fn begin(&mut self) {
        self.line.begin();
        self.replies = 0;
    }

    /// What was said without being asked. A server that shuts down may say 421 at any time (RFC 5321 §3.8); anything else is no dialogue.
    async fn goodbye(&mut self, inner: &Inner, stage: Stage, until: Instant) -> Fault {
        match self.next_reply(inner, stage, until).await {
            Err(fault) if fault.ends_connection() => fault,
            Ok(_) | Err(_) => Fault::Lost(stage, Ending::Unreadable),
        }
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
            Ok(Err(error)) => Err(read_error(stage, &self.line, &error)),
            Err(ending) => Err(Fault::Lost(stage, ending)),
        }
    }
}

/// Writes a message and the final dot: a small one in one go, with the dot.
async fn write(wire: &mut Wire, message: &Message) -> io::Result<()> {
    let mut waiting = Vec::new();
    for block in message.blocks() {
        block.append_to(&mut waiting);
        if waiting.len() >= WRITE_BYTES {
            wire.write_all(&waiting).await?;
            waiting.clear();
        }
    }
    waiting.extend_from_slice(FINAL_DOT);
    wire.write_all(&waiting).await?;
    wire.flush().await
}

/// Runs an exchange until it is done, makes no progress, or the message's time is up.
async fn within<T>(inner: &Inner, line: &Line, until: Instant, exchange: impl Future<Output = T>) -> Result<T, Ending> {
    tokio::pin!(exchange);
    loop {
        let deadline = line.deadline(&inner.settings.timeouts).min(until);
        tokio::select! {
            biased;
            // Asked first and without the task's budget: a server that always has more to say must not keep the timer from being asked.
            () = tokio::task::unconstrained(sleep_until(deadline)) => {
                // A byte may have been written meanwhile.
                if Instant::now() >= line.deadline(&inner.settings.timeouts).min(until) {
                    return Err(Ending::Timeout);
                }
            }
            done = &mut exchange => return Ok(done),
        }
    }
}
