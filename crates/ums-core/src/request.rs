//! What a caller hands in, and its one reading at the edge.
//!
//! The field names are the contract of `POST /v1/emails` and `POST /v1/sms`; the library, the
//! command line and Python use the same. All faults of a request are reported together, by field
//! name, never with a value.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::email_address::Mailbox;
use crate::guard::{self, header_name, header_text};
use crate::message::{Attachment, Content, Email, Handling, Header, Metadata, Sms, SmsSender};
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
/// Longest time that a message may wait, in seconds (30 days).
pub const MAX_EXPIRES_IN_SECONDS: u64 = 30 * 24 * 3_600;

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldFault {
    /// The field, such as `cc[1]` or `attachments[0].filename`.
    pub field: String,
    /// What is wrong with it and what to do; never its value.
    pub reason: String,
}

/// All that is wrong with a request.
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

/// How the caller wants a message handled; the same fields for both channels.
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
    /// Not before this time: RFC 3339 with any offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<Timestamp>,
    /// Seconds after which it is given up: 1 to 2,592,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// Only this provider, no failover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<ProviderKind>,
}

/// A file to attach, its content in base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentRequest {
    /// File name, without a path.
    pub filename: String,
    /// Media type; `application/octet-stream` when absent.
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
    /// Where a file is shown.
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
    /// Text part; made from the HTML when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_content: Option<String>,
    /// Sender's address; each provider's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_email: Option<String>,
    /// Sender's display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_name: Option<String>,
    /// Where answers go.
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
    /// How it is handled.
    #[serde(flatten)]
    pub handling: HandlingRequest,
    /// Fields that do not exist: refused, so that a misspelt one is not silently left out.
    #[serde(flatten, skip_serializing)]
    pub unknown: Metadata,
}

impl SendEmail {
    /// Starts an e-mail with what every e-mail has.
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
    /// All that is wrong with it, by field.
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
    /// Sender: number, short code or alphanumeric id; each provider's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_number: Option<String>,
    /// The caller's own data.
    pub metadata: Metadata,
    /// How it is handled.
    #[serde(flatten)]
    pub handling: HandlingRequest,
    /// Fields that do not exist: refused, so that a misspelt one is not silently left out.
    #[serde(flatten, skip_serializing)]
    pub unknown: Metadata,
}

impl SendSms {
    /// Starts a text message with what every text message has.
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

    /// Reads the request; national numbers are read in `default_region`.
    ///
    /// # Errors
    /// All that is wrong with it, by field.
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

/// A request that was read: ready to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What is sent.
    pub content: Content,
    /// How it is handled.
    pub handling: Handling,
    /// The caller's own data.
    pub metadata: Metadata,
}

/// Collects what is wrong.
#[derive(Default)]
struct Faults(Vec<FieldFault>);

impl Faults {
    fn add(&mut self, field: impl Into<String>, reason: impl fmt::Display) {
        self.0.push(FieldFault {
            field: field.into(),
            reason: format!("{reason}"),
        });
    }

    fn into_result<T>(self, value: T) -> Result<T, InvalidRequest> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(InvalidRequest { faults: self.0 })
        }
    }
}

fn check_unknown(unknown: &Metadata, faults: &mut Faults) {
    for name in unknown.keys().take(10) {
        let shown: String = name.chars().filter(|c| !guard::is_forbidden(*c)).take(60).collect();
        faults.add(shown, "is not a field of this request");
    }
}

fn sender(address: Option<&str>, name: Option<&str>, faults: &mut Faults) -> Option<Mailbox> {
    let Some(address) = address else {
        if name.is_some() {
            faults.add("from_name", "needs from_email beside it");
        }
        return None;
    };
    let parsed = Mailbox::parse(address).map_err(|fault| faults.add("from_email", fault)).ok()?;
    let Some(name) = name else { return Some(parsed) };
    Mailbox::new(Some(name), parsed.address)
        .map_err(|fault| faults.add("from_name", fault))
        .ok()
}

fn mailboxes(field: &str, list: &OneOrMany, faults: &mut Faults) -> Vec<Mailbox> {
    let mut mailboxes = Vec::new();
    for (index, text) in list.as_slice().iter().enumerate().take(MAX_RECIPIENTS + 1) {
        match Mailbox::parse(text) {
            Ok(mailbox) => mailboxes.push(mailbox),
            Err(fault) if matches!(list, OneOrMany::One(_)) => faults.add(field, fault),
            Err(fault) => faults.add(format!("{field}[{index}]"), fault),
        }
    }
    mailboxes
}

fn attachments(requests: Vec<AttachmentRequest>, faults: &mut Faults) -> Vec<Attachment> {
    if requests.len() > MAX_ATTACHMENTS {
        faults.add("attachments", format!("must be at most {MAX_ATTACHMENTS}"));
    }
    let mut files = Vec::new();
    for (index, request) in requests.into_iter().enumerate().take(MAX_ATTACHMENTS) {
        let content_type = request.content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
        let field = |name: &str| format!("attachments[{index}].{name}");
        if request.filename.trim().is_empty() || request.filename.contains(['/', '\\']) {
            faults.add(field("filename"), "must be a file name without a path");
        }
        if let Err(fault) = header_text(&request.filename, 255) {
            faults.add(field("filename"), fault);
        }
        if !is_media_type(&content_type) {
            faults.add(field("content_type"), "must be a media type such as application/pdf");
        }
        if let Some(id) = &request.content_id
            && (id.is_empty() || id.len() > 78 || !id.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>')))
        {
            faults.add(field("content_id"), "must be 1 to 78 visible ASCII characters without < and >");
        }
        files.push(Attachment {
            filename: request.filename,
            content_type,
            content: request.content,
            inline: request.disposition == Some(Disposition::Inline),
            content_id: request.content_id,
        });
    }
    files
}

/// `type/subtype` with optional plain parameters, as the guard allows it in a header.
fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let token = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    text.len() <= 78
        && text.bytes().all(|b| (0x20..0x7f).contains(&b))
        && essence.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub))
        && !essence.to_ascii_lowercase().starts_with("multipart/")
}

fn headers(requests: std::collections::BTreeMap<String, String>, faults: &mut Faults) -> Vec<Header> {
    if requests.len() > MAX_HEADERS {
        faults.add("headers", format!("must be at most {MAX_HEADERS}"));
    }
    let mut headers: Vec<Header> = Vec::new();
    for (index, (name, value)) in requests.into_iter().enumerate() {
        let field = format!("headers[{index}]");
        if let Err(fault) = header_name(&name) {
            faults.add(&field, fault);
        } else if let Err(fault) = header_text(&value, guard::MAX_HEADER_VALUE_BYTES) {
            faults.add(&field, format!("value {fault}"));
        } else if headers.iter().any(|header| header.name.eq_ignore_ascii_case(&name)) {
            faults.add(&field, "is given twice");
        } else {
            headers.push(Header { name, value });
        }
    }
    headers
}

fn check_email(email: &Email, no_to: bool, faults: &mut Faults) {
    if no_to {
        faults.add("to", "must name at least one recipient");
    }
    if email.recipients().count() > MAX_RECIPIENTS {
        faults.add("to", format!("to, cc and bcc together must be at most {MAX_RECIPIENTS} recipients"));
    }
    if email.subject.trim().is_empty() {
        faults.add("subject", "must not be empty");
    }
    if let Err(fault) = header_text(&email.subject, guard::MAX_SUBJECT_BYTES) {
        faults.add("subject", fault);
    }
    if email.html.is_none() && email.text.is_none() {
        faults.add("html_content", "or text_content must be there");
    }
    for (field, body) in [("html_content", &email.html), ("text_content", &email.text)] {
        if body.as_ref().is_some_and(|body| body.contains('\0')) {
            faults.add(field, "must not contain NUL");
        }
    }
    if email.content_bytes() > MAX_EMAIL_BYTES {
        faults.add(
            "attachments",
            format!("bodies and attachments together must be at most {MAX_EMAIL_BYTES} bytes"),
        );
    }
    let mut seen = std::collections::HashSet::new();
    if let Some((kind, _)) = email
        .recipients()
        .find(|(_, mailbox)| !seen.insert(mailbox.address.expose().to_ascii_lowercase()))
    {
        faults.add(kind.as_str(), "names a recipient that is already there");
    }
}

fn sms_sender(text: &str, region: Option<Region>) -> Result<SmsSender, String> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits && (3..=8).contains(&text.len()) {
        return Ok(SmsSender::ShortCode(text.to_owned()));
    }
    if text.starts_with('+') || digits {
        return PhoneNumber::parse(text, region)
            .map(SmsSender::Number)
            .map_err(|fault| fault.to_string());
    }
    let fine = text.len() <= 11
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-'))
        && text.bytes().any(|b| b.is_ascii_alphabetic());
    if fine {
        Ok(SmsSender::Alphanumeric(text.to_owned()))
    } else {
        Err("must be a number in E.164, a short code, or 1 to 11 letters and digits with at least one letter".to_owned())
    }
}

fn handling(request: &HandlingRequest, metadata: &Metadata, channel: Channel, faults: &mut Faults) -> Handling {
    let from_metadata = metadata
        .get("purpose")
        .and_then(|value| value.as_str())
        .and_then(|word| word.parse().ok());
    let purpose = request.purpose.or(from_metadata).unwrap_or(Purpose::Transactional);
    if let Some(via) = request.via
        && via.channel() != channel
    {
        faults.add("via", format!("must be a provider of {channel}"));
    }
    if let Some(seconds) = request.expires_in_seconds
        && !(1..=MAX_EXPIRES_IN_SECONDS).contains(&seconds)
    {
        faults.add("expires_in_seconds", format!("must be 1 to {MAX_EXPIRES_IN_SECONDS}"));
    }
    Handling {
        purpose,
        duplicates: request.duplicates.unwrap_or(purpose.default_duplicates()),
        on_exhausted: request.on_exhausted,
        via: request.via,
        send_at: request.send_at,
        expires_in: request.expires_in_seconds.map(Duration::from_secs),
    }
}

fn check_metadata(metadata: &Metadata, faults: &mut Faults) {
    if metadata.len() > MAX_METADATA_KEYS {
        faults.add("metadata", format!("must have at most {MAX_METADATA_KEYS} keys"));
    }
    if metadata.values().any(|value| value.is_object() || value.is_array()) {
        faults.add("metadata", "may hold strings, numbers, booleans and null only");
    }
    if !metadata.is_empty() && serde_json::to_string(metadata).map_or(usize::MAX, |json| json.len()) > MAX_METADATA_BYTES {
        faults.add("metadata", format!("must be at most {MAX_METADATA_BYTES} bytes as JSON"));
    }
}

#[cfg(test)]
mod tests;
