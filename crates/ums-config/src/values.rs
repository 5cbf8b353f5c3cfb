//! Values that more than one section reads: endpoints, the store's address, words per provider.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ums_core::{ProviderKind, Secret};

/// The base URL of a provider or of this service: `http` or `https`, no trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    loopback: bool,
}

impl Endpoint {
    /// Reads a base URL.
    ///
    /// # Errors
    /// What to do about it; never the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_end_matches('/');
        let (scheme, rest) = text.split_once("://").ok_or("must be a URL that begins with https:// or http://")?;
        if !matches!(scheme, "http" | "https") {
            return Err("must be a URL that begins with https:// or http://".to_owned());
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['?', '#', '\\', '"', '<', '>']) {
            return Err("must be a URL without query, fragment, spaces or special characters".to_owned());
        }
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err("must not hold a user or password".to_owned());
        }
        let host = host_of(authority).ok_or("must have a host name and, if any, a valid port")?;
        Ok(Self {
            loopback: is_loopback(host),
            text: text.to_owned(),
        })
    }

    /// Reads the base URL of a provider: keys and messages go there, so that it is encrypted unless it is on this machine.
    ///
    /// # Errors
    /// What to do about it; never the URL.
    pub fn of_provider(text: &str) -> Result<Self, String> {
        let endpoint = Self::parse(text)?;
        if endpoint.is_https() || endpoint.is_loopback() {
            Ok(endpoint)
        } else {
            Err("must begin with https://, because it is not on this machine".to_owned())
        }
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is on this machine, by its name or address.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// Whether requests to it are encrypted.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The host of `host`, `host:port` or `[v6]:port`.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port_is_fine = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    (port_is_fine && !host.is_empty()).then_some(host)
}

/// Whether a host name or address is this machine's loopback.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Where messages are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// In memory: gone with the process.
    Memory,
    /// A `SQLite` file.
    Sqlite(PathBuf),
    /// A PostgreSQL database; the URL may hold a password.
    Postgres(Secret),
}

impl StoreUrl {
    /// Reads `sqlite://ums.db`, `sqlite:///var/lib/ums/ums.db`, `postgres://…` or `memory:`.
    ///
    /// # Errors
    /// What to do about it; never the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        if matches!(text, "memory" | "memory:" | "memory://") {
            return Ok(Self::Memory);
        }
        if let Some(path) = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) {
            return match path {
                ":memory:" => Ok(Self::Memory),
                "" => Err("must name a file, such as sqlite://ums.db".to_owned()),
                path if path.contains(['?', '\0']) => Err("must be sqlite:// and a file, without options".to_owned()),
                path => Ok(Self::Sqlite(PathBuf::from(path))),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            check_postgres(text)?;
            return Ok(Self::Postgres(Secret::new(text)));
        }
        Err("must be sqlite://FILE, postgres://… or memory:".to_owned())
    }

    /// A `SQLite` file.
    pub fn sqlite(path: impl AsRef<Path>) -> Self {
        Self::Sqlite(path.as_ref().to_owned())
    }
}

/// Checks the form of a PostgreSQL URL; what to do about it never repeats any of it.
fn check_postgres(text: &str) -> Result<(), String> {
    const FORM: &str = "postgres://user:password@host:5432/database";
    let (_, rest) = text.split_once("://").unwrap_or_default();
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains('#') {
        return Err(format!(
            "must be {FORM}, with spaces and characters such as @ / ? # % of the password written as %20 %40 %2F %3F %23 %25"
        ));
    }
    let place = rest.split('?').next().unwrap_or_default();
    let (authority, database) = place
        .split_once('/')
        .ok_or_else(|| format!("names no database: it must be {FORM}"))?;
    if database.is_empty() || database.contains('/') {
        return Err(format!("must name one database: {FORM}"));
    }
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, hosts)| hosts);
    let is_fine = |host: &str| host_of(host).is_some() || host.starts_with("%2F");
    if !hosts.is_empty() && !hosts.split(',').all(is_fine) {
        return Err(format!("must have a host name and, if any, a valid port: {FORM}"));
    }
    Ok(())
}

/// Without user and password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => {
                let (_, rest) = url.expose().split_once("://").unwrap_or_default();
                let place = rest.split(['?', '#']).next().unwrap_or_default();
                write!(f, "postgres://{}", place.rsplit_once('@').map_or(place, |(_, after)| after))
            }
        }
    }
}

/// One value for each provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByProvider<T> {
    /// Amazon SES.
    pub aws_ses: T,
    /// SendGrid.
    pub sendgrid: T,
    /// SMTP.
    pub smtp: T,
    /// Amazon SNS.
    pub aws_sns: T,
    /// Twilio.
    pub twilio: T,
    /// The console.
    pub console: T,
}

impl<T> ByProvider<T> {
    /// Makes the value of each provider, in the order of [`ProviderKind::ALL`].
    pub fn each(mut make: impl FnMut(ProviderKind) -> T) -> Self {
        Self {
            aws_ses: make(ProviderKind::AwsSes),
            sendgrid: make(ProviderKind::SendGrid),
            smtp: make(ProviderKind::Smtp),
            aws_sns: make(ProviderKind::AwsSns),
            twilio: make(ProviderKind::Twilio),
            console: make(ProviderKind::Console),
        }
    }

    /// The value of one provider.
    pub fn get(&self, provider: ProviderKind) -> &T {
        match provider {
            ProviderKind::AwsSes => &self.aws_ses,
            ProviderKind::SendGrid => &self.sendgrid,
            ProviderKind::Smtp => &self.smtp,
            ProviderKind::AwsSns => &self.aws_sns,
            ProviderKind::Twilio => &self.twilio,
            ProviderKind::Console => &self.console,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints_are_base_urls_and_know_loopback() {
        let check = |text: &str, loopback: bool| assert_eq!(Endpoint::parse(text).map(|e| e.is_loopback()), Ok(loopback), "{text}");
        check("http://127.0.0.1:8082", true);
        check("http://localhost:8082/ses/", true);
        check("http://[::1]:8082", true);
        check("http://sim.localhost", true);
        check("https://api.sendgrid.com", false);
        check("http://moto:5000", false);
        check("https://localhost.example.com", false);
        assert_eq!(Endpoint::parse("https://a.example/b//").unwrap().as_str(), "https://a.example/b");
        for bad in [
            "",
            "a.example",
            "ftp://a.example",
            "https://",
            "https:///x",
            "https://u:p@a.example",
            "https://a b",
            "http://a:0",
            "http://a:x",
            "http://[1]",
            "http://a?b",
            "http://a\n",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn stores_are_shown_without_user_and_password() {
        let check = |text: &str, shown: &str| assert_eq!(StoreUrl::parse(text).unwrap().to_string(), shown, "{text}");
        check("sqlite://ums.db", "sqlite://ums.db");
        check("sqlite:///var/lib/ums.db", "sqlite:///var/lib/ums.db");
        check("sqlite::memory:", "memory:");
        check(
            "postgres://ums:can@ary@db.internal:5432/ums?password=canary",
            "postgres://db.internal:5432/ums",
        );
        check("postgresql:///ums", "postgres:///ums");
        for bad in ["", "mysql://x", "sqlite:", "ums.db", "sqlite://a?mode=ro"] {
            assert!(StoreUrl::parse(bad).is_err(), "{bad:?}");
        }
        assert!(!format!("{:?}", StoreUrl::parse("postgres://u:canary@h/d").unwrap()).contains("canary"));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(https?://|postgres://|sqlite:)?\\PC{0,40}") {
            drop(Endpoint::parse(&text));
            drop(StoreUrl::parse(&text).map(|url| url.to_string()));
        }
    }
}
