//! The way through an HTTP proxy (CONNECT, RFC 9110 §9.3.6), only where one is configured: the
//! environment's is not read. What is said to the proxy is no byte of the request.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use http::uri::Scheme;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use ums_core::Secret;

use super::Cause;

/// Longest answer of a proxy that is read, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// A proxy that is no `http://[user:password@]host:port`. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a proxy: http://[user:password@]host:port")]
pub struct BadProxy;

/// An HTTP proxy, with its login if it wants one.
#[derive(Clone)]
pub struct Proxy {
    uri: Uri,
    login: Option<Secret>,
}

impl Proxy {
    /// Reads `http://[user:password@]host:port`; user and password stand as they are, not percent-encoded.
    ///
    /// # Errors
    /// [`BadProxy`].
    pub fn parse(text: &str) -> Result<Self, BadProxy> {
        let rest = text.strip_prefix("http://").ok_or(BadProxy)?.trim_end_matches('/');
        let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let uri: Uri = format!("http://{place}").parse().map_err(|_| BadProxy)?;
        if uri.host().is_none_or(str::is_empty) || uri.port_u16().is_none() || uri.path() != "/" {
            return Err(BadProxy);
        }
        Ok(Self {
            uri,
            login: login.map(|login| Secret::new(STANDARD.encode(login))),
        })
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Asks the proxy for a connection to the endpoint, and gives it back once it stands.
    pub(super) async fn tunnel(&self, mut tcp: TcpStream, endpoint: &Uri) -> Result<TcpStream, Cause> {
        let request = self.request(endpoint);
        tcp.write_all(request.as_bytes()).await.map_err(|_| Cause::Proxy)?;
        let mut answer = Vec::with_capacity(256);
        // Byte by byte: what comes after the head belongs to the endpoint.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= MAX_ANSWER {
                return Err(Cause::Proxy);
            }
            answer.push(tcp.read_u8().await.map_err(|_| Cause::Proxy)?);
        }
        match answer.get(..12) {
            Some(b"HTTP/1.1 200" | b"HTTP/1.0 200") => Ok(tcp),
            Some(b"HTTP/1.1 407" | b"HTTP/1.0 407") => Err(Cause::ProxyLogin),
            Some(_) | None => Err(Cause::Proxy),
        }
    }

    fn request(&self, endpoint: &Uri) -> String {
        let host = endpoint.host().unwrap_or_default();
        let by_scheme = if endpoint.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
        let port = endpoint.port_u16().unwrap_or(by_scheme);
        let login = match &self.login {
            Some(login) => format!("Proxy-Authorization: Basic {}\r\n", login.expose()),
            None => String::new(),
        };
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n")
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_and_their_login_is_not_shown() {
        let proxy = Proxy::parse("http://canary:word@proxy.example:3128/").unwrap();
        assert_eq!(format!("{proxy:?}"), "Proxy(http://proxy.example:3128/)");
        let request = proxy.request(&"https://api.example.com/v3".parse().unwrap());
        assert_eq!(
            request,
            "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\nProxy-Authorization: Basic Y2FuYXJ5OndvcmQ=\r\n\r\n"
        );
        for bad in [
            "proxy.example:3128",
            "https://proxy.example:3128",
            "http://proxy.example",
            "http://:1",
            "http://a b:1",
            "http://a:1/path",
        ] {
            assert_eq!(Proxy::parse(bad).err(), Some(BadProxy), "{bad}");
        }
    }
}
