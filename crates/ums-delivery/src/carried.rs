//! The two kinds of content, so that one chain serves both channels.

use ums_core::{Content, Email, RecipientRecord, Segments, Sms, Status};

use crate::chain::Chain;
use crate::flow::Flow;

/// What a chain carries.
pub(crate) trait Carried: Clone + Send + Sync + Sized + 'static {
    /// The content of this kind.
    fn of(content: &Content) -> Option<&Self>;

    /// The chain that carries it.
    fn chain(flow: &Flow) -> &Chain<Self>;

    /// Recipients that a provider counts.
    fn recipients(&self) -> u32;

    /// Parts that a provider bills: recipients of an e-mail, segments of a text message.
    fn billed_units(&self) -> u32;

    /// The first recipient, and the part of the address that others share: the domain, or the
    /// first digits of a number.
    fn first_recipient(&self) -> (&str, &str);

    /// The calling code of the recipient's country, for content whose price depends on it.
    fn country_code(&self) -> Option<u16>;

    /// The same content for those recipients only that have no outcome yet.
    fn for_the_rest(&self, recipients: &[RecipientRecord]) -> Self;
}

impl Carried for Email {
    fn of(content: &Content) -> Option<&Self> {
        match content {
            Content::Email(email) => Some(email),
            Content::Sms(_) => None,
        }
    }

    fn chain(flow: &Flow) -> &Chain<Self> {
        &flow.email
    }

    fn recipients(&self) -> u32 {
        u32::try_from(self.to.len() + self.cc.len() + self.bcc.len()).unwrap_or(u32::MAX)
    }

    fn billed_units(&self) -> u32 {
        Carried::recipients(self)
    }

    fn first_recipient(&self) -> (&str, &str) {
        let first = self.to.first().or(self.cc.first()).or(self.bcc.first());
        first.map_or(("", ""), |mailbox| (mailbox.address.expose(), mailbox.address.domain()))
    }

    fn country_code(&self) -> Option<u16> {
        None
    }

    fn for_the_rest(&self, recipients: &[RecipientRecord]) -> Self {
        self.only(|address| {
            recipients
                .iter()
                .any(|recipient| recipient.address == address.expose() && is_open(recipient.status))
        })
    }
}

impl Carried for Sms {
    fn of(content: &Content) -> Option<&Self> {
        match content {
            Content::Sms(sms) => Some(sms),
            Content::Email(_) => None,
        }
    }

    fn chain(flow: &Flow) -> &Chain<Self> {
        &flow.sms
    }

    fn recipients(&self) -> u32 {
        1
    }

    fn billed_units(&self) -> u32 {
        u32::try_from(Segments::of(&self.body).segments).unwrap_or(u32::MAX)
    }

    fn first_recipient(&self) -> (&str, &str) {
        let number = self.to.expose();
        (number, number.get(..6).unwrap_or(number))
    }

    fn country_code(&self) -> Option<u16> {
        Some(self.to.country_code())
    }

    fn for_the_rest(&self, _: &[RecipientRecord]) -> Self {
        self.clone()
    }
}

/// Whether a recipient still waits for a provider to take the message.
pub(crate) fn is_open(status: Status) -> bool {
    !status.is_final()
}
