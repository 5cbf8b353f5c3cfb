//! Who is written to, and by which providers.

use std::sync::OnceLock;

use ums_core::{Email, Parsed, ProviderKind, SendEmail, TenantId};

/// The chain, first to last.
pub(crate) const CHAIN: [ProviderKind; 3] = [ProviderKind::AwsSes, ProviderKind::SendGrid, ProviderKind::Smtp];

/// Recipients. Two domains only, so that refusals of recipients are never taken for a provider's own fault.
const RECIPIENTS: [&str; 6] = [
    "ada@example.com",
    "ben@example.com",
    "cleo@example.com",
    "dan@example.net",
    "eve@example.net",
    "finn@example.net",
];
/// Recipients from this place on do not exist.
const NOBODY: usize = 4;

/// How many sets of recipients there are; the first ones are of one recipient.
pub(crate) const ADDRESSEES: u64 = 8;

/// A request to one of the sets of recipients, as it was read at the edge.
pub(crate) fn request(addressees: u64) -> Parsed {
    static READ: OnceLock<Vec<Parsed>> = OnceLock::new();
    let read = READ.get_or_init(|| {
        let mut sets: Vec<Vec<&str>> = RECIPIENTS.iter().map(|recipient| vec![*recipient]).collect();
        sets.push(vec!["ada@example.com", "dan@example.net"]);
        sets.push(vec!["ben@example.com", "eve@example.net"]);
        let parse = |to: Vec<&str>| SendEmail::new(to, "Notice").text("Hello").parse().unwrap();
        sets.into_iter().map(parse).collect()
    });
    read[usize::try_from(addressees % ADDRESSEES).unwrap()].clone()
}

/// Recipients as a set of bits.
pub(crate) type Set = u8;

/// The recipient's bit.
pub(crate) fn bit_of(address: &str) -> Set {
    let place = RECIPIENTS.iter().position(|recipient| *recipient == address).unwrap();
    1 << place
}

/// One of the recipients.
pub(crate) fn address(number: u64) -> &'static str {
    RECIPIENTS[usize::try_from(number).unwrap() % RECIPIENTS.len()]
}

/// Whom an e-mail is for.
pub(crate) fn recipients(email: &Email) -> Set {
    let bits = email.recipients().map(|(_, mailbox)| bit_of(mailbox.address.expose()));
    bits.fold(0, |set, bit| set | bit)
}

/// Those of them that do not exist.
pub(crate) const fn that_do_not_exist(set: Set) -> Set {
    set & !((1 << NOBODY) - 1)
}

/// The place of a provider in the chain.
pub(crate) fn place_of(kind: ProviderKind) -> usize {
    CHAIN.iter().position(|other| *other == kind).unwrap()
}

/// The tenants.
pub(crate) fn tenant(number: u64) -> TenantId {
    static TENANTS: OnceLock<[TenantId; 2]> = OnceLock::new();
    TENANTS.get_or_init(|| [TenantId::default(), TenantId::new("other")])[usize::try_from(number % 2).unwrap()].clone()
}
