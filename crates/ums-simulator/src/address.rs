//! E-mail addresses and telephone numbers, judged as the providers judge them.

use mail_parser::MessageParser;

/// A mailbox with its display name taken off and decoded.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Mailbox {
    pub(crate) name: Option<String>,
    pub(crate) address: String,
}

impl Mailbox {
    /// Splits `Name <a@b>`; a text without brackets is an address as it stands.
    pub(crate) fn split(text: &str) -> Self {
        let text = text.trim();
        let Some((name, rest)) = text.rsplit_once('<') else {
            return Self {
                name: None,
                address: text.to_owned(),
            };
        };
        let address = rest.strip_suffix('>').unwrap_or(rest).trim().to_owned();
        Self {
            name: decode_name(name.trim()),
            address,
        }
    }
}

/// Takes off the quotes and undoes RFC 2047.
fn decode_name(name: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    let line = format!("From: {name} <a@b.c>\r\n\r\n");
    let parsed = MessageParser::default().parse_headers(line.as_bytes());
    let decoded = parsed
        .as_ref()
        .and_then(|message| message.from())
        .and_then(|from| from.first())
        .and_then(|mailbox| mailbox.name.as_deref());
    Some(decoded.unwrap_or(name).to_owned())
}

/// Says what is wrong with an address, in SES's words; `None` if nothing is.
pub(crate) fn email_fault(address: &str) -> Option<&'static str> {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return Some("Missing final '@domain'");
    };
    if local.is_empty() {
        return Some("Missing local name");
    }
    if local.len() > 64 || address.len() > 254 {
        return Some("Address length is more than maximum allowed limit");
    }
    let is_odd = |c: char| !c.is_ascii_graphic() || matches!(c, '<' | '>' | ',' | ';' | '@');
    if local.contains(is_odd) {
        return Some("Local address contains control or whitespace");
    }
    if local.starts_with('.') {
        return Some("Local address starts with dot");
    }
    if local.ends_with('.') {
        return Some("Local address ends with dot");
    }
    if local.contains("..") {
        return Some("Local address contains dot-dot");
    }
    if domain.is_empty() {
        return Some("Missing domain");
    }
    if domain.starts_with('.') {
        return Some("Domain starts with dot");
    }
    if domain.ends_with('.') {
        return Some("Domain ends with dot");
    }
    if domain.contains("..") {
        return Some("Domain contains dot-dot");
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if !domain.chars().all(is_legal) {
        return Some("Domain contains illegal character");
    }
    None
}

/// Tells whether this is a number in E.164: a plus, no leading zero, 7 to 15 digits.
pub(crate) fn is_e164(number: &str) -> bool {
    number
        .strip_prefix('+')
        .is_some_and(|digits| (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes_are_split_and_decoded() {
        let check = |text: &str, name: Option<&str>, address: &str| {
            let expected = Mailbox {
                name: name.map(str::to_owned),
                address: address.to_owned(),
            };
            assert_eq!(Mailbox::split(text), expected, "{text}");
        };
        check("a@b.example", None, "a@b.example");
        check("<a@b.example>", None, "a@b.example");
        check("Ann <a@b.example>", Some("Ann"), "a@b.example");
        check("\"Ann, B\" <a@b.example>", Some("Ann, B"), "a@b.example");
        check("=?UTF-8?B?w4RubmU=?= <a@b.example>", Some("Änne"), "a@b.example");
    }

    #[test]
    fn faults_of_addresses_are_named() {
        let check = |address: &str, fault: Option<&str>| {
            assert_eq!(email_fault(address), fault, "{address}");
        };
        check("a@b.example", None);
        check("a.b+c@b-c.example", None);
        check(".a@b.example", Some("Local address starts with dot"));
        check("a.@b.example", Some("Local address ends with dot"));
        check("a..b@c.example", Some("Local address contains dot-dot"));
        check("nobody", Some("Missing final '@domain'"));
        check("a b@c.example", Some("Local address contains control or whitespace"));
        check("ä@c.example", Some("Local address contains control or whitespace"));
        check("a@b..example", Some("Domain contains dot-dot"));
        check("a@b_c.example", Some("Domain contains illegal character"));
    }

    #[test]
    fn numbers_are_e164_or_not() {
        assert!(is_e164("+14165550123"));
        for number in ["14165550123", "+0123456789", "+1416555012a", "+123", "+1234567890123456"] {
            assert!(!is_e164(number), "{number}");
        }
    }
}
