//! SMTP.

use std::path::PathBuf;
use std::time::Duration;

use ums_core::{HeloName, Mailbox, Secret};

use super::{Configured, sender, senders, unset};
use crate::reader::Reader;
use crate::senders::SenderRule;
use crate::values::is_loopback;

/// Port of message submission with STARTTLS.
const SUBMISSION: u16 = 587;
/// Port of message submission with TLS from the first byte.
const SUBMISSIONS: u16 = 465;

/// How the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// By STARTTLS, which the server must offer.
    StartTls,
    /// From the first byte.
    Implicit,
    /// Not at all.
    None,
}

/// User and password.
#[derive(Clone, Debug)]
pub struct SmtpLogin {
    /// User.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// What sending by SMTP needs.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// Server: name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User and password; none only for a server on this machine.
    pub login: Option<SmtpLogin>,
    /// Own sender.
    pub from: Mailbox,
    /// Senders that it may use beside its own.
    pub senders: Vec<SenderRule>,
    /// Encryption.
    pub tls: SmtpTls,
    /// Name that EHLO gives; the machine's, or the connection's address, without one.
    pub helo_name: Option<HeloName>,
    /// Certificates of a private authority, PEM.
    pub ca_file: Option<PathBuf>,
    /// Connections kept to the server.
    pub pool_size: u32,
    /// Time that an unused connection is kept.
    pub pool_idle: Duration,
}

impl SmtpSettings {
    /// Whether the server is on this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

pub(crate) fn read(reader: &mut Reader<'_>) -> Configured<SmtpSettings> {
    let host = reader.parsed("SMTP_HOST", host);
    let local = host.as_deref().is_some_and(is_loopback);
    let all = ["SMTP_HOST", "SMTP_USER", "SMTP_PASSWORD", "SMTP_FROM_EMAIL"];
    let mut missing = unset(reader, &all);
    let any = missing.len() < all.len();
    if local && !reader.is_set("SMTP_USER") && !reader.is_set("SMTP_PASSWORD") {
        missing.retain(|name| !matches!(*name, "SMTP_USER" | "SMTP_PASSWORD"));
    }
    let port = reader.parsed("SMTP_PORT", |text| {
        text.parse().ok().filter(|port| *port > 0).ok_or("must be a number from 1 to 65535")
    });
    let port = port.unwrap_or(SUBMISSION);
    let tls = tls(reader, port, local);
    let login = login(reader);
    if tls == SmtpTls::None && !local && login.is_some() {
        reader.warn("SMTP_TLS", "is none: user, password and messages cross the network readable");
    }
    let from = sender(reader, "SMTP_FROM_EMAIL", "SMTP_FROM_NAME");
    let senders = senders(reader, "senders.smtp", from.as_ref().map(|from| &from.address));
    let helo_name = reader.parsed("SMTP_HELO_NAME", HeloName::parse);
    let ca_file = reader.file_text("smtp.ca_file").map(PathBuf::from);
    let pool_size = reader.number("smtp.pool_size", 1..=100);
    let pool_idle = reader.span("smtp.pool_idle", Duration::from_secs(1)..=Duration::from_hours(1));
    let settings = match (host, from) {
        (Some(host), Some(from)) => Some(SmtpSettings {
            host,
            port,
            login,
            from,
            senders,
            tls,
            helo_name,
            ca_file,
            pool_size,
            pool_idle,
        }),
        _ => None,
    };
    Configured::unless_missing(reader, any, missing, "SMTP needs a server, user, password and a sender", settings)
}

/// A host name or address, which also stands in logs and TLS.
fn host(text: &str) -> Result<String, &'static str> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let is_name = inner
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if is_name && !inner.is_empty() || inner.parse::<std::net::IpAddr>().is_ok() {
        Ok(inner.to_owned())
    } else {
        Err("must be a host name or address, without scheme and port")
    }
}

fn tls(reader: &mut Reader<'_>, port: u16, local: bool) -> SmtpTls {
    let said = reader.parsed("SMTP_TLS", |word| match word {
        "starttls" => Ok(SmtpTls::StartTls),
        "implicit" => Ok(SmtpTls::Implicit),
        "none" => Ok(SmtpTls::None),
        _ => Err("must be starttls, implicit or none"),
    });
    match (said, port) {
        (Some(SmtpTls::StartTls), SUBMISSIONS) => reader.fault(
            "SMTP_TLS",
            "is starttls, but SMTP_PORT 465 speaks TLS from the first byte: use implicit, or port 587",
        ),
        (Some(SmtpTls::Implicit), SUBMISSION) => reader.fault(
            "SMTP_TLS",
            "is implicit, but SMTP_PORT 587 begins in clear text: use starttls, or port 465",
        ),
        _ => {}
    }
    said.unwrap_or(match port {
        SUBMISSIONS => SmtpTls::Implicit,
        SUBMISSION => SmtpTls::StartTls,
        _ if local => SmtpTls::None,
        _ => SmtpTls::StartTls,
    })
}

/// User and password; a password may hold any characters but control characters.
fn login(reader: &mut Reader<'_>) -> Option<SmtpLogin> {
    let user = reader.text("SMTP_USER");
    let password = reader.text("SMTP_PASSWORD");
    Some(SmtpLogin {
        user: user?,
        password: Secret::new(password?),
    })
}
