//! What the two sides say of themselves in EHLO.

use lettre::transport::smtp::extension::ClientId;

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
    pub(super) auth_plain: bool,
    pub(super) auth_login: bool,
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
                    for mechanism in words {
                        offers.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        offers.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        offers
    }
}

/// The name that EHLO gives: the host's if it is one, else an address literal (RFC 5321 §4.1.4).
pub(super) fn hello_name(chosen: Option<&str>) -> ClientId {
    let is_name = |name: &str| {
        !name.is_empty() && name.len() <= 253 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    let name = chosen.map_or_else(|| ClientId::default().to_string(), str::to_owned);
    if is_name(&name) {
        ClientId::Domain(name)
    } else {
        ClientId::Ipv4(std::net::Ipv4Addr::LOCALHOST)
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
            "AUTH=LOGIN PLAIN",
            "PIPELINING",
            "X-Odd",
        ];
        let offers = Offers::read(reply.into_iter());
        assert!(offers.pipelining && offers.eight_bit && offers.starttls && offers.auth_plain && offers.auth_login);
        assert_eq!(offers.size, Some(35_882_577));
        assert!(!offers.smtp_utf8 && !offers.dsn);
        assert_eq!(Offers::read(["SIZE"].into_iter()).size, Some(0));
    }

    #[test]
    fn a_name_that_is_none_becomes_a_literal() {
        assert_eq!(hello_name(Some("mail.example.com")).to_string(), "mail.example.com");
        assert_eq!(hello_name(Some("bad\r\nRCPT")).to_string(), "[127.0.0.1]");
    }
}
