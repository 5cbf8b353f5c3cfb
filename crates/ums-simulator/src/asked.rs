//! By which names the control may be asked, so that a web page cannot reach it under a name of its own (DNS rebinding).

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};
use hyper::http::uri::Authority;

/// Where the simulator listens, and what it is called.
#[derive(Debug)]
pub(crate) struct Asked {
    host: IpAddr,
    names: Vec<String>,
}

impl Asked {
    pub(crate) fn new(host: IpAddr, names: Vec<String>) -> Self {
        Self { host, names }
    }

    /// Whether `Host`, and `Origin` where a page asks, name this machine.
    pub(crate) fn is_by_a_name_of_ours(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return false;
        };
        let is_ours = |value: &HeaderValue| {
            let text = value.to_str().unwrap_or_default();
            let authority = text.split_once("://").map_or(text, |(_, authority)| authority);
            authority.parse::<Authority>().is_ok_and(|authority| self.is_ours(&authority))
        };
        is_ours(host) && headers.get_all(header::ORIGIN).iter().all(is_ours)
    }

    fn is_ours(&self, authority: &Authority) -> bool {
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if let Ok(address) = name.parse::<IpAddr>() {
            // A page cannot make an address its own; on all addresses, all of this machine's are meant.
            return address.is_loopback() || address == self.host || self.host.is_unspecified();
        }
        let is_local = name == "localhost" || name.ends_with(".localhost");
        is_local || self.names.iter().any(|known| known.eq_ignore_ascii_case(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_pass() {
        let check = |host: &str, headers: &[(&'static str, &str)], expected: bool| {
            let asked = Asked {
                host: host.parse().unwrap(),
                names: vec!["simulator".to_owned()],
            };
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, value.parse().unwrap());
            }
            assert_eq!(asked.is_by_a_name_of_ours(&map), expected, "{host} {headers:?}");
        };
        for (name, expected) in [
            ("localhost:8081", true),
            ("ums.localhost", true),
            ("127.0.0.1:8081", true),
            ("[::1]:8081", true),
            ("Simulator:8081", true),
            ("evil.example:8081", false),
            ("localhost.evil.example", false),
            ("simulator.evil.example", false),
            ("192.0.2.1:8081", false),
            ("", false),
        ] {
            check("127.0.0.1", &[("host", name)], expected);
        }
        check("0.0.0.0", &[("host", "192.0.2.1:8081")], true);
        check("192.0.2.1", &[("host", "192.0.2.1:8081")], true);
        check("127.0.0.1", &[], false);
        check("127.0.0.1", &[("host", "localhost"), ("host", "localhost")], false);
        check("127.0.0.1", &[("host", "localhost:8081"), ("origin", "http://evil.example")], false);
        check("127.0.0.1", &[("host", "localhost:8081"), ("origin", "null")], false);
        check(
            "127.0.0.1",
            &[("host", "localhost:8081"), ("origin", "http://localhost:8081")],
            true,
        );
    }
}
