//! Requests of callers, read once at the edge.
//!
//! The field names are the contract of `POST /v1/emails` and `POST /v1/sms`; the library, the command line and Python use the same. `parse`
//! reports all faults of a request together, by field name, never with a value.

mod checks;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::checks::{Faults, attachments, check_email, check_metadata, check_unknown, handling, headers, mailboxes, sender, sms_sender};
use crate::message::{Content, Email, Handling, Metadata, Sms};
use crate::phone::{PhoneNumber, Region};
use crate::{Channel, Duplicates, OnExhausted, ProviderKind, Purpose, Timestamp};

/// Most recipients of one e-mail, over to, cc and bcc (Amazon SES's limit, the smallest).
pub const MAX_RECIPIENTS: usize = 50;
/// Most characters of a text message (Twilio and SNS refuse more).
pub const MAX_SMS_CHARACTERS: usize = 1_600;
/// Most bytes of bodies and attachments of one e-mail (Gmail's 25 MB after encoding).
pub const MAX_EMAIL_BYTES: usize = 18 * 1024 * 1024;
/// Most attachments of one e-mail.
pub const MAX_ATTACHMENTS: usize = 50;
/// Most custom headers of one e-mail (Amazon SES's limit).
pub const MAX_HEADERS: usize = 15;
/// Most keys of a message's metadata.
pub const MAX_METADATA_KEYS: usize = 50;
/// Most bytes of a message's metadata, as JSON.
pub const MAX_METADATA_BYTES: usize = 10 * 1024;
/// Longest life of a message, in seconds (30 days).
pub const MAX_EXPIRES_IN_SECONDS: u64 = 30 * 24 * 3_600;

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldFault {
    /// The field, such as `cc[1]` or `attachments[0].filename`.
    pub field: String,
    /// The fault and what to do, as a sentence whose subject is the field; never the value.
    pub reason: String,
}

/// All faults of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidRequest {
    /// The faults, in the order of the fields.
    pub faults: Vec<FieldFault>,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{} {}", fault.field, fault.reason)?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidRequest {}

/// A string or an array of strings.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Any number.
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl From<&str> for OneOrMany {
    fn from(one: &str) -> Self {
        Self::One(one.to_owned())
    }
}

impl From<String> for OneOrMany {
    fn from(one: String) -> Self {
        Self::One(one)
    }
}

impl<S: Into<String>> From<Vec<S>> for OneOrMany {
    fn from(many: Vec<S>) -> Self {
        Self::Many(many.into_iter().map(Into::into).collect())
    }
}

impl fmt::Debug for OneOrMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} addresses]", self.as_slice().len())
    }
}

/// The caller's wishes for the delivery of a message; the same fields for both channels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlingRequest {
    /// `otp`, `transactional` (default) or `bulk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// `allow` or `never`; the default depends on the purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<Duplicates>,
    /// `hold` or `fail`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exhausted: Option<OnExhausted>,
    /// Earliest time of the first attempt: RFC 3339 with any offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<Timestamp>,
    /// The message's life in seconds: 1 to 2,592,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// The only provider of this message, without failover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<ProviderKind>,
    /// The mailing list of a bulk message, 1 to 64 characters: its recipients may unsubscribe from it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
}

/// A file to attach, its content in base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentRequest {
    /// File name, without a path.
    pub filename: String,
    /// Media type; `application/octet-stream` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The bytes in base64.
    #[serde(rename = "content_base64", with = "crate::base64_bytes")]
    pub content: Arc<[u8]>,
    /// `attachment` (default) or `inline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disposition: Option<Disposition>,
    /// The id by which HTML refers to an inline file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
}

impl fmt::Debug for AttachmentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttachmentRequest({} bytes)", self.content.len())
    }
}

crate::channel::words! {
    /// Where mail programs show a file.
    Disposition {
        /// Beside the text.
        Attachment = "attachment",
        /// In the text.
        Inline = "inline",
    }
}

/// An e-mail to send, as a caller writes it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SendEmail {
    /// Main recipients: `local@domain` or `Name <local@domain>`.
    pub to: OneOrMany,
    /// Subject line.
    pub subject: String,
    /// HTML part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html_content: Option<String>,
    /// Text part; the service makes it from the HTML if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_content: Option<String>,
    /// Sender's address; each provider uses its own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_email: Option<String>,
    /// Sender's display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_name: Option<String>,
    /// Addresses for answers.
    pub reply_to: OneOrMany,
    /// Carbon copies.
    pub cc: OneOrMany,
    /// Blind carbon copies.
    pub bcc: OneOrMany,
    /// Files.
    pub attachments: Vec<AttachmentRequest>,
    /// Custom headers: `X-…` and a few standard ones.
    pub headers: std::collections::BTreeMap<String, String>,
    /// The caller's own data.
    pub metadata: Metadata,
    /// The caller's wishes for the delivery.
    #[serde(flatten)]
    pub handling: HandlingRequest,
    /// Fields that do not exist. `parse` refuses them, so that a misspelt field is not silently ignored.
    #[serde(flatten, skip_serializing)]
    pub unknown: Metadata,
}

impl SendEmail {
    /// Starts an e-mail with its main recipients and its subject.
    pub fn new(to: impl Into<OneOrMany>, subject: impl Into<String>) -> Self {
        Self {
            to: to.into(),
            subject: subject.into(),
            ..Self::default()
        }
    }

    /// Sets the HTML part.
    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html_content = Some(html.into());
        self
    }

    /// Sets the text part.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text_content = Some(text.into());
        self
    }

    /// Sets the purpose.
    #[must_use]
    pub fn purpose(mut self, purpose: Purpose) -> Self {
        self.handling.purpose = Some(purpose);
        self
    }

    /// Makes it mail to many of that mailing list.
    #[must_use]
    pub fn list(mut self, name: impl Into<String>) -> Self {
        self.handling.purpose = Some(Purpose::Bulk);
        self.handling.list = Some(name.into());
        self
    }

    /// Sends by one provider only, without failover.
    #[must_use]
    pub fn via(mut self, provider: ProviderKind) -> Self {
        self.handling.via = Some(provider);
        self
    }

    /// Adds one entry of the caller's own data.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Reads the request.
    ///
    /// # Errors
    /// All faults of the request, by field.
    pub fn parse(self) -> Result<Parsed, InvalidRequest> {
        let mut faults = Faults::default();
        check_unknown(&self.unknown, &mut faults);
        let email = Email {
            from: sender(self.from_email.as_deref(), self.from_name.as_deref(), &mut faults),
            to: mailboxes("to", &self.to, &mut faults),
            cc: mailboxes("cc", &self.cc, &mut faults),
            bcc: mailboxes("bcc", &self.bcc, &mut faults),
            reply_to: mailboxes("reply_to", &self.reply_to, &mut faults),
            attachments: attachments(self.attachments, &mut faults),
            headers: headers(self.headers, &mut faults),
            subject: self.subject,
            html: self.html_content.filter(|html| !html.trim().is_empty()),
            text: self.text_content.filter(|text| !text.trim().is_empty()),
        };
        check_email(&email, self.to.as_slice().is_empty(), &mut faults);
        let handling = handling(&self.handling, &self.metadata, Channel::Email, &mut faults);
        if handling.purpose == Purpose::Otp && email.recipients().count() > 1 {
            faults.add("to", "must be exactly one recipient for a one-time code, without cc and bcc");
        }
        check_metadata(&self.metadata, &mut faults);
        faults.into_result(Parsed {
            content: Content::Email(email),
            handling,
            metadata: self.metadata,
        })
    }
}

impl fmt::Debug for SendEmail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendEmail(to {:?}, {:?})", self.to, self.handling)
    }
}

/// A text message to send, as a caller writes it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SendSms {
    /// Recipient: E.164, or a national number of the default region.
    pub to: String,
    /// The text.
    pub message_body: String,
    /// Sender: number, short code or alphanumeric id; each provider uses its own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_number: Option<String>,
    /// The caller's own data.
    pub metadata: Metadata,
    /// The caller's wishes for the delivery.
    #[serde(flatten)]
    pub handling: HandlingRequest,
    /// Fields that do not exist. `parse` refuses them, so that a misspelt field is not silently ignored.
    #[serde(flatten, skip_serializing)]
    pub unknown: Metadata,
}

impl SendSms {
    /// Starts a text message with its recipient and its text.
    pub fn new(to: impl Into<String>, message_body: impl Into<String>) -> Self {
        Self {
            to: to.into(),
            message_body: message_body.into(),
            ..Self::default()
        }
    }

    /// Sets the purpose.
    #[must_use]
    pub fn purpose(mut self, purpose: Purpose) -> Self {
        self.handling.purpose = Some(purpose);
        self
    }

    /// Sends by one provider only, without failover.
    #[must_use]
    pub fn via(mut self, provider: ProviderKind) -> Self {
        self.handling.via = Some(provider);
        self
    }

    /// Adds one entry of the caller's own data.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Reads the request; a national number is a number of `default_region`.
    ///
    /// # Errors
    /// All faults of the request, by field.
    pub fn parse(self, default_region: Option<Region>) -> Result<Parsed, InvalidRequest> {
        let mut faults = Faults::default();
        check_unknown(&self.unknown, &mut faults);
        let to = PhoneNumber::parse(&self.to, default_region);
        let from = self.from_number.as_deref().map(|from| sms_sender(from, default_region));
        let body: String = icu_normalizer::ComposingNormalizer::new_nfc()
            .normalize(&self.message_body)
            .into_owned();
        if let Err(fault) = &to {
            faults.add("to", fault);
        }
        if body.trim().is_empty() {
            faults.add("message_body", "must not be empty");
        } else if body.chars().count() > MAX_SMS_CHARACTERS {
            faults.add("message_body", format!("must be at most {MAX_SMS_CHARACTERS} characters"));
        }
        if body.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            faults.add("message_body", "must not contain control characters");
        }
        if let Some(Err(reason)) = &from {
            faults.add("from_number", reason);
        }
        let handling = handling(&self.handling, &self.metadata, Channel::Sms, &mut faults);
        check_metadata(&self.metadata, &mut faults);
        match to {
            Ok(to) => {
                let sms = Sms {
                    to,
                    from: from.and_then(Result::ok),
                    body,
                };
                faults.into_result(Parsed {
                    content: Content::Sms(sms),
                    handling,
                    metadata: self.metadata,
                })
            }
            Err(_) => Err(InvalidRequest { faults: faults.0 }),
        }
    }
}

impl fmt::Debug for SendSms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendSms(to {}, {:?})", crate::phone::mask(&self.to), self.handling)
    }
}

/// A request without faults, ready to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Content and recipients.
    pub content: Content,
    /// The caller's wishes for the delivery.
    pub handling: Handling,
    /// The caller's own data.
    pub metadata: Metadata,
}

#[cfg(test)]
mod tests;
