//! A webhook's URL, read strictly: what two readers could read in two ways is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use http::uri::{PathAndQuery, Scheme};

/// Longest URL, in bytes.
const MAX_BYTES: usize = 2_048;

/// Where a post goes.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) https: bool,
    pub(super) host: Host,
    pub(super) port: u16,
    /// Scheme, host and port, as they begin the URL.
    pub(super) origin: String,
    pub(super) path_and_query: Uri,
}

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let not_a_url = || "is not an http or https URL with a host".to_owned();
        if url.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err("holds characters that a URL cannot have; names outside of ASCII are written as xn--…".to_owned());
        }
        if url.contains('#') {
            return Err("must have no fragment (#…)".to_owned());
        }
        let uri: Uri = url.parse().map_err(|_| not_a_url())?;
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(_) | None => return Err(not_a_url()),
        };
        let authority = uri.authority().ok_or_else(not_a_url)?;
        if authority.as_str().contains('@') {
            return Err("must hold no user or password".to_owned());
        }
        let host = Host::parse(authority.host()).ok_or_else(|| "its host is neither a name nor a plain IP address".to_owned())?;
        let after_host = &authority.as_str()[authority.host().len()..];
        let port = match after_host.strip_prefix(':') {
            None if after_host.is_empty() => {
                if https {
                    443
                } else {
                    80
                }
            }
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port > 0).ok_or_else(not_a_url)?
            }
            Some(_) | None => return Err(not_a_url()),
        };
        let path_and_query = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self {
            https,
            host,
            port,
            origin: format!("{}://{authority}", if https { "https" } else { "http" }),
            path_and_query: Uri::from(path_and_query),
        })
    }

    /// The addresses that the host is known to have without asking anybody.
    pub(super) fn known_addresses(&self) -> Vec<IpAddr> {
        match &self.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let name = name.trim_end_matches('.');
                let is_this_machine = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
                if is_this_machine {
                    vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]
                } else {
                    Vec::new()
                }
            }
        }
    }
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        if let Some(address) = text.strip_prefix('[') {
            let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let last = name.rsplit('.').next()?;
        let is_hex = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
        if is_hex || last.bytes().all(|byte| byte.is_ascii_digit()) {
            // Resolvers read 2130706433, 0x7f.1 and 0177.0.0.1 as addresses. Here four decimal numbers are one, and nothing else.
            let address: Ipv4Addr = text.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        let is_label = |label: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
        };
        (name.len() <= 253 && name.split('.').all(is_label)).then(|| Self::Name(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_in_one_way_or_not_at_all() {
        let target = Target::parse("https://Hooks.Example.com/a%20b?token=1&x").unwrap();
        assert_eq!(target.host, Host::Name("Hooks.Example.com".to_owned()));
        assert_eq!(
            (target.https, target.port, &*target.origin),
            (true, 443, "https://Hooks.Example.com")
        );
        assert_eq!(target.path_and_query.to_string(), "/a%20b?token=1&x");
        let target = Target::parse("http://1.2.3.4:8080").unwrap();
        assert_eq!((target.host, target.port), (Host::Address([1, 2, 3, 4].into()), 8080));
        assert_eq!(target.path_and_query.to_string(), "/");
        let target = Target::parse("https://[2606:4700::1111]:444/x").unwrap();
        assert_eq!((target.host, target.port), (Host::Address("2606:4700::1111".parse().unwrap()), 444));
        let long = format!("https://example.com/{}", "x".repeat(MAX_BYTES));
        for bad in [
            "",
            "example.com",
            "//example.com/x",
            "ftp://example.com",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "https://:443/",
            "https://user@example.com",
            "https://user:pass@example.com",
            "https://example.com@127.0.0.1/",
            "https://example.com#@127.0.0.1/",
            "https://example.com/#x",
            "https://example.com\\@127.0.0.1",
            "https://example.com:0",
            "https://example.com:65536",
            "https://example.com:+80",
            "https://example.com:",
            "https://exa mple.com",
            "https://exämple.com",
            "https://①②⑦.⓪.⓪.①/",
            "https://127%2e0.0.1/",
            "https://%6c%6fcalhost/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://127.0.0.1./",
            "https://127.0.0.01/",
            "https://127.0.0.0x1/",
            "https://1.2.3.4.5/",
            "https://0/",
            "https://[::1%25lo]/",
            "https://[127.0.0.1]/",
            "https://[::1",
            "https://example..com/",
            "https://-a.example/",
            "https://example.com\n.evil.example/",
            "https://a,b.example/",
            &long,
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
