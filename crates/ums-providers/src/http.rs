//! The one HTTP transport, for SES, SNS, SendGrid and Twilio: HTTP/1.1 over hyper's connection.
//!
//! It knows what no general client tells: whether a byte of *this* request was handed to the
//! socket ([`stream::Meter`]). On that flag, not on a guess, rests the difference between
//! [`FailureClass::Unavailable`] and [`FailureClass::Unknown`].
//!
//! ```text
//! exchange → idle connection, if one is alive, else connect (DNS → TCP → TLS)
//!          → connection.run: write, read the capped reply, under the watch
//! ```
//!
//! **Invariant:** a request of which a byte was handed over is never written a second time. It
//! follows no redirect, reads no proxy from the environment and retries nothing.

mod connect;
mod connection;
mod origin;
mod proxy;
mod reply;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use ums_core::{Clock, Failure, FailureClass, Shortage};

use self::connection::Connection;
pub(crate) use self::origin::{BadOrigin, Origin};
pub use self::proxy::{BadProxy, Proxy};
pub(crate) use self::reply::{Answer, Reply};

/// How long the parts of a call may take.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// For DNS, TCP and TLS together; default 2 s.
    pub connect: Duration,
    /// Without any byte of the request written; default 5 s.
    pub write_stall: Duration,
    /// From the last byte written until the whole reply is read; default 8 s.
    pub reply: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            write_stall: Duration::from_secs(5),
            reply: Duration::from_secs(8),
        }
    }
}

/// Which certificate authorities are trusted.
#[derive(Clone, Default)]
pub enum TrustedRoots {
    /// The operating system's, read once when first needed.
    #[default]
    System,
    /// These and no others.
    Only(Vec<CertificateDer<'static>>),
}

impl fmt::Debug for TrustedRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("System"),
            Self::Only(roots) => write!(f, "Only({})", roots.len()),
        }
    }
}

/// What can be set about the transport.
#[derive(Clone, Debug)]
pub struct TransportSettings {
    /// How long the parts of a call may take.
    pub limits: TimeLimits,
    /// How long an unused connection is kept; below what providers keep theirs; default 30 s.
    pub idle_timeout: Duration,
    /// Unused connections kept for each endpoint; default 64.
    pub max_idle: usize,
    /// Longest reply that is read, in bytes; default 256 KiB.
    pub max_reply_bytes: usize,
    /// Whether an endpoint that is not on this machine may be spoken to without TLS.
    pub allow_plain_http: bool,
    /// Which certificate authorities are trusted.
    pub roots: TrustedRoots,
    /// The proxy to endpoints that are not on this machine; the environment's is not read.
    pub proxy: Option<Proxy>,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            limits: TimeLimits::default(),
            idle_timeout: Duration::from_secs(30),
            max_idle: 64,
            max_reply_bytes: 256 * 1024,
            allow_plain_http: false,
            roots: TrustedRoots::System,
            proxy: None,
        }
    }
}

/// The transport: its settings, its trust and its idle connections.
pub struct Transport {
    settings: TransportSettings,
    clock: Arc<dyn Clock>,
    tls: tokio::sync::OnceCell<TlsConnector>,
    origins: Mutex<HashMap<String, Arc<Origin>>>,
}

impl Transport {
    /// Makes a transport; nothing is opened or read before the first call.
    pub fn new(settings: TransportSettings, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            settings,
            clock,
            tls: tokio::sync::OnceCell::new(),
            origins: Mutex::default(),
        })
    }

    /// The clock that adapters share with it: for signatures and for dates in replies.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The default time limits of a call.
    pub(crate) fn limits(&self) -> &TimeLimits {
        &self.settings.limits
    }

    /// The endpoint that a base URL names. Endpoints of one host share their connections.
    pub(crate) fn origin(&self, base_url: &str) -> Result<Arc<Origin>, BadOrigin> {
        let origin = Origin::parse(base_url)?;
        if !origin.is_https() && !origin.is_loopback() && !self.settings.allow_plain_http {
            return Err(BadOrigin::Plain);
        }
        Ok(self.intern(origin))
    }

    /// As [`Transport::origin`], without asking for TLS: instance and container metadata are served
    /// in plain text on link-local addresses.
    pub(crate) fn metadata_origin(&self, base_url: &str) -> Result<Arc<Origin>, BadOrigin> {
        Ok(self.intern(Origin::parse(base_url)?.without_proxy()))
    }

    fn intern(&self, origin: Origin) -> Arc<Origin> {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(origins.entry(origin.key()).or_insert_with(|| Arc::new(origin)))
    }

    /// Sends one request and reads the whole reply.
    ///
    /// # Errors
    /// [`NoReply`], which knows whether a byte of the request was handed over.
    ///
    /// # Cancel safety
    /// Dropping the call closes its connection; the request may have been handed over.
    pub(crate) async fn exchange(&self, origin: &Origin, request: &Outgoing<'_>, time_left: Duration) -> Result<Reply, NoReply> {
        self.exchange_within(origin, request, &self.settings.limits, time_left).await
    }

    /// [`Transport::exchange`] under other limits than the transport's own.
    pub(crate) async fn exchange_within(
        &self,
        origin: &Origin,
        request: &Outgoing<'_>,
        limits: &TimeLimits,
        time_left: Duration,
    ) -> Result<Reply, NoReply> {
        let deadline = Instant::now() + time_left;
        while let Some(idle) = origin.checkout(self.settings.idle_timeout) {
            match self.run(idle, origin, request, limits, deadline).await {
                // It was closed while it lay idle. Nothing was handed over, so this is no second send.
                Err(no_reply) if no_reply.nothing_sent_on_dead_connection() => {}
                outcome => return outcome,
            }
        }
        let fresh = connect::connect(self, origin, limits, deadline).await?;
        self.run(fresh, origin, request, limits, deadline).await
    }

    /// Runs one exchange on a connection, and keeps the connection for the next exchange if it stays open.
    async fn run(
        &self,
        connection: Connection,
        origin: &Origin,
        request: &Outgoing<'_>,
        limits: &TimeLimits,
        deadline: Instant,
    ) -> Result<Reply, NoReply> {
        let settings = &self.settings;
        let (reply, open) = connection
            .run(origin.host_header(), request, limits, deadline, settings.max_reply_bytes)
            .await?;
        if let Some(connection) = open {
            origin.checkin(connection, settings.idle_timeout, settings.max_idle);
        }
        Ok(reply)
    }

    /// Sends one request to the first of these addresses that answers, on a connection of its own, and gives the reply's status. No name is
    /// resolved and no proxy asked. Of the reply's body no more than the cap is read, and nothing hangs on it.
    ///
    /// # Errors
    /// Why no status came.
    pub(crate) async fn status_at(
        &self,
        origin: &Origin,
        addresses: &[SocketAddr],
        request: &Outgoing<'_>,
        deadline: Instant,
    ) -> Result<u16, Cause> {
        let fresh = connect::connect_to(self, origin, addresses, deadline).await?;
        let (limits, max_bytes) = (&self.settings.limits, self.settings.max_reply_bytes);
        fresh
            .run_for_status(origin.host_header(), request, limits, deadline, max_bytes)
            .await
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A request. It is borrowed, so that a dead idle connection costs no copy of it.
pub(crate) struct Outgoing<'a> {
    /// Its method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: &'a Uri,
    /// All headers but `Host`, `Content-Length` and `User-Agent`.
    pub(crate) headers: &'a [(HeaderName, HeaderValue)],
    /// The body; cloning it copies nothing.
    pub(crate) body: Bytes,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Dns,
    Refused,
    Connect,
    ConnectTimeout,
    Tls,
    NoRoots,
    WriteStalled,
    ReplyTimeout,
    Deadline,
    Lost,
    Unreadable,
    TooLong,
    Proxy,
    ProxyLogin,
    /// Our own machine had nothing left to open the connection with.
    Shortage(Shortage),
}

impl Cause {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::NoRoots => "no_root_certificates",
            Self::WriteStalled => "write_stalled",
            Self::ReplyTimeout => "reply_timeout",
            Self::Deadline => "deadline",
            Self::Lost => "connection_lost",
            Self::Unreadable => "unreadable_reply",
            Self::TooLong => "reply_too_long",
            Self::Proxy => "proxy",
            Self::ProxyLogin => "proxy_login",
            Self::Shortage(shortage) => shortage.code(),
        }
    }

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Dns => "the provider's host name could not be resolved",
            Self::Refused => "the provider refused the connection",
            Self::Connect => "the provider could not be reached",
            Self::ConnectTimeout => "the provider could not be reached in time",
            Self::Tls => "no secure connection: the TLS handshake failed",
            Self::NoRoots => "this machine has no root certificates; install its ca-certificates package",
            Self::WriteStalled => "the provider stopped reading the request",
            Self::ReplyTimeout => "the provider did not answer in time",
            Self::Deadline => "the message's time ended during the call",
            Self::Lost => "the connection was lost before the whole answer was in",
            Self::Unreadable => "the answer is not HTTP",
            Self::TooLong => "the answer is longer than is read",
            Self::Proxy => "the proxy did not open a connection to the provider",
            Self::ProxyLogin => "the proxy wants a login; set user and password in http.proxy",
            Self::Shortage(shortage) => shortage.words(),
        }
    }
}

/// No whole reply came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoReply {
    /// Why.
    pub(crate) cause: Cause,
    /// Whether a byte of the request was handed to the socket.
    pub(crate) sent: bool,
    /// Whether the connection had been used before.
    pub(crate) reused: bool,
}

impl NoReply {
    /// Nothing was handed over, on a connection that was not even open.
    pub(crate) const fn unsent(cause: Cause) -> Self {
        Self {
            cause,
            sent: false,
            reused: false,
        }
    }

    const fn nothing_sent_on_dead_connection(self) -> bool {
        self.reused && !self.sent && matches!(self.cause, Cause::Lost | Cause::Unreadable)
    }

    /// The class: the flag decides. Only a fault of our own machine is our own.
    pub(crate) const fn class(self) -> FailureClass {
        match (self.sent, self.cause) {
            (true, _) => FailureClass::Unknown,
            (false, Cause::Shortage(_)) => FailureClass::LocalShortage,
            (false, Cause::NoRoots | Cause::ProxyLogin) => FailureClass::Misconfigured,
            (false, _) => FailureClass::Unavailable,
        }
    }
}

impl From<NoReply> for Failure {
    fn from(no_reply: NoReply) -> Self {
        match (no_reply.sent, no_reply.cause) {
            (false, Cause::Shortage(shortage)) => shortage.into(),
            (_, cause) => Self::transport(no_reply.class(), cause.code(), cause.words()),
        }
    }
}
