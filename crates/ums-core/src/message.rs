//! A message: parsed and checked once, never changed afterwards.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::email_address::{EmailAddress, Mailbox};
use crate::phone::PhoneNumber;
use crate::{Channel, Duplicates, ListName, MessageId, Occasion, OnExhausted, ProviderKind, Purpose, RecipientKind, TenantId, Timestamp};

/// The caller's own data about a message: stored and returned, never sent to a provider.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// A file that travels with an e-mail.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// File name, without control characters or path separators.
    pub filename: String,
    /// Media type as [`crate::MediaType`] writes it, such as `text/calendar; method=REQUEST`.
    pub content_type: String,
    /// The bytes.
    #[serde(with = "crate::base64_bytes")]
    pub content: Arc<[u8]>,
    /// Whether mail programs show the file in the text (`cid:`) instead of beside it.
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
    /// As [`crate::guard::header_value`] lets it pass; not encoded.
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
    /// The sender that the caller chose; none if each provider uses its own.
    pub from: Option<Mailbox>,
    /// Main recipients; never empty.
    pub to: Vec<Mailbox>,
    /// Carbon copies.
    pub cc: Vec<Mailbox>,
    /// Blind carbon copies.
    pub bcc: Vec<Mailbox>,
    /// Addresses for answers.
    pub reply_to: Vec<Mailbox>,
    /// Subject, without control characters; not encoded.
    pub subject: String,
    /// HTML part.
    pub html: Option<String>,
    /// Text part. The service makes it from the HTML if the caller gave none; one of the two parts is always present.
    pub text: Option<String>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// Custom headers.
    pub headers: Vec<Header>,
}

impl Email {
    /// All recipients with their lines: to, cc, bcc in order.
    pub fn recipients(&self) -> impl Iterator<Item = (RecipientKind, &Mailbox)> {
        let on = |kind| move |mailbox| (kind, mailbox);
        self.to
            .iter()
            .map(on(RecipientKind::To))
            .chain(self.cc.iter().map(on(RecipientKind::Cc)))
            .chain(self.bcc.iter().map(on(RecipientKind::Bcc)))
    }

    /// The same e-mail for those recipients whom `keep` names: an attempt for the open recipients leaves the others out.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&EmailAddress) -> bool) -> Self {
        let mut rest = self.clone();
        for list in [&mut rest.to, &mut rest.cc, &mut rest.bcc] {
            list.retain(|mailbox| keep(&mailbox.address));
        }
        // The `to` line must not be empty. A blind copy moves there only if it is the only one, because `to` shows its recipients to
        // each other.
        if rest.to.is_empty() && !rest.cc.is_empty() {
            rest.to = std::mem::take(&mut rest.cc);
        } else if rest.to.is_empty() && rest.bcc.len() == 1 {
            rest.to = std::mem::take(&mut rest.bcc);
        }
        rest
    }

    /// Bytes of bodies and attachments together, before encoding.
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

/// The sender of a text message.
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
    /// The sender in the form that providers take.
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
    /// The sender that the caller chose; none if each provider uses its own.
    pub from: Option<SmsSender>,
    /// The text, in Unicode's composed form (NFC).
    pub body: String,
}

impl fmt::Debug for Sms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sms(to {:?}, {} bytes)", self.to, self.body.len())
    }
}

/// The content of a message, by channel.
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

    /// The recipients in the order of their places: line and full address.
    pub fn recipients(&self) -> Vec<(RecipientKind, String)> {
        match self {
            Self::Email(email) => email
                .recipients()
                .map(|(kind, mailbox)| (kind, mailbox.address.expose().to_owned()))
                .collect(),
            Self::Sms(sms) => vec![(RecipientKind::To, sms.to.expose().to_owned())],
        }
    }

    /// Bytes of the texts and files, before encoding.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Email(email) => email.content_bytes(),
            Self::Sms(sms) => sms.body.len(),
        }
    }

    /// Whether the body is still kept. Every request has a body; only retention empties it.
    pub const fn has_body(&self) -> bool {
        match self {
            Self::Email(email) => email.html.is_some() || email.text.is_some(),
            Self::Sms(sms) => !sms.body.is_empty(),
        }
    }

    /// The same content without bodies, attachments and headers. Sender, recipients and subject stay.
    #[must_use]
    pub fn envelope(&self) -> Self {
        let mut envelope = self.without_body();
        if let (Self::Email(envelope), Self::Email(email)) = (&mut envelope, self) {
            envelope.subject.clone_from(&email.subject);
        }
        envelope
    }

    /// The same content without subject, bodies, attachments and headers. Sender and recipients stay.
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

/// The caller's wishes for the delivery of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handling {
    /// The purpose; each is a lane.
    pub purpose: Purpose,
    /// Whether a provider may be called again after an unknown attempt.
    pub duplicates: Duplicates,
    /// What follows when no provider took the message; none for the engine's default.
    pub on_exhausted: Option<OnExhausted>,
    /// The only provider of this message, without failover; none for the whole chain.
    pub via: Option<ProviderKind>,
    /// Earliest time of the first attempt.
    pub send_at: Option<Timestamp>,
    /// The message's life, counted from acceptance (or from `send_at`); none for the purpose's default.
    pub expires_in: Option<Duration>,
    /// The mailing list of a bulk message, by which its recipients may unsubscribe from it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListName>,
}

impl Handling {
    /// What the message is to its recipients.
    pub fn occasion(&self) -> Occasion {
        Occasion {
            purpose: self.purpose,
            list: self.list.clone(),
        }
    }
}

/// A message: content, recipients and handling. A message does not change after its acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Id of the message.
    pub id: MessageId,
    /// The tenant that owns the message.
    pub tenant: TenantId,
    /// Content and recipients.
    pub content: Content,
    /// The caller's wishes for the delivery.
    pub handling: Handling,
    /// The caller's own data.
    pub metadata: Metadata,
    /// Time of acceptance.
    pub accepted_at: Timestamp,
    /// End of the message's life: no provider is called from this time on.
    pub expires_at: Timestamp,
}
