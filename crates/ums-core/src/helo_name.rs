//! The name that a mail client gives itself.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::email_address::ascii_domain;

/// Top labels that no public name ends with: such a name is a local nickname, which EHLO must not give (RFC 5321 §2.3.5).
/// RFC 6761 (`localhost`, `test`, `invalid`), RFC 6762 with its appendix G (`local` and what networks use in its place), RFC 8375
/// (`home.arpa`), ICANN's resolution 2024.07.29.06 (`internal`), and `localdomain` of distributions.
const LOCAL_TOPS: &[&str] = &[
    "corp",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "test",
];

/// Why a text is no name for EHLO. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a fully qualified host name such as mail.example.com, or an address in brackets such as [192.0.2.5] or [IPv6:2001:db8::5]"
)]
pub struct HeloNameFault;

/// The name that a mail client gives itself in EHLO: a fully qualified host name, or an address literal (RFC 5321 §4.1.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeloName {
    /// A host name with a dot, ASCII and lower case.
    Domain(String),
    /// An IPv4 address; in brackets on the wire.
    Ipv4(Ipv4Addr),
    /// An IPv6 address; in brackets with a tag on the wire (RFC 5321 §4.1.3).
    Ipv6(Ipv6Addr),
}

impl HeloName {
    /// Reads a name that somebody chose.
    ///
    /// # Errors
    /// A [`HeloNameFault`] for a name without a dot, with an underscore or with another character that host names lack, for `localhost`
    /// in any domain, and for an address without brackets.
    pub fn parse(text: &str) -> Result<Self, HeloNameFault> {
        if let Some(literal) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return Self::literal(literal).ok_or(HeloNameFault);
        }
        let domain = ascii_domain(text).map_err(|_| HeloNameFault)?;
        if domain.starts_with("localhost.") || ends_with(&domain, "localhost") {
            return Err(HeloNameFault);
        }
        Ok(Self::Domain(domain))
    }

    /// The machine's own name, if it is one that other hosts may know.
    pub fn of_machine(name: &str) -> Option<Self> {
        match Self::parse(name.strip_suffix('.').unwrap_or(name)) {
            Ok(Self::Domain(domain)) if !LOCAL_TOPS.iter().any(|top| ends_with(&domain, top)) => Some(Self::Domain(domain)),
            _ => None,
        }
    }

    /// The literal of the address that a connection comes from.
    pub fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(address),
        }
    }

    fn literal(text: &str) -> Option<Self> {
        match text.split_at_checked("IPv6:".len()) {
            Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse().map(Self::Ipv6).ok(),
            _ => text.parse().map(Self::Ipv4).ok(),
        }
    }
}

/// Whether a domain is `top` or lies below it.
fn ends_with(domain: &str, top: &str) -> bool {
    domain.strip_suffix(top).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// As EHLO gives it.
impl fmt::Display for HeloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => f.write_str(domain),
            Self::Ipv4(address) => write!(f, "[{address}]"),
            Self::Ipv6(address) => write!(f, "[IPv6:{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(
            HeloName::parse(text).ok().map(|name| name.to_string()).as_deref(),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn a_chosen_name_is_a_host_name_with_a_dot_or_an_address_in_brackets() {
        for name in ["mail.example.com", "[192.0.2.5]", "[IPv6:2001:db8::5]", "xn--bcher-kva.example"] {
            check(name, Some(name));
        }
        check("MAIL.Example.com", Some("mail.example.com"));
        check("bücher.example", Some("xn--bcher-kva.example"));
        check("[ipv6:2001:DB8::5]", Some("[IPv6:2001:db8::5]"));
        check("mta1.corp", Some("mta1.corp"));
        for name in [
            "",
            "localhost",
            "localhost.localdomain",
            "mta.localhost",
            "srv1",
            "my_app",
            "my_app.example.com",
            "192.0.2.5",
            "2001:db8::5",
            "[192.0.2]",
            "[2001:db8::5]",
            "[IPv6:192.0.2.5]",
            "[IPv4:192.0.2.5]",
            "[mail.example.com]",
            "-a.example.com",
            "a..example.com",
            "mail.example.com:25",
            "mail.example.com\r\nMAIL FROM:<a@example.com>",
            "mail .example.com",
        ] {
            check(name, None);
        }
    }

    #[test]
    fn a_machines_nickname_is_no_name() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(
                HeloName::of_machine(name).map(|name| name.to_string()).as_deref(),
                expected,
                "{name}"
            );
        };
        check("srv1.example.com", Some("srv1.example.com"));
        check("srv1.example.com.", Some("srv1.example.com"));
        check("mylan.example.com", Some("mylan.example.com"));
        check("vmi12.localdomain.example", Some("vmi12.localdomain.example"));
        for name in [
            "srv1",
            "3f2a9c0b7d11",
            "localhost",
            "localhost.localdomain",
            "srv1.local",
            "ip-10-0-0-7.ec2.internal",
            "box.home.arpa",
            "my_app.example.com",
            "[192.0.2.5]",
        ] {
            check(name, None);
        }
    }

    #[test]
    fn an_address_becomes_its_literal() {
        let check = |address: &str, expected: &str| assert_eq!(HeloName::of_address(address.parse().unwrap()).to_string(), expected);
        check("192.0.2.5", "[192.0.2.5]");
        check("2001:db8::5", "[IPv6:2001:db8::5]");
        check("::ffff:192.0.2.5", "[192.0.2.5]");
        check("::1", "[IPv6:::1]");
    }

    proptest! {
        /// Whatever is taken fits on a command line, and reads back.
        #[test]
        fn what_is_taken_is_one_word_that_reads_back(text in "\\PC{0,40}|[a-z_.\\[\\]:0-9-]{0,40}") {
            for name in HeloName::parse(&text).ok().into_iter().chain(HeloName::of_machine(&text)) {
                let shown = name.to_string();
                prop_assert!(shown.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'_'), "{}", shown);
                prop_assert!(shown.contains('.') || shown.contains(':'), "{}", shown);
                prop_assert_eq!(HeloName::parse(&shown), Ok(name));
            }
        }

        #[test]
        fn every_address_has_a_literal_that_reads_back(bits in any::<u128>(), four in any::<u32>()) {
            for address in [IpAddr::from(Ipv6Addr::from(bits)), IpAddr::from(Ipv4Addr::from(four))] {
                let name = HeloName::of_address(address);
                prop_assert_eq!(HeloName::parse(&name.to_string()), Ok(name));
            }
        }
    }
}
