//! An endpoint's scheme, host and port, with the connections to it that are idle.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;
use tokio::time::Instant;

use super::connection::Connection;

/// Why a text is not an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadOrigin {
    /// Not an `http` or `https` URL with a host.
    Url,
    /// Plain HTTP to another machine.
    Plain,
}

/// Scheme, host and port. Idle connections lie in the order of their last use.
pub(crate) struct Origin {
    uri: Uri,
    base_path: String,
    host_header: HeaderValue,
    tls_name: Option<ServerName<'static>>,
    /// Whether it is reached without the proxy: this machine, and metadata of the instance.
    direct: bool,
    idle: Mutex<Vec<(Instant, Connection)>>,
}

impl Origin {
    pub(super) fn parse(base_url: &str) -> Result<Self, BadOrigin> {
        let uri: Uri = base_url.trim_end_matches('/').parse().map_err(|_| BadOrigin::Url)?;
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) | None => return Err(BadOrigin::Url),
        };
        let authority = uri.authority().ok_or(BadOrigin::Url)?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(BadOrigin::Url);
        }
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|_| BadOrigin::Url)?;
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls_name = if https {
            Some(ServerName::try_from(name).map_err(|_| BadOrigin::Url)?)
        } else {
            None
        };
        let base_path = uri.path().trim_end_matches('/').to_owned();
        let mut origin = Self {
            base_path,
            host_header,
            tls_name,
            direct: false,
            idle: Mutex::default(),
            uri,
        };
        origin.direct = origin.is_loopback();
        Ok(origin)
    }

    /// Scheme, host and port of an endpoint whose connections are not kept.
    pub(crate) fn at(origin: &str) -> Result<Self, BadOrigin> {
        Self::parse(origin)
    }

    pub(super) fn without_proxy(self) -> Self {
        Self { direct: true, ..self }
    }

    pub(super) fn is_direct(&self) -> bool {
        self.direct
    }

    /// What distinguishes it from others; the path belongs to it, since adapters ask for it.
    pub(super) fn key(&self) -> String {
        self.uri.to_string()
    }

    pub(super) fn is_https(&self) -> bool {
        self.tls_name.is_some()
    }

    pub(super) fn tls_name(&self) -> Option<&ServerName<'static>> {
        self.tls_name.as_ref()
    }

    pub(super) fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// Scheme, host and port, as they begin a URL.
    pub(crate) fn root(&self) -> String {
        let scheme = if self.is_https() { "https" } else { "http" };
        format!("{scheme}://{}", self.host_header.to_str().unwrap_or_default())
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether the host is this machine, so that nothing sent to it reaches anybody.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The path of a resource below the base URL.
    ///
    /// # Errors
    /// [`BadOrigin::Url`] when it is not a path.
    pub(crate) fn target(&self, path: &str) -> Result<Uri, BadOrigin> {
        format!("{}{path}", self.base_path).parse().map_err(|_| BadOrigin::Url)
    }

    /// Takes the connection that was used last, unless it lay too long.
    pub(super) fn checkout(&self, idle_timeout: Duration) -> Option<Connection> {
        let (since, connection) = self.lock().pop()?;
        if since.elapsed() < idle_timeout {
            return Some(connection);
        }
        // The one used last is too old, so all are.
        self.lock().clear();
        None
    }

    /// Keeps a connection for the next request, and drops those that lay too long.
    pub(super) fn checkin(&self, connection: Connection, idle_timeout: Duration, max_idle: usize) {
        let now = Instant::now();
        let mut idle = self.lock();
        let expired = idle
            .iter()
            .take_while(|(since, _)| now.duration_since(*since) >= idle_timeout)
            .count();
        idle.drain(..expired);
        if idle.len() < max_idle {
            idle.push((now, connection));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({})", self.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_read_or_refused() {
        for (url, loopback) in [
            ("https://api.sendgrid.com", false),
            ("http://127.0.0.1:8081/ses", true),
            ("http://[::1]:80", true),
            ("http://localhost:1/", true),
            ("http://127.0.0.1.example.com", false),
        ] {
            assert_eq!(Origin::parse(url).map(|origin| origin.is_loopback()).ok(), Some(loopback), "{url}");
        }
        for url in [
            "",
            "api.sendgrid.com",
            "ftp://example.com",
            "https://user:key@example.com",
            "https://",
            "/v3",
        ] {
            assert_eq!(Origin::parse(url).map(|_| ()), Err(BadOrigin::Url), "{url}");
        }
    }

    #[test]
    fn a_path_is_joined_below_the_base() {
        let origin = Origin::parse("http://127.0.0.1:8081/ses/").unwrap();
        assert_eq!(origin.target("/v2/email/account").unwrap().to_string(), "/ses/v2/email/account");
    }
}
