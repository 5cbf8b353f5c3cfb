//! Proxies that the operator named: what they say of a client's address is believed, what anybody else says is not.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{self, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Proxies in front of the service, by address or network.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whom a request comes from: behind a named proxy, the right-most address of `X-Forwarded-For` or `Forwarded` that is no named proxy's.
    ///
    /// A proxy writes one of the two and may let the other through as its client wrote it. So where both are there and do
    /// not name the same client, neither is believed.
    pub(crate) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.ip();
        if !self.holds(peer) {
            return peer;
        }
        let lists = [(X_FORWARDED_FOR, list as fn(&str) -> Nodes), (header::FORWARDED, forwarded)];
        let mut named = lists
            .into_iter()
            .filter(|(name, _)| headers.contains_key(name))
            .map(|(name, read)| {
                let lines = headers.get_all(name).iter().rev();
                let nodes = lines.flat_map(|line| read(line.to_str().unwrap_or_default()).into_iter().rev());
                self.last_of(peer, nodes)
            });
        match (named.next(), named.next()) {
            (Some(client), None) => client,
            (Some(client), Some(other)) if client == other => client,
            (None, _) | (Some(_), Some(_)) => peer,
        }
    }

    /// Walks from the nearest node to the first that is no named proxy's.
    fn last_of(&self, peer: IpAddr, nodes: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut last = peer;
        for node in nodes {
            // What cannot be read was not written by a proxy that can be trusted further.
            let Some(address) = node else { break };
            last = address;
            if !self.holds(address) {
                break;
            }
        }
        last
    }
}

/// The nodes of a line; none for one that hides, or that cannot be read.
type Nodes = Vec<Option<IpAddr>>;

fn list(line: &str) -> Nodes {
    line.split(',').map(|text| address_of(text.trim())).collect()
}

/// `for=192.0.2.43;proto=http, for="[2001:db8::17]:4711"` (RFC 7239 §4).
fn forwarded(line: &str) -> Nodes {
    // A client's quote that is left open would swallow what the proxy wrote behind it.
    let Some(elements) = split(line, ',') else { return vec![None] };
    elements
        .into_iter()
        .map(|element| split(element, ';').and_then(|pairs| node(&pairs)))
        .collect()
}

fn node(pairs: &[&str]) -> Option<IpAddr> {
    let mut named = pairs.iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    });
    let (Some(value), None) = (named.next(), named.next()) else {
        return None;
    };
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    address_of(quoted.unwrap_or(value))
}

/// Splits where the separator stands outside of quotes; none if a quote is left open.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(|character: char| {
        if std::mem::take(&mut is_escaped) {
            return false;
        }
        is_escaped = is_quoted && character == '\\';
        is_quoted ^= character == '"';
        character == separator && !is_quoted
    });
    let parts = parts.collect();
    (!is_quoted).then_some(parts)
}

/// An address, perhaps in brackets or with a port.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, lines: &[(&'static str, &str)], expected: &str) {
        let networks = ["192.0.2.1/32", "10.0.0.0/8", "2001:db8:ffff::/48"];
        let proxies = TrustedProxies(networks.iter().map(|text| text.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(*name, line.parse().unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        assert_eq!(proxies.client(peer, &headers), expected.parse::<IpAddr>().unwrap(), "{lines:?}");
    }

    #[test]
    fn only_named_proxies_say_who_asks() {
        for name in ["x-forwarded-for", "forwarded"] {
            check("198.51.100.9", &[(name, "203.0.113.5")], "198.51.100.9");
            check("198.51.100.9", &[(name, "for=203.0.113.5")], "198.51.100.9");
        }
        check("192.0.2.1", &[], "192.0.2.1");
        for (line, expected) in [
            ("203.0.113.5", "203.0.113.5"),
            ("203.0.113.9, 203.0.113.5, 10.1.2.3", "203.0.113.5"),
            ("203.0.113.5:4711", "203.0.113.5"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:203.0.113.5", "203.0.113.5"),
            ("203.0.113.5, unknown", "192.0.2.1"),
            ("203.0.113.5, ", "192.0.2.1"),
            ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
        ] {
            check("192.0.2.1", &[("x-forwarded-for", line)], expected);
            check(
                "::ffff:10.9.9.9",
                &[("x-forwarded-for", line)],
                &expected.replace("192.0.2.1", "::ffff:10.9.9.9"),
            );
        }
        let two = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "203.0.113.5")];
        check("192.0.2.1", &two, "203.0.113.5");
    }

    #[test]
    fn forwarded_is_read_as_its_standard_says() {
        for (line, expected) in [
            ("for=203.0.113.5", "203.0.113.5"),
            ("For=203.0.113.5;proto=https;by=10.0.0.1", "203.0.113.5"),
            ("proto=https; for=\"203.0.113.5:4711\"", "203.0.113.5"),
            ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=203.0.113.9, for=203.0.113.5, for=10.0.0.7", "203.0.113.5"),
            ("for=203.0.113.9;x=\"a,b;for=198.51.100.1\\\",\", for=203.0.113.5", "203.0.113.5"),
            ("for=203.0.113.5, for=unknown", "192.0.2.1"),
            ("for=203.0.113.5, for=_hidden", "192.0.2.1"),
            ("for=203.0.113.5, proto=https", "192.0.2.1"),
            ("for=203.0.113.5;for=203.0.113.6", "192.0.2.1"),
            // What a client leaves open hides nothing that the proxy adds.
            ("for=203.0.113.9;x=\", for=203.0.113.5", "192.0.2.1"),
            ("for=203.0.113.9;x=\", for=\"[2001:db8::5]\"", "192.0.2.1"),
        ] {
            check("192.0.2.1", &[("forwarded", line)], expected);
        }
    }

    #[test]
    fn two_headers_that_differ_are_not_believed() {
        let same = [("x-forwarded-for", "203.0.113.5"), ("forwarded", "for=203.0.113.5")];
        check("192.0.2.1", &same, "203.0.113.5");
        let other = [("x-forwarded-for", "203.0.113.5"), ("forwarded", "for=203.0.113.9")];
        check("192.0.2.1", &other, "192.0.2.1");
    }
}
