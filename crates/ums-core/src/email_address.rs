//! E-mail addresses and mailboxes, parsed once at the edge.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::guard;

/// Longest address, in bytes (RFC 5321 §4.5.3.1.3 less the angle brackets).
pub const MAX_ADDRESS_BYTES: usize = 254;
/// Longest part before the `@`, in bytes (RFC 5321 §4.5.3.1.1).
pub const MAX_LOCAL_BYTES: usize = 64;
/// Longest display name, in bytes.
pub const MAX_NAME_BYTES: usize = 320;

/// Why a text is no address that the service sends to. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// Empty, or no `@`, or something that no address grammar allows.
    #[error("is not an e-mail address")]
    Syntax,
    /// Longer than an address may be.
    #[error("is longer than an e-mail address may be")]
    TooLong,
    /// A quoted part before the `@`, as in `"a b"@example.com`: mail systems misroute such addresses.
    #[error("has a quoted part before the at sign, which is refused because mail systems misroute it")]
    QuotedLocal,
    /// Not a host name with a dot: an address literal, a bare host, a bad label.
    #[error("has no valid domain after the @")]
    Domain,
    /// A display name with a control character, or too long.
    #[error("has a display name with line breaks or control characters, or one that is too long")]
    Name,
}

/// An address: `local@domain`, the domain in its ASCII (Punycode) form and lower case.
///
/// `Debug` and `Display` mask the address; only [`EmailAddress::expose`] gives the whole address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailAddress {
    text: Box<str>,
    at: usize,
}

impl EmailAddress {
    /// Reads an address without a display name. Ignores white space around the address.
    ///
    /// # Errors
    /// An [`AddressFault`]: the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, AddressFault> {
        let text = text.trim();
        if text.len() > 2 * MAX_ADDRESS_BYTES {
            return Err(AddressFault::TooLong);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressFault::Syntax)?;
        if local.contains('"') {
            return Err(AddressFault::QuotedLocal);
        }
        if local.is_empty() || local.len() > MAX_LOCAL_BYTES {
            return Err(if local.is_empty() {
                AddressFault::Syntax
            } else {
                AddressFault::TooLong
            });
        }
        if text.chars().any(|c| guard::is_forbidden(c) || c.is_whitespace()) || !email_address::EmailAddress::is_valid_local_part(local) {
            return Err(AddressFault::Syntax);
        }
        let domain = ascii_domain(domain)?;
        if local.len() + 1 + domain.len() > MAX_ADDRESS_BYTES {
            return Err(AddressFault::TooLong);
        }
        Ok(Self {
            at: local.len(),
            text: format!("{local}@{domain}").into_boxed_str(),
        })
    }

    /// The whole address, for the provider and for the caller's own answer.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The part before the `@`.
    pub fn local(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// The domain, ASCII and lower case.
    pub fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }

    /// Whether only a server with SMTPUTF8 (RFC 6531) can carry the address.
    pub fn needs_smtputf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

/// The dots of IDNA (RFC 3490 §3.1).
const DOTS: [char; 4] = ['.', '。', '．', '｡'];

/// Turns a domain into ASCII, and checks that the domain is a host name with a dot and no address literal. The dot of the root at its end
/// goes: a mailbox has none (RFC 5321 §4.1.2), and means the same with it.
pub(crate) fn ascii_domain(domain: &str) -> Result<String, AddressFault> {
    let domain = domain.strip_suffix(DOTS).unwrap_or(domain);
    let ascii = idna::domain_to_ascii_strict(domain).map_err(|_| AddressFault::Domain)?;
    let labels_fine = ascii.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    let top_is_a_name = ascii
        .rsplit('.')
        .next()
        .is_some_and(|top| !top.bytes().all(|byte| byte.is_ascii_digit()));
    if labels_fine && top_is_a_name && ascii.contains('.') && ascii.len() <= 253 {
        Ok(ascii)
    } else {
        Err(AddressFault::Domain)
    }
}

/// Masks an address for logs: the first letter of each side.
pub fn mask(address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let first = |part: &str| part.chars().next().map(String::from).unwrap_or_default();
    format!("{}***@{}***", first(local), first(domain))
}

/// The whole address: for stores and for the caller's own answer, never for logs.
impl Serialize for EmailAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.text))
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.text))
    }
}

/// An address with an optional display name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    /// The name that mail programs show; free of control characters, not encoded.
    pub name: Option<String>,
    /// The address.
    pub address: EmailAddress,
}

impl Mailbox {
    /// Puts a checked name and an address together.
    ///
    /// # Errors
    /// [`AddressFault::Name`] when the name may not stand in a header.
    pub fn new(name: Option<&str>, address: EmailAddress) -> Result<Self, AddressFault> {
        let name = name.map(str::trim).filter(|name| !name.is_empty());
        if let Some(name) = name {
            guard::header_text(name, MAX_NAME_BYTES).map_err(|_| AddressFault::Name)?;
        }
        Ok(Self {
            name: name.map(str::to_owned),
            address,
        })
    }

    /// Reads `local@domain` or `Name <local@domain>`; the name may stand in double quotes.
    ///
    /// # Errors
    /// An [`AddressFault`]: the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, AddressFault> {
        let text = text.trim_matches([' ', '\t']);
        let Some(rest) = text.strip_suffix('>') else {
            return Self::new(None, EmailAddress::parse(text)?);
        };
        let (name, address) = rest.rsplit_once('<').ok_or(AddressFault::Syntax)?;
        Self::new(Some(&unquote(name.trim_matches([' ', '\t']))), EmailAddress::parse(address)?)
    }
}

/// Takes the quotes off a quoted display name, and the backslashes within.
fn unquote(name: &str) -> String {
    let Some(inner) = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return name.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        plain.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    plain
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.address, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_accepted_or_refused_by_rule() {
        let check = |text: &str, expected: Result<&str, AddressFault>| {
            assert_eq!(
                EmailAddress::parse(text).as_ref().map(EmailAddress::expose),
                expected.as_ref().map(|s| *s),
                "{text:?}"
            );
        };
        check("customer@example.com", Ok("customer@example.com"));
        check(" Customer+tag@EXAMPLE.com ", Ok("Customer+tag@example.com"));
        check("kunde@bücher.example", Ok("kunde@xn--bcher-kva.example"));
        check("jürgen@example.com", Ok("jürgen@example.com"));
        check("customer@example.com.", Ok("customer@example.com"));
        check("kunde@Bücher。example．", Ok("kunde@xn--bcher-kva.example"));
        check("", Err(AddressFault::Syntax));
        check("customer", Err(AddressFault::Syntax));
        check("@example.com", Err(AddressFault::Syntax));
        check("a b@example.com", Err(AddressFault::Syntax));
        check("a\r\nb@example.com", Err(AddressFault::Syntax));
        check("a,b@example.com", Err(AddressFault::Syntax));
        check("a(comment)@example.com", Err(AddressFault::Syntax));
        check("a@b@example.com", Err(AddressFault::Syntax));
        check("\"a b\"@example.com", Err(AddressFault::QuotedLocal));
        check("a@b", Err(AddressFault::Domain));
        check("a@[127.0.0.1]", Err(AddressFault::Domain));
        check("a@127.0.0.1", Err(AddressFault::Domain));
        check("a@exa_mple.com", Err(AddressFault::Domain));
        check("a@-example.com", Err(AddressFault::Domain));
        check("a@example..com", Err(AddressFault::Domain));
        check("a@example.com..", Err(AddressFault::Domain));
        check("a@com.", Err(AddressFault::Domain));
        check(&format!("{}@example.com", "a".repeat(65)), Err(AddressFault::TooLong));
        check(&format!("a@{}.com", "a.".repeat(130)), Err(AddressFault::Domain));
    }

    #[test]
    fn mailboxes_take_names_with_and_without_quotes() {
        let check = |text: &str, name: Option<&str>| {
            let mailbox = Mailbox::parse(text).unwrap();
            assert_eq!(mailbox.name.as_deref(), name, "{text}");
            assert_eq!(mailbox.address.expose(), "a@example.com", "{text}");
        };
        check("a@example.com", None);
        check("<a@example.com>", None);
        check("Zoë Müller <a@example.com>", Some("Zoë Müller"));
        check("\"Müller, \\\"Zoë\\\"\" <a@example.com>", Some("Müller, \"Zoë\""));
        assert_eq!(Mailbox::parse("a\r\nBcc: x <a@example.com>"), Err(AddressFault::Name));
        assert_eq!(Mailbox::parse("a@example.com>"), Err(AddressFault::Syntax));
    }

    #[test]
    fn printing_masks() {
        let mailbox = Mailbox::parse("Jane <customer@example.com>").unwrap();
        assert_eq!(format!("{mailbox:?} {}", mailbox.address), "c***@e*** c***@e***");
    }
}
