//! The two kinds of content, so that one chain serves both channels.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use ums_core::{Attachment, Channel, Content, Email, MessageRecord, RecipientRecord, RecipientSet, Segments, Sms, subscriber_key};

/// An address as the judge of refusals looks at it: every spelling of a subscriber is one recipient.
pub(crate) struct Addressee<'a> {
    pub(crate) channel: Channel,
    pub(crate) address: Cow<'a, str>,
}

impl<'a> Addressee<'a> {
    pub(crate) fn new(channel: Channel, address: &'a str) -> Self {
        let address = Cow::Borrowed(address);
        Self { channel, address }
    }

    /// The subscriber's key.
    pub(crate) fn key(&self) -> String {
        subscriber_key(self.channel, &self.address)
    }

    /// The part of a key that many recipients share: the domain of an e-mail address, the first six characters of a number.
    pub(crate) fn group_of(&self, key: &str) -> String {
        let group = match self.channel {
            Channel::Email => key.rsplit_once('@').map(|(_, domain)| domain),
            Channel::Sms => key.get(..6),
        };
        group.unwrap_or(key).to_owned()
    }
}

/// Content that a chain carries.
pub(crate) trait Carried: Clone + Send + Sync + Sized + 'static {
    /// The content of this kind.
    fn of(content: &Content) -> Option<&Self>;

    /// Number of recipients, as a pace counts them.
    fn recipients(&self) -> u32;

    /// Number of units that a provider bills for each recipient: one for an e-mail, the segments of a text message.
    fn units_each(&self) -> u32;

    /// The first recipient; empty if there is none.
    fn first_recipient(&self) -> Addressee<'_>;

    /// A keyed hash of what recipients read, whoever they are: two messages with one fingerprint are one text.
    fn fingerprint(&self, hasher: &RandomState) -> u64;

    /// The calling code of the recipient's country, for content whose price depends on it.
    fn country_code(&self) -> Option<u16>;

    /// The content for `some` of these recipients only.
    fn for_some(&self, recipients: &[RecipientRecord], some: RecipientSet) -> Self;

    /// The whole content for a set of the recipients of its message; borrowed when the set holds all of them.
    fn for_recipients<'a>(content: &'a Content, record: &MessageRecord, set: RecipientSet) -> Option<Cow<'a, Self>> {
        let content = Self::of(content)?;
        let is_for_all = (0..record.recipients.len()).all(|index| set.contains(index));
        Some(if is_for_all {
            Cow::Borrowed(content)
        } else {
            Cow::Owned(content.for_some(&record.recipients, set))
        })
    }
}

impl Carried for Email {
    fn of(content: &Content) -> Option<&Self> {
        match content {
            Content::Email(email) => Some(email),
            Content::Sms(_) => None,
        }
    }

    fn recipients(&self) -> u32 {
        u32::try_from(self.to.len() + self.cc.len() + self.bcc.len()).unwrap_or(u32::MAX)
    }

    fn units_each(&self) -> u32 {
        1
    }

    fn first_recipient(&self) -> Addressee<'_> {
        let first = self.to.first().or(self.cc.first()).or(self.bcc.first());
        Addressee::new(Channel::Email, first.map_or("", |mailbox| mailbox.address.expose()))
    }

    fn fingerprint(&self, hasher: &RandomState) -> u64 {
        let mut hash = hasher.build_hasher();
        (&self.subject, &self.html, &self.text).hash(&mut hash);
        for Attachment {
            filename,
            content_type,
            content,
            ..
        } in &self.attachments
        {
            (filename, content_type, content).hash(&mut hash);
        }
        hash.finish()
    }

    fn country_code(&self) -> Option<u16> {
        None
    }

    fn for_some(&self, recipients: &[RecipientRecord], some: RecipientSet) -> Self {
        self.only(|address| {
            let mut indexed = recipients.iter().enumerate();
            indexed.any(|(index, recipient)| some.contains(index) && recipient.address == address.expose())
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

    fn recipients(&self) -> u32 {
        1
    }

    fn units_each(&self) -> u32 {
        u32::try_from(Segments::of(&self.body).segments).unwrap_or(u32::MAX)
    }

    fn first_recipient(&self) -> Addressee<'_> {
        Addressee::new(Channel::Sms, self.to.expose())
    }

    fn fingerprint(&self, hasher: &RandomState) -> u64 {
        hasher.hash_one(&self.body)
    }

    fn country_code(&self) -> Option<u16> {
        Some(self.to.country_code())
    }

    fn for_some(&self, _: &[RecipientRecord], _: RecipientSet) -> Self {
        self.clone()
    }
}
