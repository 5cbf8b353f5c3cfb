//! What the two sides say of themselves in EHLO.

use std::net::IpAddr;

use lettre::transport::smtp::extension::ClientId;
use ums_core::HeloName;

/// Most mechanisms of login that are kept of what a server offers.
const MAX_MECHANISMS: usize = 16;
/// Longest name of a mechanism (RFC 4422 §3.1).
const MAX_MECHANISM_BYTES: usize = 20;

/// What the server offers (RFC 5321 §4.1.1.1).
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one keyword that the server says or does not say"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    pub(super) pipelining: bool,
    pub(super) eight_bit: bool,
    pub(super) smtp_utf8: bool,
    pub(super) dsn: bool,
    pub(super) starttls: bool,
    /// Offered, with the most bytes that it takes, 0 for "no limit said".
    pub(super) size: Option<u64>,
    /// Mechanisms of login, in capitals, in the server's order.
    pub(super) mechanisms: Vec<String>,
}

impl Offers {
    /// Reads the lines of an EHLO reply, without their codes.
    pub(super) fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let mut offers = Self::default();
        for line in lines {
            let mut words = line.split([' ', '=']).map(str::trim).filter(|word| !word.is_empty());
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "PIPELINING" => offers.pipelining = true,
                "8BITMIME" => offers.eight_bit = true,
                "SMTPUTF8" => offers.smtp_utf8 = true,
                "DSN" => offers.dsn = true,
                "STARTTLS" => offers.starttls = true,
                "SIZE" => offers.size = Some(words.next().and_then(|word| word.parse().ok()).unwrap_or(0)),
                "AUTH" => {
                    for name in words.filter(|name| is_mechanism(name)).map(str::to_ascii_uppercase) {
                        if offers.mechanisms.len() < MAX_MECHANISMS && !offers.mechanisms.contains(&name) {
                            offers.mechanisms.push(name);
                        }
                    }
                }
                _ => {}
            }
        }
        offers
    }
}

/// Whether a word may name a mechanism (RFC 4422 §3.1).
fn is_mechanism(word: &str) -> bool {
    word.len() <= MAX_MECHANISM_BYTES && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The machine's own name, if it is fully qualified.
pub(super) fn machines_name() -> Option<HeloName> {
    let ClientId::Domain(name) = ClientId::default() else { return None };
    HeloName::of_machine(&name)
}

/// What EHLO gives: the name, or the address of our end of the connection, which is never made up (RFC 5321 §4.1.1.1, §4.1.4).
pub(super) fn client_id(name: Option<&HeloName>, own_address: IpAddr) -> ClientId {
    match name.cloned().unwrap_or_else(|| HeloName::of_address(own_address)) {
        HeloName::Domain(domain) => ClientId::Domain(domain),
        HeloName::Ipv4(address) => ClientId::Ipv4(address),
        HeloName::Ipv6(address) => ClientId::Ipv6(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_read_in_any_case_and_the_old_way() {
        let reply = [
            "mx.example at your service",
            "SIZE 35882577",
            "8BITMIME",
            "starttls",
            "AUTH=LOGIN plain",
            "AUTH PLAIN LOGIN CRAM-MD5 %no",
            "PIPELINING",
            "X-Odd",
        ];
        let offers = Offers::read(reply.into_iter());
        assert!(offers.pipelining && offers.eight_bit && offers.starttls);
        assert_eq!(offers.mechanisms, ["LOGIN", "PLAIN", "CRAM-MD5"]);
        assert_eq!(offers.size, Some(35_882_577));
        assert!(!offers.smtp_utf8 && !offers.dsn);
        assert_eq!(Offers::read(["SIZE"].into_iter()).size, Some(0));
    }

    #[test]
    fn without_a_name_ehlo_gives_the_address_of_our_end() {
        let check = |name: Option<&str>, own: &str, expected: &str| {
            let name = name.map(|name| HeloName::parse(name).unwrap());
            assert_eq!(client_id(name.as_ref(), own.parse().unwrap()).to_string(), expected);
        };
        check(None, "192.0.2.5", "[192.0.2.5]");
        check(None, "::ffff:192.0.2.5", "[192.0.2.5]");
        check(None, "2001:db8::5", "[IPv6:2001:db8::5]");
        check(Some("mail.example.com"), "192.0.2.5", "mail.example.com");
        check(Some("[IPv6:2001:db8::7]"), "192.0.2.5", "[IPv6:2001:db8::7]");
    }
}
