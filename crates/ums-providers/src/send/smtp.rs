//! SMTP: Gmail or any submission server (RFC 5321), by lettre over a stream of our own.
//!
//! - **Endpoint**: `SMTP_HOST:SMTP_PORT`; 587 with STARTTLS, which is never left out, or 465 with TLS from the start. Certificate
//!   and host name are checked against the system's roots; TLS 1.2 or later.
//! - **EHLO**: a fully qualified name, the setting's or the machine's, else the address of our end of the connection (RFC 5321 §4.1.1.1).
//! - **Auth**: PLAIN, else LOGIN, as offered; the other one if the server does not take the first after all. Gmail wants a 16-character app password.
//! - **Accepted** means that the server answered 2xx to the final dot. The id is our own Message-ID, which is made of the attempt's
//!   id and comes back in bounces; the same id travels as `ENVID` where the server offers DSN (RFC 3461).
//! - **Idempotency**: none. Lost before the final dot was handed to the socket: surely not accepted. Lost after it: unknown
//!   (RFC 1047).
//! - **Recipients** have fates of their own: the server's reply to each RCPT is reported beside an acceptance and beside a failure. A
//!   server whose transaction is full takes the rest in its next one (RFC 5321 §4.5.3.1.10).
//! - **Limits**: what the server's SIZE says (Gmail 25 MB); Gmail 500 recipients a day, Workspace 2,000 messages a day, 100 recipients a
//!   message.
//! - **Cannot carry**: an address with other letters than ASCII before the `@`, unless the server offers SMTPUTF8.
//! - **Adapts**: a `message/*` file travels as it is, 7bit, or 8bit where the server offers 8BITMIME; content that no line of a message
//!   may hold goes as bytes (`application/octet-stream`), and `multipart/*` always.
//! - **Replies**: what each means stands in `verdict.rs`.
//! - **Sources**: RFC 5321, 2920, 3207, 3461, 3463, 4954, read 2026-11-22.

mod connection;
mod deliver;
mod dial;
mod dialogue;
mod fault;
mod login;
mod manners;
mod offers;
mod pool;
mod reply;
mod stream;
mod tls;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lettre::transport::smtp::authentication::Credentials;
use tokio::time::Instant;
use ums_core::{
    Accepted, AccountId, Call, Clock, Email, Failure, FailureClass, HeloName, Mailbox, Probe, Provider, ProviderKind, Secret, Shortage,
};

use self::connection::Session;
use self::deliver::Letters;
use self::dialogue::Letter;
use self::manners::Learned;
use self::pool::Pool;
use self::tls::Tls;
use crate::mime::{self, Bits};
use crate::sender::{Chosen, SenderRule};

pub use crate::verdict::{Place, Stage, UnknownStage, rows};

/// What a reply to RCPT says when the transaction is full: "452 Too many recipients", which some servers call 552, and which a client
/// must read as temporary (RFC 5321 §4.5.3.1.10; RFC 3463 X.5.3). A reply with another enhanced code is about something else:
/// `452 4.3.1` is the server's storage, `452 4.2.2` a full mailbox. The rows hold only after a recipient was accepted: without one,
/// 452 is a lack of storage.
const TRANSACTION_FULL: &[(u16, Sign)] = &[
    (452, Sign::EnhancedCode("4.5.3")),
    (452, Sign::NoEnhancedCode),
    (552, Sign::EnhancedCode("5.5.3")),
    (552, Sign::Words("too many recipients")),
];

/// What a row of [`TRANSACTION_FULL`] asks of a reply beside its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// This enhanced code.
    EnhancedCode(&'static str),
    /// No enhanced code.
    NoEnhancedCode,
    /// These words, in lower case.
    Words(&'static str),
}

/// Longest time that one message may occupy the adapter, whatever its own life.
const LONGEST_CALL: Duration = Duration::from_mins(10);

/// How the connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// STARTTLS before anything else; a server that does not offer it is refused.
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// In clear: for a server on this machine, or when somebody said so.
    None,
}

impl SmtpTls {
    /// What is right for a host and port when nothing is said.
    pub fn default_for(host: &str, port: u16) -> Self {
        match port {
            465 => Self::Implicit,
            587 => Self::Starttls,
            _ if is_loopback(host) => Self::None,
            _ => Self::Starttls,
        }
    }
}

/// How long to wait for what; each attempt has its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmtpTimeouts {
    /// For name resolution and the TCP connection together.
    pub connect: Duration,
    /// Without a byte of ours being taken.
    pub write: Duration,
    /// For a reply, from the last byte written.
    pub reply: Duration,
}

impl Default for SmtpTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            write: Duration::from_secs(5),
            reply: Duration::from_secs(8),
        }
    }
}

/// What an SMTP account needs.
#[derive(Clone)]
pub struct SmtpSettings {
    /// The set of credentials that these are.
    pub account: AccountId,
    /// The server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password; without them there is no login.
    pub login: Option<(String, Secret)>,
    /// The sender that belongs to the account.
    pub from: Mailbox,
    /// Addresses and domains that callers may send from; the domain of `from` when empty.
    pub senders: Vec<String>,
    /// How the connection is secured.
    pub tls: SmtpTls,
    /// Certificates in PEM that are trusted beside the system's.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// The name that EHLO gives. Without one: the machine's if it is fully qualified, else the address that the connection comes from.
    pub helo_name: Option<HeloName>,
    /// How long to wait for what.
    pub timeouts: SmtpTimeouts,
    /// Most connections at a time.
    pub max_connections: u32,
    /// How long an unused connection is kept.
    pub idle: Duration,
}

impl SmtpSettings {
    /// An account with the usual defaults.
    pub fn new(host: impl Into<String>, port: u16, from: Mailbox) -> Self {
        let host = host.into();
        Self {
            account: AccountId::default(),
            tls: SmtpTls::default_for(&host, port),
            host,
            port,
            login: None,
            from,
            senders: Vec::new(),
            extra_ca_pem: None,
            helo_name: None,
            timeouts: SmtpTimeouts::default(),
            max_connections: 4,
            idle: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for SmtpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpSettings")
            .field("account", &self.account)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("login", &self.login.is_some())
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// Why settings cannot work. Never holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmtpSettingsFault {
    /// The host is neither a name nor an address.
    #[error("SMTP_HOST is neither a host name nor an address")]
    Host,
    /// The additional certificates cannot be read.
    #[error("the additional certificates for SMTP are not certificates in PEM")]
    CaCertificate,
    /// The system's certificates cannot be read for want of something of our own.
    #[error("the system's certificates cannot be read: {0}")]
    Shortage(Shortage),
}

/// What all connections of an account share.
struct Inner {
    settings: SmtpSettings,
    tls: Option<Tls>,
    credentials: Option<Credentials>,
    /// The name that was chosen, or the machine's.
    helo_name: Option<HeloName>,
    learned: Learned,
}

/// The SMTP provider.
pub struct Smtp {
    inner: Inner,
    pool: Pool,
    sender: SenderRule,
    clock: Arc<dyn Clock>,
}

impl Smtp {
    /// Prepares the provider; reads the system's certificates once, unless TLS is off.
    ///
    /// # Errors
    /// A [`SmtpSettingsFault`] that says what cannot work.
    pub fn new(settings: SmtpSettings, clock: Arc<dyn Clock>) -> Result<Self, SmtpSettingsFault> {
        let tls = match settings.tls {
            SmtpTls::Starttls | SmtpTls::Implicit => Some(Tls::new(&settings.host, settings.extra_ca_pem.as_deref())?),
            SmtpTls::None => None,
        };
        let credentials = settings
            .login
            .as_ref()
            .map(|(user, password)| Credentials::new(user.clone(), password.expose().to_owned()));
        let helo_name = settings.helo_name.clone().or_else(offers::machines_name);
        let pool = Pool::new(settings.max_connections, settings.idle);
        let sender = SenderRule::new(settings.from.clone(), &settings.senders);
        Ok(Self {
            inner: Inner {
                settings,
                tls,
                credentials,
                helo_name,
                learned: Learned::default(),
            },
            pool,
            sender,
            clock,
        })
    }

    /// Builds the message and its envelope: as it is, and once more for a server without 8BITMIME if such a server could not carry it.
    fn letters<'a>(&self, email: &'a Email, sender: &Chosen<'a>, call: &Call, message_id: &str) -> Result<Letters<'a>, Failure> {
        let ids = mime::Ids {
            message_id,
            date: self.clock.now(),
        };
        let letter = |bits| {
            let recipients = email.recipients().map(|(_, mailbox)| &mailbox.address).collect();
            mime::compose(email, sender.from, sender.reply_to, (&ids, bits))
                .map(|message| Letter::new(sender, recipients, call.attempt_id.to_string(), message))
        };
        let is_wide = email.attachments.iter().any(mime::needs_eight_bits);
        Ok(Letters {
            as_it_is: letter(Bits::Eight)?,
            in_seven_bits: is_wide.then(|| letter(Bits::Seven)).transpose()?,
        })
    }

    /// When a call must be over.
    fn until(time_left: Duration) -> Instant {
        Instant::now() + time_left.min(LONGEST_CALL)
    }

    /// Waits for a connection's turn, no longer than a connection and a reply may take.
    async fn turn(&self, until: Instant) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        let timeouts = &self.inner.settings.timeouts;
        let patience = until.min(Instant::now() + timeouts.connect + timeouts.reply);
        let busy = || Failure::local(FailureClass::Throttled, "pool_busy", "all connections to the server stayed in use");
        self.pool.slot(patience).await.ok_or_else(busy)
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp")
            .field("settings", &self.inner.settings)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Provider<Email> for Smtp {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Smtp
    }

    fn account(&self) -> AccountId {
        self.inner.settings.account.clone()
    }

    fn is_local(&self) -> bool {
        is_loopback(&self.inner.settings.host)
    }

    async fn send(&self, email: &Email, call: &Call) -> Result<Accepted, Failure> {
        let until = Self::until(call.time_left);
        let sender = self.sender.choose(email);
        let message_id = format!("<{}@{}>", call.attempt_id, sender.from.address.domain());
        let _turn = self.turn(until).await?;
        let letters = self.letters(email, &sender, call, &message_id)?;
        let (refused, simulated) = self.deliver(&letters, until).await?;
        Ok(Accepted {
            simulated,
            from_substituted: sender.substituted,
            refused,
            ..Accepted::new(message_id)
        })
    }

    fn can_be_asked(&self) -> bool {
        true
    }

    async fn probe(&self) -> Probe {
        let timeouts = &self.inner.settings.timeouts;
        let until = Self::until(timeouts.connect + timeouts.reply * 4);
        let asked = async {
            let _turn = self.turn(until).await?;
            // A fresh connection asks all the questions; it is kept for the message that follows.
            let mut session = Session::open(&self.inner, until).await?;
            session.noop(&self.inner, until).await.map_err(fault::Fault::into_failure)?;
            self.pool.put(session);
            Ok(())
        };
        asked.await.map_or_else(Probe::Failed, |()| Probe::Healthy)
    }
}

/// A reply of which the stage is perhaps not known, with its code in front or beside it.
pub(crate) fn classify_answer(stage: Option<&str>, status: u16, body: &[u8]) -> Option<Failure> {
    let text = String::from_utf8_lossy(body);
    let reply = if reply::reply_code(&text).is_some() || status == 0 {
        text.into_owned()
    } else {
        format!("{status} {text}")
    };
    let stage = stage
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| reply::likely_stage(&reply));
    reply::classify_reply(stage, &reply)
}

/// Whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
