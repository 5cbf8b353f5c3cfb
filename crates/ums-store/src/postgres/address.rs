//! Where the database is and how it is spoken to, as its URL says.
//!
//! Only here: a file is found by its path.

use std::net::IpAddr;
use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, SslMode};
use ums_core::StoreError;

use super::tls::{Check, Tls};
use super::{CONNECT_WITHIN, STATEMENT_WITHIN};

const UNREADABLE: &str = "the PostgreSQL URL cannot be read; it should look like postgres://user:password@host:5432/database, with \
                          characters such as @ / ? # % in the password written as %40 %2F %3F %23 %25";

/// A database's address, with the password in it.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) config: Config,
    pub(crate) tls: Tls,
    /// The same about certificates in the words of PostgreSQL's own programs.
    pub(super) programs_tls: ProgramsTls,
}

/// How PostgreSQL's own programs check a server's certificate, no less than is done here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProgramsTls {
    pub(super) mode: &'static str,
    /// The file with the authorities; the system's unless told.
    pub(super) roots: Option<PathBuf>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.config.get_hosts(), self.config.get_dbname())
    }
}

impl Address {
    /// Reads a URL. Errors never repeat any part of it.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let (plain, mode, roots) = take_tls(url)?;
        // The parser's errors name what they found, which may be part of a password.
        let mut config: Config = plain.parse().map_err(|_| StoreError::Unusable(UNREADABLE.to_owned()))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("localhost");
        }
        let local = is_local(&config);
        let mode = mode.as_deref().unwrap_or("prefer");
        let (ssl_mode, check, programs_mode) = match mode {
            "disable" => (SslMode::Disable, Check::Nothing, "disable"),
            "prefer" | "allow" => (SslMode::Prefer, Check::Nothing, "prefer"),
            "require" if local && roots.is_none() => (SslMode::Require, Check::Nothing, "require"),
            "require" | "verify-full" => (SslMode::Require, Check::AuthorityAndName, "verify-full"),
            "verify-ca" => (SslMode::Require, Check::Authority, "verify-ca"),
            _ => {
                return Err(StoreError::Unusable(
                    "sslmode of the PostgreSQL URL must be disable, prefer, require, verify-ca or verify-full".to_owned(),
                ));
            }
        };
        if config.get_channel_binding() == ChannelBinding::Require {
            return Err(StoreError::Unusable(
                "channel_binding=require is not supported; use sslmode=verify-full".to_owned(),
            ));
        }
        config.ssl_mode(ssl_mode);
        config.application_name(config.get_application_name().unwrap_or("ums").to_owned());
        config.connect_timeout(CONNECT_WITHIN);
        config.tcp_user_timeout(STATEMENT_WITHIN);
        config.keepalives(true);
        config.keepalives_idle(STATEMENT_WITHIN);
        config.keepalives_interval(std::time::Duration::from_secs(2));
        config.keepalives_retries(3);
        Ok(Self {
            config,
            tls: Tls::new(check, roots.as_deref())?,
            programs_tls: ProgramsTls {
                mode: programs_mode,
                roots,
            },
        })
    }
}

/// Takes out of a URL what the client library does not know: `sslmode` in its strict forms and `sslrootcert`.
fn take_tls(url: &str) -> Result<(String, Option<String>, Option<PathBuf>), StoreError> {
    let Some((head, query)) = url.split_once('?') else {
        return Ok((url.to_owned(), None, None));
    };
    let (mut kept, mut mode, mut roots) = (Vec::new(), None, None);
    for part in query.split('&') {
        match part.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            Some(("sslrootcert", "system")) => roots = None,
            Some(("sslrootcert", value)) => roots = Some(PathBuf::from(value.replace("%2F", "/").replace("%20", " "))),
            Some(("sslcert" | "sslkey" | "sslcrl" | "sslpassword", _)) => {
                return Err(StoreError::Unusable(
                    "client certificates are not supported by this version".to_owned(),
                ));
            }
            Some((name, _)) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => kept.push(part),
            // The rest of a password with a `?` in it, most likely.
            _ => return Err(StoreError::Unusable(UNREADABLE.to_owned())),
        }
    }
    let plain = if kept.is_empty() {
        head.to_owned()
    } else {
        [head, "?", &kept.join("&")].concat()
    };
    Ok((plain, mode, roots))
}

/// Whether every host is this machine.
fn is_local(config: &Config) -> bool {
    let by_name = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    by_name && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sslmode_is_honoured_in_all_its_forms() {
        let rows = [
            ("postgres://u:p@db.example.com/ums", Some(SslMode::Prefer)),
            ("postgres://u:p@db.example.com/ums?sslmode=disable", Some(SslMode::Disable)),
            ("postgres://u:p@db.example.com/ums?sslmode=require", Some(SslMode::Require)),
            (
                "postgresql://u@db.example.com/ums?sslmode=verify-full&application_name=x",
                Some(SslMode::Require),
            ),
            ("postgres://u:p@127.0.0.1:5433/ums?sslmode=verify-ca", Some(SslMode::Require)),
            ("postgres://u:p@db.example.com/ums?sslmode=maybe", None),
            ("postgres://u:p@db.example.com/ums?sslcert=/x", None),
            ("postgres://u:p@db.example.com/ums?channel_binding=require", None),
            ("postgres://u:p@db.example.com/ums?sslmode=require&sslrootcert=/nowhere.pem", None),
        ];
        for (url, mode) in rows {
            assert_eq!(Address::parse(url).ok().map(|address| address.config.get_ssl_mode()), mode, "{url}");
        }
    }

    #[test]
    fn an_unreadable_url_is_not_repeated() {
        for url in [
            "postgres://me:hunt?er2@db/ums",
            "postgres://me:hunter2@db:port/ums",
            "postgres://me:h%ZZhunter2@db:0x/ums",
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(
                error.contains("%40") && !error.contains("er2") && !error.contains("hunt"),
                "{error}"
            );
        }
        let shown = format!("{:?}", Address::parse("postgres://me:hunter2@db/ums").unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn only_this_machine_is_trusted_without_a_certificate() {
        for (url, local) in [
            ("postgres://localhost/ums", true),
            ("postgres:///ums", true),
            ("postgres://[::1]/ums", true),
            ("postgres://127.0.0.1,10.0.0.1/ums", false),
            ("postgres://db/ums", false),
        ] {
            assert_eq!(is_local(&Address::parse(url).unwrap().config), local, "{url}");
        }
    }
}
