//! Who is written to, and by which providers.

use std::sync::OnceLock;

use ums_core::{Email, Parsed, ProviderKind, RecipientRecord, RecipientSet, SendEmail, TenantId};

/// The providers, first to last; a run's chain has the last ones of them.
pub(crate) const CHAIN: [ProviderKind; 3] = [ProviderKind::AwsSes, ProviderKind::SendGrid, ProviderKind::Smtp];

/// Recipients. Two domains only, so that refusals of recipients are never taken for a provider's own fault.
const RECIPIENTS: [&str; 8] = [
    "ada@example.com",
    "ben@example.com",
    "cleo@example.com",
    "dan@example.net",
    "gus@example.net",
    "hana@example.com",
    "eve@example.net",
    "finn@example.net",
];
/// Recipients from this place on do not exist.
const NOBODY: usize = 6;

/// Several recipients on the lines `to`, `cc` and `bcc`, by their places.
const CROWDS: [[&[usize]; 3]; 10] = [
    [&[0, 3], &[], &[]],
    [&[1, 6], &[], &[]],
    [&[6, 0], &[], &[]],
    [&[4], &[], &[5]],
    [&[0, 1, 2], &[], &[]],
    [&[5], &[2], &[1]],
    [&[3, 4, 5, 0], &[], &[]],
    [&[4], &[0], &[6, 3]],
    [&[2, 7, 1, 3, 4], &[], &[]],
    [&[0, 1, 2], &[3, 4], &[5]],
];

/// How many sets of recipients there are.
pub(crate) const ADDRESSEES: u64 = SINGLES + CROWDS.len() as u64;
/// How many of them are of one recipient: the first ones.
pub(crate) const SINGLES: u64 = RECIPIENTS.len() as u64;

/// A request to one of the sets of recipients, as it was read at the edge.
pub(crate) fn request(addressees: u64) -> Parsed {
    static READ: OnceLock<Vec<Parsed>> = OnceLock::new();
    let read = READ.get_or_init(|| {
        let of = |places: &[usize]| -> Vec<&str> { places.iter().map(|place| RECIPIENTS[*place]).collect() };
        let parse = |[to, cc, bcc]: [&[usize]; 3]| {
            let mut email = SendEmail::new(of(to), "Notice").text("Hello");
            (email.cc, email.bcc) = (of(cc).into(), of(bcc).into());
            email.parse().unwrap()
        };
        let singles = (0..RECIPIENTS.len()).map(|place| parse([&[place], &[], &[]]));
        singles.chain(CROWDS.into_iter().map(parse)).collect()
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

/// Whether the recipient does not exist.
pub(crate) fn is_nobody(address: &str) -> bool {
    bit_of(address) >= 1 << NOBODY
}

/// The bits of those of a message's recipients.
pub(crate) fn set_of(recipients: &[RecipientRecord], some: RecipientSet) -> Set {
    let of_them = recipients.iter().enumerate().filter(|(place, _)| some.contains(*place));
    of_them.fold(0, |set, (_, recipient)| set | bit_of(&recipient.address))
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

/// The place of a provider in the chain.
pub(crate) fn place_of(kind: ProviderKind) -> usize {
    CHAIN.iter().position(|other| *other == kind).unwrap()
}

/// The tenants.
pub(crate) fn tenant(number: u64) -> TenantId {
    static TENANTS: OnceLock<[TenantId; 2]> = OnceLock::new();
    TENANTS.get_or_init(|| [TenantId::default(), TenantId::new("other")])[usize::try_from(number % 2).unwrap()].clone()
}
