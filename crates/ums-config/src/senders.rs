//! Whom mail may come from, by provider, and to whom development may send.

use std::fmt;

use ums_core::{EmailAddress, PhoneNumber, Region};

/// Domains whose addresses belong to different people: there a sender covers only itself.
const SHARED_DOMAINS: [&str; 14] = [
    "aol.com",
    "gmail.com",
    "gmx.com",
    "gmx.de",
    "googlemail.com",
    "hotmail.com",
    "icloud.com",
    "live.com",
    "mail.com",
    "outlook.com",
    "proton.me",
    "protonmail.com",
    "yahoo.com",
    "yandex.com",
];

/// A sender that a provider may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderRule {
    /// Every address of a domain.
    Domain(String),
    /// One address.
    Address(EmailAddress),
}

impl SenderRule {
    /// Reads `example.com` or `news@example.org`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.contains('@') && !text.starts_with('@') {
            return EmailAddress::parse(text).ok().map(Self::Address);
        }
        domain(text.strip_prefix('@').unwrap_or(text)).map(Self::Domain)
    }

    /// What a provider's own sender covers: its domain, or itself where the domain is shared.
    pub(crate) fn of_own_sender(address: &EmailAddress) -> Self {
        if SHARED_DOMAINS.contains(&address.domain()) {
            Self::Address(address.clone())
        } else {
            Self::Domain(address.domain().to_owned())
        }
    }

    /// Whether mail from the address may go out.
    pub fn covers(&self, address: &EmailAddress) -> bool {
        match self {
            Self::Domain(domain) => address.domain() == domain,
            Self::Address(own) => same(own, address),
        }
    }
}

/// Checks a domain by the rules of addresses; ASCII and lower case.
fn domain(text: &str) -> Option<String> {
    EmailAddress::parse(&format!("x@{text}"))
        .ok()
        .map(|address| address.domain().to_owned())
}

/// Addresses are compared without case: no mail system in use tells them apart.
fn same(one: &EmailAddress, other: &EmailAddress) -> bool {
    one.domain() == other.domain() && one.local().eq_ignore_ascii_case(other.local())
}

/// Recipients that development may really write to (`UMS_ALLOW_RECIPIENTS`).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AllowedRecipients {
    emails: Vec<SenderRule>,
    numbers: Vec<PhoneNumber>,
}

impl AllowedRecipients {
    /// Reads addresses, `@domains` and phone numbers; gives the places of those that are none.
    pub(crate) fn parse<'a>(entries: impl Iterator<Item = &'a str>, region: Option<Region>) -> Result<Self, Vec<usize>> {
        let mut allowed = Self::default();
        let mut bad = Vec::new();
        for (index, entry) in entries.enumerate() {
            if let Some(rule) = entry.contains('@').then(|| SenderRule::parse(entry)).flatten() {
                allowed.emails.push(rule);
            } else if let Ok(number) = PhoneNumber::parse(entry, region) {
                allowed.numbers.push(number);
            } else {
                bad.push(index + 1);
            }
        }
        if bad.is_empty() { Ok(allowed) } else { Err(bad) }
    }

    /// Whether an e-mail address may be written to.
    pub fn allows_email(&self, address: &EmailAddress) -> bool {
        self.emails.iter().any(|rule| rule.covers(address))
    }

    /// Whether a phone number may be written to.
    pub fn allows_number(&self, number: &PhoneNumber) -> bool {
        self.numbers.contains(number)
    }

    /// The entries one by one: addresses, `@domains`, numbers in E.164.
    pub fn entries(&self) -> impl Iterator<Item = String> {
        let emails = self.emails.iter().map(|rule| match rule {
            SenderRule::Domain(domain) => format!("@{domain}"),
            SenderRule::Address(address) => address.expose().to_owned(),
        });
        emails.chain(self.numbers.iter().map(|number| number.expose().to_owned()))
    }

    /// Whether nobody is listed.
    pub fn is_empty(&self) -> bool {
        self.emails.is_empty() && self.numbers.is_empty()
    }
}

impl fmt::Debug for AllowedRecipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} e-mail rules, {} numbers]", self.emails.len(), self.numbers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> EmailAddress {
        EmailAddress::parse(text).unwrap()
    }

    #[test]
    fn a_sender_covers_its_domain_unless_the_domain_is_shared() {
        let own = SenderRule::of_own_sender(&address("noreply@example.com"));
        assert!(own.covers(&address("sales@example.com")));
        assert!(!own.covers(&address("sales@other.example")));
        let gmail = SenderRule::of_own_sender(&address("me@gmail.com"));
        assert!(gmail.covers(&address("Me@gmail.com")));
        assert!(!gmail.covers(&address("you@gmail.com")));
    }

    #[test]
    fn recipients_are_addresses_domains_and_numbers() {
        let entries = ["me@example.com", "@team.example", "+14165550123", "(416) 555-0199"];
        let allowed = AllowedRecipients::parse(entries.into_iter(), "US".parse().ok()).unwrap();
        assert!(allowed.allows_email(&address("ME@example.com")) && allowed.allows_email(&address("any@team.example")));
        assert!(!allowed.allows_email(&address("you@example.com")));
        assert!(allowed.allows_number(&PhoneNumber::parse_e164("+14165550199").unwrap()));
        assert!(!allowed.allows_number(&PhoneNumber::parse_e164("+14165550100").unwrap()));
        assert_eq!(
            AllowedRecipients::parse(["x", "+14165550123", "@"].into_iter(), None),
            Err(vec![1, 3])
        );
        assert!(!format!("{allowed:?}").contains("example"));
    }
}
