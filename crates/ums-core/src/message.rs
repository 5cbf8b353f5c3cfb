//! A message as the engine sees it: parsed, checked, never changed afterwards.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::email_address::{EmailAddress, Mailbox};
use crate::phone::PhoneNumber;
use crate::{Channel, Duplicates, MessageId, OnExhausted, ProviderKind, Purpose, RecipientKind, TenantId, Timestamp};

/// The caller's own data about a message: stored and returned, never sent to a provider.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// A file that travels with an e-mail.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// File name without controls or path separators.
    pub filename: String,
    /// Media type, such as `application/pdf`.
    pub content_type: String,
    /// The bytes.
    #[serde(with = "crate::base64_bytes")]
    pub content: Arc<[u8]>,
    /// Whether it is shown in the text (`cid:`) instead of beside it.
    pub inline: bool,
    /// The id by which HTML refers to an inline file, without angle brackets.
    pub content_id: Option<String>,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachment({}, {} bytes)", self.content_type, self.content.len())
    }
}

/// A custom header that passed the header guard.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// `X-…` or one of the standard names that callers may set.
    pub name: String,
    /// Free of control characters; not encoded.
    pub value: String,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Header({})", self.name)
    }
}

/// An e-mail.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// The sender that the caller chose; without one each provider uses its own.
    pub from: Option<Mailbox>,
    /// Main recipients; never empty.
    pub to: Vec<Mailbox>,
    /// Carbon copies.
    pub cc: Vec<Mailbox>,
    /// Blind carbon copies.
    pub bcc: Vec<Mailbox>,
    /// Where answers go.
    pub reply_to: Vec<Mailbox>,
    /// Subject without controls; not encoded.
    pub subject: String,
    /// HTML part.
    pub html: Option<String>,
    /// Text part; made from the HTML when the caller gave none, so one of the two parts is always there.
    pub text: Option<String>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// Custom headers.
    pub headers: Vec<Header>,
}

impl Email {
    /// All recipients with the line that they stand on: to, cc, bcc in order.
    pub fn recipients(&self) -> impl Iterator<Item = (RecipientKind, &Mailbox)> {
        let on = |kind| move |mailbox| (kind, mailbox);
        self.to
            .iter()
            .map(on(RecipientKind::To))
            .chain(self.cc.iter().map(on(RecipientKind::Cc)))
            .chain(self.bcc.iter().map(on(RecipientKind::Bcc)))
    }

    /// The same e-mail for those recipients only that `keep` names: after a partial acceptance a
    /// retry carries the rest.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&EmailAddress) -> bool) -> Self {
        let mut rest = self.clone();
        for list in [&mut rest.to, &mut rest.cc, &mut rest.bcc] {
            list.retain(|mailbox| keep(&mailbox.address));
        }
        // Somebody must stand on the first line. A blind copy moves there only when it is alone:
        // it must not be shown to others.
        if rest.to.is_empty() && !rest.cc.is_empty() {
            rest.to = std::mem::take(&mut rest.cc);
        } else if rest.to.is_empty() && rest.bcc.len() == 1 {
            rest.to = std::mem::take(&mut rest.bcc);
        }
        rest
    }

    /// Bytes of bodies and attachments, before encoding.
    pub fn content_bytes(&self) -> usize {
        let bodies = self.html.as_ref().map_or(0, String::len) + self.text.as_ref().map_or(0, String::len);
        bodies + self.attachments.iter().map(|file| file.content.len()).sum::<usize>()
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Email(to {:?}, {} recipients, {} bytes)",
            self.to.first(),
            self.recipients().count(),
            self.content_bytes()
        )
    }
}

/// Who a text message comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmsSender {
    /// A phone number in E.164.
    Number(PhoneNumber),
    /// A short code: 3 to 6 digits (8 in a few countries).
    ShortCode(String),
    /// An alphanumeric sender id: 1 to 11 letters, digits, spaces or `-`, at least one letter.
    Alphanumeric(String),
}

impl SmsSender {
    /// The sender as providers want it.
    pub fn expose(&self) -> &str {
        match self {
            Self::Number(number) => number.expose(),
            Self::ShortCode(text) | Self::Alphanumeric(text) => text,
        }
    }
}

/// A text message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sms {
    /// The recipient.
    pub to: PhoneNumber,
    /// The sender that the caller chose; without one each provider uses its own.
    pub from: Option<SmsSender>,
    /// The text, in Unicode's composed form (NFC).
    pub body: String,
}

impl fmt::Debug for Sms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sms(to {:?}, {} bytes)", self.to, self.body.len())
    }
}

/// What is sent, by channel.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "channel", rename_all = "snake_case")]
pub enum Content {
    /// An e-mail.
    Email(Email),
    /// A text message.
    Sms(Sms),
}

impl Content {
    /// The channel.
    pub const fn channel(&self) -> Channel {
        match self {
            Self::Email(_) => Channel::Email,
            Self::Sms(_) => Channel::Sms,
        }
    }

    /// The recipients as rows of the store: kind and full address.
    pub fn recipients(&self) -> Vec<(RecipientKind, String)> {
        match self {
            Self::Email(email) => email
                .recipients()
                .map(|(kind, mailbox)| (kind, mailbox.address.expose().to_owned()))
                .collect(),
            Self::Sms(sms) => vec![(RecipientKind::To, sms.to.expose().to_owned())],
        }
    }

    /// Whether what was to be said is still kept. A request cannot be without it: it is empty only after retention
    /// has emptied it.
    pub const fn has_body(&self) -> bool {
        match self {
            Self::Email(email) => email.html.is_some() || email.text.is_some(),
            Self::Sms(sms) => !sms.body.is_empty(),
        }
    }

    /// The same without what was said: subject, bodies, attachments and headers; who wrote to whom stays.
    #[must_use]
    pub fn without_body(&self) -> Self {
        match self {
            Self::Email(email) => Self::Email(Email {
                from: email.from.clone(),
                to: email.to.clone(),
                cc: email.cc.clone(),
                bcc: email.bcc.clone(),
                reply_to: email.reply_to.clone(),
                subject: String::new(),
                html: None,
                text: None,
                attachments: Vec::new(),
                headers: Vec::new(),
            }),
            Self::Sms(sms) => Self::Sms(Sms {
                body: String::new(),
                ..sms.clone()
            }),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(email) => email.fmt(f),
            Self::Sms(sms) => sms.fmt(f),
        }
    }
}

/// How a message is to be handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handling {
    /// Its lane.
    pub purpose: Purpose,
    /// Whether it may be handed over again after an unknown outcome.
    pub duplicates: Duplicates,
    /// What follows when no provider took it; the engine's default when none is named.
    pub on_exhausted: Option<OnExhausted>,
    /// Only this provider, no failover.
    pub via: Option<ProviderKind>,
    /// Not before this time.
    pub send_at: Option<Timestamp>,
    /// Not after this long from acceptance (or from `send_at`); by purpose when the caller says nothing.
    pub expires_in: Option<Duration>,
}

/// A message: what is sent, how, and for whom. It does not change after it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What is sent.
    pub content: Content,
    /// How.
    pub handling: Handling,
    /// The caller's own data.
    pub metadata: Metadata,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
}
