//! What the service is, where it listens, keeps its messages and writes its log.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use ums_core::Secret;

use crate::reader::Reader;
use crate::values::{Endpoint, StoreUrl};

/// Shortest key that sealing and keyed hashes may be derived from, in bytes.
const MIN_SECRET_KEY_BYTES: usize = 16;
/// Where the service listens unless told otherwise.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Where the service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// For real recipients.
    Production,
    /// On a developer's machine.
    Development,
}

impl Environment {
    /// The word of `UMS_ENV`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Development => "development",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// `UMS_ENV`.
pub(crate) fn environment(reader: &mut Reader<'_>) -> Environment {
    let read = reader.parsed("UMS_ENV", |word| match word {
        "production" => Ok(Environment::Production),
        "development" => Ok(Environment::Development),
        _ => Err("must be production or development"),
    });
    read.unwrap_or(Environment::Production)
}

/// `UMS_DATABASE_URL`.
pub(crate) fn store_url(reader: &mut Reader<'_>, default: &StoreUrl) -> StoreUrl {
    reader
        .parsed("UMS_DATABASE_URL", StoreUrl::parse)
        .unwrap_or_else(|| default.clone())
}

/// `UMS_LISTEN`.
pub(crate) fn listen(reader: &mut Reader<'_>) -> SocketAddr {
    reader.parsed("UMS_LISTEN", place_to_listen).unwrap_or(DEFAULT_LISTEN)
}

/// `UMS_PROBE_LISTEN`.
pub(crate) fn probe_listen(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    reader.parsed("UMS_PROBE_LISTEN", place_to_listen)
}

/// Reads where to listen: an address and a port; `localhost` and a bare `:port` mean loopback.
///
/// # Errors
/// What to give instead: a name may have several addresses, or one that belongs to another machine.
pub fn place_to_listen(text: &str) -> Result<SocketAddr, &'static str> {
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':'));
    let address = port.map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    address
        .parse()
        .map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8080, or 0.0.0.0:8080 for every address of this machine; host names are not looked up")
}

/// `UMS_TRUSTED_PROXIES`.
pub(crate) fn trusted_proxies(reader: &mut Reader<'_>) -> Vec<IpNet> {
    let texts = reader.list("UMS_TRUSTED_PROXIES").unwrap_or_default();
    let Some(networks) = texts.iter().map(|text| network(text)).collect::<Option<Vec<_>>>() else {
        let reason = "must be IP addresses or networks such as 10.0.0.0/8, separated by commas";
        reader.fault("UMS_TRUSTED_PROXIES", reason.to_owned());
        return Vec::new();
    };
    if networks.iter().any(|network| network.prefix_len() == 0) {
        let reason = "names every address: connections of one peer are not bounded, and anybody may say whose they are";
        reader.warn("UMS_TRUSTED_PROXIES", reason);
    }
    networks
}

/// An address is a network of one.
fn network(text: &str) -> Option<IpNet> {
    let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    address.ok().or_else(|| text.parse().ok())
}

/// `UMS_PUBLIC_URL`.
pub(crate) fn public_url(reader: &mut Reader<'_>) -> Option<Endpoint> {
    reader.parsed("UMS_PUBLIC_URL", Endpoint::parse)
}

/// `UMS_API_KEY`.
pub(crate) fn api_key(reader: &mut Reader<'_>) -> Option<Secret> {
    reader.secret("UMS_API_KEY")
}

/// `UMS_SECRET_KEY`, newest first.
pub(crate) fn secret_keys(reader: &mut Reader<'_>) -> Vec<Secret> {
    let keys = reader.list("UMS_SECRET_KEY").unwrap_or_default();
    for (index, _) in keys.iter().enumerate().filter(|(_, key)| key.len() < MIN_SECRET_KEY_BYTES) {
        let reason = format!(
            "has less than {MIN_SECRET_KEY_BYTES} characters in its key {}; make one with `openssl rand -base64 32`",
            index + 1
        );
        reader.fault("UMS_SECRET_KEY", reason);
    }
    keys.into_iter().map(Secret::new).collect()
}

/// `UMS_LOG`.
pub(crate) fn log(reader: &mut Reader<'_>) -> String {
    reader.text("UMS_LOG").unwrap_or_else(|| "info".to_owned())
}

/// `UMS_LOG_FORMAT`.
pub(crate) fn log_format(reader: &mut Reader<'_>, environment: Environment) -> LogFormat {
    let read = reader.parsed("UMS_LOG_FORMAT", |word| match word {
        "json" => Ok(LogFormat::Json),
        "pretty" => Ok(LogFormat::Pretty),
        _ => Err("must be json or pretty"),
    });
    read.unwrap_or(match environment {
        Environment::Production => LogFormat::Json,
        Environment::Development => LogFormat::Pretty,
    })
}
