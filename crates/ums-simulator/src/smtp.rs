//! A submission server: one connection, from banner to QUIT.
//!
//! Speaks RFC 5321 with PIPELINING, 8BITMIME, SIZE, ENHANCEDSTATUSCODES, DSN and AUTH
//! PLAIN LOGIN (in clear: it is loopback). Any credentials of the right form pass. Bytes
//! are read in blocks and replies are sent when there is nothing more to read. Only
//! `CR LF . CR LF` ends a message: what else looks like an end is content, and a bare CR
//! or LF in it is refused, as are lines over 998 bytes and bytes over 127 in its header.

mod command;
mod data;
mod dot;
mod login;
mod transaction;

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use self::command::{Command, MAX_LINE};
use self::data::{Reading, Taken};
use self::login::Login;
use self::transaction::Transaction;
use crate::world::World;
use crate::{Mode, Provider};

/// Longest message: 40 MB.
const MAX_MESSAGE: usize = 40_000_000;

/// Room made for each read, in bytes.
const BLOCK: usize = 65_536;

/// Most recipients of a transaction; Gmail's number.
const MAX_RECIPIENTS: usize = 100;

/// Serves one connection until either side ends it.
pub(crate) async fn serve(world: Arc<World>, wire: TcpStream, cut: CancellationToken) {
    let session = Session {
        world,
        wire,
        input: BytesMut::new(),
        output: Vec::new(),
        greeted: false,
        login: Login::default(),
        was_spared: false,
        transaction: None,
    };
    tokio::select! {
        end = session.run() => if let Err(fault) = end {
            tracing::debug!(%fault, "SMTP connection ended");
        },
        () = cut.cancelled() => {}
    }
}

struct Session {
    world: Arc<World>,
    wire: TcpStream,
    input: BytesMut,
    output: Vec<u8>,
    greeted: bool,
    login: Login,
    /// The fault board was asked already and let the coming transaction pass.
    was_spared: bool,
    transaction: Option<Transaction>,
}

/// What follows a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flow {
    GoOn,
    /// Send what is to be said and close.
    Close,
    /// Close by a reset, unsaid.
    Reset,
}

impl Session {
    async fn run(mut self) -> io::Result<()> {
        if self.hits(Mode::ResetBefore) {
            drop(self.world.counters(Provider::Smtp).request());
            return self.wire.set_zero_linger();
        }
        self.say("220 localhost ESMTP UMS-Simulator");
        loop {
            while let Some(line) = self.next_line() {
                let Ok(line) = line else {
                    self.say("500 5.5.6 Line too long");
                    return self.close().await;
                };
                match self.obey(&line).await? {
                    Flow::GoOn => {}
                    Flow::Close => return self.close().await,
                    Flow::Reset => return self.wire.set_zero_linger(),
                }
            }
            if !self.fill().await? {
                return Ok(());
            }
        }
    }

    /// Sends what is to be said, then reads a block; false at the end of the input.
    async fn fill(&mut self) -> io::Result<bool> {
        self.flush().await?;
        self.input.reserve(BLOCK);
        Ok(self.wire.read_buf(&mut self.input).await? > 0)
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.wire.write_all(&self.output).await?;
            self.output.clear();
        }
        Ok(())
    }

    async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.wire.shutdown().await
    }

    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// Takes a line off the input, without its end.
    fn next_line(&mut self) -> Option<Result<Vec<u8>, TooLong>> {
        let searched = &self.input[..self.input.len().min(MAX_LINE)];
        let Some(end) = searched.iter().position(|&byte| byte == b'\n') else {
            return (self.input.len() >= MAX_LINE).then_some(Err(TooLong));
        };
        let line = self.input.split_to(end + 1);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        Some(Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
    }

    async fn obey(&mut self, line: &[u8]) -> io::Result<Flow> {
        if self.login.is_open() {
            let reply = self.login.go_on(line);
            self.say(reply);
            return Ok(Flow::GoOn);
        }
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(reply) => {
                self.say(reply);
                return Ok(Flow::GoOn);
            }
        };
        match command {
            Command::Hello { extended } => self.hello(extended),
            Command::Auth { mechanism, initial } => self.auth(&mechanism, initial.as_deref()),
            Command::Mail { from, params } => return self.mail(from, params).await,
            Command::Rcpt { to, params } => self.rcpt(to, params),
            Command::Data => return self.data().await,
            Command::Reset => {
                self.transaction = None;
                self.say("250 2.0.0 Ok");
            }
            Command::Noop => self.say("250 2.0.0 Ok"),
            Command::Verify => self.say("252 2.0.0 Cannot verify, but will take the message"),
            Command::Help => self.say("214 2.0.0 EHLO HELO AUTH MAIL RCPT DATA RSET NOOP VRFY QUIT"),
            Command::Quit => {
                self.say("221 2.0.0 Bye");
                return Ok(Flow::Close);
            }
        }
        Ok(Flow::GoOn)
    }

    fn hello(&mut self, extended: bool) {
        self.greeted = true;
        self.transaction = None;
        if !extended {
            self.say("250 localhost");
            return;
        }
        self.say("250-localhost UMS-Simulator");
        self.say("250-PIPELINING");
        self.say(&format!("250-SIZE {MAX_MESSAGE}"));
        self.say("250-AUTH PLAIN LOGIN");
        self.say("250-ENHANCEDSTATUSCODES");
        self.say("250-8BITMIME");
        self.say("250-DSN");
        self.say("250 HELP");
    }

    fn auth(&mut self, mechanism: &str, initial: Option<&[u8]>) {
        let reply = if !self.greeted {
            "503 5.5.1 Send EHLO first"
        } else if self.transaction.is_some() {
            "503 5.5.1 Not during a transaction"
        } else if self.login.is_done() {
            "503 5.5.1 Already authenticated"
        } else if self.hits(Mode::Unauthorized) {
            "535 5.7.8 Authentication credentials invalid"
        } else {
            self.login.begin(mechanism, initial)
        };
        self.say(reply);
    }

    /// Asks the fault board if this mode is in force. A request that is spared here is
    /// not asked about again at its MAIL.
    fn hits(&mut self, mode: Mode) -> bool {
        if !self.world.faults.has(Provider::Smtp, mode) {
            return false;
        }
        let is_hit = self.world.faults.strike(Provider::Smtp, true).is_some();
        self.was_spared = !is_hit;
        if is_hit {
            self.world.struck(Provider::Smtp, mode, true);
        }
        is_hit
    }

    async fn mail(&mut self, from: String, params: Vec<(String, String)>) -> io::Result<Flow> {
        if !self.greeted {
            self.say("503 5.5.1 Send EHLO first");
            return Ok(Flow::GoOn);
        }
        if self.transaction.is_some() {
            self.say("503 5.5.1 Sender already given");
            return Ok(Flow::GoOn);
        }
        let mut transaction = match Transaction::begin(&self.world, from, params) {
            Ok(transaction) => transaction,
            Err(reply) => {
                self.say(reply);
                return Ok(Flow::GoOn);
            }
        };
        if !std::mem::take(&mut self.was_spared) {
            transaction.strike = self.world.faults.strike(Provider::Smtp, true);
        }
        if let Some(strike) = &mut transaction.strike {
            // Where named recipients are refused the message is recorded for the others.
            let is_whole = strike.fault.recipients.is_empty();
            self.world.struck(Provider::Smtp, strike.fault.mode, is_whole);
            match transaction::at_mail(strike.fault.mode) {
                transaction::AtMail::Proceed => {}
                transaction::AtMail::Refuse(reply) => {
                    self.say(reply);
                    return Ok(Flow::GoOn);
                }
                transaction::AtMail::Reset => return Ok(Flow::Reset),
                transaction::AtMail::Hang => {
                    if !self.hang(strike).await? {
                        return Ok(Flow::Close);
                    }
                    transaction.strike = None;
                }
            }
        }
        self.transaction = Some(transaction);
        self.say("250 2.1.0 Ok");
        Ok(Flow::GoOn)
    }

    fn rcpt(&mut self, to: String, params: Vec<(String, String)>) {
        let reply = match &mut self.transaction {
            None => "503 5.5.1 Send MAIL first",
            Some(transaction) => transaction.add(to, params),
        };
        self.say(reply);
    }

    async fn data(&mut self) -> io::Result<Flow> {
        let has_recipients = self.transaction.as_ref().map(Transaction::has_recipients);
        let refusal = match has_recipients {
            None => Some("503 5.5.1 Send MAIL first"),
            Some(false) => Some("554 5.5.1 No valid recipients"),
            Some(true) => None,
        };
        if let Some(reply) = refusal {
            self.say(reply);
            return Ok(Flow::GoOn);
        }
        self.say("354 End data with <CR><LF>.<CR><LF>");
        let mut reading = Reading::default();
        let message = loop {
            if let Some(message) = reading.take(&mut self.input, MAX_MESSAGE) {
                break message;
            }
            if !self.fill().await? {
                return Ok(Flow::Close);
            }
        };
        let Some(transaction) = self.transaction.take() else {
            return Ok(Flow::Close);
        };
        let Taken::Message(message) = message else {
            self.say("552 5.3.4 Message too big");
            return Ok(Flow::GoOn);
        };
        let queue_id = self.world.ids.queue();
        if let Some(reply) = data::fault(&message) {
            self.say(reply);
            return Ok(Flow::GoOn);
        }
        let (draft, strike, in_flight) = transaction.end(queue_id.clone(), message);
        // Its reports come by mail, never before the answer.
        drop(self.world.record(Provider::Smtp, vec![draft]));
        let flow = self.answer_dot(strike, &queue_id).await;
        drop(in_flight);
        flow
    }
}

/// A line is longer than any that is read.
struct TooLong;
